//! Runs hosts that may reserve little address space, as under `ulimit -v`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::Command;

use support::*;

/// Returns `pipehost ARGS...` with this many KiB of address space. `input` is its stdin.
fn within(kibibytes: u64, dir: &Dir, input: &str, args: &str) -> Command {
    let input = dir.file("input", input);
    let text = format!("ulimit -v {kibibytes}; exec \"$PIPEHOST\" {args} < {}", input.display());
    let mut command = undisturbed("sh");
    command.args(["-c", &text]).env("PIPEHOST", env!("CARGO_BIN_EXE_pipehost"));
    command.env("XDG_CACHE_HOME", dir.path("caches"));
    command
}

const GIB: u64 = 1 << 20;

#[test]
fn stages_fit_into_little_address_space() {
    let _dog = watchdog();
    let dir = Dir::new();
    let line = "pipe @cat ! @upper ! @cat";
    for _ in 0..2 {
        let ended = within(4 * GIB, &dir, "abc", line).end().expect(0);
        assert_eq!(ended.stdout, "ABC");
    }
    let ended = within(GIB, &dir, "abc", "run @upper").end().expect(0);
    assert_eq!(ended.stdout, "ABC");
}

/// A guest may use as much memory as its own `--max-memory` says under such a limit, too: memories
/// move as they grow.
#[test]
fn a_guest_grows_within_little_address_space() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file(
        "grow.wat",
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (local $grown i32)
              (loop $more
                (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1))
                  (then
                    (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i32.const 7))
                    (local.set $grown (i32.add (local.get $grown) (i32.const 1)))
                    (br $more))))
              (call $exit (local.get $grown))))"#,
    );
    let args = format!("run --max-memory 64M {}", module.display());
    // Mebibytes, less the page that it began with.
    within(GIB, &dir, "", &args).end().expect_line(63, &["--max-memory"]);
}

/// Whichever resource is short, the run works, or one line says why. No limit gives another status.
#[test]
fn row_47_too_little_address_space_is_74() {
    let _dog = watchdog_after(std::time::Duration::from_secs(300));
    let dir = Dir::new();
    let mut worked = 0;
    for mebibytes in (100..1200).step_by(50) {
        for args in ["run @upper", "run --no-cache @upper", "pipe @cat ! @upper"] {
            let ended = within(mebibytes << 10, &dir, "abc", args).end();
            match ended.code {
                Some(0) => {
                    assert_eq!(ended.stdout, "ABC", "{mebibytes} {args}");
                    worked += 1;
                }
                _ => {
                    // A pipeline has a line for each stage.
                    assert_eq!(ended.code, Some(74), "{mebibytes} {args}: {ended:?}");
                    let said = ended.stderr.lines().filter(|line| !line.starts_with("pipehost: "));
                    assert_eq!(said.count(), 0, "{mebibytes} {args}: {ended:?}");
                    assert!(!ended.stderr.is_empty(), "{mebibytes} {args}: {ended:?}");
                }
            }
        }
    }
    // Where little is enough, nothing is refused: that is for the machine to say.
    assert!(worked > 3, "{worked} worked");
}
