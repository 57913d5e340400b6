//! Ends that no handler sees: fatal signals and SIGKILL at any moment, even while a guest is
//! compiled.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use support::*;

/// The signals whose default action ends a process, except those that pipehost handles.
const FATAL: [(&str, i32); 13] = [
    ("USR1", 10),
    ("ALRM", 14),
    ("VTALRM", 26),
    ("PROF", 27),
    ("XCPU", 24),
    ("IO", 29),
    ("PWR", 30),
    ("STKFLT", 16),
    ("SYS", 31),
    ("TRAP", 5),
    ("ABRT", 6),
    ("USR2", 12),
    ("KILL", 9),
];

/// Returns a run that makes two FIFOs, one of them in a private folder, and locks, and compiles its
/// guest.
fn compiling(dir: &Dir, sandbox: &str) -> Command {
    let x = dir.path("x");
    let runtime = dir.path("runtime");
    if !runtime.exists() {
        fs::create_dir(&runtime).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&runtime, private).unwrap();
    }
    let mut command = pipehost(["run", "@tee", "--no-cache", "--sandbox", sandbox]);
    command.args(fifo("x", &x, ",w")).args(["--fifo", "private="]);
    command.env("XDG_RUNTIME_DIR", runtime).stdin(Stdio::piped());
    command
}

/// Returns what a run has made and not removed.
fn left(dir: &Dir) -> Vec<String> {
    let names = |path: &Path| -> Vec<String> {
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut left = names(&dir.path("."));
    left.retain(|name| name != "runtime");
    left.extend(names(&dir.path("runtime/pipehost")));
    left
}

#[test]
fn row_45_a_fatal_signal_while_compiling_leaves_nothing() {
    let _dog = watchdog();
    for sandbox in ["auto", "off"] {
        for (signal, number) in FATAL {
            let dir = Dir::new();
            let running = compiling(&dir, sandbox).start();
            until("the FIFO is there", || dir.path("x").exists());
            running.signal(signal);
            let ended = running.end();
            assert_eq!(ended.signal, Some(number), "{signal}: {ended:?}");
            until(signal, || left(&dir).is_empty());
        }
    }
}

/// The signal may come at any moment: before a FIFO has its name, before the guest's first
/// instruction.
#[test]
fn row_46_kill_at_any_moment_of_the_start_leaves_nothing() {
    let _dog = watchdog();
    let dir = Dir::new();
    for moment in 0..60 {
        let running = compiling(&dir, "auto").start();
        thread::sleep(Duration::from_micros(moment * 400));
        running.signal("KILL");
        running.end();
        until("all is removed", || left(&dir).is_empty());
    }
}

/// The same if the whole process group is killed.
#[test]
fn row_46_killing_the_group_leaves_nothing() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut command = compiling(&dir, "auto");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let running = command.start();
    until("the FIFO is there", || dir.path("x").exists());
    let group = format!("-{}", running.pid());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    running.end();
    until("all is removed", || left(&dir).is_empty());
}

/// Returns `sh -c "ulimit -f 8; pipehost ARGS"`: no file may exceed 8 blocks; stdin has 100,000
/// bytes.
fn small_files(dir: &Dir, args: &str) -> Command {
    let input = dir.file("input", vec![b'x'; 100_000]);
    let text = format!("ulimit -f 8; exec \"$PIPEHOST\" {args} < {}", input.display());
    let mut command = undisturbed("sh");
    command.args(["-c", &text]).env("PIPEHOST", env!("CARGO_BIN_EXE_pipehost"));
    command.env("XDG_CACHE_HOME", dir.path("caches"));
    command
}

#[test]
fn row_45_a_file_that_may_not_grow_is_an_error() {
    let _dog = watchdog();
    let dir = Dir::new();
    // The cache takes nothing, and does no harm.
    for option in ["", "--no-cache"] {
        let ended = small_files(&dir, &format!("run {option} @cat")).end().expect(0);
        assert_eq!(ended.stdout.len(), 100_000);
    }
    let out = dir.path("out");
    let args = format!("run @cat --stdout {}", out.display());
    small_files(&dir, &args).end().expect_line(74, &["stdout", "File too large"]);
    assert!(fs::metadata(&out).unwrap().len() <= 8192);
    // The other stage has nothing to do with it.
    let args = format!("pipe -- @cat ! @tee ! exec cat > {}", dir.path("out2").display());
    let ended = small_files(&dir, &args).end();
    assert_eq!(ended.signal, None, "{ended:?}");
    assert_ne!(ended.code, Some(0), "{ended:?}");
}

/// A native command has the default reaction to SIGXFSZ and to SIGPIPE.
#[test]
fn row_45_native_commands_get_the_signals_back() {
    let _dog = watchdog();
    for (signal, status) in [("XFSZ", 153), ("PIPE", 141)] {
        let ended = pipehost(["pipe", "exec", "sh", "-c", &format!("kill -s {signal} $$")]).end();
        assert_eq!(ended.code, Some(status), "{signal}: {ended:?}");
    }
}
