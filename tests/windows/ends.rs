//! How runs end: statuses, and the end of the host while commands run.

use std::io::Read as _;

use super::support::*;

#[test]
fn statuses_of_guests() {
    let _dog = watchdog();
    let folder = folder();
    let seven = folder.path().join("seven.wat");
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))"#;
    std::fs::write(&seven, text).unwrap();
    let mut command = pipehost();
    command.arg("run").arg(&seven).end().expect(7);
    // WASI 0.2 knows only success and failure.
    run("plain", ["--", "exit", "9"]).end().expect(1);
    for probe in PROBES {
        run(probe, ["--", "trap"]).end().expect(134);
    }
}

#[test]
fn statuses_of_the_host() {
    let _dog = watchdog();
    run("@nobody", [""; 0]).end().expect(66);
    pipehost().args(["run", "no-such-file.wasm"]).end().expect(66);
    pipehost().args(["run", "--no-such-option"]).end().expect(2);
    let folder = folder();
    let file = folder.path().join("x.wasm");
    std::fs::write(&file, "this is no guest").unwrap();
    let mut command = pipehost();
    command.arg("run").arg(&file).end().expect(65);
}

/// A native command, and what it has started, end with the host, even if that is killed.
#[test]
fn commands_end_with_a_host_that_is_killed() {
    let _dog = watchdog();
    let name = name();
    let server = Server::new(&name);
    let mut inner = peer(&["run"]);
    inner.extend(peer(&["stay", &name]));
    inner.insert(0, "exec".into());
    let mut host = pipeline(&[], &[vec!["@cat".into()], inner]).start();
    let server = server.wait_for_peer();
    host.kill();
    server.wait_for_its_end();
}

/// A native command that a guest has started ends with the host, too.
#[test]
fn commands_of_guests_end_with_a_host_that_is_killed() {
    let _dog = watchdog();
    for family in FAMILIES {
        let name = name();
        let server = Server::new(&name);
        let stay = peer(&["stay", &name]).join(" ");
        let mut host =
            run(family, ["--exec", &format!("stay={stay}"), "--", "run", "stay"]).start();
        let server = server.wait_for_peer();
        host.kill();
        server.wait_for_its_end();
    }
}

/// The same at the time limit.
#[test]
fn commands_end_at_the_time_limit() {
    let _dog = watchdog();
    let name = name();
    let command = [vec!["exec".into()], peer(&["stay", &name])].concat();
    let server = Server::new(&name);
    let host = pipeline(&["--timeout", "15s"], &[vec!["@cat".into()], command]).start();
    server.wait_for_peer().wait_for_its_end();
    host.end().expect_line(124, &["--timeout 15s"]);
}

/// A host that is killed leaves no name behind.
#[test]
fn a_killed_host_leaves_no_pipe() {
    let _dog = watchdog();
    let name = name();
    let mut host = run("@cat", ["--fifo", &format!("in={},r", path(&name))]).start();
    let client = writer_of(&name);
    host.kill();
    host.end();
    drop(client);
    let again = until_some("the name is free", || {
        let mut running = run("probe2", ["--fifo", &format!("x={},w", path(&name))])
            .args(["--", "write", "x", "hello"])
            .start();
        let client = std::fs::File::open(path(&name)).ok();
        match client {
            Some(client) => Some((running, client)),
            None if running.is_over() => None,
            None => Some((running, reader_of(&name))),
        }
    });
    let mut text = String::new();
    let (running, mut client) = again;
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    running.end().expect(0);
}

/// `--sandbox require` says what Windows cannot promise.
#[test]
fn a_sandbox_that_is_demanded() {
    let _dog = watchdog();
    let ended = run("@cat", ["--sandbox", "require", "--stdin", "null"]).end();
    ended.expect_line(77, &["--sandbox require", "files and the network"]);
}

#[test]
fn a_sandbox_as_far_as_it_goes() {
    let _dog = watchdog();
    let ended = run("@upper", ["--sandbox", "auto", "--stdin", "null"]).end().expect(0);
    assert!(ended.stderr.contains("the engine alone bounds the guest"), "{ended:?}");
}
