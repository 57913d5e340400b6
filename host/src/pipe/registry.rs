//! The pipes of one guest: those that were granted to it, and those that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::grant::{EofPolicy, Source};
use super::slots::{Slot, Slots};
use super::spawn::Spawn;
use super::{
    Child, Directions, Drains, ErrorCode, Fault, Grant, Journal, PipeName, Reader, SpawnRequest,
    Writer,
};
use crate::os::{self, Direction, Growth};

/// How many pipes a guest may have open unless told otherwise.
const DEFAULT_MAX_PIPES: usize = 64;

/// The pipes of one guest.
///
/// By default a guest has nothing granted, may make anonymous pipes, have 64 pipes open, wait for
/// peers without end, and start nothing. Must be made inside a tokio runtime.
#[derive(Debug)]
pub struct Pipes {
    granted: Vec<Granted>,
    slots: Slots,
    open_timeout: Option<Duration>,
    drains: Drains,
    journal: Journal,
    spawner: Option<Box<dyn Spawn>>,
}

#[derive(Debug)]
struct Granted {
    grant: Grant,
    reader: Busy,
    writer: Busy,
}

/// Sets up [`Pipes`].
#[derive(Debug)]
pub struct PipesBuilder {
    pipes: Pipes,
}

/// Two grants have the same name.
#[derive(Debug, thiserror::Error)]
#[error("the pipe name `{0}` is granted twice; give one of them another: NAME=PATH")]
pub struct DuplicateName(PipeName);

impl PipesBuilder {
    /// Grants a pipe.
    ///
    /// # Errors
    /// Where one of that name is granted already.
    pub fn grant(mut self, grant: Grant) -> Result<Self, DuplicateName> {
        if self.pipes.granted.iter().any(|granted| granted.grant.name == grant.name) {
            return Err(DuplicateName(grant.name));
        }
        self.pipes.granted.push(Granted {
            grant,
            reader: Busy::default(),
            writer: Busy::default(),
        });
        Ok(self)
    }

    /// How many pipes the guest may have open: an anonymous pipe counts once, as does each
    /// opened end of a granted one. Default 64.
    pub fn max_pipes(mut self, count: usize) -> Self {
        self.pipes.slots = Slots::new(count);
        self
    }

    /// How long an opened FIFO may be without its first peer; default is for ever.
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.pipes.open_timeout = Some(timeout);
        self
    }

    /// The pipes.
    pub fn build(self) -> Pipes {
        self.pipes
    }
}

impl Pipes {
    /// Sets up pipes, with nothing granted at first.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn builder() -> PipesBuilder {
        PipesBuilder {
            pipes: Self {
                granted: Vec::new(),
                slots: Slots::new(DEFAULT_MAX_PIPES),
                open_timeout: None,
                drains: Drains::new(),
                journal: Journal::new(),
                spawner: None,
            },
        }
    }

    /// What the guest's children share with it.
    pub(crate) fn family(&self) -> Family {
        Family {
            slots: self.slots.clone(),
            open_timeout: self.open_timeout,
            drains: self.drains.clone(),
        }
    }

    /// What the guest may start. Nothing, unless this is called.
    pub(crate) fn set_spawner(&mut self, spawner: Box<dyn Spawn>) {
        self.spawner = Some(spawner);
    }

    /// The names of what the guest may start, in the order in which they were granted.
    pub fn children(&self) -> Vec<String> {
        self.spawner.as_ref().map(|spawner| spawner.names()).unwrap_or_default()
    }

    /// Starts a child on the ends in `request`, which are given away, also where this fails.
    ///
    /// # Errors
    /// `invalid-name`, `not-permitted`, `limit-exceeded`, `unsupported`, `io`.
    pub fn spawn(&mut self, request: SpawnRequest) -> Result<Child, Fault> {
        let name: PipeName = request.name.parse().map_err(|_| ErrorCode::InvalidName)?;
        match &mut self.spawner {
            Some(spawner) => spawner.spawn(&name, request),
            None => Err(ErrorCode::NotPermitted.into()),
        }
    }

    /// What was granted, in the order of the grants.
    pub fn list(&self) -> impl Iterator<Item = (&PipeName, Directions)> {
        self.granted.iter().map(|granted| (&granted.grant.name, granted.grant.directions))
    }

    /// Opens the granted pipe `name` for reading. Never blocks: a writer may come later.
    ///
    /// # Errors
    /// `invalid-name`, `not-permitted`, `in-use`, `limit-exceeded`, `io`.
    pub fn open_reader(&mut self, name: &str) -> Result<Reader, Fault> {
        let opening = self.opening(name, Direction::Read)?;
        let Opening { grant, hold, deadline, drains: _, journal } = opening;
        let label = grant.name.as_str();
        let reader = match &mut grant.source {
            Source::Fifo(fifo) => {
                let reopen = grant.eof == EofPolicy::Reopen;
                Reader::fifo(fifo, reopen, deadline, grant.capacity, label, journal)?
            }
            Source::Descriptor(descriptor) => {
                Reader::new(descriptor.open(Direction::Read)?, grant.capacity, label, journal)
            }
            Source::Joined(joined) => {
                Reader::of_joint(joined.open(Direction::Read)?, label, journal)
            }
            Source::Passed(passed) => {
                let reader = passed.reader.take().ok_or(ErrorCode::NotPermitted)?;
                reader.passed_on(label, journal)
            }
        };
        Ok(reader.holding(hold))
    }

    /// Opens the granted pipe `name` for writing. Never blocks: a reader may come later.
    ///
    /// # Errors
    /// `invalid-name`, `not-permitted`, `in-use`, `limit-exceeded`, `io`.
    pub fn open_writer(&mut self, name: &str) -> Result<Writer, Fault> {
        let opening = self.opening(name, Direction::Write)?;
        let Opening { grant, hold, deadline, drains, journal } = opening;
        let label = grant.name.as_str();
        let writer = match &mut grant.source {
            Source::Fifo(fifo) => {
                Writer::fifo(fifo, grant.capacity, deadline, label, drains, journal)?
            }
            Source::Descriptor(descriptor) => {
                let end = descriptor.open(Direction::Write)?;
                Writer::new(end, grant.capacity, label, drains, journal)
            }
            Source::Joined(joined) => {
                Writer::of_joint(joined.open(Direction::Write)?, label, drains, journal)
            }
            Source::Passed(passed) => {
                let writer = passed.writer.take().ok_or(ErrorCode::NotPermitted)?;
                writer.passed_on(label, drains, journal)
            }
        };
        Ok(writer.holding(hold))
    }

    /// Makes an anonymous pipe.
    ///
    /// # Errors
    /// `limit-exceeded`, `io`.
    pub fn create(&self) -> Result<(Reader, Writer), Fault> {
        const LABEL: &str = "an anonymous pipe";
        // How a guest treats its own pipes is no concern of its operator's.
        let journal = Journal::new();
        let slot = Arc::new(self.slots.take()?);
        let (mut reader, mut writer) = os::anonymous()?;
        reader.grow();
        writer.shares_growth_of(&reader);
        Ok((
            Reader::new(reader, None, LABEL, &journal).holding(Hold::of_pipe(Arc::clone(&slot))),
            Writer::new(writer, None, LABEL, &self.drains, &journal).holding(Hold::of_pipe(slot)),
        ))
    }

    /// The deliveries that go on after the guest has closed its ends.
    pub fn drains(&self) -> &Drains {
        &self.drains
    }

    /// The failures of the guest's pipe ends.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How long an opened FIFO may be without its first peer.
    pub fn open_timeout(&self) -> Option<Duration> {
        self.open_timeout
    }

    /// Everything that is asked before an end is opened.
    fn opening(&mut self, name: &str, direction: Direction) -> Result<Opening<'_>, ErrorCode> {
        let name: PipeName = name.parse().map_err(|_| ErrorCode::InvalidName)?;
        let granted = self
            .granted
            .iter_mut()
            .find(|granted| granted.grant.name == name)
            .filter(|granted| granted.grant.directions.permit(direction))
            .ok_or(ErrorCode::NotPermitted)?;
        let busy = match direction {
            Direction::Read => &granted.reader,
            Direction::Write => &granted.writer,
        };
        let busy = busy.take()?;
        let slots = match granted.grant.source {
            // It has the slot that it was opened with.
            Source::Passed(_) => Vec::new(),
            _ => vec![Arc::new(self.slots.take()?)],
        };
        let hold = Hold { slots, busy: vec![busy] };
        Ok(Opening {
            grant: &mut granted.grant,
            hold,
            deadline: deadline(self.open_timeout),
            drains: &self.drains,
            journal: &self.journal,
        })
    }
}

/// What the pipes of a guest and of its children have in common.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    slots: Slots,
    open_timeout: Option<Duration>,
    drains: Drains,
}

impl Family {
    /// Sets up the pipes of a child, with nothing granted at first: they count with those of its
    /// parent, wait for peers as long, and what the child leaves behind is delivered with what the
    /// parent does.
    pub(crate) fn builder(&self) -> PipesBuilder {
        PipesBuilder {
            pipes: Pipes {
                granted: Vec::new(),
                slots: self.slots.clone(),
                open_timeout: self.open_timeout,
                drains: self.drains.of_child(),
                journal: Journal::new(),
                spawner: None,
            },
        }
    }
}

/// When `timeout` from now is; never, where that is beyond all clocks.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
}

struct Opening<'a> {
    grant: &'a mut Grant,
    hold: Hold,
    deadline: Option<Instant>,
    drains: &'a Drains,
    journal: &'a Journal,
}

/// What an open end keeps from others, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Hold {
    slots: Vec<Arc<Slot>>,
    busy: Vec<BusyGuard>,
}

impl Hold {
    fn of_pipe(slot: Arc<Slot>) -> Self {
        Self { slots: vec![slot], busy: Vec::new() }
    }

    /// Keeps from others what `more` does, too.
    pub(super) fn add(&mut self, more: Self) {
        self.slots.extend(more.slots);
        self.busy.extend(more.busy);
    }
}

/// What an end that a native command has keeps from others, while the command runs.
#[derive(Debug)]
pub(crate) struct Kept(
    #[allow(dead_code, reason = "given back when it is dropped")] (Hold, Growth),
);

impl Kept {
    pub(super) fn new(hold: Hold, growth: Growth) -> Self {
        Self((hold, growth))
    }
}

/// Whether one end of a granted pipe is open.
#[derive(Debug, Default)]
struct Busy(Arc<AtomicBool>);

#[derive(Debug)]
struct BusyGuard(Arc<AtomicBool>);

impl Busy {
    fn take(&self) -> Result<BusyGuard, ErrorCode> {
        match self.0.swap(true, Ordering::Relaxed) {
            true => Err(ErrorCode::InUse),
            false => Ok(BusyGuard(Arc::clone(&self.0))),
        }
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
