//! Unmodified WASI programs of every version run as they do elsewhere.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use support::*;

/// A WASI 0.1 module that prints its arguments and its environment, and exits with 7.
const ABOUT: &str = r#"(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $print (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 100) (i32.const 1000)))
    (call $print (i32.const 1000) (i32.load (i32.const 4)))
    (drop (call $env_sizes (i32.const 0) (i32.const 4)))
    (drop (call $env (i32.const 100) (i32.const 2000)))
    (call $print (i32.const 2000) (i32.load (i32.const 4)))
    (call $exit (i32.const 7))))"#;

#[test]
fn a_module_of_wasi_0_1_copies_a_hundred_megabytes() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file("copy.wat", COPY_MODULE);
    let script =
        format!("cat {} | pipehost run {} | sha256sum", big_file().display(), module.display());
    assert_eq!(sh(&script).end().expect(0).stdout, big_sum());
    // On FIFOs, though it knows of none.
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let (_writer, sum) = (cat_into(big_file(), &a), sum_of(&b));
    let stream = |path: &std::path::Path| format!("fifo:{}", path.display());
    let mut command = pipehost(["run", "--stdin", &stream(&a), "--stdout", &stream(&b)]);
    command.arg(&module).end().expect(0);
    assert_eq!(sum.end().stdout, big_sum());
}

#[test]
fn a_module_of_wasi_0_1_learns_of_epipe_as_an_errno() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file("copy.wat", COPY_MODULE);
    let script =
        format!("yes | pipehost run {} | head -n 1; exit ${{PIPESTATUS[1]}}", module.display());
    assert_eq!(sh(&script).end().expect(3).stdout, "y\n");
    sh(&format!("yes | pipehost run {} > /dev/full", module.display())).end().expect(4);
    // By its old name, too.
    let old = COPY_MODULE.replace("wasi_snapshot_preview1", "wasi_unstable");
    let old = dir.file("old.wat", old);
    let ended = sh(&format!("echo hello | pipehost run {}", old.display())).end().expect(0);
    assert_eq!(ended.stdout, "hello\n");
}

#[test]
fn a_module_of_wasi_0_1_has_arguments_environment_and_status() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file("about.wat", ABOUT);
    let mut command = pipehost(["run", "--env", "A=1"]);
    let ended = command.arg(&module).args(["--", "x", "y z"]).end().expect(7);
    assert_eq!(ended.stdout, "about.wat\0x\0y z\0A=1\0");
}

#[test]
fn row_12_exit_statuses_are_the_guests_own() {
    let _dog = watchdog();
    // `exit` of WASI 0.2, which Rust's standard library calls, knows success and failure only.
    run("plain", ["--", "exit", "0"]).end().expect(0);
    run("plain", ["--", "exit", "42"]).end().expect(1);
    run("probe3", ["--", "exit", "42"]).end().expect(1);
    // `exit-with-code` knows all, in 0.2 and in 0.3.
    let dir = Dir::new();
    for version in ["0.2.12", "0.3.0"] {
        for status in [0, 1, 42, 255] {
            let component = format!(
                r#"(component
                  (import "wasi:cli/exit@{version}" (instance $exit
                    (export "exit-with-code" (func (param "status-code" u8)))))
                  (core func $exit (canon lower (func $exit "exit-with-code")))
                  (core module $m
                    (import "" "exit" (func $exit (param i32)))
                    (func (export "run") (result i32) (call $exit (i32.const {status})) unreachable))
                  (core instance $i (instantiate $m (with "" (instance (export "exit" (func $exit))))))
                  (func $run (result (result)) (canon lift (core func $i "run")))
                  (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#
            );
            let component = dir.file("exit.wat", component);
            pipehost(["run"]).arg(component).end().expect(status);
        }
    }
    // An error from `run` is 1.
    let ended = run("probe3", ["--", "fail"]).end().expect(1);
    assert_eq!(ended.stderr, "Error: as asked\n");
}

#[test]
fn panics_are_traps() {
    let _dog = watchdog();
    let ended = run("plain", ["--", "panic"]).end().expect_line(134, &["trapped", "unreachable"]);
    assert!(ended.stderr.contains("as asked"));
}

#[test]
fn row_19_a_program_in_a_shell_pipeline_ends_with_its_reader() {
    let _dog = watchdog();
    let plain = guest("plain");
    for relay in ["@cat".to_owned(), "@upper".into(), format!("{} -- copy", plain.display())] {
        let script = format!("yes | pipehost run {relay} | head -n 1; exit ${{PIPESTATUS[1]}}");
        let ended = sh(&script).end().expect(141);
        assert_eq!(ended.stdout.to_lowercase(), "y\n");
        assert_eq!(ended.stderr, "", "quietly");
    }
    // It panics for it: quietly too.
    let script = format!(
        "pipehost run {} -- lines 1000000 | head -n 1; exit ${{PIPESTATUS[0]}}",
        plain.display()
    );
    assert_eq!(sh(&script).end().expect(141).stderr, "");
}

#[test]
fn a_guest_that_goes_on_without_its_reader_keeps_its_voice() {
    let _dog = watchdog();
    let plain = guest("plain");
    let script =
        format!("pipehost run {} -- go-on | head -n 1; exit ${{PIPESTATUS[0]}}", plain.display());
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stderr, "before\nnobody reads this, so what\n");
}

#[test]
fn real_programs_sit_on_both_sides() {
    let _dog = watchdog();
    let dir = Dir::new();
    // gzip and jq around guests, in a shell's pipeline and on FIFOs.
    let log = dir.file("log", "{\"a\": 1}\n{\"a\": 2}\n");
    let script = format!(
        "gzip -c {} | gzip -dc | pipehost run @cat | jq -c .a | pipehost run @lines",
        log.display()
    );
    assert_eq!(sh(&script).end().expect(0).stdout, "     1\t1\n     2\t2\n");
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let script = format!(
        "gzip -c {log} > {a} & \
         gzip -dc < {b} | jq -s 'map(.a) | add' & \
         pipehost run @cat --fifo in={a},r --fifo out={b},w; wait",
        log = log.display(),
        a = a.display(),
        b = b.display(),
    );
    assert_eq!(sh(&script).end().expect(0).stdout, "3\n");
}

#[test]
fn a_wat_text_of_a_component_runs() {
    let _dog = watchdog();
    let dir = Dir::new();
    let component = dir.file(
        "nothing.wat",
        r#"(component
          (core module $m (func (export "run") (result i32) i32.const 0))
          (core instance $i (instantiate $m))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))"#,
    );
    pipehost(["run"]).arg(&component).end().expect(0);
    let failing = fs::read_to_string(&component).unwrap().replace("i32.const 0", "i32.const 1");
    pipehost(["run"]).arg(dir.file("failing.wat", failing)).end().expect(1);
}
