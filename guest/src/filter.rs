//! The pipes, or the standard streams, that a filter reads and writes.

use std::io::{self, Read, Stdin, Stdout, Write};

use crate::{Reader, Writer, granted, open_reader, open_writer};

/// The pipe that a filter reads, or stdin.
///
/// Returned by [`input`], which has an example.
#[derive(Debug)]
pub enum Input {
    /// A granted pipe.
    Pipe(Reader),
    /// Standard input.
    Stdin(Stdin),
}

/// The pipe that a filter writes, or stdout.
///
/// Returned by [`output`]: see the example of [`input`].
#[derive(Debug)]
pub enum Output {
    /// A granted pipe.
    Pipe(Writer),
    /// Standard output.
    Stdout(Stdout),
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
        Some(name) => open_reader(&name).map(Input::Pipe),
        None => Ok(Input::Stdin(io::stdin())),
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
        Some(name) => open_writer(name).map(Output::Pipe),
        None => Ok(Output::Stdout(io::stdout())),
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
        match self {
            Self::Pipe(reader) => reader.read(buf),
            Self::Stdin(stdin) => stdin.read(buf),
        }
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Pipe(writer) => writer.write(buf),
            Self::Stdout(stdout) => stdout.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Pipe(writer) => writer.flush(),
            Self::Stdout(stdout) => stdout.flush(),
        }
    }
}
