//! The pipes of one guest: those that were granted to it, and those that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Label;
use super::asked::{Asked, GrantUse};
use super::deferred;
use super::grant::{EofPolicy, Source};
use super::journal::Bounds;
use super::spawn::Spawn;
use super::{
    Activity, Child, Directions, ErrorCode, Event, Events, Fault, Grant, Journal, PendingWrites,
    PipeName, Reader, SpawnRequest, Writer,
};
use crate::limits::{EndLimits, GuestLimits, GuestQuotas, Permit, Totals};
use crate::sys::{self, CapacityLease, Direction};

/// The pipes of one guest.
///
/// By default a guest has nothing granted, may make anonymous pipes, has the limits of
/// [`GuestLimits::default`], and starts nothing. Must be made inside a tokio runtime.
#[derive(Debug)]
pub struct Pipes {
    granted: Vec<Granted>,
    limits: GuestLimits,
    quotas: GuestQuotas,
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
    watched: Vec<Activity>,
    events: Events,
    max_descriptors: usize,
    totals: Option<Totals>,
}

/// Two grants have the same name.
#[derive(Debug, thiserror::Error)]
#[error("the pipe name `{0}` is granted twice")]
pub struct DuplicateName(pub PipeName);

impl PipesBuilder {
    /// Grants a pipe.
    ///
    /// # Errors
    /// Where one of that name is granted already.
    pub fn grant(mut self, grant: Grant) -> Result<Self, DuplicateName> {
        self.pipes = self.pipes.granting(grant)?;
        Ok(self)
    }

    /// What the guest is permitted. Default: [`GuestLimits::default`].
    ///
    /// An anonymous pipe counts once among the open ones, as does each opened end of a granted one. Bytes are
    /// counted at each end of a granted pipe, and at each standard stream that notes in this [`Pipes::journal`], all
    /// the times together that it is open; not at pipes that the guest makes, as both of their ends are its own. An
    /// end that it gives to a child takes its count along. A rate may be caught up on for a tenth of a second, and
    /// what is read or written in one piece of up to PIPE_BUF bytes stays whole.
    pub fn limits(mut self, limits: GuestLimits) -> Self {
        self.pipes.limits = limits;
        self
    }

    /// How many descriptors the pipes, the opened files and the children of the guest may take of this process.
    /// Default: as many as there are.
    pub fn max_descriptors(mut self, count: usize) -> Self {
        self.max_descriptors = count;
        self
    }

    /// What it shares with other guests, beside its own limits. Default: nothing.
    pub fn within(mut self, totals: &Totals) -> Self {
        self.totals = Some(totals.clone());
        self
    }

    /// What is told of events, on the thread on which they happen, which it must not keep. Default: `tracing`.
    pub fn events(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.events = Events::to(listener);
        self
    }

    /// Has `activity` know, too, when something moves.
    pub fn watched_by(mut self, activity: Activity) -> Self {
        self.watched.push(activity);
        self
    }

    /// The pipes. [`GuestLimits::idle_timeout`] counts from here on.
    pub fn build(self) -> Pipes {
        let Self { pipes, mut watched, events, max_descriptors, totals } = self;
        let limits = pipes.limits.clone();
        let idle = limits.idle_timeout.map(|limit| (limit, Activity::new()));
        watched.extend(idle.iter().map(|(_, activity)| activity.clone()));
        let quotas = GuestQuotas::new(&limits, totals.as_ref(), max_descriptors);
        let ends = EndLimits { max_bytes: limits.max_bytes, rate: limits.rate };
        let reached = quotas.reached().clone();
        let bounds = Bounds { ends, reached, watched, events };
        Pipes { quotas, idle, journal: Journal::within(bounds), ..pipes }
    }
}

impl Pipes {
    /// Sets up pipes, with nothing granted at first.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn builder() -> PipesBuilder {
        let limits = GuestLimits::default();
        PipesBuilder {
            pipes: Self {
                granted: Vec::new(),
                quotas: GuestQuotas::new(&limits, None, 0),
                limits,
                idle: None,
                pending_writes: PendingWrites::new(),
                journal: Journal::new(),
                spawner: None,
                asked: Asked::default(),
            },
            watched: Vec::new(),
            events: Events::default(),
            max_descriptors: usize::MAX,
            totals: None,
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
            quotas: self.quotas.clone(),
            open_timeout: self.limits.open_timeout,
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
        deferred::settle();
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
        let room = Arc::new([self.quotas.pipe()?, self.quotas.descriptors(2)?]);
        let hold = || Hold { room: vec![Arc::clone(&room)], busy: Vec::new() };
        let (mut reader, mut writer) = sys::anonymous()?;
        reader.grow();
        writer.shares_growth_of(&reader);
        Ok((
            Reader::new(reader, None, label(), &journal).holding(hold()),
            Writer::new(writer, None, label(), &self.pending_writes, &journal).holding(hold()),
        ))
    }

    /// What the guest is permitted.
    pub(crate) fn limits(&self) -> &GuestLimits {
        &self.limits
    }

    /// What the guest and its children have left of it.
    pub(crate) fn quotas(&self) -> &GuestQuotas {
        &self.quotas
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
        self.limits.open_timeout
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
        // Opening a FIFO releases a peer that waits for that.
        deferred::settle();
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
        let room = match granted.grant.source {
            // It has what it was opened with.
            Source::Passed(_) => Vec::new(),
            // It may be opened again before it is closed.
            _ => vec![Arc::new([self.quotas.pipe()?, self.quotas.descriptors(2)?])],
        };
        let hold = Hold { room, busy: vec![busy] };
        self.asked.opened();
        Ok(Opening {
            grant: &mut granted.grant,
            hold,
            deadline: deadline(self.limits.open_timeout),
            pending_writes: &self.pending_writes,
            journal: &self.journal,
        })
    }
}

/// What the pipes of a guest and of its children have in common.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    quotas: GuestQuotas,
    open_timeout: Option<Duration>,
    pending_writes: PendingWrites,
    journal: Journal,
}

impl Family {
    /// What the family has left of what it is permitted.
    pub(crate) fn quotas(&self) -> &GuestQuotas {
        &self.quotas
    }

    /// Sets up the pipes of a child, with these granted: they count with those of its parent, wait for
    /// peers as long, and what the child leaves behind is delivered with what the parent does. The child may have
    /// `max_memory` bytes of its family's, and run for `timeout`.
    ///
    /// # Errors
    /// `in-use` where two have the same name; `limit-exceeded` where no fuel is left.
    pub(crate) fn pipes(
        &self,
        grants: Vec<Grant>,
        max_memory: Option<u64>,
        timeout: Option<Duration>,
    ) -> Result<Pipes, ErrorCode> {
        let open_timeout = self.open_timeout;
        let none = Pipes {
            granted: Vec::new(),
            limits: GuestLimits { timeout, open_timeout, ..GuestLimits::default() },
            quotas: self.quotas.of_child(max_memory)?,
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
    /// Room for a pipe, and for its descriptors.
    room: Vec<Arc<[Permit; 2]>>,
    busy: Vec<BusyGuard>,
}

impl Hold {
    /// Keeps from others what `more` does, too.
    pub(super) fn add(&mut self, more: Self) {
        self.room.extend(more.room);
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
