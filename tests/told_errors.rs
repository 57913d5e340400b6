//! Errors reach the guest if its interface has a name for them, and the operator otherwise.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File};

use support::*;

/// Returns a WASI 0.1 module that makes one call of `function` on `fd` with 8 bytes, after
/// `before`, and exits with its errno.
fn one_call(function: &str, fd: u32, before: &str) -> String {
    format!(
        "(module
            (import \"wasi_snapshot_preview1\" \"{function}\"
                (func $call (param i32 i32 i32 i32) (result i32)))
            (import \"wasi_snapshot_preview1\" \"fd_fdstat_set_flags\"
                (func $set_flags (param i32 i32) (result i32)))
            (import \"wasi_snapshot_preview1\" \"fd_fdstat_get\"
                (func $get (param i32 i32) (result i32)))
            (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
            (memory (export \"memory\") 1)
            (func (export \"_start\") (local $errno i32)
                {before}
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 8))
                (loop $again
                    (local.set $errno
                        (call $call (i32.const {fd}) (i32.const 0) (i32.const 1) (i32.const 16)))
                    (br_if $again (i32.eqz (local.get $errno))))
                (call $exit (i32.add (i32.const 100) (local.get $errno)))))"
    )
}

#[test]
fn a_module_gets_the_errno_that_it_is() {
    let _dog = watchdog();
    let dir = Dir::new();
    let write = dir.file("write.wat", one_call("fd_write", 1, ""));
    let read = dir.file("read.wat", one_call("fd_read", 0, ""));
    let (write, read) = (write.display(), read.display());
    for (script, errno) in [
        (format!("pipehost run {write} > /dev/full"), 51),
        (format!("pipehost run {read} < /"), 31),
        (format!("pipehost run {write} --max-bytes 1K > /dev/null"), 19),
        (
            format!(
                "pipehost run {read} --stdin fifo:{}/f --open-timeout 10ms",
                dir.path("").display()
            ),
            73,
        ),
        (format!("set -o pipefail; pipehost run {write} | true"), 64),
        (format!("(ulimit -f 1; pipehost run {write} > {}/out)", dir.path("").display()), 22),
    ] {
        let ended = sh(&script).end();
        assert_eq!(ended.code, Some(100 + errno), "{script} {ended:?}");
    }
}

/// The operator is told of errors for which the interface has no name, whatever the guest makes of
/// them.
#[test]
fn the_operator_is_told_what_a_guest_cannot_know() {
    let _dog = watchdog();
    let dir = Dir::new();
    let write = dir.file("write.wat", one_call("fd_write", 1, ""));
    let fail = format!("{} -- fail 1", guest("plain").display());
    for (guest, status) in [(fail, 74), (write.display().to_string(), 151)] {
        let ended = sh(&format!("pipehost run {guest} > /dev/full")).end().expect(status);
        assert!(ended.stderr.contains("No space left on device"), "{ended:?}");
    }
    let ended = sh(&format!("pipehost run {} -- copy-by 10 < /", guest("plain3").display())).end();
    assert!(ended.stderr.contains("Is a directory"), "{ended:?}");
}

#[test]
fn nonblocking_streams_of_modules_do_not_wait() {
    let _dog = watchdog();
    let dir = Dir::new();
    let set = "(if (call $set_flags (i32.const 0) (i32.const 4)) (then (call $exit (i32.const 1))))
               (if (call $get (i32.const 0) (i32.const 32)) (then (call $exit (i32.const 2))))
               (if (i32.ne (i32.load16_u (i32.const 34)) (i32.const 4)) (then (call $exit (i32.const 3))))";
    let read = dir.file("read.wat", one_call("fd_read", 0, set));
    let silent = dir.fifo("silent");
    let _writer = File::options().read(true).write(true).open(&silent).unwrap();
    let ended = sh(&format!("pipehost run {} < {}", read.display(), silent.display())).end();
    assert_eq!(ended.code, Some(106), "{ended:?}");
    let write = dir.file(
        "write.wat",
        one_call(
            "fd_write",
            1,
            &set.replace("(call $set_flags (i32.const 0)", "(call $set_flags (i32.const 1)")
                .replace("(call $get (i32.const 0)", "(call $get (i32.const 1)"),
        ),
    );
    let fifo = dir.fifo("full");
    let _reader = File::options().read(true).write(true).open(&fifo).unwrap();
    let ended = sh(&format!("pipehost run {} > {}", write.display(), fifo.display())).end();
    assert_eq!(ended.code, Some(106), "{ended:?}");
}

/// A guest's complaint about its broken stdout is dropped, and nothing else is.
#[test]
fn a_diagnosis_after_a_broken_pipe_is_shown() {
    let _dog = watchdog();
    for when in ["now", "later"] {
        let script = format!(
            "pipehost run {} -- diagnose {when} | true; exit ${{PIPESTATUS[0]}}",
            guest("plain").display()
        );
        let ended = sh(&script).end().expect(141);
        assert_eq!(ended.stderr, "line 7 makes no sense\n", "{when}");
    }
    let script = format!(
        "pipehost run {} -- lines 1000000 | true; exit ${{PIPESTATUS[0]}}",
        guest("plain").display()
    );
    assert_eq!(sh(&script).end().expect(141).stderr, "", "a panic at println! is about that");
}

/// A family of guests that fails again and again is reported 32 times; then the rest is counted.
#[test]
fn row_54_warnings_about_a_family_are_bounded() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut command = pipehost(["run"]);
    command.arg(guest("files2"));
    for name in ["d", "e", "f"] {
        fs::create_dir(dir.path(name)).unwrap();
        dir.fifo(&format!("{name}/fifo"));
        command.arg("--dir").arg(format!("{}::/{name}", dir.path(name).display()));
    }
    // Each open of them is refused and told of.
    let ended = command.args(["--", "calls"]).end().expect(0);
    let is_warning = |line: &&str| line.starts_with("pipehost: warning: ");
    assert_eq!(ended.stderr.lines().filter(is_warning).count(), 33, "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap();
    assert!(
        last.ends_with(" more warnings about the guest and its children were left out"),
        "{last}"
    );
}

/// The terminal or pipe for messages is not read. The run ends all the same.
#[test]
fn messages_never_wait() {
    let _dog = watchdog();
    let dir = Dir::new();
    let fifo = dir.fifo("f");
    let reader = File::options().read(true).write(true).open(&fifo).unwrap();
    // A message longer than the pipe has room for, and one to a pipe that is full.
    let long = format!("{}.wasm", "x".repeat(90_000));
    for round in 0..2 {
        let mut command = pipehost(["run", &long]);
        command.stderr(File::options().write(true).open(&fifo).unwrap());
        let ended = Running::new(command.stdout(std::process::Stdio::null())).end();
        assert!(matches!(ended.code, Some(66 | 74)), "{round} {ended:?}");
    }
    drop(reader);
    // A terminal whose other side reads nothing, with a message of more than it has room for.
    let script = format!(
        "import os, pty, subprocess, sys\n\
         a, b = pty.openpty()\n\
         p = subprocess.Popen(['pipehost', 'run', '{}'], stdin=subprocess.DEVNULL, stderr=b)\n\
         sys.exit(0 if p.wait(20) in (66, 74) else 1)\n",
        "x".repeat(60_000)
    );
    let script = dir.file("terminal.py", script);
    if std::process::Command::new("python3").arg("-V").output().is_ok() {
        sh(&format!("python3 {}", script.display())).end().expect(0);
    }
}

/// The message names what is missing, and says what to do.
#[test]
fn a_system_without_proc_is_told_of() {
    let _dog = watchdog();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = Dir::new();
    let hidden = |command: &str| {
        let dir = dir.path("").display().to_string();
        let script = format!("cd {dir}; mount -t tmpfs none /proc && {command}");
        sh(&format!("unshare -m bash -c '{script}'")).end()
    };
    let copy = dir.path("pipehost");
    copy_program(env!("CARGO_BIN_EXE_pipehost"), &copy);
    hidden("./pipehost run @cat < /dev/null")
        .expect_line(74, &["/proc is not mounted", "mount -t proc proc /proc", "--sandbox off"]);
    hidden("./pipehost run @cat --sandbox off < /dev/null").expect(0);
    hidden("./pipehost run @cat --sandbox off --fifo in=x")
        .expect_line(73, &["x: /proc is not mounted", "mount -t proc proc /proc"]);
    let hidden = |command: &str| {
        let dir = dir.path("").display().to_string();
        let script = format!("cd {dir}; exec 7< pipehost; mount -t tmpfs none /dev && {command}");
        sh(&format!("unshare -m bash -c '{script}'")).end()
    };
    hidden("./pipehost run @cat --stdin null")
        .expect_line(74, &["/dev/null does not exist", "mknod"]);
}
