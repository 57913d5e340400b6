//! What is refused: names, and names that others have.

use std::io::Write as _;

use tokio::net::windows::named_pipe::ServerOptions;

use super::support::*;

#[test]
fn names_that_are_no_pipes() {
    let _dog = watchdog();
    for bad in [
        r"\\server\pipe\x",
        r"\\?\pipe\x",
        r"\\.\COM1",
        r"\\.\PhysicalDrive0",
        r"\\.\pipe\a\b",
        r"C:\x",
        r"\\.\pipe\NUL",
        r"\\.\pipe\x*",
        r"\\.\pipe\x.",
    ] {
        let ended = run("@cat", ["--fifo", &format!("in={bad},r")]).end();
        ended.expect_line(73, &["--fifo", "not a FIFO"]);
    }
    for bad in [r"\\.\pipe\", "a:b"] {
        let ended = run("@cat", ["--fifo", bad]).end();
        assert!(matches!(ended.code, Some(2 | 73)), "{bad}: {ended:?}");
    }
}

/// Another process has made the pipe first.
#[test]
fn a_name_that_another_process_has() {
    let _dog = watchdog();
    let name = name();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let _squatter = ServerOptions::new().create(path(&name)).unwrap();
    for keys in [",r", ",w", ""] {
        let ended = run("@cat", ["--fifo", &format!("in={}{keys}", path(&name))]).end();
        ended.expect_line(77, &["another process has a pipe of that name", "existing"]);
    }
}

#[test]
fn a_name_that_another_host_has() {
    let _dog = watchdog();
    let name = name();
    let first = run("@cat", ["--fifo", &format!("in={},r", path(&name))]).start();
    // It stays: its end would be that of the guest's input, and of the first host.
    let _client = writer_of(&name);
    let ended = run("@cat", ["--fifo", &format!("in={},r", path(&name))]).end();
    ended.expect_line(77, &["another process has a pipe of that name"]);
    drop(first);
}

/// The name is free again as soon as the host has ended.
#[test]
fn a_name_is_free_after_the_run() {
    let _dog = watchdog();
    let name = name();
    for _ in 0..2 {
        let running = run("@cat", ["--fifo", &format!("in={},r", path(&name))]).start();
        writer_of(&name).write_all(b"x").unwrap();
        running.end().expect(0);
    }
}

#[test]
fn one_end_under_two_names() {
    let _dog = watchdog();
    let name = name();
    let ended = run("@cat", ["--fifo", &format!("a={},r", path(&name))])
        .args(["--fifo", &format!("b={},r", path(&name))])
        .end();
    ended.expect_line(2, &["is granted twice"]);
}

#[test]
fn a_capacity_is_refused_and_the_pipe_works() {
    let _dog = watchdog();
    let name = name();
    let running = run("@cat", ["--fifo", &format!("in={},r,capacity=1M", path(&name))]).start();
    writer_of(&name).write_all(b"hello").unwrap();
    let ended = running.end().expect(0);
    assert_eq!(ended.stdout, "hello");
}

#[test]
fn a_descriptor_that_was_not_inherited() {
    let _dog = watchdog();
    run("@cat", ["--fd", "in=9999"]).end().expect_line(73, &["--fd", "not inherited"]);
}
