//! Writes records.

use std::io::{self, ErrorKind, Write};

use super::{Framing, RecordError};

/// How many bytes are gathered before they are written.
const BUFFER: usize = 64 * 1024;

/// Writes records to `W`. Gathers bytes until [`Write::flush`], and writes them when it is dropped.
///
/// It is [`Write`], too, for what is no record, or one of another framing.
///
/// ```
/// use pipehost_guest::records::{Lines, RecordWriter};
/// use std::io::Write;
///
/// let mut out = Vec::new();
/// let mut lines = RecordWriter::new(&mut out, Lines);
/// lines.put(b"a line")?;
/// writeln!(lines, "{}", 42)?;
/// drop(lines);
/// assert_eq!(out, b"a line\n42\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordWriter<W: Write, F> {
    output: W,
    framing: F,
    buf: Vec<u8>,
    number: u64,
    /// Whether `output` has been written since it was flushed.
    is_dirty: bool,
    is_gone: bool,
    is_stopped: bool,
    /// The record that is being answered is the last one, and does not have its end.
    is_open: bool,
    /// The end that was left out of the record before.
    owed: Vec<u8>,
}

impl<W: Write, F: Framing> RecordWriter<W, F> {
    /// Makes a writer of records.
    pub fn new(output: W, framing: F) -> Self {
        Self {
            output,
            framing,
            buf: Vec::new(),
            number: 0,
            is_dirty: false,
            is_gone: false,
            is_stopped: false,
            is_open: false,
            owed: Vec::new(),
        }
    }

    /// Writes one record.
    ///
    /// # Errors
    /// A [`RecordError`] if it cannot be one; else those of [`Write::write`].
    pub fn put(&mut self, record: &[u8]) -> io::Result<()> {
        self.buf.append(&mut self.owed);
        self.number += 1;
        let put = self.framing.put(record, &mut self.buf);
        put.map_err(|why| RecordError::new(self.number, 0, why))?;
        if self.is_open {
            let tail = self.buf.len().saturating_sub(self.framing.optional_tail());
            self.owed = self.buf.split_off(tail);
        }
        self.write_full()
    }

    /// Writes a value as JSON, as one record.
    ///
    /// # Errors
    /// Those of [`RecordWriter::put`], and of a value that JSON cannot express.
    #[cfg(feature = "json")]
    pub fn put_json<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        self.put(&serde_json::to_vec(value)?)
    }

    /// Tells the filter that no more input is needed: it ends with success after this record.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Whether a write has met a reader that was gone.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// Returns what it writes to.
    pub(crate) fn output(&mut self) -> &mut W {
        &mut self.output
    }

    fn write_full(&mut self) -> io::Result<()> {
        if self.is_gone {
            self.buf.clear();
            return Err(ErrorKind::BrokenPipe.into());
        }
        match self.buf.len() {
            0..BUFFER => Ok(()),
            _ => self.write_gathered(),
        }
    }
}

impl<W: Write, F> RecordWriter<W, F> {
    fn write_gathered(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        self.is_dirty = true;
        let written = self.output.write_all(&self.buf);
        self.buf.clear();
        self.noting_whether_gone(written)
    }

    fn noting_whether_gone(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.is_gone |= matches!(&result, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        result
    }
}

impl<W: Write, F: Framing> Write for RecordWriter<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buf.append(&mut self.owed);
        self.buf.extend_from_slice(bytes);
        self.write_full()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.write_gathered()?;
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        let flushed = self.output.flush();
        self.noting_whether_gone(flushed)
    }
}

impl<W: Write, F> Drop for RecordWriter<W, F> {
    fn drop(&mut self) {
        // As with std's BufWriter, whoever wants to know of an error flushes.
        if !self.is_gone && !std::thread::panicking() {
            let written = self.write_gathered();
            if self.is_dirty && written.is_ok() {
                let _ = self.output.flush();
            }
        }
    }
}
