//! The pipes of one guest: those that were granted to it, and those that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Label;
use super::asked::{Asked, GrantUse};
use super::deferred;
use super::grant::{EofPolicy, Source};
use super::handover::Handover;
use super::hold::{Hold, KeptEnd, Place};
use super::journal::Bounds;
use super::spawn::Spawn;
use super::{
    Activity, Child, Directions, ErrorCode, Event, Events, Fault, Grant, Journal, PendingWrites,
    PipeName, Reader, SpawnRequest, Writer,
};
use crate::limits::{EndLimits, GuestLimits, GuestQuotas, Totals};
use crate::sys::{self, Direction};

/// The pipes of one guest.
///
/// By default a guest has nothing granted, may make anonymous pipes, has the limits of
/// [`GuestLimits::default`], and starts nothing. Must be made inside a tokio runtime.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::pipes::{ErrorCode, pipe_pair};
/// use pipehost::{Grant, GuestLimits, Pipes};
///
/// let pair = pipe_pair(None)?;
/// let mut limits = GuestLimits::default();
/// limits.max_bytes = Some(1 << 20);
/// let mut pipes = Pipes::builder()
///     .grant(Grant::joined("in".parse()?, Some(pair.reader), None))?
///     .limits(limits)
///     .events(|event| eprintln!("{event}"))
///     .build();
/// // This is what a guest's calls do.
/// let reader = pipes.open_reader("in")?;
/// assert_eq!(pipes.open_reader("out").unwrap_err().code, ErrorCode::NotPermitted);
/// # Ok(())
/// # }
/// ```
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
    /// Whether ends of granted pipes that are dropped now are kept.
    keeping: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Granted {
    grant: Grant,
    reader: Place,
    writer: Place,
}

/// Sets up [`Pipes`].
///
/// See the example of [`Pipes`].
#[derive(Debug)]
pub struct PipesBuilder {
    pipes: Pipes,
    watched: Vec<Activity>,
    events: Events,
    max_descriptors: usize,
    totals: Option<Totals>,
    handover: Option<Handover>,
}

/// Two grants have the same name.
///
/// Returned by [`PipesBuilder::grant`], which the example of [`Pipes`] calls.
#[derive(Debug, thiserror::Error)]
#[error("the pipe name `{0}` is granted twice")]
pub struct DuplicateName(pub PipeName);

impl PipesBuilder {
    /// Grants a pipe.
    ///
    /// # Errors
    /// Fails if a pipe of that name is granted already.
    pub fn grant(mut self, grant: Grant) -> Result<Self, DuplicateName> {
        self.pipes = self.pipes.granting(grant)?;
        Ok(self)
    }

    /// Sets the guest's limits. Default: [`GuestLimits::default`].
    ///
    /// Each anonymous pipe counts as one open pipe, and so does each opened end of a granted pipe.
    /// Bytes are counted at each end of a granted pipe, and at each standard stream that notes in
    /// this [`Pipes::journal`], over all the times that it is open. They are not counted at pipes
    /// that the guest makes, as both of their ends are its own. An end that the guest gives to a
    /// child keeps its count. An end that was slower than its rate may catch up for a tenth of a
    /// second. A read or write of up to PIPE_BUF bytes in one piece is never split.
    pub fn limits(mut self, limits: GuestLimits) -> Self {
        self.pipes.limits = limits;
        self
    }

    /// Sets how many of this process's descriptors the pipes, the opened files and the children of
    /// the guest may use. Default: no limit.
    pub fn max_descriptors(mut self, count: usize) -> Self {
        self.max_descriptors = count;
        self
    }

    /// Sets the limits that the guest shares with other guests, besides its own. Default: none.
    pub fn within(mut self, totals: &Totals) -> Self {
        self.totals = Some(totals.clone());
        self
    }

    /// Sets the function that is called with events, on the thread on which they happen. It must
    /// not block that thread. Default: events go to `tracing`. Of a FIFO that an
    /// [`Opener`](crate::launch::Opener) opened, the opener's listener hears.
    pub fn events(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.events = Events::to(listener);
        self
    }

    /// Lets another guest take the guest's place while it runs: see [`Setup::swaps`](crate::Setup::swaps). Bytes are
    /// copied then, also where a guest hands a stream on unread. Default: no.
    pub fn handed_over(mut self) -> Self {
        self.handover = Some(Handover::default());
        self
    }

    /// Adds an `activity` that records moves on these pipes, too.
    pub fn watched_by(mut self, activity: Activity) -> Self {
        self.watched.push(activity);
        self
    }

    /// Builds the pipes. [`GuestLimits::idle_timeout`] counts from here on.
    pub fn build(self) -> Pipes {
        let Self { pipes, mut watched, events, max_descriptors, totals, handover } = self;
        let limits = pipes.limits.clone();
        let idle = limits.idle_timeout.map(|limit| (limit, Activity::new()));
        watched.extend(idle.iter().map(|(_, activity)| activity.clone()));
        let quotas = GuestQuotas::new(&limits, totals.as_ref(), max_descriptors);
        let ends = EndLimits { max_bytes: limits.max_bytes, rate: limits.rate };
        let reached = quotas.reached().clone();
        for granted in &pipes.granted {
            if let Source::Fifo(fifo) = &granted.grant.source {
                let events = events.clone();
                fifo.on_warning(move |path, warning| {
                    events.tell(&Event::Fifo { path: path.into(), warning });
                });
            }
        }
        let bounds = Bounds { ends, reached, watched, events, handover, ..Bounds::default() };
        Pipes { quotas, idle, journal: Journal::within(bounds), ..pipes }
    }
}

impl Pipes {
    /// Returns a builder of pipes. Nothing is granted at first.
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
                keeping: Arc::default(),
            },
            watched: Vec::new(),
            events: Events::default(),
            max_descriptors: usize::MAX,
            totals: None,
            handover: None,
        }
    }

    fn granting(mut self, grant: Grant) -> Result<Self, DuplicateName> {
        if self.granted.iter().any(|granted| granted.grant.name == grant.name) {
            return Err(DuplicateName(grant.name));
        }
        let place = || Place::new(&self.keeping);
        let (reader, writer) = (place(), place());
        self.granted.push(Granted { grant, reader, writer });
        Ok(self)
    }

    /// Returns what the guest's children share with it.
    pub(crate) fn family(&self) -> Family {
        Family {
            quotas: self.quotas.clone(),
            open_timeout: self.limits.open_timeout,
            pending_writes: self.pending_writes.clone(),
            journal: self.journal.clone(),
        }
    }

    /// Sets what starts the guest's children. Without it, the guest may start nothing.
    pub(crate) fn set_spawner(&mut self, spawner: Box<dyn Spawn>) {
        self.spawner = Some(spawner);
    }

    /// Returns the names of the children that the guest may start, in the order in which they were
    /// granted.
    pub fn children(&self) -> Vec<String> {
        self.spawner.as_ref().map(|spawner| spawner.names()).unwrap_or_default()
    }

    /// Starts a child on the ends in `request`. They are given away, even if this fails.
    ///
    /// What may be started is granted by [`Setup::children`](crate::Setup::children), or by
    /// [`Children::grant_to`](crate::children::Children::grant_to).
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

    /// Returns the name and the directions of each granted pipe, in the order of the grants.
    pub fn list(&self) -> impl Iterator<Item = (&PipeName, Directions)> {
        self.granted.iter().map(|granted| (&granted.grant.name, granted.grant.directions))
    }

    /// Opens the granted pipe `name` for reading. Never blocks: a writer may come later.
    ///
    /// # Errors
    /// `invalid-name`, `not-permitted`, `in-use`, `limit-exceeded`, `io`.
    pub fn open_reader(&mut self, name: &str) -> Result<Reader, Fault> {
        let opening = self.opening(name, Direction::Read)?;
        let Opening { kept, grant, hold, deadline, pending_writes: _, journal } = opening;
        let label = Label::from(&grant.name);
        if let Some(KeptEnd::Reader(reader)) = kept {
            return Ok(reader.passed_on(label, journal).holding(hold));
        }
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
        Ok(reader.by_records_of(grant.frame).holding(hold))
    }

    /// Opens the granted pipe `name` for writing. Never blocks: a reader may come later.
    ///
    /// # Errors
    /// `invalid-name`, `not-permitted`, `in-use`, `limit-exceeded`, `io`.
    pub fn open_writer(&mut self, name: &str) -> Result<Writer, Fault> {
        let opening = self.opening(name, Direction::Write)?;
        let Opening { kept, grant, hold, deadline, pending_writes, journal } = opening;
        let label = Label::from(&grant.name);
        let writer = match &mut grant.source {
            _ if let Some(KeptEnd::Writer(writer)) = kept => {
                writer.passed_on(label, pending_writes, journal)
            }
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
        let writer = writer.holding(hold);
        Ok(match grant.frame {
            Some(frame) => writer.framed(frame),
            None => writer,
        })
    }

    /// Makes an anonymous pipe.
    ///
    /// # Errors
    /// `limit-exceeded`, `io`.
    pub fn create(&self) -> Result<(Reader, Writer), Fault> {
        let label = || Label::Pipe("an anonymous pipe".into());
        let journal = self.journal.of_own_pipes();
        let room = Arc::new([self.quotas.pipe()?, self.quotas.descriptors(2)?]);
        let hold = || Hold::new(vec![Arc::clone(&room)], Vec::new());
        let (mut reader, mut writer) = sys::anonymous()?;
        reader.grow();
        writer.shares_growth_of(&reader);
        Ok((
            Reader::new(reader, None, label(), &journal).holding(hold()),
            Writer::new(writer, None, label(), &self.pending_writes, &journal).holding(hold()),
        ))
    }

    /// Returns the flag that [`Pipes::keep_ends`] sets.
    pub(crate) fn keeping(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.keeping)
    }

    /// Sets whether ends of granted pipes that are dropped from now on stay open, until the guest opens them again.
    /// Their peers see nothing of it then.
    pub(crate) fn keep_ends(&self, keep: bool) {
        self.keeping.store(keep, Ordering::Relaxed);
    }

    /// Waits until the bytes that kept writers had accepted are delivered, or have no reader left. Cancel safe.
    pub(crate) async fn kept_delivered(&mut self) {
        for place in self.granted.iter_mut().map(|granted| &mut granted.writer) {
            let Some(mut end) = place.kept().take() else { continue };
            if let KeptEnd::Writer(writer) = &mut end {
                while writer.is_kept_behind() {
                    writer.ready_after_would_block().await;
                }
            }
            *place.kept() = Some(end);
        }
    }

    /// Returns the guest's limits.
    pub(crate) fn limits(&self) -> &GuestLimits {
        &self.limits
    }

    /// Returns what is left of the limits of the guest and its children.
    pub(crate) fn quotas(&self) -> &GuestQuotas {
        &self.quotas
    }

    /// Returns the deliveries that go on after the guest has closed its ends.
    pub fn pending_writes(&self) -> &PendingWrites {
        &self.pending_writes
    }

    /// Returns the journal, which notes the failures of the guest's pipe ends.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Returns how long an opened FIFO may be without its first peer.
    pub fn open_timeout(&self) -> Option<Duration> {
        self.limits.open_timeout
    }

    /// Returns how long the guest may go without a moved byte, and the record of the last move.
    pub(crate) fn idle(&self) -> Option<(Duration, Activity)> {
        self.idle.clone()
    }

    /// Returns the use of the operator's grants, to be queried later.
    pub(crate) fn grant_use(&self) -> GrantUse {
        // Ends that a parent guest passes to a child concern that parent, not the operator.
        let by_operator = |granted: &&Granted| !matches!(granted.grant.source, Source::Passed(_));
        let names = self.granted.iter().filter(by_operator).map(|it| it.grant.name.to_string());
        GrantUse { names: names.collect(), asked: self.asked.clone() }
    }

    /// Makes every check that comes before an end is opened, and reserves room for the end.
    fn opening(&mut self, name: &str, direction: Direction) -> Result<Opening<'_>, ErrorCode> {
        // Opening a FIFO releases a peer that waits in open(2), so deferred writes go first.
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
        let place = match direction {
            Direction::Read => &granted.reader,
            Direction::Write => &granted.writer,
        };
        let busy = place.take()?;
        let room = match granted.grant.source {
            // A passed end keeps the room with which it was opened.
            Source::Passed(_) => Vec::new(),
            // Two descriptors: a FIFO may be opened again before its old end is closed.
            _ => vec![Arc::new([self.quotas.pipe()?, self.quotas.descriptors(2)?])],
        };
        let hold = Hold::new(room, vec![busy]);
        self.asked.opened();
        let kept = place.kept().take();
        Ok(Opening {
            kept,
            grant: &mut granted.grant,
            hold,
            deadline: deadline(self.limits.open_timeout),
            pending_writes: &self.pending_writes,
            journal: &self.journal,
        })
    }
}

/// The state that the pipes of a guest and of its children share.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    quotas: GuestQuotas,
    open_timeout: Option<Duration>,
    pending_writes: PendingWrites,
    journal: Journal,
}

impl Family {
    /// Returns what is left of the family's limits.
    pub(crate) fn quotas(&self) -> &GuestQuotas {
        &self.quotas
    }

    /// Sets up the pipes of a child, with these grants. They count with those of its parent, and
    /// wait as long for peers. What the child leaves behind is delivered with what the parent
    /// leaves behind. The child may have `max_memory` bytes of its family's memory, and run for
    /// `timeout`.
    ///
    /// # Errors
    /// `in-use` if two grants have the same name; `limit-exceeded` if no fuel is left.
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
            keeping: Arc::default(),
        };
        grants
            .into_iter()
            .try_fold(none, |pipes, grant| pipes.granting(grant).map_err(|_| ErrorCode::InUse))
    }
}

/// Returns the time `timeout` from now; `None` if that is beyond all clocks.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
}

struct Opening<'a> {
    /// The end, if it was open when the guest trapped.
    kept: Option<KeptEnd>,
    grant: &'a mut Grant,
    hold: Hold,
    deadline: Option<Instant>,
    pending_writes: &'a PendingWrites,
    journal: &'a Journal,
}
