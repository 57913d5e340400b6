//! How runs end: statuses, Ctrl-C, and the end of the host while commands run.

use std::io::Read as _;
use std::os::windows::process::CommandExt as _;
use std::time::{Duration, Instant};

use tokio::net::windows::named_pipe::ServerOptions;
use windows_sys::Win32::System::Console::{
    AllocConsole, CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent, GetConsoleCP,
};
use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

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

/// Ctrl-Break, which can be sent to one process group. wine has no console without a terminal or a window;
/// `.ci/windows` tries Ctrl-C there.
#[test]
#[allow(unsafe_code, reason = "a call of the system's")]
fn a_request_to_end() {
    let _dog = watchdog();
    // SAFETY: asks for a number, which is 0 without a console; then makes one.
    let has_console = unsafe { GetConsoleCP() != 0 || AllocConsole() != 0 };
    if !has_console {
        eprintln!("not tested: there is no console");
        return;
    }
    let name = name();
    let mut command = run("@cat", ["--fifo", &format!("in={},r", path(&name))]);
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    let running = command.start();
    let client = writer_of(&name);
    let began = Instant::now();
    // SAFETY: numbers alone.
    let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, running.id()) };
    assert_ne!(sent, 0, "{}", std::io::Error::last_os_error());
    running.end().expect_line(131, &["ended by signal 3"]);
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(client);
}

/// A native command, and what it has started, end with the host, even if that is killed.
#[test]
fn commands_end_with_a_host_that_is_killed() {
    let _dog = watchdog();
    let name = name();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(async { ServerOptions::new().create(path(&name)).unwrap() });
    let mut inner = peer(&["run"]);
    inner.extend(peer(&["stay", &name]));
    inner.insert(0, "exec".into());
    let mut host = pipeline(&[], &[vec!["@cat".into()], inner]).start();
    runtime.block_on(async {
        let mut server = server;
        use tokio::io::AsyncReadExt as _;
        server.connect().await.unwrap();
        let mut word = [0; 4];
        server.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"here");
        host.kill();
        // The end of the grandchild.
        assert!(matches!(server.read(&mut word).await, Ok(0) | Err(_)));
    });
}

/// The same at the time limit.
#[test]
fn commands_end_at_the_time_limit() {
    let _dog = watchdog();
    let name = name();
    let command = [vec!["exec".into()], peer(&["stay", &name])].concat();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(async { ServerOptions::new().create(path(&name)).unwrap() });
    let host = pipeline(&["--timeout", "5s"], &[vec!["@cat".into()], command]).start();
    runtime.block_on(async {
        let mut server = server;
        use tokio::io::AsyncReadExt as _;
        server.connect().await.unwrap();
        let mut word = [0; 4];
        server.read_exact(&mut word).await.unwrap();
        assert!(matches!(server.read(&mut word).await, Ok(0) | Err(_)));
    });
    host.end().expect_line(124, &["--timeout 5s"]);
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
    let again = until("the name is free", || {
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
