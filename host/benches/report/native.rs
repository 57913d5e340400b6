//! The native programs that guests are compared with: this very program, under another command.

use std::fs::File;
use std::io::{self, Read, Write, stdin, stdout};

/// The source of the guest `plain`.
#[path = "../../../tests/programs/plain/src/main.rs"]
#[allow(dead_code, reason = "`main` is called in the guest only")]
mod plain;

pub(crate) fn main(program: &str, args: &[&str]) {
    match (program, args) {
        ("upper", []) => upper(),
        ("plain", ["copy"]) => copy(),
        ("plain", args) => plain::run(args).unwrap(),
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

/// `plain copy`, read by read. On Linux, `io::copy` between two descriptors calls splice(2), which WASI does
/// not have: it would measure another program. It sees no descriptors behind `Opaque`, and does what it
/// does in a guest.
fn copy() {
    io::copy(&mut Opaque(stdin().lock()), &mut Opaque(stdout().lock())).unwrap();
}

struct Opaque<T>(T);

impl<R: Read> Read for Opaque<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<W: Write> Write for Opaque<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.0.write_all(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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
