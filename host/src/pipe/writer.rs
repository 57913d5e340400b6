//! The writing end of a pipe.

mod excess;
mod flow;
mod framed;
mod framing;
mod later;
mod native;
mod shed;
mod whole;

use std::future::pending;
use std::io;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::Label;
use super::hold::{Hold, KeptEnd};
use super::opening::set_capacity;
use super::terminal::{AT_ONCE, Terminal};
use super::{ErrorCode, Fault, Frame, Journal, PendingWrites, Since};
use crate::limits::Allowance;
use crate::sys::{Direction, End, Fifo};
pub use excess::Excess;
use excess::Shedding;
pub(crate) use flow::PERMIT;
use flow::{Flow, State, Waiting};
use framing::Framing;

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
            flow: Flow { terminal, ..Flow::new(state, label, journal) },
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
            None => {
                let reader = fifo.wait_for_reader()?;
                State::Waiting(Box::new(Waiting { reader, deadline, capacity }))
            }
        };
        Ok(Self {
            flow: Flow::new(state, label, journal),
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

    /// Lets whole records through, and nothing else. Bytes count as the guest writes them, whether they become a
    /// record or not.
    ///
    /// See the example of [`Frame`].
    pub fn framed(mut self, frame: Frame) -> Self {
        self.flow.framing = Some(Box::new(Framing::new(frame)));
        self
    }

    /// Drops what is too much, so that its guest never waits. An [`Event`](super::Event) tells how much that was
    /// when the writer is dropped.
    ///
    /// [`Excess::Beyond`] is for a regular file, which takes all of a write at once. An end without room for it, such as
    /// a pipe, may lose bytes below the limit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use pipehost::Pipes;
    /// use pipehost::pipes::Excess;
    ///
    /// let pipes = Pipes::builder().build();
    /// let (_never_read, writer) = pipes.create()?;
    /// let mut writer = writer.shedding(Excess::NoRoom);
    /// for _ in 0..1000 {
    ///     assert_eq!(writer.try_write(&[b'x'; 4096])?, Some(4096));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn shedding(mut self, what: Excess) -> Self {
        self.flow.shedding = Some(Box::new(Shedding::new(what)));
        self
    }

    /// Returns whether bytes wait that the guest takes for written: for which a terminal had no room, or records.
    pub(crate) fn is_behind(&self) -> bool {
        let is_framed = self.flow.framing.is_some() && !self.flow.deferred.is_empty();
        is_framed || self.flow.terminal.is_some() && !self.flow.outbox.is_empty()
    }

    /// Returns whether only whole records pass. No native command can have such an end, and nothing goes past the
    /// records.
    pub(crate) fn is_framed(&self) -> bool {
        self.flow.framing.is_some()
    }

    /// Returns whether bytes are dropped. No native command can have such an end, as none of its bytes would be.
    pub(crate) fn is_shedding(&self) -> bool {
        self.flow.shedding.is_some()
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
        match self.flow.shedding {
            None => self.offer(buf),
            Some(_) => self.write_share(buf),
        }
    }

    /// Writes as [`Writer::try_write`] does, without dropping anything.
    fn offer(&mut self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        if self.is_framed() {
            return self.flow.write_framed(buf);
        }
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
        if self.never_waits() {
            self.flow.is_open()?;
            return Ok(PERMIT);
        }
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
        if self.flow.shedding.is_some() {
            return self.accept_share(bytes);
        }
        if bytes.len() > PERMIT || !self.flow.deliver()? {
            return Ok(bytes.is_empty());
        }
        self.take_on(bytes)?;
        Ok(true)
    }

    /// Takes `bytes` as [`Writer::accept`] does, for a caller whose permit another user of this end
    /// has used up since. At most one such write is made for each user of the end.
    pub(crate) fn accept_permitted(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if self.flow.shedding.is_some() {
            return self.accept_share(bytes);
        }
        if bytes.len() > PERMIT {
            return Ok(false);
        }
        let delivered = self.flow.deliver()?;
        if delivered || self.is_framed() {
            self.take_on(bytes)?;
        } else {
            self.flow.append(bytes);
        }
        Ok(true)
    }

    /// Ends what a guest writes here: a record that it has begun is none, and a terminal gets its colours reset.
    pub(crate) fn end_output(&mut self) {
        self.flow.finish_record();
        self.flow.finish();
    }

    /// Returns the same writer, without what it holds of a grant. Leaves one that has failed.
    fn without_hold(&mut self) -> Self {
        let pending_writes = self.pending_writes.clone();
        Self { flow: self.take_flow(), pending_writes, hold: Hold::default(), attended: false }
    }

    fn take_flow(&mut self) -> Flow {
        let gone = State::Failed(ErrorCode::BrokenPipe.into());
        let gone = Flow::new(gone, self.flow.label.clone(), &self.flow.journal);
        mem::replace(&mut self.flow, gone)
    }

    /// Takes `bytes`. No earlier bytes may be waiting.
    fn take_on(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        if self.is_framed() {
            return self.flow.take_on_framed(bytes);
        }
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
        if self.flow.shedding.is_some() {
            let _ = self.accept_share(bytes);
            return;
        }
        self.flow.append(bytes);
        // A failure is in the journal. The rest goes with the next write, or after the drop.
        let _ = self.flow.deliver();
    }

    /// Delivers accepted bytes, and returns whether all of them are in the kernel. Needs no room
    /// beyond that, and no reader if no bytes are under way.
    ///
    /// # Errors
    /// Those of [`Writer::try_write`].
    pub fn try_flush(&mut self) -> Result<bool, Fault> {
        let delivered = self.flow.deliver()?;
        Ok(delivered || self.never_waits())
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
        self.note_untold();
        self.end_output();
        let is_whole = !matches!(self.flow.state, State::Failed(_));
        let hold = mem::take(&mut self.hold);
        if is_whole && hold.keep(|| KeptEnd::Writer(Box::new(self.without_hold()))) {
            return;
        }
        self.hold = hold;
        self.flow.finish_shedding();
        if !self.flow.is_behind() {
            return;
        }
        let mut flow = self.take_flow();
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
