//! A native command for the tests, as wine has few: this test program, started with `peer` and words that say what to do.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_DISK, GetFileType};
use windows_sys::Win32::System::Console::{
    CTRL_C_EVENT, GenerateConsoleCtrlEvent, SetConsoleCtrlHandler,
};

use super::support::{feed, sum, writer_of};

/// Called by the C library before Rust's `main`, which would run the tests, and print about that.
#[used]
#[allow(unsafe_code, reason = "where the C library looks for functions to call")]
#[unsafe(link_section = ".CRT$XCU")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    if std::env::args().nth(1).as_deref() == Some("peer") {
        main();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    let status = match words[..] {
        ["copy"] => {
            io::copy(&mut stdin, &mut stdout).unwrap();
            stdout.flush().unwrap();
            0
        }
        ["feed", length] => {
            let fed = feed(&mut stdout, length.parse().unwrap());
            i32::from(fed.is_err())
        }
        ["sum"] => {
            let (length, hash) = sum(&mut stdin);
            eprintln!("sum {length} {hash}");
            0
        }
        ["exit", status] => status.parse().unwrap(),
        ["args", ref rest @ ..] => {
            eprintln!("args {}", rest.join("|"));
            0
        }
        ["variable", name] => {
            eprintln!("variable {}", std::env::var(name).is_ok());
            0
        }
        // Says whether the handle of this number is open here, and is a file's.
        ["handle", number] => {
            eprintln!("handle {}", is_file(number.parse().unwrap()));
            0
        }
        // Says that it is there through a named pipe, and stays as long as it is let.
        ["stay", name] => {
            let mut pipe = writer_of(name);
            pipe.write_all(b"here").unwrap();
            loop {
                std::thread::park();
            }
        }
        // Reads a line of its input, and leaves.
        ["head"] => {
            let mut byte = [0];
            while stdin.read(&mut byte).unwrap_or(0) == 1 && byte[0] != b'\n' {}
            0
        }
        // Runs another program with this one's handles.
        ["run", program, ref args @ ..] => {
            let status = Command::new(program).args(args).status().unwrap();
            status.code().unwrap_or(1)
        }
        // Runs another program and, at the end of its own input, types Ctrl-C at the console of both.
        ["type-ctrl-c", program, ref args @ ..] => {
            let mut command = Command::new(program);
            let mut child = command.args(args).stdin(Stdio::null()).spawn().unwrap();
            io::copy(&mut stdin, &mut io::sink()).unwrap();
            type_ctrl_c();
            child.wait().unwrap().code().unwrap_or(1)
        }
        _ => panic!("unknown words {words:?}"),
    };
    std::process::exit(status);
}

#[allow(unsafe_code, reason = "a call of the system's")]
fn is_file(number: usize) -> bool {
    // SAFETY: asks about a number.
    unsafe { GetFileType(std::ptr::without_provenance_mut(number)) == FILE_TYPE_DISK }
}

/// Sends Ctrl-C to all programs at this one's console but this one.
#[allow(unsafe_code, reason = "calls of the system's")]
fn type_ctrl_c() {
    // SAFETY: numbers alone. No handler stands for ignoring Ctrl-C.
    let sent = unsafe {
        SetConsoleCtrlHandler(None, 1);
        GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)
    };
    assert_ne!(sent, 0, "{}", io::Error::last_os_error());
}
