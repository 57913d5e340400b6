//! Standard streams: pipes, files, NUL, and none.

use std::io::Write as _;
use std::process::Stdio;

use super::support::*;

#[test]
fn pipes() {
    let _dog = watchdog();
    let (running, mut stdin) = Running::fed(&mut run("@upper", [""; 0]));
    stdin.write_all(b"hello").unwrap();
    drop(stdin);
    assert_eq!(running.end().expect(0).stdout, "HELLO");
}

#[test]
fn large_transfers_are_whole() {
    let _dog = watchdog();
    let mut command = run("plain", ["--", "copy-64k"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let fed = std::thread::spawn(move || feed(stdin, LARGE));
    assert_eq!(sum(stdout), expected(LARGE));
    fed.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn guests_of_0_3() {
    let _dog = watchdog();
    for how in ["stdio", "forward-stdio"] {
        let (running, mut stdin) = Running::fed(&mut run("probe3", ["--", how]));
        stdin.write_all(b"hello").unwrap();
        drop(stdin);
        assert_eq!(running.end().expect(0).stdout, "hello", "{how}");
    }
}

#[test]
fn files() {
    let _dog = watchdog();
    let folder = folder();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, "a file").unwrap();
    std::fs::write(&to, "something longer than that").unwrap();
    let mut command = run("@upper", [""; 0]);
    command.arg("--stdin").arg(&from).arg("--stdout").arg(&to).end().expect(0);
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "A FILE");
}

/// Two streams to one file share the place in it.
#[test]
fn one_file_for_both() {
    let _dog = watchdog();
    let folder = folder();
    let to = folder.path().join("to");
    let mut command = run("plain", [""; 0]);
    command.arg("--stdout").arg(&to).arg("--stderr").arg(&to);
    command.args(["--", "lines-to-both", "100"]).end().expect(0);
    let text = std::fs::read_to_string(&to).unwrap();
    assert_eq!(text.lines().count(), 200);
}

#[test]
fn nul() {
    let _dog = watchdog();
    for null in ["null", "NUL", "nul"] {
        run("@cat", ["--stdin", null]).end().expect(0);
        run("plain", ["--stdout", null, "--", "lines", "10"]).end().expect(0);
    }
}

#[test]
fn a_file_that_is_missing() {
    let _dog = watchdog();
    run("@cat", ["--stdin", r"C:\no\such\file"]).end().expect_line(66, &["--stdin"]);
}

/// A pipe is not opened as a file: that would make the host its client.
#[test]
fn a_pipe_that_is_named_as_a_file() {
    let _dog = watchdog();
    let ended = run("@cat", ["--stdin", &path(&name())]).end();
    ended.expect_line(74, &["it is a FIFO", r"write --stdin fifo:\\.\pipe\"]);
}

#[test]
fn a_reader_that_leaves_ends_the_guest() {
    let _dog = watchdog();
    let mut command = run("plain", ["--", "lines", "1000000000"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn stderr_is_separate() {
    let _dog = watchdog();
    let ended = run("plain", ["--", "lines-to-both", "3"]).end().expect(0);
    assert_eq!(ended.stdout, "out 0\nout 1\nout 2\n");
    assert_eq!(ended.stderr, "err 0\nerr 1\nerr 2\n");
}

/// Modules of WASI 0.1, too.
#[test]
fn modules() {
    let _dog = watchdog();
    let module = pipehost_test_guests::module("plain");
    let mut command = pipehost();
    command.arg("run").arg(module).args(["--", "copy"]);
    let (running, mut stdin) = Running::fed(&mut command);
    stdin.write_all(b"hello").unwrap();
    drop(stdin);
    assert_eq!(running.end().expect(0).stdout, "hello");
}
