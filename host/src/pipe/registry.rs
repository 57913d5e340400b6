//! The pipes of one guest: those that were granted to it, and those that it makes.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Label;
use super::asked::{Asked, GrantUse};
use super::grant::{EofPolicy, Source};
use super::holdings::{Held, Holdings};
use super::journal::Bounds;
use super::slots::{Slot, Slots};
use super::spawn::Spawn;
use super::{
    Activity, Child, Directions, ErrorCode, Fault, Grant, Journal, PendingWrites, PipeName,
    Reached, Reader, SpawnRequest, TotalPipes, Writer,
};
use crate::sys::{self, CapacityLease, Direction};

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
    holdings: Holdings,
    open_timeout: Option<Duration>,
    idle: Option<(Duration, Activity)>,
    pending_writes: PendingWrites,
    journal: Journal,
    spawner: Option<Box<dyn Spawn>>,
    /// Whether any of the granted pipes has been opened.
    asked: Asked,
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
    bounds: Bounds,
    max_pipes: usize,
    max_descriptors: usize,
    within: Option<TotalPipes>,
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
        self.pipes = self.pipes.granting(grant)?;
        Ok(self)
    }

    /// How many pipes the guest may have open: an anonymous pipe counts once, as does each
    /// opened end of a granted one. Default 64.
    pub fn max_pipes(mut self, count: usize) -> Self {
        self.max_pipes = count;
        self
    }

    /// How many descriptors the pipes, the opened files and the children of the guest may take of this process.
    /// Default: as many as there are.
    pub fn max_descriptors(mut self, count: usize) -> Self {
        self.max_descriptors = count;
        self
    }

    /// Which number of pipes it shares with other guests, beside its own. Default: none.
    pub fn within(mut self, total: TotalPipes) -> Self {
        self.within = Some(total);
        self
    }

    /// How many bytes may be read from, or written to, each end of a granted pipe, and each standard
    /// stream that notes in this [`Pipes::journal`], all the times together that it is open. Default:
    /// without end.
    ///
    /// Exactly as many pass; a read or write of more fails with `limit-exceeded`. Pipes that the guest
    /// makes are not counted, as both of their ends are its own. An end that it gives to a child takes
    /// its count along, and cannot be given to a native command, whose bytes nobody counts.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.bounds.ends.max_bytes = Some(bytes);
        self
    }

    /// How many bytes a second may go through each of the ends that [`PipesBuilder::max_bytes`] counts.
    /// Default: as many as can. A tenth of a second may be caught up on at once, and what is read or
    /// written in one piece of up to PIPE_BUF bytes stays whole.
    pub fn rate(mut self, bytes: NonZeroU64) -> Self {
        self.bounds.ends.rate = Some(bytes);
        self
    }

    /// How long nothing may move on any pipe of the guest and its children before the run is ended, see
    /// [`Outcome::Silent`](crate::outcome::Outcome::Silent). Counts from when this is called.
    /// Default: for ever.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        let activity = Activity::new();
        self.pipes.idle = Some((timeout, activity.clone()));
        self.bounds.watched.push(activity);
        self
    }

    /// Has `activity` know, too, when something moves.
    pub fn watched_by(mut self, activity: Activity) -> Self {
        self.bounds.watched.push(activity);
        self
    }

    /// How long an opened FIFO may be without its first peer; default is for ever.
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.pipes.open_timeout = Some(timeout);
        self
    }

    /// The pipes.
    pub fn build(self) -> Pipes {
        let slots = Slots::new(self.max_pipes, self.within);
        let holdings = Holdings::new(self.max_descriptors, self.bounds.reached.clone());
        Pipes { slots, holdings, journal: Journal::within(self.bounds), ..self.pipes }
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
                slots: Slots::new(0, None),
                holdings: Holdings::new(0, Reached::default()),
                open_timeout: None,
                idle: None,
                pending_writes: PendingWrites::new(),
                journal: Journal::new(),
                spawner: None,
                asked: Asked::default(),
            },
            bounds: Bounds::default(),
            max_pipes: DEFAULT_MAX_PIPES,
            max_descriptors: usize::MAX,
            within: None,
        }
    }

    fn granting(mut self, grant: Grant) -> Result<Self, DuplicateName> {
        if self.granted.iter().any(|granted| granted.grant.name == grant.name) {
            return Err(DuplicateName(grant.name));
        }
        self.granted.push(Granted { grant, reader: Busy::default(), writer: Busy::default() });
        Ok(self)
    }

    /// What the guest's children share with it.
    pub(crate) fn family(&self) -> Family {
        Family {
            slots: self.slots.clone(),
            holdings: self.holdings.clone(),
            open_timeout: self.open_timeout,
            pending_writes: self.pending_writes.clone(),
            journal: self.journal.clone(),
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
        let Opening { grant, hold, deadline, pending_writes: _, journal } = opening;
        let label = Label::from(&grant.name);
        let reader = match &mut grant.source {
            Source::Fifo(fifo) => {
                let reopen = grant.eof == EofPolicy::Reopen;
                Reader::fifo(fifo, reopen, deadline, grant.capacity, label, journal)?
            }
            Source::Descriptor(descriptor) => {
                Reader::new(descriptor.open(Direction::Read)?, grant.capacity, label, journal)
            }
            Source::Joined(joined) => {
                Reader::of_pipe_pair(joined.open(Direction::Read)?, label, journal)
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
        let Opening { grant, hold, deadline, pending_writes, journal } = opening;
        let label = Label::from(&grant.name);
        let writer = match &mut grant.source {
            Source::Fifo(fifo) => {
                Writer::fifo(fifo, grant.capacity, deadline, label, pending_writes, journal)?
            }
            Source::Descriptor(descriptor) => {
                let end = descriptor.open(Direction::Write)?;
                Writer::new(end, grant.capacity, label, pending_writes, journal)
            }
            Source::Joined(joined) => {
                Writer::of_pipe_pair(joined.open(Direction::Write)?, label, pending_writes, journal)
            }
            Source::Passed(passed) => {
                let writer = passed.writer.take().ok_or(ErrorCode::NotPermitted)?;
                writer.passed_on(label, pending_writes, journal)
            }
        };
        Ok(writer.holding(hold))
    }

    /// Makes an anonymous pipe.
    ///
    /// # Errors
    /// `limit-exceeded`, `io`.
    pub fn create(&self) -> Result<(Reader, Writer), Fault> {
        let label = || Label::Pipe("an anonymous pipe".into());
        let journal = self.journal.of_own_pipes();
        let slot = Arc::new(self.slots.take(&self.journal.reached())?);
        let held = Arc::new(self.holdings.descriptors(2)?);
        let hold = || Hold::of_pipe(Arc::clone(&slot), Arc::clone(&held));
        let (mut reader, mut writer) = sys::anonymous()?;
        reader.grow();
        writer.shares_growth_of(&reader);
        Ok((
            Reader::new(reader, None, label(), &journal).holding(hold()),
            Writer::new(writer, None, label(), &self.pending_writes, &journal).holding(hold()),
        ))
    }

    /// What the host holds for the guest and its children.
    pub(crate) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// The deliveries that go on after the guest has closed its ends.
    pub fn pending_writes(&self) -> &PendingWrites {
        &self.pending_writes
    }

    /// The failures of the guest's pipe ends.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How long an opened FIFO may be without its first peer.
    pub fn open_timeout(&self) -> Option<Duration> {
        self.open_timeout
    }

    /// How long nothing may move, and what knows when something did.
    pub(crate) fn idle(&self) -> Option<(Duration, Activity)> {
        self.idle.clone()
    }

    /// What is granted by an operator, to be asked about later.
    pub(crate) fn grant_use(&self) -> GrantUse {
        // What a parent passes to a child is that guest's concern.
        let by_operator = |granted: &&Granted| !matches!(granted.grant.source, Source::Passed(_));
        let names = self.granted.iter().filter(by_operator).map(|it| it.grant.name.to_string());
        GrantUse { names: names.collect(), asked: self.asked.clone() }
    }

    /// Everything that is asked before an end is opened.
    fn opening(&mut self, name: &str, direction: Direction) -> Result<Opening<'_>, ErrorCode> {
        let name: PipeName = name.parse().map_err(|_| ErrorCode::InvalidName)?;
        let granted = self
            .granted
            .iter_mut()
            .find(|granted| granted.grant.name == name)
            .filter(|granted| granted.grant.directions.permit(direction));
        let Some(granted) = granted else {
            self.asked.missed(name, direction);
            return Err(ErrorCode::NotPermitted);
        };
        let busy = match direction {
            Direction::Read => &granted.reader,
            Direction::Write => &granted.writer,
        };
        let busy = busy.take()?;
        let (slots, held) = match granted.grant.source {
            // It has what it was opened with.
            Source::Passed(_) => (Vec::new(), Vec::new()),
            // It may be opened again before it is closed.
            _ => (
                vec![Arc::new(self.slots.take(&self.journal.reached())?)],
                vec![Arc::new(self.holdings.descriptors(2)?)],
            ),
        };
        let hold = Hold { slots, held, busy: vec![busy] };
        self.asked.opened();
        Ok(Opening {
            grant: &mut granted.grant,
            hold,
            deadline: deadline(self.open_timeout),
            pending_writes: &self.pending_writes,
            journal: &self.journal,
        })
    }
}

/// What the pipes of a guest and of its children have in common.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    slots: Slots,
    holdings: Holdings,
    open_timeout: Option<Duration>,
    pending_writes: PendingWrites,
    journal: Journal,
}

impl Family {
    /// What the host holds for the family.
    pub(crate) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Sets up the pipes of a child, with these granted: they count with those of its parent, wait for
    /// peers as long, and what the child leaves behind is delivered with what the parent does.
    ///
    /// # Errors
    /// `in-use` where two have the same name.
    pub(crate) fn pipes(&self, grants: Vec<Grant>) -> Result<Pipes, ErrorCode> {
        let none = Pipes {
            granted: Vec::new(),
            slots: self.slots.clone(),
            holdings: self.holdings.clone(),
            open_timeout: self.open_timeout,
            idle: None,
            pending_writes: self.pending_writes.of_child(),
            journal: self.journal.of_child(),
            spawner: None,
            asked: Asked::default(),
        };
        grants
            .into_iter()
            .try_fold(none, |pipes, grant| pipes.granting(grant).map_err(|_| ErrorCode::InUse))
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
    pending_writes: &'a PendingWrites,
    journal: &'a Journal,
}

/// What an open end keeps from others, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Hold {
    slots: Vec<Arc<Slot>>,
    held: Vec<Arc<Held>>,
    busy: Vec<BusyGuard>,
}

impl Hold {
    fn of_pipe(slot: Arc<Slot>, held: Arc<Held>) -> Self {
        Self { slots: vec![slot], held: vec![held], busy: Vec::new() }
    }

    /// Keeps from others what `more` does, too.
    pub(super) fn add(&mut self, more: Self) {
        self.slots.extend(more.slots);
        self.held.extend(more.held);
        self.busy.extend(more.busy);
    }
}

/// What an end that a native command has keeps from others, while the command runs.
#[derive(Debug)]
pub(crate) struct Kept(
    #[allow(dead_code, reason = "given back when it is dropped")] (Hold, CapacityLease),
);

impl Kept {
    pub(super) fn new(hold: Hold, lease: CapacityLease) -> Self {
        Self((hold, lease))
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
