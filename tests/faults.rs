//! What goes wrong, and what must then happen: a test for each case, named after the number that
//! docs/reliability.md gives it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use support::*;

/// A component of WASI 0.2 whose `run` does nothing, with these imports.
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
        ("wat", b"(component (nonsense))".to_vec(), "is not valid"),
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
    for command in ["run", "inspect"] {
        pipehost([command, "/no/such.wasm"]).end().expect_line(66, &["/no/such.wasm: No such"]);
        pipehost([command, "/tmp"]).end().expect_line(66, &["/tmp: is a folder"]);
        pipehost([command, "@nothing"]).end().expect_line(66, &["@nothing", "@upper"]);
        let secret = dir.file("secret.wasm", "x");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
        let script = format!("pipehost {command} {}", secret.display());
        as_nobody(&dir, &script).expect_line(77, &["secret.wasm: Permission denied"]);
    }
}

/// Runs a script as a user without rights, who may write to `dir`.
fn as_nobody(dir: &Dir, script: &str) -> Ended {
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o777)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return sh(script).end();
    }
    // The binary is where only root may look.
    let copy = dir.path("pipehost");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_pipehost"), &copy).unwrap();
    }
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script])
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path(".").display()))
        .stdin(Stdio::null());
    command.end()
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
        ("--fifo", "in=", "NAME=PATH"),
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
    assert_eq!(rustix::io::ioctl_fionread(&reader).unwrap(), 65536);
    drop(reader);
    // More than the pipe holds: the host delivers the rest when the reader reads.
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
            let mut buf = vec![0; 10_000];
            let n = reader.read(&mut buf).unwrap();
            assert!(buf[..n].iter().all(|byte| *byte == b'y'));
            counted += n;
        }
        running.is_over() && rustix::io::ioctl_fionread(&reader).unwrap() == 0
    });
    let ended = running.end().expect(134);
    assert_eq!(ended.stdout.trim(), counted.to_string());
    assert!(counted > 65536, "{counted}");
}

#[test]
fn row_11_memory_that_is_not_permitted() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = r#"(module (memory (export "memory") 1000) (func (export "_start")))"#;
    let module = dir.file("m.wat", module);
    let ended = pipehost(["run", "--max-memory", "1M"]).arg(module).end();
    ended.expect_line(65, &["permitted", "memory"]);
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

#[test]
fn row_20_what_stands_at_the_path_and_is_no_fifo_is_left_alone() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = dir.file("file", "precious");
    let target = dir.fifo("target");
    let (link, dangling) = (dir.path("link"), dir.path("dangling"));
    symlink(&target, &link).unwrap();
    symlink(dir.path("nowhere"), &dangling).unwrap();
    let socket = dir.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let cases: [(&Path, &str); 6] = [
        (&file, "a regular file"),
        (Path::new("/tmp"), "a folder"),
        (&link, "a symbolic link"),
        (&dangling, "a symbolic link"),
        (&socket, "a socket"),
        (Path::new("/dev/null"), "a device"),
    ];
    for (path, found) in cases {
        let identity =
            |path| fs::symlink_metadata(path).map(|it| (it.ino(), it.mode(), it.len())).unwrap();
        let before = identity(path);
        let ended = run("@cat", fifo("x", path, "")).end();
        ended.expect_line(73, &[path.to_str().unwrap(), found]);
        for option in ["--stdin", "--stdout", "--stderr"] {
            let ended = run("@cat", [option, &format!("fifo:{}", path.display())]).end();
            ended.expect_line(73, &[option, path.to_str().unwrap(), found]);
        }
        assert_eq!(identity(path), before);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    assert!(!dir.path("nowhere").exists());
}

#[test]
fn row_21_a_fifo_that_others_own_or_may_write_to_is_refused() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    // In a folder that all may write to.
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o1777)).unwrap();
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&x, fs::Permissions::from_mode(mode)).unwrap();
        let ended = run("@cat", fifo("x", &x, "")).end();
        ended.expect_line(77, &["chmod go-w", "insecure"]);
    }
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    assert_eq!(run("@cat", fifo("x", &x, ",insecure")).end().expect(0).stdout, "hello\n");
    // In a private folder the mode does not matter.
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o700)).unwrap();
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    assert_eq!(run("@cat", fifo("x", &x, "")).end().expect(0).stdout, "hello\n");
    // Another user's.
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&x, fs::Permissions::from_mode(0o644)).unwrap();
        let script = format!("pipehost run @cat --fifo {}", x.display());
        as_nobody(&dir, &script).expect_line(77, &["another user", "insecure"]);
    }
}

#[test]
fn row_22_and_36_the_fifo_that_a_killed_run_left_is_used() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let killed = run("@cat", fifo("x", &x, "")).start();
    until("the FIFO is there", || killed.has_open(&x));
    killed.signal("KILL");
    assert_eq!(killed.end().signal, Some(9));
    assert!(fs::metadata(&x).unwrap().file_type().is_fifo(), "nobody could remove it");
    let next = run("@cat", fifo("x", &x, "")).start();
    fs::write(&x, "taken over").unwrap();
    assert_eq!(next.end().expect(0).stdout, "taken over");
}

#[test]
fn row_23_a_fifo_that_cannot_be_made() {
    let _dog = watchdog();
    let dir = Dir::new();
    let ended = run("@cat", fifo("x", &dir.path("no/such/x"), "")).end();
    ended.expect_line(73, &["no/such/x", "folder does not exist"]);
    let ended = run("@cat", fifo("x", &dir.file("file", "").join("x"), "")).end();
    ended.expect_line(73, &["folder does not exist"]);
    let ended = run("@cat", fifo("x", &dir.path("x"), ",existing")).end();
    ended.expect_line(73, &["no such FIFO"]);
    let ended = run("@cat", fifo("x", &dir.path(&"x".repeat(300)), "")).end();
    ended.expect_line(73, &["File name too long"]);

    fs::create_dir(dir.path("locked")).unwrap();
    fs::set_permissions(dir.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let script = format!("pipehost run @cat --fifo {}", dir.path("locked/x").display());
    as_nobody(&dir, &script).expect_line(77, &["locked/x", "not permitted"]);

    // A read-only and a full file system, seen by this process alone.
    let unshare = match rustix::process::geteuid().is_root() {
        true => "unshare --mount",
        false => "unshare --map-root-user --mount",
    };
    fs::create_dir(dir.path("mount")).unwrap();
    let mount = dir.path("mount");
    for (options, says) in [("ro", "Read-only file system"), ("nr_inodes=1", "No space left")] {
        let script = format!(
            "{unshare} sh -c 'mount -t tmpfs -o {options} none {mount} && \
             exec pipehost run @cat --fifo {mount}/x'",
            mount = mount.display()
        );
        sh(&script).end().expect_line(73, &[says]);
    }
}

#[test]
fn row_27_a_name_is_granted_once() {
    let _dog = watchdog();
    let dir = Dir::new();
    let twice = [fifo("x", &dir.path("a"), ""), fifo("x", &dir.path("b"), "")].concat();
    run("@cat", twice).end().expect_line(2, &["`x` is granted twice"]);
    // By default names, and across kinds of grants.
    let (a, b) = (dir.path("a/x"), dir.path("b/x"));
    let ended = run("@cat", ["--fifo".as_ref(), a.as_os_str(), "--fifo".as_ref(), b.as_os_str()]);
    { ended }.end().expect_line(2, &["`x` is granted twice"]);
    let ended = run("@cat", fifo("x", &dir.path("a"), "")).args(["--fd", "x=5"]).end();
    ended.expect_line(2, &["`x` is granted twice"]);
    assert!(dir.is_empty(), "nothing was made");
}

#[test]
fn row_28_a_peer_that_never_comes() {
    let _dog = watchdog();
    for probe in PROBES {
        for (what, keys) in [("drain", ",r"), ("flood", ",w")] {
            let dir = Dir::new();
            let started = Instant::now();
            let mut command = run(probe, fifo("x", &dir.path("x"), keys));
            let ended = command.args(["--open-timeout", "300ms", "--", what, "x"]).end().expect(0);
            assert!(ended.stdout.ends_with("TimedOut\n"), "{ended:?}");
            assert!(started.elapsed() >= Duration::from_millis(300));
            assert!(dir.is_empty());
        }
    }
    // A guest that fails for it: the line names the pipe and the option.
    let dir = Dir::new();
    let x = dir.path("x");
    let ended = run("@cat", fifo("in", &x, "")).args(["--open-timeout", "100ms"]).end();
    ended.expect_line(124, &["`in`", "no writer", "--open-timeout 100ms"]);
    let ended = run("@upper", fifo("out", &x, ",w")).args(["--open-timeout", "100ms"]).end();
    ended.expect(0);
    let mut command = run("plain", ["--stdin", &format!("fifo:{}", x.display())]);
    let ended = command.args(["--open-timeout", "100ms", "--", "copy"]).end();
    ended.expect_line(124, &["`stdin`", "no writer"]);
}

#[test]
fn row_28_a_peer_that_is_there_but_silent_is_no_absent_peer() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        let mut running = run(probe, fifo("x", &x, ",r"))
            .args(["--open-timeout", "100ms", "--", "drain", "x"])
            .start();
        let writer = OpenOptions::new().write(true).open(&x).unwrap();
        // The time passes several times over.
        let started = Instant::now();
        until("half a second passes", || {
            assert!(!running.is_over());
            started.elapsed() > Duration::from_millis(500)
        });
        drop(writer);
        assert_eq!(running.end().expect(0).stdout, "0\nok\n");
    }
}

#[test]
fn row_29_a_reader_that_leaves_early() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        let reader = sh(&format!("head -c 10 {}", x.display())).start();
        let ended = run(probe, fifo("x", &x, ",w")).args(["--", "flood", "x"]).end().expect(0);
        assert_eq!(ended.stdout, "BrokenPipe\n");
        assert_eq!(reader.end().stdout, "xxxxxxxxxx");
    }
}

#[test]
fn row_30_everything_is_read_before_the_end_of_file() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        for (writers, total) in
            [("echo -n 12345 > X", 5), ("(echo -n 123; echo -n 45) > X", 5), (": > X", 0)]
        {
            let script = writers.replace('X', x.to_str().unwrap());
            let writer = sh(&script).start();
            let ended = run(probe, fifo("x", &x, ",r")).args(["--", "drain", "x"]).end().expect(0);
            assert_eq!(ended.stdout, format!("{total}\nok\n"), "{probe}: {writers}");
            writer.end().expect(0);
        }
    }
}

#[test]
fn row_40_closed_standard_streams_are_not_reused() {
    let _dog = watchdog();
    let dir = Dir::new();
    // With 0 to 2 closed, the first FIFO or file that is opened would get such a number, and what
    // the guest prints would go into it.
    let x = dir.fifo("x");
    let reader = sh(&format!("cat {}", x.display())).start();
    let probe = guest("probe2");
    drop(reader);
    for closed in ["<&- >&- 2>&-", "<&-", ">&-", "2>&-"] {
        let reader = sh(&format!("cat {}", x.display())).start();
        let script = format!(
            "pipehost run {} --fifo x={},w -- write x only-this {closed}",
            probe.display(),
            x.display()
        );
        sh(&script).end().expect(0);
        assert_eq!(reader.end().stdout, "only-this", "{closed}");
    }
    let script = format!(
        "pipehost run {} --fifo x={},r -- drain x <&- >&- 2>&-",
        probe.display(),
        x.display()
    );
    let writer = sh(&format!("echo hi > {}", x.display())).start();
    sh(&script).end().expect(0);
    writer.end().expect(0);
}

#[test]
fn row_40_a_full_device_is_an_input_output_error() {
    let _dog = watchdog();
    for filter in ["@cat", "@upper", "@lines", "@tee"] {
        let script = format!("echo hello | pipehost run {filter} > /dev/full");
        sh(&script).end().expect_line(74, &["stdout", "No space left on device"]);
    }
    // The guest does not look: its own status would hide the loss.
    let script = format!("pipehost run {} -- lines 10 > /dev/full", guest("plain").display());
    sh(&script).end().expect_line(74, &["stdout", "No space left on device"]);
}

#[test]
fn row_40_shared_descriptors_keep_their_flags() {
    let _dog = watchdog();
    for how in ["ends", "KILL", "TERM"] {
        let (stdin, _feeder) = os_pipe::pipe().unwrap();
        let (_drain, stdout) = os_pipe::pipe().unwrap();
        let (_log, stderr) = os_pipe::pipe().unwrap();
        // While it runs, and after any end.
        let flags = || {
            [
                rustix::fs::fcntl_getfl(&stdin),
                rustix::fs::fcntl_getfl(&stdout),
                rustix::fs::fcntl_getfl(&stderr),
            ]
            .map(|flags| flags.unwrap().contains(OFlags::NONBLOCK))
        };
        let mut command = run("@upper", [] as [&str; 0]);
        command.stdin(stdin.try_clone().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let mut running = Running::new(&mut command);
        drop(command);
        until("it reads", || running.sleeps() && running.has_thread("signals"));
        assert_eq!(flags(), [false; 3], "while it runs");
        match how {
            "ends" => drop(_feeder),
            signal => running.signal(signal),
        }
        until("it is over", || running.is_over());
        assert_eq!(flags(), [false; 3], "after {how}");
    }
}

#[test]
fn row_40_messages_that_cannot_be_shown_are_no_panic() {
    let _dog = watchdog();
    let probe = guest("probe2");
    for stderr in ["2>/dev/full", "2>&-"] {
        sh(&format!("pipehost run -vv {} -- trap {stderr}", probe.display())).end().expect(134);
        sh(&format!("pipehost run /no/such {stderr}")).end().expect(66);
        sh(&format!("pipehost run --nonsense {stderr}")).end().expect(2);
    }
    sh("pipehost --help >/dev/full").end().expect(74);
    sh("pipehost inspect @cat >/dev/full").end().expect_line(74, &["stdout", "No space left"]);
}

#[test]
fn the_longest_times_are_for_ever() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let longest = u64::MAX.to_string();
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    let times = ["--open-timeout", &longest, "--timeout", &longest];
    let ended = run("@cat", fifo("x", &x, "")).args(times).end().expect(0);
    assert_eq!(ended.stdout, "hello\n");
    let mut command = run("@cat", ["--stdin", &format!("fifo:{}", x.display())]);
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    assert_eq!(command.args(times).end().expect(0).stdout, "hello\n");
}

/// A guest that does not look is not told; its operator is.
#[test]
fn what_a_guest_leaves_behind_and_nobody_takes_is_an_error() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    // On stdout, whose reader leaves while bytes are under way.
    let script = format!(
        "pipehost run {} -- leave-behind - | (sleep 1; exit 0); exit ${{PIPESTATUS[0]}}",
        guest("probe2").display()
    );
    assert_eq!(sh(&script).end().expect(141).stderr, "");
    // On a granted pipe.
    let reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    let running = run("probe2", fifo("x", &x, ",w")).args(["--", "leave-behind", "x"]).start();
    // 60,000 bytes take 15 of its 16 pages, and a page's worth of the next piece the last.
    until("the pipe is full", || rustix::io::ioctl_fionread(&reader).unwrap() >= 64_000);
    until("the guest has ended", || running.sleeps());
    drop(reader);
    running.end().expect_line(74, &["`x`", "reader left"]);
    // But what it does with pipes of its own is its own business.
    run("probe2", ["--", "leave-behind-own"]).end().expect(0);
}

#[test]
fn a_handed_on_stream_stays_in_its_pipe_until_there_is_room() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let mut feeder = OpenOptions::new().read(true).write(true).open(&a).unwrap();
    std::io::Write::write_all(&mut feeder, &[7; 50_000]).unwrap();
    // Nobody reads `out`.
    let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
    let mut command = run("probe3", grants);
    let ended = command.args(["--open-timeout", "300ms", "--", "forward", "in", "out"]).end();
    ended.expect_line(124, &["`out`", "no reader"]);
    assert_eq!(rustix::io::ioctl_fionread(&feeder).unwrap(), 50_000, "none was taken");
}

#[test]
fn ignored_signals_stay_ignored() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let script = format!("trap '' HUP; exec pipehost run @cat --fifo {}", x.display());
    let running = sh(&script).start();
    until("it waits", || running.has_open(&x));
    running.signal("HUP");
    fs::write(&x, "still here").unwrap();
    assert_eq!(running.end().expect(0).stdout, "still here");
}

#[test]
fn a_fifo_given_as_a_file_keeps_its_bytes() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let mut writer = sh(&format!("echo precious > {}", x.display())).start();
    until("it waits in open(2)", || writer.sleeps());
    run("@cat", ["--stdin".as_ref(), x.as_os_str()]).end().expect_line(74, &["fifo:"]);
    assert!(!writer.is_over());
    assert_eq!(fs::read_to_string(&x).unwrap(), "precious\n");
}

#[test]
fn descriptors_open_for_both_ways_and_granted_twice() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let probe = guest("probe2");
    // Open for both, it is its own writer: no end of file, as for a native program.
    let script = format!(
        "exec 5<>{x}; echo hello >&5; pipehost run {probe} --fd in=5 -- wait-one in;          pipehost run {probe} --fd in=5 -- open r in w in r in",
        x = x.display(),
        probe = probe.display()
    );
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stdout, "in hello\n\nok\nok\nResourceBusy\n");
    let ended = sh("pipehost run @cat --fd a=5 --fd b=5 5< <(:)").end();
    ended.expect_line(2, &["descriptor 5 is granted twice"]);
    sh("pipehost run @cat --fd 5,r,w 5< <(:)").end().expect_line(73, &["not open for writing"]);
    // The order in which the operator named them.
    let x = x.display();
    let probe = probe.display();
    let script =
        format!("pipehost run {probe} --fifo a={x} --fd b=5 --fifo c={x}2 -- list 5< <(:)");
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stdout, "a true true\nb true false\nc true true\n");
}

#[test]
fn a_silent_writer_holds_nobody_up_after_the_open_timeout() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let grants = [fifo("a", &a, ",r"), fifo("b", &b, ",r")].concat();
        let mut command = run(probe, grants);
        let running = command.args(["--open-timeout", "300ms", "--", "wait", "a", "b"]).start();
        let silent = OpenOptions::new().write(true).open(&a).unwrap();
        let mut talking = OpenOptions::new().write(true).open(&b).unwrap();
        let started = Instant::now();
        until("the time is over", || started.elapsed() > Duration::from_millis(600));
        std::io::Write::write_all(&mut talking, b"word").unwrap();
        until("it is read", || rustix::io::ioctl_fionread(&talking).unwrap() == 0);
        drop((talking, silent));
        let stdout = running.end().expect(0).stdout;
        assert!(stdout.starts_with("b word\n"), "{stdout}");
    }
}
