//! The pipes, or the standard streams, that a filter reads and writes.

use std::io::{self, Read, Stdout, Write};

use crate::bindings::p2::poll::Pollable;
use crate::{Reader, Readiness, TryRead, Writer, granted, open_reader, open_writer};

/// The pipe that a filter reads, or stdin.
///
/// Returned by [`input`], which has an example. Unlike [`std::io::Stdin`], it holds no bytes back: what
/// it has not given out can still be read by others, and by it only what those have left.
#[derive(Debug)]
pub struct Input {
    reader: Reader,
}

impl Input {
    /// Returns standard input, whatever pipes are granted.
    pub fn stdin() -> Self {
        Self { reader: Reader::stdin() }
    }
}

/// The pipe that a filter writes, or stdout.
///
/// Returned by [`output`]: see the example of [`input`].
#[derive(Debug)]
pub struct Output {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Pipe(Writer),
    Stdout(Stdout),
}

impl Output {
    /// Returns standard output, whatever pipes are granted.
    pub fn stdout() -> Self {
        #[cfg(not(target_family = "wasm"))]
        if let Some(end) = crate::mock::interfaces::stdout::of_test() {
            return Self { kind: Kind::Pipe(Writer::new(end)) };
        }
        Self { kind: Kind::Stdout(io::stdout()) }
    }
}

/// Opens what a filter reads: the granted pipe named `in`, or the only granted pipe that may be
/// read, or else stdin.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let (mut input, mut output) = (pipehost_guest::input()?, pipehost_guest::output()?);
/// std::io::copy(&mut input, &mut output)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`open_reader`].
pub fn input() -> io::Result<Input> {
    match input_name() {
        Some(name) => open_reader(&name).map(|reader| Input { reader }),
        None => Ok(Input::stdin()),
    }
}

/// Opens what a filter writes: the granted pipe named `out`, or else stdout.
///
/// See the example of [`input`].
///
/// # Errors
/// Those of [`open_writer`].
pub fn output() -> io::Result<Output> {
    match output_name() {
        Some(name) => open_writer(name).map(|writer| Output { kind: Kind::Pipe(writer) }),
        None => Ok(Output::stdout()),
    }
}

/// Returns the name of the pipe that [`input`] opens.
pub(crate) fn input_name() -> Option<String> {
    let mut readable: Vec<_> =
        granted().into_iter().filter(|pipe| pipe.directions.read).map(|pipe| pipe.name).collect();
    match readable.iter().position(|name| name == "in") {
        Some(index) => Some(readable.swap_remove(index)),
        None if readable.len() == 1 => readable.pop(),
        None => None,
    }
}

/// Returns the name of the pipe that [`output`] opens.
pub(crate) fn output_name() -> Option<&'static str> {
    let writable = |pipe: crate::Granted| pipe.name == "out" && pipe.directions.write;
    granted().into_iter().any(writable).then_some("out")
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

impl TryRead for Input {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.try_read(buf)
    }
}

impl Readiness for Input {
    fn subscribe(&mut self) -> Pollable {
        self.reader.subscribe()
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Pipe(writer) => writer.write(buf),
            Kind::Stdout(stdout) => stdout.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Pipe(writer) => writer.flush(),
            Kind::Stdout(stdout) => stdout.flush(),
        }
    }
}
