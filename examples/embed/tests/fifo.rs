//! The host in a few lines, with a real FIFO and a guest of WASI 0.2.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Ends the test's process if a test hangs.
fn watchdog() -> mpsc::Sender<()> {
    let (alive, dropped) = mpsc::channel();
    thread::spawn(move || {
        if dropped.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("watchdog: a test hangs");
            std::process::abort();
        }
    });
    alive
}

#[test]
fn a_guest_reads_the_fifo() {
    let _dog = watchdog();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/guests/lines.wasm");
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut host = Command::new(env!("CARGO_BIN_EXE_embed"));
    let host = host.arg(guest).arg(&fifo).stdin(Stdio::null()).stdout(Stdio::piped());
    let host = host.spawn().unwrap();
    // Waits until the host has opened the FIFO.
    fs::write(&fifo, "one\ntwo\n").unwrap();
    let ended = host.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "     1\tone\n     2\ttwo\n");
    assert!(fifo.exists(), "it was there before");
}
