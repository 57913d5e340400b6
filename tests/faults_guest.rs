//! Faults of input and of guests: rows 1 to 19 of docs/reliability.md. Each row has a test named
//! after it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use support::*;

/// Returns a component of WASI 0.2 that has these imports, and whose `run` does nothing.
fn importing(imports: &str) -> String {
    format!(
        r#"(component
          {imports}
          (core module $m (func (export "run") (result i32) i32.const 0))
          (core instance $i (instantiate $m))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#
    )
}

#[test]
fn row_01_what_is_no_guest_is_named() {
    let _dog = watchdog();
    let dir = Dir::new();
    let component = fs::read(guest("plain")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty", vec![], "is empty"),
        ("truncated", component[..component.len() / 2].to_vec(), "is not valid"),
        ("header", component[..8].to_vec(), "exports no `wasi:cli/run`"),
        ("text", b"#!/bin/sh\necho hello\n".to_vec(), "looks like text"),
        ("elf", fs::read("/bin/sh").unwrap(), "looks like an ELF file"),
        ("random", fs::read(big_file()).unwrap()[..10_000].to_vec(), "is not a WebAssembly"),
        ("wat", b"(component (nonsense))".to_vec(), "expected valid component field"),
    ];
    for (name, bytes, says) in cases {
        let file = dir.file(name, bytes);
        for command in ["run", "inspect"] {
            if (command, name) == ("inspect", "header") {
                continue;
            }
            let ended = pipehost([command]).arg(&file).end();
            ended.expect_line(65, &[file.to_str().unwrap(), says]);
        }
    }
}

#[test]
fn row_02_an_unknown_import_is_named() {
    let _dog = watchdog();
    let dir = Dir::new();
    for import in ["wasi:http/types@0.2.0", "acme:anvil/drop@1.0.0"] {
        let component = importing(&format!("(import \"{import}\" (instance))"));
        // An empty instance needs nothing, so it needs something to be refused.
        let component = component.replace("(instance))", "(instance (export \"f\" (func))))");
        let file = dir.file("guest.wat", component);
        pipehost(["run"]).arg(file).end().expect_line(65, &[&format!("`{import}`")]);
    }
    let file = dir.file("m.wat", r#"(module (import "env" "f" (func)) (func (export "_start")))"#);
    pipehost(["run"]).arg(file).end().expect_line(65, &["`env`"]);
}

#[test]
fn row_03_another_version_of_our_package_is_told_with_ours() {
    let _dog = watchdog();
    let dir = Dir::new();
    let import = r#"(import "pipehost:pipes/named@0.9.1" (instance (export "f" (func))))"#;
    let file = dir.file("guest.wat", importing(import));
    let ended = pipehost(["run"]).arg(file).end();
    ended.expect_line(
        65,
        &["pipehost:pipes/named@0.9.1", "pipehost:pipes@0.2.0", "pipehost:pipes@0.3.0"],
    );
}

#[test]
fn row_04_without_a_run_the_exports_are_listed() {
    let _dog = watchdog();
    let dir = Dir::new();
    let component = importing("").replace("wasi:cli/run@0.2.0", "acme:anvil/drop@1.0.0");
    let file = dir.file("guest.wat", component);
    pipehost(["run"]).arg(file).end().expect_line(65, &["no `wasi:cli/run`", "acme:anvil/drop@1"]);
    let file = dir.file("m.wat", r#"(module (func (export "main")))"#);
    pipehost(["run"]).arg(file).end().expect_line(65, &["no `wasi:cli/run`", "main"]);
}

#[test]
fn row_04_a_run_of_another_type_is_refused() {
    let _dog = watchdog();
    let dir = Dir::new();
    let component =
        importing("").replace("(func $run (result (result))", "(func $run (result u32)");
    let file = dir.file("guest.wat", component);
    pipehost(["run"]).arg(file).end().expect_line(65, &["does not fit", "u32"]);
    let file = dir.file("m.wat", r#"(module (func (export "_start") (param i32)))"#);
    pipehost(["run"]).arg(file).end().expect_line(65, &["_start"]);
}

#[test]
fn row_05_a_guest_that_cannot_be_read() {
    let _dog = watchdog();
    let dir = Dir::new();
    let secret = dir.file("secret.wasm", "x");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    for command in ["run", "inspect"] {
        pipehost([command, "/no/such.wasm"]).end().expect_line(66, &["/no/such.wasm: No such"]);
        pipehost([command, "/tmp"]).end().expect_line(66, &["/tmp: is a folder"]);
        pipehost([command, "@nothing"]).end().expect_line(66, &["@nothing", "@upper"]);
        let script = format!("pipehost {command} {}", secret.display());
        as_nobody(&dir, &script).expect_line(77, &["secret.wasm: Permission denied"]);
    }
}

#[test]
fn row_08_bad_values_are_usage_errors_that_say_what_to_write() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let x = x.to_str().unwrap();
    let cases = [
        ("--max-memory", "12Q", "64K, 1M, 2G"),
        ("--max-memory", "", "size"),
        ("--max-pipes", "many", "write 64"),
        ("--timeout", "-1", "--timeout"),
        ("--timeout", "soon", "write 5s"),
        ("--open-timeout", "5 parsecs", "write 5s"),
        ("--fifo", "=", "NAME=PATH"),
        ("--fifo", "", "NAME=PATH"),
        ("--fifo", "/tmp/.hidden", "NAME=PATH"),
        ("--fifo", &format!("{x},nonsense"), "unknown key `nonsense`"),
        ("--fifo", &format!("{x},eof=never"), "eof=close"),
        ("--fifo", &format!("{x},capacity=big"), "size"),
        ("--fd", "x", "number"),
        ("--fd", "0", "--stdin"),
        ("--env", "NAME", "NAME=VALUE"),
        ("--dir", "::", "HOST::GUEST"),
        ("--stdin", "fifo:", "fifo:PATH"),
        ("--nonsense", "", "--nonsense"),
    ];
    for (option, value, says) in cases {
        pipehost(["run", "@cat", &format!("{option}={value}")]).end().expect_line(2, &[says]);
    }
    // As separate words, too.
    pipehost(["run", "@cat", "--timeout", "-1"]).end().expect_line(2, &["-1"]);
    assert!(dir.is_empty(), "nothing was made");
}

#[test]
fn row_09_what_was_accepted_before_a_trap_is_delivered() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    for probe in PROBES {
        // Before any output; and in mid-write.
        run(probe, ["--", "trap"]).end().expect_line(134, &["trapped", "-v"]);
        let reader = sh(&format!("cat {}", x.display())).start();
        let ended =
            run(probe, fifo("x", &x, ",w")).args(["--", "trap-after", "x", "last words"]).end();
        ended.expect_line(134, &["trapped"]);
        assert_eq!(reader.end().expect(0).stdout, "last words");
        // The backtrace, by its functions' names.
        let ended = run(probe, ["-v", "--", "trap"]).end().expect(134);
        assert!(ended.stderr.contains("wasm backtrace"), "{ended:?}");
        assert!(ended.stderr.contains("abort"), "{ended:?}");
    }
    // In mid-write, with a pipe that is full: what the kernel took is there, and then the end.
    let reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    let running = run("probe3", fifo("x", &x, ",w")).args(["--", "trap-in-write", "x"]).start();
    running.end().expect_line(134, &["trapped"]);
    assert_eq!(rustix::io::ioctl_fionread(&reader).unwrap(), 1024 * 1024);
    drop(reader);
    // More than the pipe holds: the host delivers the rest when the reader reads. On another FIFO: what another
    // test forks at this moment has the first one open still, and with it what is in there.
    let x = dir.fifo("y");
    let reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    let mut running = Running::new(
        run("probe2", fifo("x", &x, ",w"))
            .args(["--", "trap-full", "x"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut counted = 0;
    let mut reader = reader;
    until("all is delivered", || {
        // A read would wait once all is read: see first whether there is something.
        if rustix::io::ioctl_fionread(&reader).unwrap() > 0 {
            let mut buf = vec![0; 100_000];
            let n = reader.read(&mut buf).unwrap();
            assert!(buf[..n].iter().all(|byte| *byte == b'y'));
            counted += n;
        }
        running.is_over() && rustix::io::ioctl_fionread(&reader).unwrap() == 0
    });
    let ended = running.end().expect(134);
    assert_eq!(ended.stdout.trim(), counted.to_string());
    assert!(counted > 1024 * 1024, "{counted}");
}

#[test]
fn row_11_memory_that_is_not_permitted() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = r#"(module (memory (export "memory") 1000) (func (export "_start")))"#;
    let module = dir.file("m.wat", module);
    let ended = pipehost(["run", "--max-memory", "1M"]).arg(module).end();
    ended.expect_line(65, &["needs at least 65536000 bytes of memory", "--max-memory 65536000"]);
    let module = r#"(module (memory (export "memory") 1)
        (func (export "_start")
            (if (i32.ne (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))))"#;
    pipehost(["run"]).arg(dir.file("grow.wat", module)).end().expect(0);
    let module = r#"(module (func $f (export "_start") (call $f)))"#;
    let ended = pipehost(["run"]).arg(dir.file("deep.wat", module)).end();
    ended.expect_line(134, &["call stack exhausted"]);
}

#[test]
fn row_12_statuses_of_guests_are_passed_on() {
    let _dog = watchdog();
    let dir = Dir::new();
    for status in [0, 1, 2, 77, 255] {
        let module = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
               (memory (export "memory") 1)
               (func (export "_start") (call $exit (i32.const {status}))))"#
        );
        pipehost(["run"]).arg(dir.file("exit.wat", module)).end().expect(status);
    }
}

#[test]
fn row_13_what_is_not_granted_is_not_opened() {
    let _dog = watchdog();
    let dir = Dir::new();
    let grants = [fifo("r", &dir.path("a"), ",r"), fifo("w", &dir.path("b"), ",w")].concat();
    let opens =
        ["r", "other", "w", "other", "r", "w", "w", "r", "r", "r", "r", "r", "w", "w", "w", "w"];
    let expected = "PermissionDenied\nPermissionDenied\nPermissionDenied\nPermissionDenied\n\
                    ok\nResourceBusy\nok\nResourceBusy\n";
    for probe in PROBES {
        let ended = run(probe, &grants).args(["--", "open"]).args(opens).end().expect(0);
        assert_eq!(ended.stdout, expected, "{probe}");
        // Dropped, it can be opened again.
        let ended = run(probe, &grants).args(["--", "reopen", "r"]).end().expect(0);
        assert_eq!(ended.stdout, "ok\nok\n", "{probe}");
    }
}

#[test]
fn row_14_names_are_no_paths() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let names =
        ["../x", "/etc/passwd", x.to_str().unwrap(), ".", "EMPTY", "NUL", "LONG", "-x", "a b"];
    for probe in PROBES {
        let opens: Vec<_> = names.iter().flat_map(|name| ["r", name, "w", name]).collect();
        let ended = run(probe, fifo("x", &x, "")).args(["--", "open"]).args(&opens).end().expect(0);
        assert_eq!(ended.stdout, "InvalidInput\n".repeat(opens.len() / 2), "{probe}");
    }
    // Bytes that are no UTF-8 never reach us: a `string` of the component model cannot hold them.
    let ended = run("probe2", fifo("x", &x, "")).args(["--", "open", "r", "NOT-UTF-8"]).end();
    ended.expect_line(134, &["trapped", "utf-8"]);
}
