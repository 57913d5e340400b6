//! Tries the engine's open advisories, where a guest can try them: see the table in SECURITY.md.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use support::*;

#[test]
fn nothing_of_the_collectors_heap_is_to_be_had() {
    let _dog = watchdog();
    let dir = Dir::new();
    let cases = [
        "(type (struct (field i32)))",
        "(type (array (mut i8)))",
        "(tag) (func (throw 0))",
        "(table 1 externref)",
        "(func (param (ref null i31)))",
    ];
    for case in cases {
        let text = format!(r#"(module {case} (func (export "_start")))"#);
        let file = dir.file("m.wat", text);
        pipehost(["run"]).arg(file).end().expect_line(65, &["is not valid"]);
    }
}

/// Returns a component of 0.3 that has both ends of a stream, `$r` and `$w`, and makes these calls.
fn with_a_stream(calls: &str) -> String {
    format!(
        r#"(component
  (core module $libc (memory (export "memory") 1))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (type $s (stream u8))
  (core func $new (canon stream.new $s))
  (core func $read (canon stream.read $s async (memory $memory)))
  (core func $write (canon stream.write $s async (memory $memory)))
  (core func $cancel-read (canon stream.cancel-read $s))
  (core func $cancel-write (canon stream.cancel-write $s))
  (core func $drop-readable (canon stream.drop-readable $s))
  (core func $drop-writable (canon stream.drop-writable $s))
  (core func $done (canon task.return (result (result))))
  (core module $m
    (import "" "new" (func $new (result i64)))
    (import "" "read" (func $read (param i32 i32 i32) (result i32)))
    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "" "cancel-read" (func $cancel-read (param i32) (result i32)))
    (import "" "cancel-write" (func $cancel-write (param i32) (result i32)))
    (import "" "drop-readable" (func $drop-readable (param i32)))
    (import "" "drop-writable" (func $drop-writable (param i32)))
    (import "" "done" (func $done (param i32)))
    (func (export "run") (result i32)
      (local $both i64) (local $r i32) (local $w i32)
      (local.set $both (call $new))
      (local.set $r (i32.wrap_i64 (local.get $both)))
      (local.set $w (i32.wrap_i64 (i64.shr_u (local.get $both) (i64.const 32))))
      {calls}
      (call $done (i32.const 0))
      i32.const 0)
    (func (export "callback") (param i32 i32 i32) (result i32) i32.const 0))
  (core instance $i (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write))
    (export "cancel-read" (func $cancel-read)) (export "cancel-write" (func $cancel-write))
    (export "drop-readable" (func $drop-readable)) (export "drop-writable" (func $drop-writable))
    (export "done" (func $done))))))
  (func $run async (result (result))
    (canon lift (core func $i "run") async (callback (core func $i "callback"))))
  (instance (export "wasi:cli/run@0.3.0") (export "run" (func $run))))"#
    )
}

#[test]
fn cancelling_at_the_wrong_end_harms_the_guest_alone() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (read, write) = (
        "(drop (call $read (local.get $r) (i32.const 0) (i32.const 4)))",
        "(drop (call $write (local.get $w) (i32.const 64) (i32.const 4)))",
    );
    let (wrong_read, wrong_write) =
        ("(drop (call $cancel-read (local.get $w)))", "(drop (call $cancel-write (local.get $r)))");
    for before in
        [String::new(), read.into(), write.into(), [read, write].concat(), [write, read].concat()]
    {
        for cancel in [wrong_read, wrong_write] {
            let file = dir.file("guest.wat", with_a_stream(&[&before, cancel].concat()));
            let ended = pipehost(["run"]).arg(file).end();
            assert!(matches!(ended.code, Some(0 | 134)), "{before}{cancel}: {ended:?}");
        }
    }
}

/// A guest drives its engine to a point that it should never reach: a panic, if assertions are
/// compiled in. The panic ends only that guest; what was made is removed, and other stages go on.
/// If a later engine has mended this, another way to that point must be found.
#[test]
fn row_48_a_panic_below_a_guest_ends_that_guest_alone() {
    let _dog = watchdog();
    let dir = Dir::new();
    let calls = "
        (drop (call $read (local.get $r) (i32.const 0) (i32.const 4)))
        (drop (call $cancel-write (local.get $r)))
        (call $drop-writable (local.get $w))
        (call $drop-writable (local.get $r))
        (call $drop-readable (local.get $r))";
    let file = dir.file("guest.wat", with_a_stream(calls));
    let file = file.to_str().unwrap();
    let path = dir.path("fifo");
    let fifo = format!("in={},r", path.display());
    let said = "the guest trapped: ";
    let ended = pipehost(["run", file, "--fifo", &fifo]).end().expect_line(134, &[said, "BUG"]);
    assert!(!path.exists() && !ended.stderr.contains("panicked at"), "{ended:?}");
    for isolate in [&[][..], &["--isolate"]] {
        let mut command = pipehost(["pipe"]);
        command
            .args(isolate)
            .args(["exec", "echo", "hi", "!", "@upper", "!", "exec", "cat", "!", "--fifo"]);
        command.args([&fifo, file]);
        let ended = command.end().expect(134);
        assert!(ended.stderr.contains(said) && !path.exists(), "{ended:?}");
        // Those after it meet its end, and are not harmed by it.
        let mut command = pipehost(["pipe"]);
        command.args(isolate).args([file, "!", "exec", "sh", "-c", "cat; echo on"]);
        assert_eq!(command.end().expect(134).stdout, "on\n");
    }
}
