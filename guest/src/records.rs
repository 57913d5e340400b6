//! Filters as one function over records, and what they are made of.
//!
//! ```no_run
//! use pipehost_guest::records::{Lines, filter};
//!
//! fn main() -> std::io::Result<()> {
//!     filter(Lines, |line, out| match line.starts_with(b"#") {
//!         true => Ok(()), // is left out
//!         false => out.put(&line.to_ascii_uppercase()),
//!     })
//! }
//! ```
//!
//! What is a record is up to the [`Framing`]: [`Lines`], [`Nul`], [`LengthPrefixed`], [`Json`],
//! [`ContentLength`], or [`Bytes`], which takes them as they come. A filter that decides itself how
//! far it understands its input is [`Filter::pieces`].
//!
//! A filter
//! - reads what [`input`] opens and writes what [`output`] opens, unless it is told otherwise;
//! - holds one record, of at most 1 MiB ([`Filter::bound`]): one that is longer ends it with an error
//!   that says which it is, after the answers to those before;
//! - writes in large pieces, and at once where the other side may be waiting: whenever no whole record
//!   is left of what was read;
//! - ends with success at the end of the input, when its function calls [`RecordWriter::stop`], and
//!   when the reader of its output has gone (EPIPE), as `grep` in `grep x | head -1`;
//! - ends with any other error that reading, writing or its function meets. A `main` that returns it
//!   prints it and ends with status 1.
//!
//! Nothing here needs a host: with [`Filter::between`], tests run the function on bytes.

mod content_length;
mod error;
mod framing;
mod json;
mod reader;
mod writer;

use std::io::{self, Read, Write};

pub use content_length::ContentLength;
pub use error::{Malformed, RecordError};
pub use framing::{Bytes, Framing, LengthPrefixed, Lines, Nul, Scan};
pub use json::Json;
pub use reader::RecordReader;
pub use writer::RecordWriter;

use crate::{Input, Output, input, output};

/// How many bytes of content a record may have if nobody says: a peer that never ends one must not
/// fill the memory.
const BOUND: usize = 1 << 20;

/// Calls `function` for each record of [`input`], with what writes to [`output`].
///
/// The function may write none, one or many records for each. See [this module](self) for what else
/// the filter does.
///
/// ```no_run
/// use pipehost_guest::records::{Lines, filter};
///
/// fn main() -> std::io::Result<()> {
///     let mut number = 0;
///     filter(Lines, |line, out| {
///         number += 1;
///         out.put(&[format!("{number}: ").as_bytes(), line].concat())
///     })
/// }
/// ```
///
/// # Errors
/// Those of [`input`] and [`output`], of reading and writing, of `function`, and a [`RecordError`].
pub fn filter<F: Framing + Clone>(
    framing: F,
    function: impl FnMut(&[u8], &mut RecordWriter<Output, F>) -> io::Result<()>,
) -> io::Result<()> {
    Filter::open()?.records(framing, function)
}

/// A filter whose ends or whose bound are to be chosen.
///
/// ```
/// use pipehost_guest::records::{Filter, Lines};
///
/// let mut out = Vec::new();
/// Filter::between(&b"b\na\n"[..], &mut out).bound(80).records(Lines, |line, out| {
///     out.put(line)?;
///     out.put(line)
/// })?;
/// assert_eq!(out, b"b\nb\na\na\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it runs with `records`, `pieces` or `json`"]
pub struct Filter<R, W> {
    input: R,
    output: W,
    bound: usize,
}

impl Filter<Input, Output> {
    /// Makes a filter from [`input`] to [`output`].
    ///
    /// # Errors
    /// Those of [`input`] and [`output`].
    pub fn open() -> io::Result<Self> {
        Ok(Self::between(input()?, output()?))
    }
}

impl<R: Read, W: Write> Filter<R, W> {
    /// Makes a filter from `input` to `output`.
    pub fn between(input: R, output: W) -> Self {
        Self { input, output, bound: BOUND }
    }

    /// Sets how many bytes of content a record may have, 1 MiB if this is not called. The filter
    /// holds at most some twice as many.
    pub fn bound(mut self, bytes: usize) -> Self {
        self.bound = bytes;
        self
    }

    /// Calls `function` for each record.
    ///
    /// # Errors
    /// Those of [`filter`].
    pub fn records<F: Framing + Clone>(
        self,
        framing: F,
        mut function: impl FnMut(&[u8], &mut RecordWriter<W, F>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut reader = RecordReader::new(self.input, framing.clone()).bound(self.bound);
        let mut out = RecordWriter::new(self.output, framing);
        let run =
            each(&mut reader, &mut out, |reader, record, out| function(reader.bytes(record), out));
        finish(run, &mut out)
    }

    /// Calls `function` for each JSON value, as what it is in Rust: any type that serde can read,
    /// [`serde_json::Value`] if need be. [`RecordWriter::put_json`] writes one.
    ///
    /// ```
    /// use pipehost_guest::records::Filter;
    /// use pipehost_guest::serde_json::Value;
    ///
    /// let mut out = Vec::new();
    /// Filter::between(&br#"{"n": 1, "secret": 2} {"n": 3}"#[..], &mut out).json(
    ///     |mut value: Value, out| {
    ///         value["secret"] = Value::Null;
    ///         out.put_json(&value)
    ///     },
    /// )?;
    /// assert_eq!(out, b"{\"n\":1,\"secret\":null}\n{\"n\":3,\"secret\":null}\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`filter`]; a [`RecordError`] for what is no JSON, or is not of the type.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(
        self,
        mut function: impl FnMut(T, &mut RecordWriter<W, Json>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut reader = RecordReader::new(self.input, Json::default()).bound(self.bound);
        let mut out = RecordWriter::new(self.output, Json::default());
        let run = each(&mut reader, &mut out, |reader, record, out| {
            match serde_json::from_slice(reader.bytes(record.clone())) {
                Ok(value) => function(value, out),
                Err(error) => {
                    let why = Malformed::Other(format!("is not what it should be: {error}"));
                    Err(reader.error_of(&record, why))
                }
            }
        });
        finish(run, &mut out)
    }

    /// Calls `function` with all bytes that it has not taken yet, and whether they are the last. It
    /// returns how many it takes; the others come again, with more.
    ///
    /// For a filter whose records no framing finds. What it does not take is bounded as a record is.
    /// It is called once more at the end of the input, perhaps with no bytes, and has to take all of them
    /// then.
    ///
    /// ```
    /// use pipehost_guest::records::Filter;
    ///
    /// // Makes pairs of bytes, as far as there are two.
    /// let mut out = Vec::new();
    /// Filter::between(&b"abcde"[..], &mut out).pieces(|bytes, is_last, out| {
    ///     for pair in bytes.chunks_exact(2) {
    ///         out.put(&[pair, b" "].concat())?;
    ///     }
    ///     Ok(if is_last { bytes.len() } else { bytes.len() / 2 * 2 })
    /// })?;
    /// assert_eq!(out, b"ab cd ");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`filter`]; [`Malformed::CutOff`] for what the function leaves at the end, unless it has
    /// called [`RecordWriter::stop`].
    ///
    /// # Panics
    /// Panics if the function takes more than there is.
    pub fn pieces(
        self,
        mut function: impl FnMut(&[u8], bool, &mut RecordWriter<W, Bytes>) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut out = RecordWriter::new(self.output, Bytes);
        let run = pieces(self.input, self.bound, &mut out, &mut function);
        finish(run, &mut out)
    }
}

/// Calls `function` for the place of each record.
fn each<R: Read, W: Write, F: Framing>(
    reader: &mut RecordReader<R, F>,
    out: &mut RecordWriter<W, F>,
    mut function: impl FnMut(
        &RecordReader<R, F>,
        std::ops::Range<usize>,
        &mut RecordWriter<W, F>,
    ) -> io::Result<()>,
) -> io::Result<()> {
    while !out.is_stopped() && !out.is_gone() {
        let record = match reader.buffered()? {
            Some(record) => record,
            None => {
                // Whoever waits for the answers before sending more gets them.
                out.flush()?;
                if reader.fill()? {
                    continue;
                }
                let Some(record) = reader.last()? else { break };
                if !reader.is_terminated() {
                    out.open();
                }
                record
            }
        };
        function(reader, record, out)?;
    }
    Ok(())
}

fn pieces<W: Write>(
    mut input: impl Read,
    bound: usize,
    out: &mut RecordWriter<W, Bytes>,
    function: &mut impl FnMut(&[u8], bool, &mut RecordWriter<W, Bytes>) -> io::Result<usize>,
) -> io::Result<()> {
    /// How many bytes are read at a time.
    const PIECE: usize = 64 * 1024;
    let mut buf = vec![0; PIECE];
    let (mut held, mut offset) = (0, 0u64);
    while !out.is_stopped() && !out.is_gone() {
        out.flush()?;
        if buf.len() - held < PIECE / 2 {
            buf.resize(buf.len() * 2, 0);
        }
        let read = reader::read_some(&mut input, &mut buf[held..])?;
        let filled = held + read;
        let taken = function(&buf[..filled], read == 0, out)?;
        if read == 0 {
            if taken < filled && !out.is_stopped() {
                return Err(RecordError::new(1, offset + taken as u64, Malformed::CutOff).into());
            }
            break;
        }
        buf.copy_within(taken..filled, 0);
        held = filled - taken;
        offset += taken as u64;
        if held > bound {
            return Err(RecordError::new(1, offset, Malformed::TooLong { bound }).into());
        }
    }
    Ok(())
}

/// Writes the answers that there are, and says how the filter ended.
fn finish<W: Write, F: Framing>(
    run: io::Result<()>,
    out: &mut RecordWriter<W, F>,
) -> io::Result<()> {
    let written = match out.is_gone() {
        true => Ok(()),
        false => out.flush().or_else(|error| if out.is_gone() { Ok(()) } else { Err(error) }),
    };
    match run {
        Err(error) if out.is_gone() && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Ok(()) if out.is_gone() => Ok(()),
        run => run.and(written),
    }
}

#[cfg(test)]
mod tests;
