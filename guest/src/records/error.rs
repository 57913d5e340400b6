//! What can be wrong with a record.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// Why bytes are no record. A [`Framing`](super::Framing) returns it; see the example there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The record is longer than this bound. The records that follow it can still be read.
    TooLong {
        /// How many bytes of content a record may have.
        bound: usize,
    },
    /// The input ended inside the record.
    CutOff,
    /// The bytes break the rules of the framing, for this reason. Where the next record begins is
    /// not known.
    Other(String),
}

/// The error of a record that cannot be read: which one, where it begins, and why.
///
/// It is inside the [`io::Error`] that [`RecordReader::next`](super::RecordReader::next) and
/// [`filter`](super::filter()) return.
///
/// ```
/// use pipehost_guest::records::{Lines, Malformed, RecordError, RecordReader};
///
/// let mut lines = RecordReader::new(&b"short\nfar too long\n"[..], Lines).bound(8);
/// lines.next()?;
/// let error = lines.next().unwrap_err();
/// assert_eq!(error.to_string(), "record 2, at byte 6, is longer than 8 bytes");
/// let record = RecordError::of(&error).expect("it is about a record");
/// assert_eq!(record.why(), &Malformed::TooLong { bound: 8 });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RecordError {
    number: u64,
    offset: u64,
    why: Malformed,
}

impl RecordError {
    pub(super) fn new(number: u64, offset: u64, why: Malformed) -> Self {
        Self { number, offset, why }
    }

    /// Returns the error of a record that is inside `error`, if there is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns which record it is; the first is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns how many bytes of the input are before the record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns what is wrong with it.
    pub fn why(&self) -> &Malformed {
        &self.why
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}, at byte {}, ", self.number, self.offset)?;
        match &self.why {
            Malformed::TooLong { bound } => write!(f, "is longer than {bound} bytes"),
            Malformed::CutOff => f.write_str("is cut off by the end of the input"),
            Malformed::Other(why) => f.write_str(why),
        }
    }
}

/// As a sentence: it is what a `main` that returns the error prints.
impl fmt::Debug for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for RecordError {}

impl From<RecordError> for io::Error {
    fn from(error: RecordError) -> Self {
        let kind = match error.why {
            Malformed::CutOff => ErrorKind::UnexpectedEof,
            _ => ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
