//! What a guest writes line by line is delivered in larger pieces, and no peer can tell: not while the guest runs, and
//! not from what is left when it is killed.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use support::*;

/// A module of WASI 0.1 that writes each byte that it reads by a call of its own.
const BYTEWISE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32) (local $end i32)
    (loop $next
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 8192))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.eqz (i32.load (i32.const 8))) (then (return)))
      (local.set $at (i32.const 1024))
      (local.set $end (i32.add (i32.const 1024) (i32.load (i32.const 8))))
      (i32.store (i32.const 4) (i32.const 1))
      (loop $byte
        (i32.store (i32.const 0) (local.get $at))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $byte (i32.lt_u (local.get $at) (local.get $end))))
      (br $next))))"#;

/// Writes a line, and then computes for ever.
const LINE_AND_SPIN: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "a line\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 7))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop $for_ever (br $for_ever))))"#;

/// Two filters that write in small pieces: one of WASI 0.2, one of 0.1.
fn filters(dir: &Dir) -> [Command; 2] {
    let module = dir.file("bytewise.wat", BYTEWISE);
    [run("plain", ["--", "echo-lines"]), pipehost([std::ffi::OsStr::new("run"), module.as_ref()])]
}

fn started(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn lines(seed: usize, count: usize) -> Vec<u8> {
    let line = |n: usize| format!("{seed}:{n}:{}\n", "x".repeat((seed * 7 + n * 13) % 90));
    (0..count).map(line).collect::<String>().into()
}

/// Killed at any moment: the peer has what was written before the guest last waited, and of what came after a part
/// from its beginning.
#[test]
fn a_killed_guest_leaves_a_beginning_and_all_that_it_wrote_before_it_waited() {
    let _dog = watchdog_after(Duration::from_secs(3600));
    let dir = Dir::new();
    let rounds = if std::env::var_os("PIPEHOST_LONG").is_some() { 10_000 } else { 60 };
    // Compiled once.
    for filter in filters(&dir) {
        let mut filter = started(filter);
        drop(filter.stdin.take());
        assert!(filter.wait().unwrap().success());
    }
    let mut cut = 0;
    for round in 0..rounds {
        for filter in filters(&dir) {
            let mut filter = started(filter);
            let (mut stdin, mut stdout) =
                (filter.stdin.take().unwrap(), filter.stdout.take().unwrap());
            // More than the pipe holds, which nobody reads before the guest is killed.
            let (first, then) = (lines(round, 50), lines(round + 1, 25_000));
            stdin.write_all(&first).unwrap();
            // All of it comes, though nothing follows: the guest waits.
            let mut seen = vec![0; first.len()];
            stdout.read_exact(&mut seen).unwrap();
            assert!(seen == first);
            let feed = {
                let then = then.clone();
                // Fails where the guest is killed first.
                thread::spawn(move || drop(stdin.write_all(&then)))
            };
            let moment = Duration::from_micros((round as u64 * 7919) % 4000);
            thread::sleep(moment);
            filter.kill().unwrap();
            filter.wait().unwrap();
            feed.join().unwrap();
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).unwrap();
            assert!(then.starts_with(&rest), "round {round}");
            cut += usize::from(rest.len() < then.len());
        }
    }
    assert!(cut > rounds / 2, "{cut} of {rounds} were killed in the middle");
}

#[test]
fn a_line_is_seen_though_the_guest_never_waits() {
    let _dog = watchdog();
    let dir = Dir::new();
    let spin = dir.file("spin.wat", LINE_AND_SPIN);
    let mut guest = started(pipehost([std::ffi::OsStr::new("run"), spin.as_ref()]));
    let mut line = [0; 7];
    guest.stdout.take().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"a line\n");
    guest.kill().unwrap();
    guest.wait().unwrap();
}

#[test]
fn all_that_is_written_comes_through_and_in_order() {
    let _dog = watchdog();
    let dir = Dir::new();
    let all = lines(1, 100_000);
    let file = dir.file("lines", &all);
    for mut filter in filters(&dir) {
        filter.stdin(std::fs::File::open(&file).unwrap());
        assert!(filter.end().expect(0).stdout.as_bytes() == all);
    }
    // What goes to stderr in between, on the same pipe, stays in its place.
    let script = format!("pipehost run {} -- lines-to-both 2000 2>&1", guest("plain").display());
    let ended = sh(&script).end().expect(0);
    let expected: String = (0..2000).map(|n| format!("out {n}\nerr {n}\n")).collect();
    assert!(ended.stdout == expected, "{}", &ended.stdout[..200]);
}

/// Two guests write to one pipe, which is full most of the time: each line stays whole.
#[test]
fn lines_of_two_writers_are_not_mixed() {
    let _dog = watchdog();
    const LINES: usize = 600_000;
    let guest = format!("pipehost run {} -- lines {LINES}", guest("plain").display());
    let mut both = started(sh(&format!("{guest} & {guest} & wait")));
    let (mut stdout, mut text) = (both.stdout.take().unwrap(), Vec::new());
    let mut buf = [0; 3000];
    loop {
        match stdout.read(&mut buf).unwrap() {
            0 => break,
            n => text.extend_from_slice(&buf[..n]),
        }
    }
    assert!(both.wait().unwrap().success());
    let mut seen = vec![0; LINES];
    for line in String::from_utf8(text).unwrap().lines() {
        let number = line.parse::<usize>().ok().and_then(|number| seen.get_mut(number));
        *number.unwrap_or_else(|| panic!("{line:?} is of two lines")) += 1;
    }
    assert!(seen.iter().all(|count| *count == 2));
}

/// Its reader leaves: the guest is ended for it, at the latest a buffer later, whatever it does about it.
#[test]
fn a_reader_that_leaves_ends_the_guest() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (at, _) in filters(&dir).iter().enumerate() {
        let guest = match at {
            0 => format!("{} -- echo-lines", guest("plain").display()),
            _ => dir.path("bytewise.wat").display().to_string(),
        };
        // More than the pipe holds, so that it is full if the reader is late; but the module reads to the end.
        let lines = if at == 0 { 30_000_000 } else { 300_000 };
        let script = format!(
            "yes | head -n {lines} | pipehost run {guest} | head -n 1; echo ${{PIPESTATUS[2]}}"
        );
        let ended = sh(&script).end().expect(0);
        // The module looks at no error, and ends with 0.
        let status = if at == 0 { "141" } else { "0" };
        assert_eq!(ended.stdout, format!("y\n{status}\n"), "{ended:?}");
    }
}

/// Counts system calls, not time: a line costs none of its own.
#[test]
fn a_line_costs_no_system_call_of_its_own() {
    let _dog = watchdog();
    let dir = Dir::new();
    let all = lines(3, 20_000);
    let (plain, module) = (guest("plain"), dir.file("bytewise.wat", BYTEWISE));
    for (path, args) in [(&plain, &["--", "echo-lines"][..]), (&module, &[])] {
        // Not confined, so that its counters can be read.
        let mut filter = pipehost(["run", "--sandbox", "off"]);
        filter.arg(path).args(args);
        let mut filter = started(filter);
        let mut stdin = filter.stdin.take().unwrap();
        let feed = {
            let all = all.clone();
            thread::spawn(move || {
                stdin.write_all(&all).unwrap();
                stdin
            })
        };
        let mut seen = vec![0; all.len()];
        filter.stdout.take().unwrap().read_exact(&mut seen).unwrap();
        let counters = std::fs::read_to_string(format!("/proc/{}/io", filter.id())).unwrap();
        let count = |name: &str| -> usize {
            let line = counters.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        // A read brings 8 KiB at most, which go on by one write, or by two where the pipe was full.
        let pieces = all.len() / 8192 + 1;
        assert!(count("syscr:") < 4 * pieces + 500, "{counters}, {pieces} pieces");
        assert!(count("syscw:") < 4 * pieces + 500, "{counters}, {pieces} pieces");
        drop(feed.join().unwrap());
        filter.wait().unwrap();
    }
}
