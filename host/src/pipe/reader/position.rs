//! Where a reader stands among the records that it reads, so that one guest can end and the next go on between two
//! of them. Only readers of guests that may be replaced while they run have a position.

use bytes::Bytes;
use memchr::memchr;

use super::super::handover::{Moment, Phase};
use super::super::{Fault, Frame, Records};
use super::{Read, Reader, State};

/// How many bytes a guest that is to end still gets of a record, before the end of the record or without it.
const MOST_LEFT: usize = 64 * 1024;

/// Where a reader stands.
#[derive(Debug)]
pub(super) struct Position {
    /// What ends a record.
    end: u8,
    /// Whether the last byte that the guest got was not the end of a record.
    mid_record: bool,
    /// Bytes that were read beyond the end of the old guest's last record. They are the next one's.
    ahead: Bytes,
    /// The change of guests that `left` is about.
    number: u64,
    /// How many bytes the guest has got since it was to end.
    left: usize,
}

impl Default for Position {
    fn default() -> Self {
        Self { end: b'\n', mid_record: false, ahead: Bytes::new(), number: 0, left: 0 }
    }
}

impl Position {
    /// Returns whether the guest has got all that is its own.
    fn is_at_end(&self, now: Moment) -> bool {
        match now.phase {
            Phase::Runs => false,
            Phase::Told => {
                !self.mid_record || (self.number == now.number && self.left >= MOST_LEFT)
            }
            Phase::Cut | Phase::Stopped => true,
        }
    }

    /// Takes up to `most` bytes of those that were read already.
    fn take(&mut self, now: Moment, most: usize) -> Bytes {
        let most = self.ahead.len().min(most);
        let own = self.own_part(now, &self.ahead[..most]);
        self.ahead.split_to(own)
    }

    /// Keeps what is the next guest's of `bytes`, which come next, and returns the rest.
    fn part(&mut self, now: Moment, mut bytes: Bytes) -> Bytes {
        let own = self.own_part(now, &bytes);
        // They may be kept for long, and `bytes` may be memory that all reads share.
        self.ahead = Bytes::copy_from_slice(&bytes[own..]);
        bytes.truncate(own);
        bytes
    }

    /// Returns how many of `bytes` are the guest's: up to the end of the first record, if it is to end.
    fn own_part(&self, now: Moment, bytes: &[u8]) -> usize {
        match now.phase {
            Phase::Runs => bytes.len(),
            _ => memchr(self.end, bytes).map_or(bytes.len(), |at| at + 1),
        }
    }

    /// Notes what the guest gets.
    fn gave(&mut self, now: Moment, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.mid_record = *last != self.end;
        if self.number != now.number {
            (self.number, self.left) = (now.number, 0);
        }
        if now.phase != Phase::Runs {
            self.left += bytes.len();
        }
    }
}

impl Reader {
    /// Sets what ends a record, where it matters: as in the frame of what the same guest writes.
    pub(crate) fn by_records_of(mut self, frame: Option<Frame>) -> Self {
        if let (Some(position), Some(Frame { records: Records::Nul, .. })) =
            (&mut self.position, frame)
        {
            position.end = 0;
        }
        self
    }

    fn now(&self) -> Moment {
        self.journal.handover().map_or_else(Moment::default, |handover| handover.now())
    }

    /// Returns whether the guest is told that its input has ended, as another takes its place.
    pub(super) fn is_told_end(&self) -> bool {
        self.position.as_ref().is_some_and(|position| position.is_at_end(self.now()))
    }

    /// Returns how many bytes have been read from the kernel, and not by the guest.
    pub(super) fn ahead(&self) -> usize {
        self.position.as_ref().map_or(0, |position| position.ahead.len())
    }

    /// Reads as [`Reader::try_read_bytes`] does, and knows where records end.
    pub(super) fn read_by_records(&mut self, most: usize) -> Result<(Read, Bytes), Fault> {
        if let State::Failed(fault) = &self.state {
            return Err(*fault);
        }
        let now = self.now();
        if self.is_told_end() {
            self.meter.goes_on();
            return Ok((Read::End, Bytes::new()));
        }
        let has_ahead = self.ahead() > 0;
        let bytes = match &mut self.position {
            Some(position) if has_ahead => position.take(now, most),
            _ => {
                let most = if now.phase == Phase::Runs { most } else { most.min(MOST_LEFT) };
                let (read, bytes) = self.read_from_kernel(most)?;
                match (&mut self.position, read) {
                    (Some(position), Read::Bytes(_)) => position.part(now, bytes),
                    (_, read) => return Ok((read, bytes)),
                }
            }
        };
        if let Some(position) = &mut self.position {
            position.gave(now, &bytes);
        }
        Ok((Read::Bytes(bytes.len()), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::handover::Handover;
    use crate::pipe::{Journal, Label, PendingWrites, Pipes, Writer};
    use crate::sys;

    fn ends() -> (Reader, Writer, Handover) {
        let pipes = Pipes::builder().handed_over().build();
        let journal = pipes.journal();
        let (reader, writer) = sys::anonymous().unwrap();
        let reader = Reader::new(reader, None, Label::Stdin, journal);
        let writes = PendingWrites::new();
        let writer = Writer::new(writer, None, Label::Stdout, &writes, &Journal::new());
        (reader, writer, journal.handover().unwrap().clone())
    }

    fn read(reader: &mut Reader, most: usize) -> Result<Vec<u8>, Read> {
        match reader.try_read_bytes(most).unwrap() {
            (Read::Bytes(_), bytes) => Ok(bytes.to_vec()),
            (read, _) => Err(read),
        }
    }

    #[tokio::test]
    async fn the_old_guest_has_its_record_to_the_end_and_the_new_one_has_the_rest() {
        let (mut reader, mut writer, handover) = ends();
        writer.try_write(b"one\ntwo\nthree\nfo").unwrap();
        assert_eq!(read(&mut reader, 6).unwrap(), b"one\ntw");
        handover.enter(Phase::Told);
        assert!(reader.is_ready());
        let mut buf = [0; 100];
        assert_eq!(reader.try_read(&mut buf), Ok(Read::Bytes(2)));
        assert_eq!(&buf[..2], b"o\n");
        assert_eq!(read(&mut reader, 100), Err(Read::End));
        assert_eq!((reader.is_ready(), reader.available()), (true, Ok(0)));
        handover.enter(Phase::Runs);
        assert_eq!((reader.is_ready(), reader.available()), (true, Ok(8)));
        // What was read ahead is looked at as what comes from the kernel is.
        assert_eq!(read(&mut reader, 2).unwrap(), b"th");
        handover.enter(Phase::Told);
        assert_eq!(read(&mut reader, 100).unwrap(), b"ree\n");
        assert_eq!(read(&mut reader, 100), Err(Read::End));
        handover.enter(Phase::Runs);
        assert_eq!(read(&mut reader, 100).unwrap(), b"fo");
        assert_eq!(read(&mut reader, 100), Err(Read::Wait));
        // Its writer has begun a record, and does not end it.
        handover.enter(Phase::Told);
        assert_eq!(read(&mut reader, 100), Err(Read::Wait));
        handover.enter(Phase::Cut);
        assert_eq!(read(&mut reader, 100), Err(Read::End));
        handover.enter(Phase::Runs);
        writer.try_write(b"ur\n").unwrap();
        drop(writer);
        assert_eq!(read(&mut reader, 100).unwrap(), b"ur\n");
        assert_eq!(read(&mut reader, 100), Err(Read::End));
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let (mut reader, _writer, handover) = ends();
        assert_eq!(read(&mut reader, 100), Err(Read::Wait));
        let waiting = [reader.ready(), reader.ready()];
        let tried = reader.ready_after_would_block();
        handover.enter(Phase::Told);
        for ready in waiting {
            ready.await;
        }
        tried.await;
        assert_eq!(read(&mut reader, 100), Err(Read::End));
    }

    #[tokio::test]
    async fn a_record_without_an_end_is_cut() {
        let (mut reader, mut writer, handover) = ends();
        // A record has begun, so that the first guest is not between two.
        writer.try_write(b"x").unwrap();
        assert_eq!(read(&mut reader, 100).unwrap(), b"x");
        for _ in 0..2 {
            handover.enter(Phase::Told);
            let mut passed = 0;
            loop {
                while writer.try_write(&[b'x'; 4096]).unwrap().is_some() {}
                match read(&mut reader, 10_000) {
                    Ok(bytes) => passed += bytes.len(),
                    Err(read) => break assert_eq!(read, Read::End),
                }
            }
            assert!((MOST_LEFT..MOST_LEFT + 10_000).contains(&passed), "{passed}");
            handover.enter(Phase::Runs);
        }
    }

    #[tokio::test]
    async fn a_record_may_end_with_a_nul() {
        let (reader, mut writer, handover) = ends();
        let mut reader = reader.by_records_of(Some(Frame::new(Records::Nul)));
        writer.try_write(b"one\ntwo\0three").unwrap();
        assert_eq!(read(&mut reader, 4).unwrap(), b"one\n");
        handover.enter(Phase::Told);
        assert_eq!(read(&mut reader, 100).unwrap(), b"two\0");
        assert_eq!(read(&mut reader, 100), Err(Read::End));
    }
}
