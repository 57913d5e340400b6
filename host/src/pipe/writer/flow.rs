//! Writes a writer's bytes in the order in which they were accepted, within its bounds, and escaped
//! on a terminal.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::time::{Instant, sleep_until};

use super::super::journal::Meter;
use super::super::opening::{at, set_capacity};
use super::super::terminal::Terminal;
use super::super::{ErrorCode, Fault, Journal, Label, Since};
use super::excess::Shedding;
use super::framing::Framing;
use super::whole::WholeWrites;
use crate::limits::Allowance;
use crate::sys::{Direction, End, ReaderWait};

/// How many bytes [`Writer::accept`](super::Writer::accept) takes at once, and how many may be
/// deferred. Bounds the memory that a guest which writes into full pipes can make the host use:
/// this much for each pipe that it may open.
pub(crate) const PERMIT: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) state: State,
    /// Accepted bytes for which the kernel had no room.
    pub(super) outbox: Bytes,
    /// Accepted bytes that the kernel was not yet asked to take: see
    /// [`deferred`](super::super::deferred). Of a framed writer, records that wait. They go before those of the
    /// outbox.
    pub(super) deferred: Box<WholeWrites>,
    /// Whether there was no room for deferred bytes. Nothing more is deferred then.
    pub(super) is_stuck: bool,
    /// Whether the writer failed while deferred bytes were delivered, and no call of the guest's
    /// has returned that failure yet.
    pub(super) is_untold: bool,
    /// A write has succeeded. The first one is never deferred: the guest is told at once that the end is not open, or
    /// that the reader has left before.
    pub(super) is_proven: bool,
    pub(super) broken: Since,
    /// Whether the guest is gone, so that it cannot be told of a failure.
    pub(super) left_behind: bool,
    pub(super) label: Label,
    pub(super) journal: Journal,
    pub(super) meter: Meter,
    /// Set if the writer writes to a terminal and escapes characters that act on one. The outbox
    /// holds escaped bytes then.
    pub(super) terminal: Option<Box<Terminal>>,
    /// Set if only whole records may pass. Bytes are counted as they come in then.
    pub(super) framing: Option<Box<Framing>>,
    /// Set if the guest's writes never wait.
    pub(super) shedding: Option<Box<Shedding>>,
}

#[derive(Debug)]
pub(super) enum State {
    /// A FIFO that has no reader so far.
    Waiting(Box<Waiting>),
    Open(Arc<End>),
    Failed(Fault),
}

/// The wait for a FIFO's reader.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) reader: ReaderWait,
    /// From when on it is too late.
    pub(super) deadline: Option<Instant>,
    /// The capacity in bytes to ask for then.
    pub(super) capacity: Option<u64>,
}

impl State {
    pub(super) fn opened(
        mut end: End,
        capacity: Option<u64>,
        label: &Label,
        journal: &Journal,
    ) -> Self {
        set_capacity(&mut end, capacity, label, journal);
        Self::Open(Arc::new(end))
    }
}

impl Flow {
    /// Makes a flow with nothing accepted yet.
    pub(super) fn new(state: State, label: Label, journal: &Journal) -> Self {
        Self {
            state,
            outbox: Bytes::new(),
            deferred: Box::default(),
            is_stuck: false,
            is_untold: false,
            is_proven: false,
            broken: Arc::default(),
            left_behind: false,
            meter: journal.meter(&label, Direction::Write),
            label,
            journal: journal.clone(),
            terminal: None,
            framing: None,
            shedding: None,
        }
    }

    /// Returns whether bytes are counted when the kernel takes them, and not before.
    fn counts_written(&self) -> bool {
        self.terminal.is_none() && self.framing.is_none()
    }

    /// Puts `bytes` behind those that wait to be written, escaped if they go to a terminal.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let shown = match &mut self.terminal {
            None => Cow::Borrowed(bytes),
            Some(terminal) => {
                let mut shown = Vec::with_capacity(bytes.len());
                terminal.escaper.push(bytes, &mut shown);
                // Counted as the guest writes them: the escaped bytes are more.
                if self.framing.is_none() {
                    self.meter.moved(bytes.len());
                }
                Cow::Owned(shown)
            }
        };
        self.outbox = match self.outbox.is_empty() {
            true => shown.into_owned().into(),
            false => [&self.outbox, &*shown].concat().into(),
        };
    }

    /// Ends the output. A terminal gets an unfinished sequence escaped, and its colours reset.
    pub(super) fn finish(&mut self) {
        let Some(terminal) = self.terminal.as_mut().filter(|it| it.escaper.is_unfinished()) else {
            return;
        };
        let mut shown = self.outbox.to_vec();
        terminal.escaper.finish(&mut shown);
        if matches!(self.state, State::Open(_)) {
            self.outbox = shown.into();
            // A failure is in the journal. Bytes without room are left behind.
            let _ = self.deliver();
        }
    }

    /// Checks whether the awaited reader has come, or is late.
    pub(super) fn advance(&mut self) -> Result<(), Fault> {
        let State::Waiting(waiting) = &self.state else {
            return Ok(());
        };
        let Waiting { reader, deadline, capacity } = &**waiting;
        match reader.take() {
            Some(opened) => match opened.and_then(|fd| End::owned(fd, Direction::Write)) {
                Ok(end) => {
                    self.state = State::opened(end, *capacity, &self.label, &self.journal);
                    Ok(())
                }
                Err(error) => Err(self.fail(error.into())),
            },
            None if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                Err(self.fail(ErrorCode::TimedOut.into()))
            }
            None => Ok(()),
        }
    }

    /// Returns whether the flow is open; `false` if a FIFO has no reader yet.
    pub(super) fn is_open(&mut self) -> Result<bool, Fault> {
        self.advance()?;
        match &self.state {
            State::Open(_) => Ok(true),
            State::Waiting { .. } => Ok(false),
            State::Failed(fault) => Err(*fault),
        }
    }

    pub(super) fn write(&mut self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        self.advance()?;
        let end = match &self.state {
            State::Open(end) => end,
            State::Waiting { .. } => {
                self.meter.waits();
                return Ok(None);
            }
            State::Failed(fault) => return Err(*fault),
        };
        let end = Arc::clone(end);
        let counts = self.counts_written();
        let written = match &self.terminal {
            None if counts => match self.allowance(buf.len())? {
                Some(most) => end.write(&buf[..most]),
                None => return Ok(None),
            },
            // These bytes were counted as the guest wrote them.
            None => end.write(buf),
            Some(terminal) => terminal.write(&end, buf),
        };
        match written {
            Ok(n) => {
                self.is_proven |= n > 0;
                // Escaped bytes, and records, count as the guest wrote them.
                self.meter.moved(if counts { n } else { 0 });
                Ok(Some(n))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.meter.waits();
                Ok(None)
            }
            Err(error) => Err(self.fail(error.into())),
        }
    }

    /// Returns how many more bytes can be deferred. Returns 0 if each write must be seen at once,
    /// as on a terminal, if each write is counted before it is made, or if bytes wait for room
    /// already.
    pub(super) fn room_to_defer(&self) -> usize {
        let may_wait = self.is_proven
            && self.outbox.is_empty()
            && !self.is_stuck
            && self.terminal.is_none()
            && !self.meter.is_bounded()
            && matches!(&self.state, State::Open(end) if !end.is_terminal());
        if may_wait { PERMIT.saturating_sub(self.deferred.len()) } else { 0 }
    }

    /// Writes the deferred bytes, and returns whether none of them is left.
    fn write_deferred(&mut self) -> Result<bool, Fault> {
        if self.deferred.is_empty() {
            return Ok(true);
        }
        let mut deferred = std::mem::take(&mut self.deferred);
        while !deferred.is_empty() {
            // If this fails, the bytes are lost with the end.
            match self.write(deferred.first())? {
                Some(n) => deferred.advance(n),
                None => break,
            }
        }
        self.is_stuck = !deferred.is_empty();
        self.deferred = deferred;
        Ok(!self.is_stuck)
    }

    /// Writes accepted bytes, and returns whether none of them is left: not here, and not under way into the
    /// system.
    pub(super) fn deliver(&mut self) -> Result<bool, Fault> {
        if !self.write_deferred()? {
            return Ok(false);
        }
        let is_torn = |flow: &Self| flow.terminal.as_ref().is_some_and(|it| it.is_torn());
        while !self.outbox.is_empty() || is_torn(self) {
            let bytes = self.outbox.clone();
            match self.write(&bytes)? {
                Some(n) => self.outbox.advance(n),
                None => return Ok(false),
            }
        }
        let settled = match &self.state {
            State::Failed(fault) => return Err(*fault),
            State::Waiting { .. } => return Ok(true),
            State::Open(end) => end.has_settled(),
        };
        settled.map_err(|error| self.fail(error.into()))
    }

    /// Returns whether bytes wait here, or are under way into the system.
    pub(super) fn is_behind(&self) -> bool {
        let unsettled = |end: &End| matches!(end.has_settled(), Ok(false));
        !self.outbox.is_empty()
            || !self.deferred.is_empty()
            || matches!(&self.state, State::Open(end) if unsettled(end))
    }

    pub(super) fn has_room(&mut self) -> Result<bool, Fault> {
        self.advance()?;
        let room = match &self.state {
            State::Open(_) if self.meter.later().is_some() => return Ok(false),
            State::Open(end) => end.is_ready()?,
            State::Waiting { .. } => false,
            State::Failed(fault) => return Err(*fault),
        };
        match room {
            true => self.meter.goes_on(),
            false => self.meter.waits(),
        }
        Ok(room)
    }

    /// Returns how many of `wanted` bytes may be written now; `None` if some may be later.
    pub(super) fn allowance(&mut self, wanted: usize) -> Result<Option<usize>, Fault> {
        match self.meter.allow(wanted) {
            Allowance::Bytes(most) => Ok(Some(most)),
            Allowance::Later => Ok(None),
            Allowance::Spent => Err(self.exceeded()),
        }
    }

    pub(super) fn exceeded(&mut self) -> Fault {
        let fault = self.meter.exceeded();
        self.fail(fault)
    }

    pub(super) fn fail(&mut self, fault: Fault) -> Fault {
        self.meter.fails(fault.code);
        self.outbox.clear();
        self.deferred.clear();
        if let Some(framing) = &mut self.framing {
            framing.clear();
        }
        self.is_stuck = false;
        self.state = State::Failed(fault);
        if matches!(fault.code, ErrorCode::BrokenPipe | ErrorCode::TimedOut) {
            let _ = self.broken.set(std::time::Instant::now());
        }
        self.journal.note(&self.label, Direction::Write, fault, self.left_behind);
        fault
    }

    pub(super) fn waiting(
        &self,
        just_tried: bool,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        enum Until<D> {
            Reader(D, Option<Instant>),
            Room(Arc<End>),
            Now,
        }
        let until = match &self.state {
            State::Waiting(it) => Until::Reader(it.reader.done(), it.deadline),
            State::Open(end) => Until::Room(Arc::clone(end)),
            State::Failed(_) => Until::Now,
        };
        let later = self.meter.later();
        async move {
            match until {
                Until::Room(_) if let Some(later) = later => sleep_until(later).await,
                Until::Reader(done, deadline) => tokio::select! {
                    () = done => {}
                    () = at(deadline) => {}
                },
                // The write that follows meets an error again.
                Until::Room(end) if just_tried => drop(end.ready_after_would_block().await),
                Until::Room(end) => drop(end.ready().await),
                Until::Now => {}
            }
        }
    }
}
