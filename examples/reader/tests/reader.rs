//! A guest as a `Read`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[path = "../../../tests/support/running.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "these tests use a part of it")]
mod running;

use pipehost::{Engine, Guest, GuestLimits};
use reader::GuestReader;
use running::watchdog_after;

/// How long anything here may take.
const LONG: Duration = Duration::from_secs(60);

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../host/guests/{name}.wasm"))
}

/// Starts a module of WASI 0.1 that does `body`, on an empty file.
fn start(body: &str, timeout: Option<Duration>) -> GuestReader {
    let engine = Engine::new().unwrap();
    let text = format!("(module (func (export \"_start\") {body}))");
    let guest = Guest::from_bytes(&engine, text.as_bytes()).unwrap();
    let mut limits = GuestLimits::default();
    limits.timeout = timeout;
    GuestReader::start(&engine, &guest, File::open("/dev/null").unwrap(), limits).unwrap()
}

#[test]
fn a_file_is_read_as_the_guest_makes_it() {
    let _dog = watchdog_after(2 * LONG);
    let engine = Engine::new().unwrap();
    let guest = Guest::from_file(&engine, &path("upper")).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    // More than a pipe holds.
    let text = "some text\n".repeat(300_000);
    file.write_all(text.as_bytes()).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let limits = GuestLimits::default();
    let mut reader = GuestReader::start(&engine, &guest, file, limits).unwrap();
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    assert!(all == text.to_uppercase(), "{} of {} bytes", all.len(), text.len());
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_failure_is_an_error_of_the_last_read() {
    let _dog = watchdog_after(2 * LONG);
    let error = start("unreachable", None).read(&mut [0]).unwrap_err();
    assert!(error.to_string().starts_with("trapped: "), "{error}");
    let timeout = Some(Duration::from_millis(100));
    let error = start("(loop (br 0))", timeout).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[test]
fn dropping_it_ends_the_guest() {
    let _dog = watchdog_after(2 * LONG);
    let engine = Engine::new().unwrap();
    let cat = Guest::from_file(&engine, &path("cat")).unwrap();
    // The writer says nothing, so this guest would wait for good.
    let (silent, _writer) = io::pipe().unwrap();
    let waiting = GuestReader::start(&engine, &cat, silent, GuestLimits::default()).unwrap();
    // This one would compute for good, and that one write.
    let endless = File::open("/dev/zero").unwrap();
    let writing = GuestReader::start(&engine, &cat, endless, GuestLimits::default()).unwrap();
    for (mut guest, bytes) in [(waiting, 0), (start("(loop (br 0))", None), 0), (writing, 100_000)]
    {
        guest.read_exact(&mut vec![0; bytes]).unwrap();
        // Returns when the guest's thread has ended, which no limit would end.
        drop(guest);
    }
}

#[test]
fn the_program_counts() {
    let _dog = watchdog_after(2 * LONG);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    fs::write(&file, "one\ntwo\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reader"));
    let ended = command.arg(path("upper")).arg(file).output().unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "2 lines, 8 bytes\n");
    assert!(ended.status.success());
}
