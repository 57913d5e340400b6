//! The native programs that guests are compared with: this very program, under another command.

use std::fs::File;
use std::io::{Read, Write, stdin, stdout};

pub(crate) fn main(program: &str, args: &[&str]) {
    match (program, args) {
        ("upper", []) => upper(),
        ("copy", []) => copy(),
        ("echo", [from, to]) => echo(from, to),
        _ => panic!("unknown arguments {program} {args:?}"),
    }
}

/// What examples/upper does, in a native program.
fn upper() {
    let (mut input, mut output) = (stdin(), stdout());
    let mut buf = vec![0; 64 * 1024];
    loop {
        let n = input.read(&mut buf).unwrap();
        if n == 0 {
            return output.flush().unwrap();
        }
        buf[..n].make_ascii_uppercase();
        output.write_all(&buf[..n]).unwrap();
    }
}

/// What io::copy does in a guest, where it has no copy_file_range(2) and the like to turn to.
fn copy() {
    let (mut input, mut output) = (stdin().lock(), stdout().lock());
    let mut buf = [0; 8 * 1024];
    loop {
        let n = input.read(&mut buf).unwrap();
        if n == 0 {
            return output.flush().unwrap();
        }
        output.write_all(&buf[..n]).unwrap();
    }
}

/// Sends back each byte.
fn echo(from: &str, to: &str) {
    let mut input = File::open(from).unwrap();
    let mut output = File::options().write(true).open(to).unwrap();
    let mut byte = [0];
    while input.read(&mut byte).unwrap() > 0 {
        output.write_all(&byte).unwrap();
    }
}
