//! A guest's stderr that nobody drains, or that is kept up to a size: the guest goes on.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use pipehost_test_guests::module;
use support::*;

/// Guests of WASI 0.1, 0.2 and 0.3 that write some 100 KB to stderr times `hundreds`, and then end.
fn talkers(option: &str, dir: &Dir, hundreds: usize) -> Vec<Command> {
    let input = dir.file("messages", "a message of 25 bytes ...\n".repeat(4000 * hundreds));
    let mut of_module = pipehost(["run"]);
    of_module.arg(module("plain"));
    let mut all = vec![of_module, run("plain", [""; 0]), run("plain3", [""; 0])];
    for (at, command) in all.iter_mut().enumerate() {
        command.stdout(Stdio::null()).args(["--stderr", option]);
        match at {
            2 => command.arg("--").arg("forward-to-stderr").stdin(fs::File::open(&input).unwrap()),
            _ => command.args(["--", "lines-to-both", &(10_000 * hundreds).to_string()]),
        };
    }
    all
}

#[test]
fn a_reader_who_never_reads_cannot_stop_a_guest() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (at, mut command) in talkers("drop", &dir, 14).into_iter().enumerate() {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        // Nobody reads until it has ended.
        assert_eq!(child.wait().unwrap().code(), Some(0), "guest {at}");
        let mut kept = String::new();
        stderr.read_to_string(&mut kept).unwrap();
        assert!(!kept.is_empty() && kept.len() < 1_400_000, "{}", kept.len());
    }
}

#[test]
fn a_reader_who_reads_gets_everything_or_is_told_how_much_was_dropped() {
    let _dog = watchdog();
    let ended = run("plain", ["--stderr", "drop", "--", "stderr", "hello\n"]).end().expect(0);
    assert_eq!(ended.stderr, "hello\n");
    // The reader begins late, and is told: with what it got, it is all.
    let dir = Dir::new();
    let go = dir.fifo("go");
    let script = format!(
        "(exec 3>&1; (pipehost run {} --stderr drop -- lines-to-both 120000 2>&1 >/dev/null 3>&-; echo > {}) | \
         (read < {}; cat >&3))",
        guest("plain").display(),
        go.display(),
        go.display()
    );
    let ended = sh(&script).end().expect(0);
    let (said, ours): (Vec<_>, Vec<_>) =
        ended.stdout.split_inclusive('\n').partition(|line| line.starts_with("err "));
    let kept: usize = said.iter().map(|line| line.len()).sum();
    let all: usize = (0..120_000).map(|n| format!("err {n}\n").len()).sum();
    // The host's own line finds no room either.
    assert!(ours.is_empty() && kept > 4096 && kept < all, "{ours:?}");
    // But for the last one, no line is joined to another.
    assert!(said.iter().all(|line| line.matches("err ").count() == 1), "{said:?}");
}

#[test]
fn a_fifo_without_a_reader_drops_everything() {
    let _dog = watchdog();
    let dir = Dir::new();
    let errors = dir.path("errors");
    let option = format!("fifo:{},drop", errors.display());
    let ended = run("plain", ["--stderr", &option, "--", "lines-to-both", "1000"]).end().expect(0);
    assert!(ended.stderr.contains("`stderr`: ") && ended.stderr.contains("bytes were dropped"));
    assert_eq!(ended.stdout.lines().count(), 1000);
}

#[test]
fn a_file_keeps_the_first_bytes_and_says_so() {
    let _dog = watchdog();
    let dir = Dir::new();
    let log = dir.path("log");
    let option = format!("file:{},max=10K", log.display());
    for (at, mut command) in talkers(&option, &dir, 1).into_iter().enumerate() {
        let ended = command.end().expect(0);
        let kept = fs::read_to_string(&log).unwrap();
        assert!(kept.len() <= 10 << 10 && kept.len() > 10_000, "{}", kept.len());
        let mut lines = kept.lines().rev();
        assert!(lines.next().unwrap().starts_with("pipehost: the rest was dropped"), "{at}");
        // The line before it is whole.
        assert!(lines.next().unwrap().starts_with(if at == 2 { "a message" } else { "err " }));
        assert!(kept.ends_with('\n'));
        assert!(ended.stderr.contains("bytes were dropped, as 10K are kept"), "{ended:#?}");
        assert!(ended.stderr.contains("max=SIZE"), "{ended:#?}");
    }
    // What fits is kept as it is, and nothing is said.
    let option = format!("file:{},max=10K", log.display());
    let ended = run("plain", ["--stderr", &option, "--", "stderr", "hello"]).end().expect(0);
    assert_eq!((&*ended.stderr, &*fs::read_to_string(&log).unwrap()), ("", "hello"));
}

#[test]
fn what_is_no_regular_file_has_no_size() {
    let _dog = watchdog();
    let mut command = run("plain", ["--stderr", "file:/dev/null,max=1K", "--", "stderr", "hello"]);
    command.end().expect_line(2, &["--stderr", "regular file", "file:PATH,max=SIZE"]);
    let script = format!(
        "pipehost run {} --stderr file:/dev/fd/5,max=1K -- stderr hello 5>&1 >/dev/null | cat; \
         exit ${{PIPESTATUS[0]}}",
        guest("plain").display()
    );
    sh(&script).end().expect_line(2, &["regular file"]);
}

/// The host sees nothing of what a command writes, so it cannot drop anything of it.
#[test]
fn a_native_command_has_no_stderr_of_which_a_part_is_dropped() {
    let _dog = watchdog();
    let mut command = run("shell", ["--exec", "sort=sort", "--stderr", "drop"]);
    let ended = command.args(["--", "-c", "sort"]).end();
    assert!(ended.stderr.contains("a native command cannot have `stderr`"), "{ended:#?}");
    assert!(ended.stderr.contains("put a guest behind it, such as @cat"), "{ended:#?}");
    pipehost(["pipe", "--stderr", "drop", "@cat", "!", "exec", "cat"])
        .end()
        .expect_line(2, &["the keys drop and max", "in front of each"]);
}

#[test]
fn stages_drop_what_nobody_reads() {
    let _dog = watchdog();
    for isolate in [&[][..], &["--isolate"]] {
        let mut command = pipehost(["pipe", "--stderr", "drop"]);
        command.args(isolate).arg("--").arg(guest("plain"));
        command.args(["lines-to-both", "130000", "!", "@cat"]).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let _stderr = child.stderr.take().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
