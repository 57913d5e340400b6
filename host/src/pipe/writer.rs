//! The end that bytes go into.

mod flow;

use std::future::pending;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use super::Label;
use super::opening::set_capacity;
use super::registry::{Hold, Kept};
use super::terminal::{AT_ONCE, Terminal};
use super::{ErrorCode, Fault, Journal, PendingWrites, Since};
use crate::limits::Allowance;
use crate::sys::{CapacityLease, Direction, End, Fifo, Handle};
pub(crate) use flow::PERMIT;
use flow::{Flow, State};

/// The end of a pipe that bytes go into. Dropping it closes it, once what it accepted is written.
#[derive(Debug)]
pub struct Writer {
    flow: Flow,
    pending_writes: PendingWrites,
    hold: Hold,
    /// Somebody waits for room, to deliver what was accepted.
    attended: bool,
}

impl Writer {
    /// Writes to an end whose reader is there: an anonymous pipe, a descriptor that was inherited,
    /// a file. What would act on a terminal is escaped on one, see [`Writer::raw`]. `capacity` in bytes is asked for; without it a pipe of the default size may grow.
    /// `label` is what messages call it.
    pub fn new(
        end: End,
        capacity: Option<u64>,
        label: Label,
        pending_writes: &PendingWrites,
        journal: &Journal,
    ) -> Self {
        let mut end = end;
        set_capacity(&mut end, capacity, &label, journal);
        Self::of_pipe_pair(end, label, pending_writes, journal)
    }

    /// As [`Writer::new`], of a pipe whose capacity has been seen to.
    pub(crate) fn of_pipe_pair(
        end: End,
        label: Label,
        pending_writes: &PendingWrites,
        journal: &Journal,
    ) -> Self {
        let terminal = Terminal::of(&end).map(Box::new);
        let state = State::Open(Arc::new(end));
        Self {
            flow: Flow { terminal, ..Flow::new(state, None, label, journal) },
            pending_writes: pending_writes.clone(),
            hold: Hold::default(),
            attended: false,
        }
    }

    /// Writes to a FIFO, whose reader may come later: until then nothing is ready, and from
    /// `deadline` on the writer has failed with `timed-out`. `capacity` in bytes is asked for when
    /// the reader is there.
    ///
    /// # Errors
    /// Those of opening the FIFO, which never waits.
    pub fn fifo(
        fifo: &Fifo,
        capacity: Option<u64>,
        deadline: Option<Instant>,
        label: Label,
        pending_writes: &PendingWrites,
        journal: &Journal,
    ) -> io::Result<Self> {
        let state = match fifo.open_writer()? {
            Some(end) => State::opened(end, capacity, &label, journal),
            None => State::Waiting { reader: fifo.wait_for_reader()?, deadline },
        };
        Ok(Self {
            flow: Flow::new(state, capacity, label, journal),
            pending_writes: pending_writes.clone(),
            hold: Hold::default(),
            attended: false,
        })
    }

    /// Lets everything through to a terminal as it is.
    pub fn raw(mut self) -> Self {
        self.flow.terminal = None;
        self
    }

    /// Whether something waits that a terminal had no room for.
    pub(crate) fn is_behind(&self) -> bool {
        self.flow.terminal.is_some() && !self.flow.outbox.is_empty()
    }

    pub(super) fn holding(mut self, hold: Hold) -> Self {
        self.hold.add(hold);
        self
    }

    /// Takes it over for another guest, whose messages and counts call it `label`.
    /// What it leaves behind is delivered by `pending_writes`.
    pub(crate) fn passed_on(
        mut self,
        label: Label,
        pending_writes: &PendingWrites,
        journal: &Journal,
    ) -> Self {
        self.pending_writes = pending_writes.clone();
        self.flow.label = label;
        let meter = journal.meter(&self.flow.label, Direction::Write);
        self.flow.meter = self.flow.meter.passed_on(meter);
        self.flow.journal = journal.clone();
        self
    }

    /// A descriptor of the same pipe for a native command. What was accepted and is not yet written
    /// may come later than what the command writes.
    ///
    /// # Errors
    /// As [`End::for_native`]; `unsupported` for a FIFO that nobody reads yet, and for an end that is
    /// bounded, as nobody counts what a command moves; and what has failed before.
    pub(crate) fn for_native(&mut self) -> Result<Handle, Fault> {
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(_) if self.is_bounded() => Err(ErrorCode::Unsupported.into()),
            State::Open(end) => Ok(end.for_native()?),
            State::Waiting { .. } => Err(ErrorCode::Unsupported.into()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// As [`Writer::for_native`], giving this end away: with what is to be kept while the command has
    /// it.
    pub(crate) fn into_native(mut self) -> Result<(Handle, Kept), Fault> {
        let fd = self.for_native()?;
        let lease = match &self.flow.state {
            State::Open(end) => end.lease(),
            State::Waiting { .. } | State::Failed(_) => CapacityLease::default(),
        };
        Ok((fd, Kept::new(mem::take(&mut self.hold), lease)))
    }

    /// Whether it may not move as many bytes as it likes, as fast as it likes.
    pub(crate) fn is_bounded(&self) -> bool {
        self.flow.meter.is_bounded()
    }

    /// What it is called, and where that is noted.
    pub(crate) fn journal(&self) -> (Label, Journal) {
        (self.flow.label.clone(), self.flow.journal.clone())
    }

    /// Writes as much of `buf` as there is room for, behind all that was accepted before. `None`
    /// where there is no room, or no reader yet: await [`Writer::ready`]. Never blocks. On a terminal,
    /// a part may be accepted beyond that, as by [`Writer::accept`].
    ///
    /// # Errors
    /// `broken-pipe` where the reader is gone, `timed-out` where none came in time, `limit-exceeded`
    /// where nothing more may be written, `io`; the same again at every later call.
    pub fn try_write(&mut self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        if !self.flow.deliver()? {
            return Ok(None);
        }
        let Some(terminal) = &mut self.flow.terminal else {
            return self.flow.write(buf);
        };
        let passes = terminal.escaper.passes(buf);
        let Some(most) = self.flow.allowance(buf.len())? else { return Ok(None) };
        if passes {
            let written = self.flow.write(&buf[..most])?;
            self.flow.meter.moved(written.unwrap_or(0));
            return Ok(written);
        }
        let chunk = &buf[..most.min(AT_ONCE)];
        self.take_on(chunk)?;
        Ok(Some(chunk.len()))
    }

    /// How many bytes [`Writer::accept`] takes now; 0 where there is no room, or no reader yet.
    ///
    /// # Errors
    /// As [`Writer::try_write`].
    pub fn permit(&mut self) -> Result<usize, Fault> {
        match self.flow.deliver()? && self.flow.has_room()? {
            true => Ok(self.flow.meter.permit(PERMIT)),
            false => Ok(0),
        }
    }

    /// Takes all of `bytes`, which are at most as many as [`Writer::permit`] said. What the kernel
    /// has no room for is kept, and written by the next call here that finds room, or after a drop:
    /// whoever makes no other call has to make [`Writer::try_flush`] when there is room. Never blocks.
    ///
    /// `Ok(false)`: it is more than is ever permitted, or something accepted before is still under
    /// way. Nothing of it is taken, so that the memory that a writer can use stays bounded.
    ///
    /// # Errors
    /// As [`Writer::try_write`].
    pub fn accept(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if bytes.len() > PERMIT || !self.flow.deliver()? {
            return Ok(bytes.is_empty());
        }
        self.take_on(bytes)?;
        Ok(true)
    }

    /// As [`Writer::accept`], where the permit was given before somebody else who writes to this end
    /// used it up. At most one such write for each of those who share it.
    pub(crate) fn accept_permitted(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if bytes.len() > PERMIT {
            return Ok(false);
        }
        if self.flow.deliver()? {
            self.take_on(bytes)?;
        } else {
            self.flow.append(bytes);
        }
        Ok(true)
    }

    /// Takes what comes after nothing else that waits.
    fn take_on(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        if self.flow.terminal.is_some() {
            // The rate was looked at when the permit was given.
            let most = self.flow.allowance(bytes.len())?.unwrap_or(bytes.len());
            self.flow.append(&bytes[..most]);
            self.flow.deliver()?;
            return if most < bytes.len() { Err(self.flow.exceeded()) } else { Ok(()) };
        }
        while !bytes.is_empty() {
            match self.flow.write(bytes)? {
                Some(n) => bytes = &bytes[n..],
                None => break,
            }
        }
        self.flow.outbox = Bytes::copy_from_slice(bytes);
        Ok(())
    }

    /// Takes `bytes` whatever the permit: for what was kept back. Where nobody reads, and as much waits
    /// already as is ever permitted, they are dropped.
    pub(crate) fn enqueue(&mut self, bytes: &[u8]) {
        if matches!(self.flow.state, State::Failed(_)) || self.flow.outbox.len() >= PERMIT {
            return;
        }
        let _ = self.flow.deliver();
        self.flow.append(bytes);
        // A failure is in the journal; what is left goes with the next write, or after the drop.
        let _ = self.flow.deliver();
    }

    /// Has `bytes` wait to be delivered with what comes next, if they may: see [`deferred`](super::deferred).
    pub(super) fn defer(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.flow.room_to_defer() {
            return false;
        }
        self.flow.deferred.extend_from_slice(bytes);
        true
    }

    /// How many bytes may wait, beside those that do already.
    pub(super) fn room_to_defer(&self) -> usize {
        self.flow.room_to_defer()
    }

    /// Delivers what was deferred; whether nothing of it is left. `is_last`: the guest has ended, and cannot be told of
    /// a failure.
    pub(super) fn deliver_deferred(&mut self, is_last: bool) -> Result<bool, Fault> {
        self.flow.left_behind = is_last;
        let delivered = self.flow.deliver();
        self.flow.left_behind = false;
        self.flow.is_untold |= delivered.is_err() && !is_last;
        delivered
    }

    /// The guest is told that the writer has failed.
    pub(crate) fn is_told(&mut self) {
        self.flow.is_untold = false;
    }

    /// The guest has ended. Notes that it was not told of a failure, if it was not.
    pub(super) fn note_untold(&mut self) {
        if let (true, State::Failed(fault)) = (self.flow.is_untold, &self.flow.state) {
            self.flow.journal.note(&self.flow.label, Direction::Write, *fault, true);
            self.flow.is_untold = false;
        }
    }

    /// Sees to it that what was accepted, and has found no room, is delivered when there is some,
    /// whatever the guest waits for meanwhile. Its reader may be waiting for just that.
    pub(crate) fn attend(shared: &Arc<Mutex<Self>>) {
        let lock = |writer: &Arc<Mutex<Self>>| -> Option<_> {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(writer.try_flush(), Ok(false)) {
                return Some(writer.ready_after_would_block());
            }
            writer.attended = false;
            None
        };
        {
            let mut writer = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if writer.attended || !matches!(writer.try_flush(), Ok(false)) {
                return;
            }
            // Without a runtime there is only the drop.
            if tokio::runtime::Handle::try_current().is_err() {
                return;
            }
            writer.attended = true;
        }
        // When the last handle is gone, the deliveries of its drop take over.
        let writer = Arc::downgrade(shared);
        tokio::spawn(async move {
            while let Some(ready) = writer.upgrade().and_then(|writer| lock(&writer)) {
                ready.await;
            }
        });
    }

    /// Whether all that was accepted is in the kernel. Needs no room beyond that, and no reader
    /// where nothing is under way.
    ///
    /// # Errors
    /// As [`Writer::try_write`].
    pub fn try_flush(&mut self) -> Result<bool, Fault> {
        self.flow.deliver()
    }

    /// A future that resolves when a write may get on, or has failed. It puts nothing in, holds no
    /// lock and is cancel safe; it may resolve early, so try again and wait again.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.flow.waiting(false)
    }

    /// As [`Writer::ready`], for whoever has just been told by a write that there is no room:
    /// cheaper, as the kernel is not asked again what it has just said.
    pub fn ready_after_would_block(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.flow.waiting(true)
    }

    /// Finds out before a write that the reader is gone.
    ///
    /// # Errors
    /// As [`Writer::try_write`].
    pub fn check(&mut self) -> Result<(), Fault> {
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(end) if end.lacks_reader() => {
                Err(self.flow.fail(ErrorCode::BrokenPipe.into()))
            }
            State::Open(_) | State::Waiting { .. } => Ok(()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// How many of `want` bytes may be written now.
    pub(super) fn allow(&self, want: usize) -> Allowance {
        self.flow.meter.allow(want)
    }

    /// There was more to be written than may be.
    pub(super) fn exceeded(&mut self) -> Fault {
        self.flow.exceeded()
    }

    /// Notes that splice(2) has moved so many bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.flow.meter.moved(bytes);
    }

    /// Notes that a transfer found no room.
    pub(super) fn waits(&mut self) {
        self.flow.meter.waits();
    }

    /// Notes that splice(2) has met an error.
    pub(super) fn fail(&mut self, error: io::Error) -> Fault {
        self.flow.fail(error.into())
    }

    /// A future that resolves when the reader is gone; [`Writer::check`] tells. It holds no lock
    /// and is cancel safe.
    pub fn gone(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let end = match &self.flow.state {
            State::Open(end) => Some(Arc::clone(end)),
            State::Waiting { .. } | State::Failed(_) => None,
        };
        async move {
            match end {
                Some(end) => end.reader_gone().await,
                None => pending().await,
            }
        }
    }

    /// Where splice(2) is to move bytes to; `None` where there is no reader yet, or something that
    /// was accepted before has to go first.
    ///
    /// # Errors
    /// As [`Writer::try_write`].
    pub(super) fn splice_target(&mut self) -> Result<Option<Arc<End>>, Fault> {
        let delivered = self.flow.deliver()?;
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(end) if delivered => Ok(Some(Arc::clone(end))),
            State::Open(_) | State::Waiting { .. } => Ok(None),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Since when its reader is known to be gone, or to be late; outlives the writer.
    pub(crate) fn broken(&self) -> Since {
        Arc::clone(&self.flow.broken)
    }

    /// How many bytes the pipe holds.
    ///
    /// # Errors
    /// `unsupported` where a FIFO has no reader yet: it holds nothing then.
    pub fn capacity(&mut self) -> Result<u64, Fault> {
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(end) => Ok(end.capacity()?),
            State::Waiting { .. } => Err(ErrorCode::Unsupported.into()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Whether it writes to a terminal.
    pub fn is_terminal(&self) -> bool {
        matches!(&self.flow.state, State::Open(end) if end.is_terminal())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may be closed now, which others see.
        super::deferred::settle();
        self.flow.finish();
        if self.flow.outbox.is_empty() {
            return;
        }
        let gone = State::Failed(ErrorCode::BrokenPipe.into());
        let gone = Flow::new(gone, None, self.flow.label.clone(), &self.flow.journal);
        let mut flow = mem::replace(&mut self.flow, gone);
        flow.left_behind = true;
        let hold = mem::take(&mut self.hold);
        self.pending_writes.spawn(async move {
            // A failure is in the journal.
            while let Ok(false) = flow.deliver() {
                flow.waiting(true).await;
            }
            drop(hold);
        });
    }
}
