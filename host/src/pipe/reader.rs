//! The end that bytes come out of.

use std::io;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::Label;
use super::journal::Meter;
use super::opening::{at, set_capacity};
use super::registry::{Hold, Kept};
use super::{ErrorCode, Fault, Journal, Since};
use crate::limits::Allowance;
use crate::sys::{CapacityLease, Direction, End, Fifo, Handle};

/// What an attempt to read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Everything is read and the last writer is gone. Stays so.
    End,
    /// Nothing to be read yet: await [`Reader::ready`].
    Wait,
}

/// What an attempt to splice came to.
#[derive(Debug)]
pub(super) enum Splice {
    /// As for a read, but that [`Read::Wait`] may also mean that there is no room.
    Read(Read),
    /// The reader of the pipe that bytes should have gone to is gone.
    Broken(io::Error),
    /// It cannot be done with these two: copy.
    Refused,
}

/// The end of a pipe that bytes come out of. Dropping it closes it.
///
/// Reads nothing ahead: what was not asked for stays in the kernel.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// A writer has been seen: 0 bytes from the kernel now mean the end of file.
    peer_seen: bool,
    /// Until when a writer must have come.
    deadline: Option<Instant>,
    /// Set for `eof=reopen`: the FIFO to open again when its writers are gone.
    reopen: Option<Arc<Fifo>>,
    label: Label,
    journal: Journal,
    meter: Meter,
    hold: Hold,
    late: Since,
}

#[derive(Debug)]
enum State {
    Open(Arc<End>),
    Ended,
    Failed(Fault),
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It is closed now, which its writers see.
        super::deferred::settle();
    }
}

impl Reader {
    /// Reads from an end that is open: an anonymous pipe, a descriptor that was inherited, a file.
    /// `capacity` in bytes is asked for; without it a pipe of the default size may grow. `label` is
    /// what messages call it.
    pub fn new(mut end: End, capacity: Option<u64>, label: Label, journal: &Journal) -> Self {
        set_capacity(&mut end, capacity, &label, journal);
        Self::of_pipe_pair(end, label, journal)
    }

    /// As [`Reader::new`], of a pipe whose capacity has been seen to.
    pub(crate) fn of_pipe_pair(end: End, label: Label, journal: &Journal) -> Self {
        Self {
            meter: journal.meter(&label, Direction::Read),
            peer_seen: !end.awaits_peer(),
            state: State::Open(Arc::new(end)),
            deadline: None,
            reopen: None,
            label,
            journal: journal.clone(),
            late: Arc::default(),
            hold: Hold::default(),
        }
    }

    /// Reads from a FIFO, whose first writer may come later: until then nothing is ready, and from
    /// `deadline` on the reader has failed with `timed-out`. `capacity` in bytes is asked for.
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

    /// Since when it is known that no writer came in time.
    pub(crate) fn late(&self) -> Since {
        Arc::clone(&self.late)
    }

    pub(super) fn holding(mut self, hold: Hold) -> Self {
        self.hold.add(hold);
        self
    }

    /// Takes it over for another guest, whose messages and counts call it `label`.
    pub(crate) fn passed_on(mut self, label: Label, journal: &Journal) -> Self {
        self.label = label;
        self.meter = self.meter.passed_on(journal.meter(&self.label, Direction::Read));
        self.journal = journal.clone();
        self
    }

    /// A descriptor of the same pipe for a native command. What has been read is not in it.
    ///
    /// # Errors
    /// As [`End::for_native`], and what has failed before; `unsupported` for a FIFO that nobody writes
    /// to yet: a command that reads it would take that for the end of file; and for an end that is
    /// bounded, as nobody counts what a command moves.
    pub(crate) fn for_native(&self) -> Result<Handle, Fault> {
        match &self.state {
            State::Open(_) if self.is_bounded() => Err(ErrorCode::Unsupported.into()),
            State::Open(end) if !self.peer_seen && end.is_pipe() && !end.has_writer()? => {
                Err(ErrorCode::Unsupported.into())
            }
            State::Open(end) => Ok(end.for_native()?),
            State::Ended => Ok(crate::sys::null()?),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// As [`Reader::for_native`], giving this end away: with what is to be kept while the command has
    /// it.
    pub(crate) fn into_native(mut self) -> Result<(Handle, Kept), Fault> {
        let fd = self.for_native()?;
        let lease = match &self.state {
            State::Open(end) => end.lease(),
            State::Ended | State::Failed(_) => CapacityLease::default(),
        };
        Ok((fd, Kept::new(std::mem::take(&mut self.hold), lease)))
    }

    /// Whether it may not move as many bytes as it likes, as fast as it likes.
    pub(crate) fn is_bounded(&self) -> bool {
        self.meter.is_bounded()
    }

    /// What it is called, and where that is noted.
    pub(crate) fn journal(&self) -> (Label, Journal) {
        (self.label.clone(), self.journal.clone())
    }

    /// Reads into `buf`, which must have room for at least one byte. Never blocks.
    ///
    /// # Errors
    /// `timed-out` where no writer came in time, `limit-exceeded` where there is more than may be read,
    /// `io`; the same again at every later call.
    pub fn try_read(&mut self, buf: &mut [u8]) -> Result<Read, Fault> {
        debug_assert!(!buf.is_empty());
        self.attempt(buf.len(), |end, most| end.read(&mut buf[..most]))
    }

    /// As [`Reader::try_read`], appending up to `most` bytes to `buf`, which has to grow by no more
    /// than there were.
    pub fn try_read_onto(&mut self, buf: &mut Vec<u8>, most: usize) -> Result<Read, Fault> {
        debug_assert!(most > 0);
        self.attempt(most, |end, most| end.read_onto(buf, most))
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
                // The kernel says so only while a writer is there.
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
    /// As [`Reader::try_read`].
    pub(super) fn try_splice(&mut self, to: &End, most: usize) -> Result<Splice, Fault> {
        loop {
            let end = match &self.state {
                State::Open(end) => end,
                State::Ended => return Ok(Splice::Read(Read::End)),
                State::Failed(fault) => return Err(*fault),
            };
            let moved = match end.splice_to(to, most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // It may be `to` that has no room, so this proves no writer.
                    return Ok(Splice::Read(Read::Wait));
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Splice::Refused);
                }
                // Without a byte to move, the reader is not missed: a read would have said this.
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

    /// What a system call's answer means; `None`: call again.
    fn settle(&mut self, read: io::Result<usize>) -> Result<Option<Read>, Fault> {
        match read {
            Ok(0) if self.peer_seen => match self.next_writer() {
                Ok(true) => Ok(None),
                Ok(false) => {
                    self.meter.goes_on();
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

    /// At the end of file: for `eof=reopen`, opens the FIFO again, so that the kernel forgets the
    /// writers that were. A writer that has come in the meantime is found by the next read.
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

    /// How many of `want` bytes may be read now.
    pub(super) fn allow(&self, want: usize) -> Allowance {
        self.meter.allow(want)
    }

    /// What a read would come to, without one: there may be more bytes than it says. Takes nothing out.
    pub(super) fn look(&mut self) -> Result<Read, Fault> {
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
            // What cannot say how much there is may have something.
            (_, waiting) => Ok(Read::Bytes(waiting.map_or(1, |n| n.try_into().unwrap_or(1)))),
        }
    }

    /// Nothing more may be read. The end of file may be, and is only known when it is there.
    pub(super) fn at_limit(&mut self) -> Result<Read, Fault> {
        match self.look()? {
            Read::Bytes(_) => {
                let fault = self.meter.exceeded();
                Err(self.fail(fault))
            }
            read => Ok(read),
        }
    }

    /// Notes that a transfer found nothing to be read.
    pub(super) fn waits(&mut self) {
        self.meter.waits();
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.meter.goes_on();
        self.state = State::Failed(fault);
        if fault.code == ErrorCode::TimedOut {
            let _ = self.late.set(std::time::Instant::now());
        }
        self.journal.note(&self.label, Direction::Read, fault, false);
        fault
    }

    /// A future that resolves when a read may get on, or has failed. It takes nothing out, holds
    /// no lock and is cancel safe; it may resolve early, so try again and wait again.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.waiting(false)
    }

    /// As [`Reader::ready`], for whoever has just been told [`Read::Wait`] by a read: cheaper, as
    /// the kernel is not asked again what it has just said.
    pub fn ready_after_would_block(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        // Before the first writer the kernel did not say that it would block.
        self.waiting(self.peer_seen)
    }

    fn waiting(&self, just_tried: bool) -> impl Future<Output = ()> + Send + 'static + use<> {
        let end = match &self.state {
            State::Open(end) => Some(Arc::clone(end)),
            State::Ended | State::Failed(_) => None,
        };
        let deadline = self.deadline.filter(|_| !self.peer_seen);
        let later = self.meter.later();
        // Where nothing may be read, none has been tried.
        let just_tried = just_tried && !self.meter.is_spent();
        async move {
            let Some(end) = end else { return };
            if let Some(later) = later {
                return sleep_until(later).await;
            }
            // An error shows again in the read that follows.
            if just_tried {
                return drop(end.ready_after_would_block().await);
            }
            tokio::select! {
                _ = end.ready() => {}
                () = at(deadline) => {}
            }
        }
    }

    /// Whether a read would get on now: [`Reader::ready`] without its early returns. For
    /// `eof=reopen`, forgets a writer that has gone without leaving bytes.
    pub fn is_ready(&mut self) -> bool {
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
            // A writer that is there and silent is not late.
            self.peer_seen = matches!(end.has_writer(), Ok(true));
            return !self.peer_seen;
        }
        let gone = self.reopen.is_some() && matches!(end.is_at_end(), Ok(true));
        // Where that fails, the next read tells.
        !(gone && matches!(self.next_writer(), Ok(true)))
    }

    /// How many bytes can be read now.
    pub fn available(&self) -> Result<u64, Fault> {
        match &self.state {
            State::Open(end) => Ok(end.available()?),
            State::Ended => Ok(0),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// How many bytes the pipe holds.
    pub fn capacity(&self) -> Result<u64, Fault> {
        match &self.state {
            State::Open(end) => Ok(end.capacity()?),
            State::Ended => Err(ErrorCode::Unsupported.into()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Whether it reads from a terminal.
    pub fn is_terminal(&self) -> bool {
        matches!(&self.state, State::Open(end) if end.is_terminal())
    }
}
