//! The writing end of a pipe.

mod flow;
mod whole;

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
use crate::sys::{CapacityLease, Direction, End, Fifo, Handle, PIPE_BUF};
pub(crate) use flow::PERMIT;
use flow::{Flow, State};

/// The writing end of a pipe. Dropping it closes it, once everything that it accepted is written.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::Pipes;
/// use pipehost::pipes::ErrorCode;
///
/// let pipes = Pipes::builder().build();
/// let (reader, mut writer) = pipes.create()?;
/// assert_eq!(writer.try_write(b"now, or not at all")?, Some(18));
/// writer.ready().await;
/// // What is permitted is taken as a whole: now, or when there is room.
/// let most = writer.permit()?;
/// assert!(writer.accept(&[0; 1000][..most.min(1000)])?);
/// drop(reader);
/// assert_eq!(writer.check().unwrap_err().code, ErrorCode::BrokenPipe);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Writer {
    flow: Flow,
    pending_writes: PendingWrites,
    hold: Hold,
    /// Whether a task waits for room, to deliver accepted bytes.
    attended: bool,
}

impl Writer {
    /// Makes a writer of an end whose reader is there: an anonymous pipe, an inherited descriptor
    /// or a file. Escapes characters that would act on a terminal, see [`Writer::raw`]. Asks for a
    /// `capacity` in bytes; without one, a pipe of the default size may grow. Messages call the end
    /// `label`.
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

    /// Makes a writer as [`Writer::new`] does, of a pipe whose capacity has been set already.
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

    /// Makes a writer of a FIFO, whose reader may come later. Until it comes, no write is ready;
    /// from `deadline` on, the writer has failed with `timed-out`. Asks for a `capacity` in bytes
    /// once the reader is there.
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

    /// Lets all characters through to a terminal unchanged.
    pub fn raw(mut self) -> Self {
        self.flow.terminal = None;
        self
    }

    /// Returns whether bytes wait for which a terminal had no room.
    pub(crate) fn is_behind(&self) -> bool {
        self.flow.terminal.is_some() && !self.flow.outbox.is_empty()
    }

    pub(super) fn holding(mut self, hold: Hold) -> Self {
        self.hold.add(hold);
        self
    }

    /// Hands the writer over to another guest, whose messages and counts call it `label`.
    /// `pending_writes` delivers what it leaves behind.
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

    /// Returns a descriptor of the same pipe for a native command. Bytes that were accepted and are
    /// not yet written may come after those of the command.
    ///
    /// # Errors
    /// Those of [`End::for_native`], and an earlier failure of this writer. `unsupported` for a
    /// FIFO without a reader yet, and for a bounded end, as the host cannot count what a command
    /// moves.
    pub(crate) fn for_native(&mut self) -> Result<Handle, Fault> {
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(_) if self.is_bounded() => Err(ErrorCode::Unsupported.into()),
            State::Open(end) => Ok(end.for_native()?),
            State::Waiting { .. } => Err(ErrorCode::Unsupported.into()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Gives this end away to a native command. Returns the descriptor of [`Writer::for_native`],
    /// and what must be kept while the command has it.
    pub(crate) fn into_native(mut self) -> Result<(Handle, Kept), Fault> {
        let fd = self.for_native()?;
        let lease = match &self.flow.state {
            State::Open(end) => end.lease(),
            State::Waiting { .. } | State::Failed(_) => CapacityLease::default(),
        };
        Ok((fd, Kept::new(mem::take(&mut self.hold), lease)))
    }

    /// Returns whether the number or the rate of its bytes is limited.
    pub(crate) fn is_bounded(&self) -> bool {
        self.flow.meter.is_bounded()
    }

    /// Returns the writer's label, and the journal that notes its failures.
    pub(crate) fn journal(&self) -> (Label, Journal) {
        (self.flow.label.clone(), self.flow.journal.clone())
    }

    /// Writes as much of `buf` as there is room for, after all bytes accepted before. Returns
    /// `None` if there is no room, or no reader yet: await [`Writer::ready`]. Never blocks. On a
    /// terminal, a part may be accepted beyond the room, as by [`Writer::accept`].
    ///
    /// # Errors
    /// `broken-pipe` if the reader is gone, `timed-out` if no reader came in time, `limit-exceeded`
    /// if no more bytes may be written, `io`. Every later call fails with the same error.
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

    /// Returns how many bytes [`Writer::accept`] takes now: 0 if there is no room, or no reader
    /// yet.
    ///
    /// # Errors
    /// Those of [`Writer::try_write`].
    pub fn permit(&mut self) -> Result<usize, Fault> {
        match self.flow.deliver()? && self.flow.has_room()? {
            true => Ok(self.flow.meter.permit(PERMIT)),
            false => Ok(0),
        }
    }

    /// Takes all of `bytes`, which must be at most as many as [`Writer::permit`] returned. Bytes
    /// for which the kernel has no room are kept. The next call here that finds room writes them,
    /// or the drop does; a caller that makes no other call must call [`Writer::try_flush`] when
    /// there is room. Never blocks.
    ///
    /// Returns `Ok(false)`, and takes none of `bytes`, if they are more than is ever permitted, or
    /// if bytes accepted before are still under way. This bounds the memory that a writer can use.
    ///
    /// # Errors
    /// Those of [`Writer::try_write`].
    pub fn accept(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if bytes.len() > PERMIT || !self.flow.deliver()? {
            return Ok(bytes.is_empty());
        }
        self.take_on(bytes)?;
        Ok(true)
    }

    /// Takes `bytes` as [`Writer::accept`] does, for a caller whose permit another user of this end
    /// has used up since. At most one such write is made for each user of the end.
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

    /// Takes `bytes`. No earlier bytes may be waiting.
    fn take_on(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        if self.flow.terminal.is_some() {
            // The rate was checked when the permit was given.
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

    /// Takes `bytes` without a permit: they were kept back before. Drops them if the reader does
    /// not read, and as many bytes wait already as are ever permitted.
    pub(crate) fn enqueue(&mut self, bytes: &[u8]) {
        if matches!(self.flow.state, State::Failed(_)) || self.flow.outbox.len() >= PERMIT {
            return;
        }
        let _ = self.flow.deliver();
        self.flow.append(bytes);
        // A failure is in the journal. The rest goes with the next write, or after the drop.
        let _ = self.flow.deliver();
    }

    /// Keeps `bytes` for a later delivery and returns true, if they may wait: see
    /// [`deferred`](super::deferred).
    pub(super) fn defer(&mut self, bytes: &[u8]) -> bool {
        // A larger write is no longer whole, and better written at once than copied.
        if bytes.len() > PIPE_BUF.min(self.flow.room_to_defer()) {
            return false;
        }
        self.flow.deferred.push(bytes);
        true
    }

    /// Returns how many more bytes may be deferred.
    pub(super) fn room_to_defer(&self) -> usize {
        self.flow.room_to_defer()
    }

    /// Delivers the deferred bytes, and returns whether none of them is left. `is_last` says that
    /// the guest has ended, and cannot be told of a failure.
    pub(super) fn deliver_deferred(&mut self, is_last: bool) -> Result<bool, Fault> {
        self.flow.left_behind = is_last;
        let delivered = self.flow.deliver();
        self.flow.left_behind = false;
        self.flow.is_untold |= delivered.is_err() && !is_last;
        delivered
    }

    /// Notes that the guest has been told of the writer's failure.
    pub(crate) fn is_told(&mut self) {
        self.flow.is_untold = false;
    }

    /// Notes a failure of which the guest was not told. Called when the guest has ended.
    pub(super) fn note_untold(&mut self) {
        if let (true, State::Failed(fault)) = (self.flow.is_untold, &self.flow.state) {
            self.flow.journal.note(&self.flow.label, Direction::Write, *fault, true);
            self.flow.is_untold = false;
        }
    }

    /// Delivers accepted bytes for which there was no room as soon as there is some, whatever the
    /// guest waits for meanwhile. The reader may be waiting for just these bytes.
    pub(crate) fn attend(shared: &Arc<Mutex<Self>>) {
        let until_room = |writer: &Arc<Mutex<Self>>| -> Option<_> {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let was_stuck = writer.flow.is_stuck;
            match writer.try_flush() {
                Ok(false) => return Some(writer.ready_after_would_block()),
                Ok(true) => {}
                // The guest took deferred bytes for written.
                Err(_) => writer.flow.is_untold |= was_stuck,
            }
            writer.attended = false;
            None
        };
        {
            let mut writer = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if writer.attended || !matches!(writer.try_flush(), Ok(false)) {
                return;
            }
            // Without a runtime, only the drop delivers them.
            if tokio::runtime::Handle::try_current().is_err() {
                return;
            }
            writer.attended = true;
        }
        // When the last handle is gone, its drop delivers the rest.
        let writer = Arc::downgrade(shared);
        tokio::spawn(async move {
            while let Some(ready) = writer.upgrade().and_then(|writer| until_room(&writer)) {
                ready.await;
            }
        });
    }

    /// Delivers accepted bytes, and returns whether all of them are in the kernel. Needs no room
    /// beyond that, and no reader if no bytes are under way.
    ///
    /// # Errors
    /// Those of [`Writer::try_write`].
    pub fn try_flush(&mut self) -> Result<bool, Fault> {
        self.flow.deliver()
    }

    /// Returns a future that resolves when a write can get on, or has failed. The future writes
    /// nothing, holds no lock and is cancel safe. It may resolve early, so try again and wait
    /// again.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.flow.waiting(false)
    }

    /// Returns a future as [`Writer::ready`] does, for a caller whose write has just found no room.
    /// It is cheaper, as it does not ask the kernel again.
    pub fn ready_after_would_block(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.flow.waiting(true)
    }

    /// Checks, without a write, whether the reader is gone.
    ///
    /// # Errors
    /// Those of [`Writer::try_write`].
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

    /// Returns how many of `want` bytes may be written now.
    pub(super) fn allow(&self, want: usize) -> Allowance {
        self.flow.meter.allow(want)
    }

    /// Fails the writer, as there are more bytes to write than it may write.
    pub(super) fn exceeded(&mut self) -> Fault {
        self.flow.exceeded()
    }

    /// Notes that splice(2) has moved this many bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.flow.meter.moved(bytes);
    }

    /// Notes that a transfer found no room.
    pub(super) fn waits(&mut self) {
        self.flow.meter.waits();
    }

    /// Fails the writer with an error of splice(2).
    pub(super) fn fail(&mut self, error: io::Error) -> Fault {
        self.flow.fail(error.into())
    }

    /// Returns a future that resolves when the reader is gone: [`Writer::check`] fails then. The
    /// future holds no lock and is cancel safe.
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

    /// Returns the end into which splice(2) may move bytes. Returns `None` if there is no reader
    /// yet, or if bytes accepted before must be written first.
    ///
    /// # Errors
    /// Those of [`Writer::try_write`].
    pub(super) fn splice_target(&mut self) -> Result<Option<Arc<End>>, Fault> {
        let delivered = self.flow.deliver()?;
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(end) if delivered => Ok(Some(Arc::clone(end))),
            State::Open(_) | State::Waiting { .. } => Ok(None),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Returns the time at which the reader was found gone or late, once it is. Outlives the writer.
    pub(crate) fn broken(&self) -> Since {
        Arc::clone(&self.flow.broken)
    }

    /// Returns how many bytes the pipe can hold.
    ///
    /// # Errors
    /// `unsupported` if a FIFO has no reader yet: it holds nothing then.
    pub fn capacity(&mut self) -> Result<u64, Fault> {
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(end) => Ok(end.capacity()?),
            State::Waiting { .. } => Err(ErrorCode::Unsupported.into()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Returns whether the writer writes to a terminal.
    pub fn is_terminal(&self) -> bool {
        matches!(&self.flow.state, State::Open(end) if end.is_terminal())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Other processes may see that this end is closed, so deferred writes are delivered first.
        super::deferred::settle();
        self.flow.finish();
        if !self.flow.is_behind() {
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
