//! How bytes leave a writer: what was accepted first, within its bounds, escaped where a terminal shows them.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::time::{Instant, sleep_until};

use super::super::journal::Meter;
use super::super::opening::{at, set_capacity};
use super::super::terminal::Terminal;
use super::super::{ErrorCode, Fault, Journal, Label, Since};
use crate::limits::Allowance;
use crate::sys::{Direction, End, ReaderWait};

/// How much [`Writer::accept`](super::Writer::accept) takes at once, and how much may be deferred. Bounds what a guest
/// that writes into full pipes can make the host hold: so much for each pipe that it may have open.
pub(crate) const PERMIT: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) state: State,
    /// Accepted, and not yet in the kernel, which had no room.
    pub(super) outbox: Bytes,
    /// Accepted, and not yet in the kernel, which was not asked: see [`deferred`](super::super::deferred). The outbox
    /// is empty then.
    pub(super) deferred: Vec<u8>,
    /// It has failed while something deferred was delivered, and no call of the guest's has told of that yet.
    pub(super) is_untold: bool,
    pub(super) capacity: Option<u64>,
    pub(super) broken: Since,
    /// Nobody is left who could be told of a failure.
    pub(super) left_behind: bool,
    pub(super) label: Label,
    pub(super) journal: Journal,
    pub(super) meter: Meter,
    /// Set if it writes to a terminal, and what acts on one is to be escaped. The outbox is, then.
    pub(super) terminal: Option<Box<Terminal>>,
}

#[derive(Debug)]
pub(super) enum State {
    /// A FIFO without a reader, so far.
    Waiting {
        reader: ReaderWait,
        deadline: Option<Instant>,
    },
    Open(Arc<End>),
    Failed(Fault),
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
    /// An end with nothing accepted yet.
    pub(super) fn new(
        state: State,
        capacity: Option<u64>,
        label: Label,
        journal: &Journal,
    ) -> Self {
        Self {
            state,
            outbox: Bytes::new(),
            deferred: Vec::new(),
            is_untold: false,
            capacity,
            broken: Arc::default(),
            left_behind: false,
            meter: journal.meter(&label, Direction::Write),
            label,
            journal: journal.clone(),
            terminal: None,
        }
    }

    /// Puts `bytes` behind what waits to be written, as they are to be shown.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let shown = match &mut self.terminal {
            None => Cow::Borrowed(bytes),
            Some(terminal) => {
                let mut shown = Vec::with_capacity(bytes.len());
                terminal.escaper.push(bytes, &mut shown);
                // Counted as the guest writes it: what is shown is longer.
                self.meter.moved(bytes.len());
                Cow::Owned(shown)
            }
        };
        self.outbox = match self.outbox.is_empty() {
            true => shown.into_owned().into(),
            false => [&self.outbox, &*shown].concat().into(),
        };
    }

    /// Nothing comes after this: a terminal gets what was begun, and its colours back.
    pub(super) fn finish(&mut self) {
        let Some(terminal) = self.terminal.as_mut().filter(|it| it.escaper.is_unfinished()) else {
            return;
        };
        let mut shown = self.outbox.to_vec();
        terminal.escaper.finish(&mut shown);
        if matches!(self.state, State::Open(_)) {
            self.outbox = shown.into();
            // A failure is in the journal; what has no room is left behind.
            let _ = self.deliver();
        }
    }

    /// Sees whether the reader that is waited for has come, or is late.
    pub(super) fn advance(&mut self) -> Result<(), Fault> {
        let State::Waiting { reader, deadline } = &self.state else {
            return Ok(());
        };
        match reader.take() {
            Some(opened) => match opened.and_then(|fd| End::owned(fd, Direction::Write)) {
                Ok(end) => {
                    self.state = State::opened(end, self.capacity, &self.label, &self.journal);
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
        let written = match &self.terminal {
            None => match self.allowance(buf.len())? {
                Some(most) => end.write(&buf[..most]),
                None => return Ok(None),
            },
            // What it gets was counted as the guest wrote it.
            Some(terminal) => terminal.write(&end, buf),
        };
        match written {
            Ok(n) => {
                // What is escaped counts as what the guest has written.
                self.meter.moved(if self.terminal.is_none() { n } else { 0 });
                Ok(Some(n))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.meter.waits();
                Ok(None)
            }
            Err(error) => Err(self.fail(error.into())),
        }
    }

    /// How many bytes can be deferred, beside those that are: none where each write is to be seen at once, as on a
    /// terminal, or is counted before it is made, or where something waits for room already.
    pub(super) fn room_to_defer(&self) -> usize {
        let may_wait = self.outbox.is_empty()
            && self.terminal.is_none()
            && !self.meter.is_bounded()
            && matches!(&self.state, State::Open(end) if !end.is_terminal());
        if may_wait { PERMIT - self.deferred.len() } else { 0 }
    }

    /// Writes what was deferred. What finds no room is in the outbox then.
    fn write_deferred(&mut self) -> Result<(), Fault> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        let mut deferred = std::mem::take(&mut self.deferred);
        let mut rest = &deferred[..];
        while !rest.is_empty() {
            match self.write(rest)? {
                Some(n) => rest = &rest[n..],
                None => break,
            }
        }
        self.outbox = Bytes::copy_from_slice(rest);
        // The memory is used again.
        deferred.clear();
        self.deferred = deferred;
        Ok(())
    }

    /// Writes what was accepted; whether nothing of it is left.
    pub(super) fn deliver(&mut self) -> Result<bool, Fault> {
        self.write_deferred()?;
        let is_torn = |flow: &Self| flow.terminal.as_ref().is_some_and(|it| it.is_torn());
        while !self.outbox.is_empty() || is_torn(self) {
            let bytes = self.outbox.clone();
            match self.write(&bytes)? {
                Some(n) => self.outbox.advance(n),
                None => return Ok(false),
            }
        }
        match &self.state {
            State::Failed(fault) => Err(*fault),
            _ => Ok(true),
        }
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

    /// How many bytes may be written now, of `wanted`; `None` where some may be later.
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
        self.meter.goes_on();
        self.outbox.clear();
        self.deferred = Vec::new();
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
            State::Waiting { reader, deadline } => Until::Reader(reader.done(), *deadline),
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
                // An error shows again in the write that follows.
                Until::Room(end) if just_tried => drop(end.ready_after_would_block().await),
                Until::Room(end) => drop(end.ready().await),
                Until::Now => {}
            }
        }
    }
}
