//! The reading end of a pipe.

mod position;

use std::io;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use position::Position;
use tokio::time::{Instant, sleep_until};

use super::Label;
use super::handover::Handover;
use super::hold::{Hold, Kept, KeptEnd};
use super::journal::Meter;
use super::opening::{at, set_capacity};
use super::{ErrorCode, Fault, Journal, Since};
use crate::limits::Allowance;
use crate::sys::{CapacityLease, Direction, End, Fifo, Handle};

/// The result of an attempt to read.
///
/// See the example of [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This many bytes were read, at least one.
    Bytes(usize),
    /// Everything has been read and the last writer is gone. Every later read returns this, too.
    End,
    /// There are no bytes yet: await [`Reader::ready`].
    Wait,
}

/// The result of an attempt to splice.
#[derive(Debug)]
pub(super) enum Splice {
    /// The result of a read, except that [`Read::Wait`] may also mean that the target has no room.
    Read(Read),
    /// The reader of the target pipe is gone.
    Broken(io::Error),
    /// The kernel cannot splice between these two ends: copy instead.
    Refused,
}

/// The reading end of a pipe. Dropping it closes it.
///
/// Reads nothing ahead: bytes that were not asked for stay in the kernel.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::Pipes;
/// use pipehost::pipes::Read;
///
/// let pipes = Pipes::builder().build();
/// let (mut reader, mut writer) = pipes.create()?;
/// let mut buf = [0; 16];
/// assert_eq!(reader.try_read(&mut buf)?, Read::Wait);
/// writer.try_write(b"hello")?;
/// reader.ready().await;
/// assert_eq!(reader.try_read(&mut buf)?, Read::Bytes(5));
/// drop(writer);
/// assert_eq!(reader.try_read(&mut buf)?, Read::End);
/// # Ok(())
/// # }
/// ```
///
/// The example of [`End`] makes one of a descriptor.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// Whether a writer has been seen. If so, 0 bytes from the kernel mean the end of file.
    peer_seen: bool,
    /// The time by which the first writer must have come.
    deadline: Option<Instant>,
    /// Set for `eof=reopen`: the FIFO that is opened again when its writers are gone.
    reopen: Option<Arc<Fifo>>,
    label: Label,
    journal: Journal,
    meter: Meter,
    hold: Hold,
    late: Since,
    /// Where it stands among the records, if another guest may go on reading.
    position: Option<Box<Position>>,
}

#[derive(Debug)]
enum State {
    Open(Arc<End>),
    Ended,
    Failed(Fault),
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The pipe's writers see that this end is closed, so deferred writes are delivered first.
        super::deferred::settle();
        let hold = mem::take(&mut self.hold);
        let is_whole = !matches!(self.state, State::Failed(_));
        if !is_whole || !hold.keep(|| KeptEnd::Reader(Box::new(self.without_hold()))) {
            self.hold = hold;
        }
    }
}

impl Reader {
    /// Makes a reader of an open end: an anonymous pipe, an inherited descriptor or a file. Asks
    /// for a `capacity` in bytes; without one, a pipe of the default size may grow. Messages call
    /// the end `label`.
    pub fn new(mut end: End, capacity: Option<u64>, label: Label, journal: &Journal) -> Self {
        set_capacity(&mut end, capacity, &label, journal);
        Self::of_pipe_pair(end, label, journal)
    }

    /// Returns the same reader, without what it holds of a grant. Leaves one that has ended.
    fn without_hold(&mut self) -> Self {
        let meter = self.journal.meter(&self.label, Direction::Read);
        Self {
            state: mem::replace(&mut self.state, State::Ended),
            peer_seen: self.peer_seen,
            deadline: self.deadline,
            reopen: self.reopen.take(),
            label: self.label.clone(),
            journal: self.journal.clone(),
            meter: mem::replace(&mut self.meter, meter),
            hold: Hold::default(),
            late: Arc::clone(&self.late),
            position: self.position.take(),
        }
    }

    /// Makes a reader as [`Reader::new`] does, of a pipe whose capacity has been set already.
    pub(crate) fn of_pipe_pair(end: End, label: Label, journal: &Journal) -> Self {
        Self {
            meter: journal.meter(&label, Direction::Read),
            peer_seen: !end.awaits_peer(),
            state: State::Open(Arc::new(end)),
            deadline: None,
            reopen: None,
            label,
            position: journal.handover().map(|_| Box::default()),
            journal: journal.clone(),
            late: Arc::default(),
            hold: Hold::default(),
        }
    }

    /// Makes a reader of a FIFO, whose first writer may come later. Until it comes, no read is
    /// ready; from `deadline` on, the reader has failed with `timed-out`. Asks for a `capacity` in
    /// bytes.
    ///
    /// # Errors
    /// Those of opening the FIFO, which never waits.
    pub fn fifo(
        fifo: &Arc<Fifo>,
        reopen: bool,
        deadline: Option<Instant>,
        capacity: Option<u64>,
        label: Label,
        journal: &Journal,
    ) -> io::Result<Self> {
        let mut reader = Self::new(fifo.open_reader()?, capacity, label, journal);
        reader.peer_seen = false;
        reader.deadline = deadline;
        reader.reopen = reopen.then(|| Arc::clone(fifo));
        Ok(reader)
    }

    /// Returns the time at which the reader gives up waiting for its first writer, once it does.
    pub(crate) fn late(&self) -> Since {
        Arc::clone(&self.late)
    }

    pub(super) fn holding(mut self, hold: Hold) -> Self {
        self.hold.add(hold);
        self
    }

    /// Hands the reader over to another guest, whose messages and counts call it `label`.
    pub(crate) fn passed_on(mut self, label: Label, journal: &Journal) -> Self {
        self.label = label;
        self.meter = self.meter.passed_on(journal.meter(&self.label, Direction::Read));
        self.journal = journal.clone();
        if self.journal.handover().is_some() {
            self.position.get_or_insert_default();
        }
        self
    }

    /// Returns a descriptor of the same pipe for a native command. Bytes that have been read
    /// already are not in it.
    ///
    /// # Errors
    /// Those of [`End::for_native`], and an earlier failure of this reader. `unsupported` for a
    /// FIFO without a writer yet, as a command that reads it would take that for the end of file.
    /// `unsupported` also for a bounded end, as the host cannot count what a command moves, and while the
    /// host has bytes that another guest has left.
    pub(crate) fn for_native(&self) -> Result<Handle, Fault> {
        match &self.state {
            State::Open(_) if self.is_bounded() || self.ahead() > 0 => {
                Err(ErrorCode::Unsupported.into())
            }
            State::Open(end) if !self.peer_seen && end.is_pipe() && !end.has_writer()? => {
                Err(ErrorCode::Unsupported.into())
            }
            State::Open(end) => Ok(end.for_native()?),
            State::Ended => Ok(crate::sys::null()?),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Gives this end away to a native command. Returns the descriptor of [`Reader::for_native`],
    /// and what must be kept while the command has it.
    pub(crate) fn into_native(mut self) -> Result<(Handle, Kept), Fault> {
        let fd = self.for_native()?;
        let lease = match &self.state {
            State::Open(end) => end.lease(),
            State::Ended | State::Failed(_) => CapacityLease::default(),
        };
        Ok((fd, Kept::new(std::mem::take(&mut self.hold), lease)))
    }

    /// Returns whether the number or the rate of its bytes is limited.
    pub(crate) fn is_bounded(&self) -> bool {
        self.meter.is_bounded()
    }

    /// Returns the reader's label, and the journal that notes its failures.
    pub(crate) fn journal(&self) -> (Label, Journal) {
        (self.label.clone(), self.journal.clone())
    }

    /// Reads into `buf`, which must have room for at least one byte. Never blocks.
    ///
    /// # Errors
    /// `timed-out` if no writer came in time, `limit-exceeded` if there are more bytes than may be
    /// read, `io`. Every later call fails with the same error.
    pub fn try_read(&mut self, buf: &mut [u8]) -> Result<Read, Fault> {
        debug_assert!(!buf.is_empty());
        if self.position.is_some() {
            let (read, bytes) = self.read_by_records(buf.len())?;
            buf[..bytes.len()].copy_from_slice(&bytes);
            return Ok(read);
        }
        self.attempt(buf.len(), |end, most| end.read(&mut buf[..most]))
    }

    /// Reads as [`Reader::try_read`] does, and appends up to `most` bytes to `buf`. `buf` grows by
    /// no more than the bytes that were read.
    pub fn try_read_onto(&mut self, buf: &mut Vec<u8>, most: usize) -> Result<Read, Fault> {
        let (read, bytes) = self.try_read_bytes(most)?;
        buf.extend_from_slice(&bytes);
        Ok(read)
    }

    /// Reads up to `most` bytes as [`Reader::try_read`] does, and returns them. They should be dropped
    /// soon: see [`End::read_bytes`].
    pub(crate) fn try_read_bytes(&mut self, most: usize) -> Result<(Read, Bytes), Fault> {
        debug_assert!(most > 0);
        match self.position {
            Some(_) => self.read_by_records(most),
            None => self.read_from_kernel(most),
        }
    }

    fn read_from_kernel(&mut self, most: usize) -> Result<(Read, Bytes), Fault> {
        let mut bytes = Bytes::new();
        let read = self.attempt(most, |end, most| {
            bytes = end.read_bytes(most)?;
            Ok(bytes.len())
        })?;
        Ok((read, bytes))
    }

    fn attempt(
        &mut self,
        want: usize,
        mut read: impl FnMut(&End, usize) -> io::Result<usize>,
    ) -> Result<Read, Fault> {
        loop {
            let end = match &self.state {
                State::Open(end) => end,
                State::Ended => return Ok(Read::End),
                State::Failed(fault) => return Err(*fault),
            };
            let most = match self.meter.allow(want) {
                Allowance::Bytes(most) => most,
                Allowance::Later => return Ok(Read::Wait),
                Allowance::Spent => return self.at_limit(),
            };
            let read = match read(end, most) {
                // The kernel returns EAGAIN only while a writer is there.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.peer_seen = true;
                    self.meter.waits();
                    return Ok(Read::Wait);
                }
                read => read,
            };
            if let Some(read) = self.settle(read)? {
                return Ok(read);
            }
        }
    }

    /// Moves up to `most` bytes into `to` without copying them. Never blocks.
    ///
    /// # Errors
    /// Those of [`Reader::try_read`].
    pub(super) fn try_splice(&mut self, to: &End, most: usize) -> Result<Splice, Fault> {
        if self.position.is_some() {
            // Nobody would see where records end.
            return Ok(Splice::Refused);
        }
        loop {
            let end = match &self.state {
                State::Open(end) => end,
                State::Ended => return Ok(Splice::Read(Read::End)),
                State::Failed(fault) => return Err(*fault),
            };
            let moved = match end.splice_to(to, most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // `to` may be the end without room, so this does not prove that a writer is
                    // there.
                    return Ok(Splice::Read(Read::Wait));
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Splice::Refused);
                }
                // Without a byte to move, EPIPE does not count: a read would have returned 0 bytes.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => match end.available() {
                    Ok(0) => Ok(0),
                    _ => return Ok(Splice::Broken(error)),
                },
                moved => moved,
            };
            if let Some(read) = self.settle(moved)? {
                return Ok(Splice::Read(read));
            }
        }
    }

    /// Returns what a system call's result means; `None` means that the call must be made again.
    fn settle(&mut self, read: io::Result<usize>) -> Result<Option<Read>, Fault> {
        match read {
            Ok(0) if self.peer_seen => match self.next_writer() {
                Ok(true) => Ok(None),
                Ok(false) => {
                    self.meter.ends();
                    self.state = State::Ended;
                    Ok(Some(Read::End))
                }
                Err(error) => Err(self.fail(error.into())),
            },
            Ok(0) => match &self.state {
                // A writer has come and gone. It may have written since the read above.
                State::Open(end) if end.hung_up()? => {
                    self.peer_seen = true;
                    Ok(None)
                }
                _ => self.before_first_writer().map(Some),
            },
            Ok(n) => {
                self.peer_seen = true;
                self.meter.moved(n);
                Ok(Some(Read::Bytes(n)))
            }
            Err(error) => Err(self.fail(error.into())),
        }
    }

    /// Handles the end of file. For `eof=reopen`, opens the FIFO again, so that the kernel forgets
    /// its earlier writers, and returns true. The next read finds a writer that has come in the
    /// meantime.
    fn next_writer(&mut self) -> io::Result<bool> {
        let Some(fifo) = &self.reopen else {
            return Ok(false);
        };
        let mut end = fifo.open_reader()?;
        if let State::Open(before) = &self.state {
            end.shares_growth_of(before);
        }
        self.state = State::Open(Arc::new(end));
        self.peer_seen = false;
        self.deadline = None;
        Ok(true)
    }

    fn before_first_writer(&mut self) -> Result<Read, Fault> {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => {
                Err(self.fail(ErrorCode::TimedOut.into()))
            }
            _ => {
                self.meter.waits();
                Ok(Read::Wait)
            }
        }
    }

    /// Returns how many of `want` bytes may be read now.
    pub(super) fn allow(&self, want: usize) -> Allowance {
        match self.is_told_end() || self.ahead() > 0 {
            // What was read ahead is counted already.
            true => Allowance::Bytes(want),
            false => self.meter.allow(want),
        }
    }

    /// Returns what a read would return, without a read. There may be more bytes than it says.
    /// Takes no bytes out.
    pub(super) fn look(&mut self) -> Result<Read, Fault> {
        match self.ahead() {
            _ if self.is_told_end() => return Ok(Read::End),
            0 => {}
            ahead => return Ok(Read::Bytes(ahead)),
        }
        let end = match &self.state {
            State::Open(end) => end,
            State::Ended => return Ok(Read::End),
            State::Failed(fault) => return Err(*fault),
        };
        match (end.is_at_end(), end.available()) {
            (Ok(true), _) => {
                self.peer_seen = true;
                Ok(self.settle(Ok(0))?.unwrap_or(Read::Wait))
            }
            (_, Ok(0)) if self.peer_seen => {
                self.meter.waits();
                Ok(Read::Wait)
            }
            (_, Ok(0)) => self.before_first_writer(),
            // An end that cannot say how many bytes wait may have some.
            (_, waiting) => Ok(Read::Bytes(waiting.map_or(1, |n| n.try_into().unwrap_or(1)))),
        }
    }

    /// Handles a read after all permitted bytes were read. The end of file may still be read, so
    /// this fails only if there are bytes.
    pub(super) fn at_limit(&mut self) -> Result<Read, Fault> {
        match self.look()? {
            Read::Bytes(_) => {
                let fault = self.meter.exceeded();
                Err(self.fail(fault))
            }
            read => Ok(read),
        }
    }

    /// Notes that a transfer found no bytes to read.
    pub(super) fn waits(&mut self) {
        self.meter.waits();
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.meter.fails(fault.code);
        self.state = State::Failed(fault);
        if fault.code == ErrorCode::TimedOut {
            let _ = self.late.set(std::time::Instant::now());
        }
        self.journal.note(&self.label, Direction::Read, fault, false);
        fault
    }

    /// Returns a future that resolves when a read can get on, or has failed. The future takes no
    /// bytes out, holds no lock and is cancel safe. It may resolve early, so try again and wait
    /// again.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.waiting(false)
    }

    /// Returns a future as [`Reader::ready`] does, for a caller that has just got [`Read::Wait`]
    /// from a read. It is cheaper, as it does not ask the kernel again.
    pub fn ready_after_would_block(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        // Before the first writer comes, the kernel returns 0 bytes and not EAGAIN.
        self.waiting(self.peer_seen)
    }

    fn waiting(&self, just_tried: bool) -> impl Future<Output = ()> + Send + 'static + use<> {
        let end = match &self.state {
            State::Open(end) => Some(Arc::clone(end)),
            State::Ended | State::Failed(_) => None,
        };
        let deadline = self.deadline.filter(|_| !self.peer_seen);
        let later = self.meter.later();
        // If nothing may be read, no read has been tried.
        let just_tried = just_tried && !self.meter.is_spent();
        let goes_on = self.is_told_end() || self.ahead() > 0;
        let told = self.position.as_ref().and_then(|_| self.journal.handover());
        let told = told.map(Handover::changed);
        async move {
            let Some(end) = end.filter(|_| !goes_on) else { return };
            let waiting = async {
                if let Some(later) = later {
                    return sleep_until(later).await;
                }
                // The read that follows meets an error again.
                if just_tried {
                    return drop(end.ready_after_would_block().await);
                }
                tokio::select! {
                    _ = end.ready() => {}
                    () = at(deadline) => {}
                }
            };
            match told {
                None => waiting.await,
                Some(told) => tokio::select! {
                    () = waiting => {}
                    () = told => {}
                },
            }
        }
    }

    /// Returns whether a read can get on now: as [`Reader::ready`], but never too early. For
    /// `eof=reopen`, forgets a writer that has gone without leaving bytes.
    pub fn is_ready(&mut self) -> bool {
        if self.ahead() > 0 || self.is_told_end() {
            return true;
        }
        let State::Open(end) = &self.state else {
            return true;
        };
        if self.meter.later().is_some() {
            return false;
        }
        if !end.is_ready().unwrap_or(true) {
            self.meter.waits();
            let late = |at| !self.peer_seen && at <= Instant::now();
            if !self.deadline.is_some_and(late) {
                return false;
            }
            // A silent writer is not a late one.
            self.peer_seen = matches!(end.has_writer(), Ok(true));
            return !self.peer_seen;
        }
        let gone = self.reopen.is_some() && matches!(end.is_at_end(), Ok(true));
        // If that fails, the next read returns the error.
        !(gone && matches!(self.next_writer(), Ok(true)))
    }

    /// Returns how many bytes can be read now.
    pub fn available(&self) -> Result<u64, Fault> {
        match &self.state {
            State::Open(_) if self.is_told_end() => Ok(0),
            State::Open(end) => Ok(end.available()? + self.ahead() as u64),
            State::Ended => Ok(0),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Returns how many bytes the pipe can hold.
    pub fn capacity(&self) -> Result<u64, Fault> {
        match &self.state {
            State::Open(end) => Ok(end.capacity()?),
            State::Ended => Err(ErrorCode::Unsupported.into()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Returns whether the reader reads from a terminal.
    pub fn is_terminal(&self) -> bool {
        matches!(&self.state, State::Open(end) if end.is_terminal())
    }
}
