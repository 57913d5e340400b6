//! Where a record begins and ends: the contract, and the framings that need no parser.

use super::Malformed;

/// How a stream of bytes is cut into records, and how a record is written.
///
/// A value of it holds what it has seen of the record that it is in, so each reader has its own.
///
/// ```
/// use pipehost_guest::records::{Framing, Malformed, RecordReader, Scan};
///
/// /// Records of three bytes.
/// #[derive(Clone, Default)]
/// struct Triples(usize);
///
/// impl Framing for Triples {
///     fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
///         let needs = 3 - self.0;
///         if bytes.len() < needs {
///             self.0 += bytes.len();
///             return Ok(Scan::More { head: 0, needs: 3 - self.0 });
///         }
///         self.0 = 0;
///         Ok(Scan::End { len: needs, head: 0, tail: 0 })
///     }
///
///     fn end(&mut self) -> Result<(), Malformed> {
///         Err(Malformed::CutOff)
///     }
///
///     fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
///         out.extend_from_slice(record);
///         Ok(())
///     }
/// }
///
/// let mut triples = RecordReader::new(&b"abcdef"[..], Triples::default());
/// assert_eq!(triples.next()?, Some(&b"abc"[..]));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Framing {
    /// Looks at the bytes that follow those it has been given before, at least one.
    ///
    /// # Errors
    /// What is wrong with the bytes. The reader gives up then.
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed>;

    /// Is told that the input ended inside a record. `Ok` if that ends the record, too.
    ///
    /// # Errors
    /// [`Malformed::CutOff`] if a record does not end so.
    fn end(&mut self) -> Result<(), Malformed>;

    /// Appends `record` to `out`, with what marks its beginning and its end.
    ///
    /// # Errors
    /// Why it cannot be a record of this framing.
    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed>;

    /// Returns how many bytes at the end of what [`Framing::put`] appends may be missing where the
    /// input ends: 1 for lines, the last of which need not have a newline.
    fn optional_tail(&self) -> usize {
        0
    }
}

/// What [`Framing::scan`] found; see the example there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The first so many bytes, one at least, are between two records.
    Gap(usize),
    /// All of the bytes belong to a record that goes on.
    More {
        /// How many bytes at the beginning of the record are not its content.
        head: usize,
        /// How many bytes of content are known to follow.
        needs: usize,
    },
    /// A record ends.
    End {
        /// How many of the bytes belong to it.
        len: usize,
        /// How many bytes at the beginning of the record are not its content.
        head: usize,
        /// How many bytes at its end are not its content.
        tail: usize,
    },
}

/// Returns where the record ends that `delimiter` ends.
fn delimited(bytes: &[u8], delimiter: u8) -> Scan {
    match memchr::memchr(delimiter, bytes) {
        Some(at) => Scan::End { len: at + 1, head: 0, tail: 1 },
        None => Scan::More { head: 0, needs: 0 },
    }
}

fn put_delimited(record: &[u8], delimiter: u8, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if memchr::memchr(delimiter, record).is_some() {
        let name = if delimiter == 0 { "zero byte" } else { "newline" };
        return Err(Malformed::Other(format!("has a {name} in it, which would end it")));
    }
    out.reserve(record.len() + 1);
    out.extend_from_slice(record);
    out.push(delimiter);
    Ok(())
}

/// Lines: a record ends at a newline, which is not a part of it. A carriage return is.
///
/// The last line needs no newline. A filter writes the last line as it found it: with, or without.
/// What has a newline in it is not written: it is [`Malformed::Other`].
///
/// See the example of [`filter`](super::filter()).
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

impl Framing for Lines {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        Ok(delimited(bytes, b'\n'))
    }

    fn end(&mut self) -> Result<(), Malformed> {
        Ok(())
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        put_delimited(record, b'\n', out)
    }

    fn optional_tail(&self) -> usize {
        1
    }
}

/// Records that a zero byte ends, as `find -print0` writes and `xargs -0` reads them. The last one
/// needs none. What has a zero byte in it is not written: it is [`Malformed::Other`].
///
/// ```
/// use pipehost_guest::records::{Filter, Nul};
///
/// let mut out = Vec::new();
/// Filter::between(&b"a\0b\nc\0"[..], &mut out).records(Nul, |path, out| {
///     out.put(&[b"./", path].concat())
/// })?;
/// assert_eq!(out, b"./a\0./b\nc\0");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Nul;

impl Framing for Nul {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        Ok(delimited(bytes, 0))
    }

    fn end(&mut self) -> Result<(), Malformed> {
        Ok(())
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        put_delimited(record, 0, out)
    }

    fn optional_tail(&self) -> usize {
        1
    }
}

/// No records: the bytes as they come, each piece as long as what one read gave.
///
/// ```
/// use pipehost_guest::records::{Bytes, Filter};
///
/// let mut out = Vec::new();
/// Filter::between(&b"any bytes"[..], &mut out)
///     .records(Bytes, |piece, out| out.put(&piece.to_ascii_uppercase()))?;
/// assert_eq!(out, b"ANY BYTES");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes;

impl Framing for Bytes {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        Ok(Scan::End { len: bytes.len(), head: 0, tail: 0 })
    }

    fn end(&mut self) -> Result<(), Malformed> {
        Ok(())
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        out.extend_from_slice(record);
        Ok(())
    }
}

/// Records with their length in front: four bytes, the most significant first.
///
/// ```
/// use pipehost_guest::records::{Filter, LengthPrefixed};
///
/// let mut out = Vec::new();
/// Filter::between(&b"\0\0\0\x02hi\0\0\0\0"[..], &mut out)
///     .records(LengthPrefixed::default(), |record, out| out.put(&[record, b"!"].concat()))?;
/// assert_eq!(out, b"\0\0\0\x03hi!\0\0\0\x01!");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LengthPrefixed {
    prefix: [u8; Self::PREFIX],
    /// How many bytes of the record have been seen.
    seen: usize,
}

impl LengthPrefixed {
    const PREFIX: usize = 4;
}

impl Framing for LengthPrefixed {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        let missing = &mut self.prefix[self.seen.min(Self::PREFIX)..];
        let prefix = bytes.len().min(missing.len());
        missing[..prefix].copy_from_slice(&bytes[..prefix]);
        let seen = self.seen.saturating_add(bytes.len());
        if seen < Self::PREFIX {
            self.seen = seen;
            return Ok(Scan::More { head: seen, needs: 0 });
        }
        let len = usize::try_from(u32::from_be_bytes(self.prefix)).unwrap_or(usize::MAX);
        let whole = len.saturating_add(Self::PREFIX);
        if seen < whole {
            self.seen = seen;
            return Ok(Scan::More { head: Self::PREFIX, needs: whole - seen });
        }
        let len = whole - self.seen;
        self.seen = 0;
        Ok(Scan::End { len, head: Self::PREFIX, tail: 0 })
    }

    fn end(&mut self) -> Result<(), Malformed> {
        Err(Malformed::CutOff)
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let Ok(len) = u32::try_from(record.len()) else {
            return Err(Malformed::TooLong { bound: u32::MAX as usize });
        };
        out.reserve(record.len() + Self::PREFIX);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(record);
        Ok(())
    }
}
