//! Requests to end: from the console, and from the system. They end a run within the time that is promised
//! for signals on Linux.
#![allow(unsafe_code, reason = "calls of the system's")]

use std::ffi::c_void;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::process::Command;
use std::ptr::null;
use std::time::Instant;

use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CreateRemoteThread, LPTHREAD_START_ROUTINE, OpenProcess, PROCESS_ALL_ACCESS,
};

use super::support::*;

/// What the system tells programs, and how a run then ends.
const EVENTS: [(u32, i32, &str); 5] = [
    (CTRL_C_EVENT, 130, "ended by signal 2"),
    (CTRL_BREAK_EVENT, 131, "ended by signal 3"),
    (CTRL_CLOSE_EVENT, 129, "ended by signal 1"),
    (CTRL_LOGOFF_EVENT, 143, "ended by signal 15"),
    (CTRL_SHUTDOWN_EVENT, 143, "ended by signal 15"),
];

unsafe extern "system" {
    fn GetModuleHandleA(name: *const u8) -> HMODULE;
    fn GetProcAddress(module: HMODULE, name: *const u8) -> *const c_void;
}

/// Tells a program of an event as the system does: a thread in the program calls its handlers. wine's
/// consoles know no other event than Ctrl-C.
fn tell(running: &Running, event: u32) {
    // SAFETY: both names end with a zero. The routine is at the same address in each process, takes a number,
    // and returns one. The handle is this test's alone.
    unsafe {
        let routine = GetProcAddress(
            GetModuleHandleA(c"kernelbase".as_ptr().cast()),
            c"CtrlRoutine".as_ptr().cast(),
        );
        assert!(!routine.is_null(), "no CtrlRoutine");
        let routine = std::mem::transmute::<*const c_void, LPTHREAD_START_ROUTINE>(routine);
        let process = OpenProcess(PROCESS_ALL_ACCESS, 0, running.pid());
        assert!(!process.is_null(), "{}", std::io::Error::last_os_error());
        let process = OwnedHandle::from_raw_handle(process);
        let number = std::ptr::without_provenance(event as usize);
        let thread = CreateRemoteThread(
            process.as_raw_handle(),
            null(),
            0,
            routine,
            number,
            0,
            std::ptr::null_mut(),
        );
        assert!(!thread.is_null(), "{}", std::io::Error::last_os_error());
        drop(OwnedHandle::from_raw_handle(thread));
    }
}

#[track_caller]
fn ends_soon(running: Running, began: Instant, status: i32, line: &str) {
    running.end().expect_line(status, &[line]);
    assert!(began.elapsed() < SOON, "{line}: {:?}", began.elapsed());
}

#[test]
fn each_request_ends_a_guest_that_waits() {
    let _dog = watchdog();
    for (event, status, line) in EVENTS {
        let name = name();
        let running = run("@cat", ["--fifo", &format!("in={},r", path(&name))]).start();
        // Once a client can come, requests are taken.
        let _client = writer_of(&name);
        let began = Instant::now();
        tell(&running, event);
        ends_soon(running, began, status, line);
    }
}

#[test]
fn each_request_ends_a_guest_that_computes() {
    let _dog = watchdog();
    for (at, (event, status, line)) in EVENTS.into_iter().enumerate() {
        let (probe, name) = (PROBES[at % PROBES.len()], name());
        let running = run(probe, ["--fifo", &format!("x={},r", path(&name)), "--", "spin"]).start();
        let _client = writer_of(&name);
        let began = Instant::now();
        tell(&running, event);
        ends_soon(running, began, status, line);
    }
}

/// Returns the command that runs `command` at a console of its own, and types Ctrl-C there at the end of its own
/// input: see `peer.rs`.
fn at_a_console(command: &Command) -> Command {
    let mut typed = Command::new(std::env::current_exe().unwrap());
    typed.args(["peer", "type-ctrl-c"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        typed.env(key, value.unwrap_or_default());
    }
    typed.creation_flags(CREATE_NO_WINDOW);
    typed
}

#[test]
fn ctrl_c_at_a_console_ends_the_run() {
    let _dog = watchdog();
    let name = name();
    let command = run("@cat", ["--fifo", &format!("in={},r", path(&name))]);
    let (running, typing) = Running::fed(&mut at_a_console(&command));
    let _client = writer_of(&name);
    let began = Instant::now();
    drop(typing);
    ends_soon(running, began, 130, "ended by signal 2");
}

/// A native command gets Ctrl-C from the console, as the host does, and both end.
#[test]
fn ctrl_c_at_a_console_ends_native_commands() {
    let _dog = watchdog();
    let name = name();
    let server = Server::new(&name);
    let command = [vec!["exec".into()], peer(&["stay", &name])].concat();
    // The guest waits for what never comes. wine ends commands with 0, which alone would end the run.
    let fifo = format!("x={},r", path(&super::support::name()));
    let probe = guest("probe2").display().to_string();
    let waiting = [probe.as_str(), "drain", "x"].map(String::from).to_vec();
    let command = pipeline(&["--fifo", &fifo], &[command, waiting]);
    let (running, typing) = Running::fed(&mut at_a_console(&command));
    let server = server.wait_for_peer();
    let began = Instant::now();
    drop(typing);
    server.wait_for_its_end();
    ends_soon(running, began, 130, "ended by signal 2");
}
