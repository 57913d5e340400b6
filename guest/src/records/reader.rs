//! Reads records.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use super::{BOUND, Framing, Malformed, RecordError, Scan};
use crate::TryRead;

/// How many bytes are read at a time.
const BUFFER: usize = 64 * 1024;

/// Reads records from `R`, one after the other. Holds one record, and what was read with it.
///
/// ```
/// use pipehost_guest::records::{Lines, RecordReader};
///
/// let mut lines = RecordReader::new(&b"one\ntwo"[..], Lines);
/// while let Some(line) = lines.next()? {
///     println!("{} bytes", line.len());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordReader<R, F> {
    input: R,
    framing: F,
    bound: usize,
    buf: Vec<u8>,
    /// Where the record begins in `buf` that is being looked for.
    start: usize,
    /// How far the framing has looked.
    scanned: usize,
    /// How far `buf` is filled.
    filled: usize,
    /// How many bytes of the input are before `start`.
    offset: u64,
    /// How many records were found.
    number: u64,
    state: State,
    is_terminated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Records,
    /// The rest of a record that is too long is dropped.
    Skipping,
    /// The input has ended, or what follows is not known.
    Over,
}

impl<R, F: Framing> RecordReader<R, F> {
    /// Makes a reader of the records in `input`, of at most 1 MiB each.
    pub fn new(input: R, framing: F) -> Self {
        Self {
            input,
            framing,
            bound: BOUND,
            buf: Vec::new(),
            start: 0,
            scanned: 0,
            filled: 0,
            offset: 0,
            number: 0,
            state: State::Records,
            is_terminated: true,
        }
    }

    /// Sets how many bytes of content a record may have. The reader holds at most some twice as
    /// many, and 128 KiB.
    #[must_use]
    pub fn bound(mut self, bytes: usize) -> Self {
        self.bound = bytes;
        self
    }

    /// Returns the framing.
    pub fn framing(&mut self) -> &mut F {
        &mut self.framing
    }

    /// Returns the input. Bytes that were read from it and not given out are in this reader.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Returns the bytes of a record that was found.
    pub(crate) fn bytes(&self, record: Range<usize>) -> &[u8] {
        &self.buf[record]
    }

    /// Whether the record that was found last had its end: not if the input ended before.
    pub(crate) fn is_terminated(&self) -> bool {
        self.is_terminated
    }

    /// Returns how many bytes are held.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buf.len()
    }

    /// Returns the next record if all of it was read already.
    pub(crate) fn buffered(&mut self) -> io::Result<Option<Range<usize>>> {
        while self.state == State::Skipping {
            if !self.pass()? {
                return Ok(None);
            }
        }
        while self.state == State::Records && self.scanned < self.filled {
            match self.scan()? {
                Scan::Gap(len) => self.advance(self.scanned + len),
                Scan::More { head, needs } => {
                    self.scanned = self.filled;
                    let content = (self.filled - self.start).saturating_sub(head);
                    if content.saturating_add(needs) > self.bound {
                        let error = self.error(Malformed::TooLong { bound: self.bound });
                        self.state = State::Skipping;
                        self.number += 1;
                        self.advance(self.filled);
                        return Err(error);
                    }
                }
                Scan::End { len, head, tail } => {
                    let end = self.scanned + len;
                    let record = self.start + head..end - tail;
                    if record.len() > self.bound {
                        let error = self.error(Malformed::TooLong { bound: self.bound });
                        self.number += 1;
                        self.advance(end);
                        return Err(error);
                    }
                    self.number += 1;
                    self.advance(end);
                    return Ok(Some(record));
                }
            }
        }
        Ok(None)
    }

    /// Drops bytes of a record that is too long. Whether it has ended.
    fn pass(&mut self) -> io::Result<bool> {
        while self.scanned < self.filled {
            match self.scan()? {
                Scan::End { len, .. } => {
                    self.advance(self.scanned + len);
                    self.state = State::Records;
                    return Ok(true);
                }
                Scan::Gap(_) | Scan::More { .. } => self.advance(self.filled),
            }
        }
        Ok(false)
    }

    fn scan(&mut self) -> io::Result<Scan> {
        self.framing.scan(&self.buf[self.scanned..self.filled]).map_err(|why| {
            self.state = State::Over;
            self.error(why)
        })
    }

    fn advance(&mut self, to: usize) {
        self.offset += (to - self.start) as u64;
        self.start = to;
        self.scanned = to;
    }

    fn make_room(&mut self) {
        if self.start == self.filled {
            (self.start, self.scanned, self.filled) = (0, 0, 0);
        }
        if self.filled < self.buf.len() {
            return;
        }
        let held = self.filled - self.start;
        // Moving what is held costs as much as reading it, so it is to gain as much.
        if held >= self.buf.len() / 2 {
            let most = held.saturating_add(self.bound.max(BUFFER));
            let len = self.buf.len();
            self.buf.resize(BUFFER.max(len.saturating_mul(2)).min(most).max(len), 0);
        }
        self.buf.copy_within(self.start..self.filled, 0);
        self.scanned -= self.start;
        (self.start, self.filled) = (0, held);
    }

    /// Takes bytes that were read elsewhere.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.make_room();
            let room = &mut self.buf[self.filled..];
            let now = room.len().min(rest.len());
            room[..now].copy_from_slice(&rest[..now]);
            self.filled += now;
            rest = &rest[now..];
        }
    }

    /// Returns the record that the end of the input ends.
    pub(crate) fn last(&mut self) -> io::Result<Option<Range<usize>>> {
        let state = std::mem::replace(&mut self.state, State::Over);
        if state != State::Records || self.start == self.filled {
            return Ok(None);
        }
        self.framing.end().map_err(|why| self.error(why))?;
        let record = self.start..self.filled;
        self.number += 1;
        self.advance(self.filled);
        self.is_terminated = false;
        Ok(Some(record))
    }

    fn error(&self, why: Malformed) -> io::Error {
        RecordError::new(self.number + 1, self.offset, why).into()
    }

    /// Returns the error of the record that was found last.
    #[cfg(feature = "json")]
    pub(super) fn error_of(&self, record: &Range<usize>, why: Malformed) -> io::Error {
        let offset = self.offset - (self.start - record.start) as u64;
        RecordError::new(self.number, offset, why).into()
    }
}

impl<R: Read, F: Framing> RecordReader<R, F> {
    /// Waits for the next record, and returns its content; `None` at the end of the input.
    ///
    /// # Errors
    /// A [`RecordError`] if there is no record: after [`Malformed::TooLong`], the next call goes on
    /// with the record that follows; after others, it returns `None`. Else those of [`Read::read`];
    /// the next call tries that again.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend what it gives")]
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let record = self.find()?;
        Ok(record.map(|record| &self.buf[record]))
    }

    /// Returns the next record as [`RecordReader::next`] does, if all of it is there.
    ///
    /// ```
    /// use pipehost_guest::mock::Source;
    /// use pipehost_guest::records::{Lines, RecordReader};
    /// use std::io::ErrorKind;
    ///
    /// let source = Source::new().send("half a ").pause().send("line\n");
    /// let mut lines = RecordReader::new(source, Lines);
    /// assert_eq!(lines.try_next().unwrap_err().kind(), ErrorKind::WouldBlock);
    /// assert_eq!(lines.try_next()?, Some(&b"half a line"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if it is not; else those of [`RecordReader::next`].
    pub fn try_next(&mut self) -> io::Result<Option<&[u8]>>
    where
        R: TryRead,
    {
        let record = loop {
            if let Some(record) = self.buffered()? {
                break Some(record);
            }
            if !self.fill_by(TryRead::try_read)? {
                break self.last()?;
            }
        };
        Ok(record.map(|record| &self.buf[record]))
    }

    /// Drops the rest of the record for which [`RecordReader::next`] returned
    /// [`Malformed::TooLong`], and waits until it has ended. Does nothing otherwise.
    ///
    /// # Errors
    /// Those of [`RecordReader::next`].
    pub fn skip(&mut self) -> io::Result<()> {
        self.skip_by(Self::fill)
    }

    /// Drops as [`RecordReader::skip`] does what has come. `WouldBlock` if the end of the record has not.
    #[cfg(feature = "mcp")]
    pub(crate) fn try_skip(&mut self) -> io::Result<()>
    where
        R: TryRead,
    {
        self.skip_by(|reader| reader.fill_by(TryRead::try_read))
    }

    fn skip_by(&mut self, fill: impl Fn(&mut Self) -> io::Result<bool>) -> io::Result<()> {
        while self.state == State::Skipping {
            if !self.pass()? && !fill(self)? {
                self.state = State::Over;
            }
        }
        Ok(())
    }

    fn find(&mut self) -> io::Result<Option<Range<usize>>> {
        loop {
            if let Some(record) = self.buffered()? {
                return Ok(Some(record));
            }
            if !self.fill()? {
                return self.last();
            }
        }
    }

    /// Reads once. Whether there was anything.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        self.fill_by(read_some)
    }

    fn fill_by(
        &mut self,
        read: impl FnOnce(&mut R, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        if self.state == State::Over {
            return Ok(false);
        }
        self.make_room();
        let read = read(&mut self.input, &mut self.buf[self.filled..])?;
        self.filled += read;
        Ok(read > 0)
    }
}

/// Reads once, and again if that was interrupted.
pub(super) fn read_some(input: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buf) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
