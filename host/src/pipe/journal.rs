//! Records what happens on the ends of a guest's pipes, for its operator: failures, how many bytes
//! went through, and how long the guest waited.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::Label;
use super::activity::Activity;
use super::changes::Changes;
use super::counter::Counter;
use super::events::{Event, Events};
use super::handover::Handover;
use super::told::{Told, end_span};
use super::{ErrorCode, Fault, Refused};
use crate::limits::{Allowance, Budget, EndLimits, Reached};
use crate::sys::Direction;

/// A guest can make pipes fail without end. The journal keeps this many failures that the guest was
/// told of, and as many that it was not told of.
const MOST_NOTES: usize = 256;

/// A failure of one pipe end.
///
/// See the example of [`Journal`].
#[derive(Clone, Debug)]
pub struct Note {
    /// The end: that of a pipe, or a standard stream.
    pub label: Label,
    /// The end's direction.
    pub direction: Direction,
    /// The failure.
    pub fault: Fault,
    /// Whether the guest had closed the end and was not told: bytes that it had handed over are
    /// lost.
    pub left_behind: bool,
}

/// What went through one end of a guest's pipe, over all the times that it was open.
///
/// See the example of [`Journal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The end, as in a [`Note`].
    pub label: Label,
    /// The end's direction.
    pub direction: Direction,
    /// How many bytes the guest read, or how many it wrote and the kernel took.
    pub bytes: u64,
    /// How long the guest asked in vain for bytes to read, or for room to write.
    pub waited: Duration,
}

/// What one end of a guest's pipe has moved so far, and whether the guest waits for it now.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::pipes::{Direction, End, PipePair, Reader, pipe_pair};
/// use pipehost::{Label, Pipes};
///
/// let PipePair { reader, writer: _writer, .. } = pipe_pair(None)?;
/// let journal = Pipes::builder().build().journal().clone();
/// let end = End::owned(reader, Direction::Read)?;
/// let mut reader = Reader::new(end, None, Label::Stdin, &journal);
/// reader.try_read(&mut [0; 16])?; // nothing has been written yet
/// // Meanwhile, or on another thread:
/// let now = &journal.ends()[0];
/// println!("{}: {} bytes, waits for {:?}", now.label, now.bytes, now.waiting);
/// # assert!(now.waiting.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndNow {
    /// The end, as in a [`Note`].
    pub label: Label,
    /// The end's direction.
    pub direction: Direction,
    /// As in a [`Total`].
    pub bytes: u64,
    /// How long the guest asked in vain for bytes to read, or for room to write, the wait that goes on now included.
    pub waited: Duration,
    /// For how long it has been waiting for that, if it still does.
    pub waiting: Option<Duration>,
    /// How many bytes the end may move, if that is limited.
    pub max_bytes: Option<u64>,
    /// Whether the guest has the end open.
    pub is_open: bool,
    /// Whether a reader has met the end of file, since it was opened last.
    pub is_at_end: bool,
    /// How the end has failed since it was opened last, if it has.
    pub fault: Option<ErrorCode>,
}

/// What happened on one guest's pipe ends. Cloning gives another handle to the same journal.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Grant, Pipes, pipes};
///
/// let pair = pipes::pipe_pair(None)?;
/// let grant = Grant::joined("out".parse()?, None, Some(pair.writer));
/// let mut pipes = Pipes::builder().grant(grant)?.build();
/// let journal = pipes.journal().clone();
/// pipes.open_writer("out")?.try_write(b"hello")?;
/// for total in journal.totals() {
///     println!("{} ({}): {} bytes", total.label, total.direction.doing(), total.bytes);
/// }
/// assert!(journal.notes().is_empty()); // nothing has failed
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Journal {
    notes: Arc<Mutex<Vec<Note>>>,
    counters: Arc<Mutex<Vec<Counted>>>,
    /// How many openings of ends messages have told of, or `None` if none are to.
    told: Option<Arc<AtomicUsize>>,
    bounds: Bounds,
    changes: Changes,
}

/// The limits of a guest's ends, and who observes them. An end without limits costs nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) ends: EndLimits,
    pub(super) reached: Reached,
    /// Records that note every move.
    pub(super) watched: Vec<Activity>,
    /// The receiver of the events of the guest's family.
    pub(super) events: Events,
    /// What ends the run of the guest's family: something that is no record, and the end that it was written to.
    pub(super) unframed: watch::Sender<Option<(Label, Refused)>>,
    pub(super) ending: Arc<Ending>,
    /// Tells of another guest that takes this one's place, if one may.
    pub(super) handover: Option<Handover>,
}

/// What has come of the guest's life.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Whether the guest has ended: nothing that it could still do is kept from it.
    is_over: AtomicBool,
    /// Whether the guest has not come to an end by itself: what it has begun to write is unfinished.
    cut_short: AtomicBool,
}

/// An end and its counter.
type Counted = (Label, Direction, Arc<Counter>);

/// Counts for one end while it is open, and says how many bytes it may move.
#[derive(Debug)]
pub(super) struct Meter {
    counter: Arc<Counter>,
    waits_since: Option<Instant>,
    budget: Option<Arc<Budget>>,
    watched: Box<[Activity]>,
    told: Option<Told>,
}

impl Journal {
    /// Makes an empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty journal for ends with these bounds.
    pub(super) fn within(bounds: Bounds) -> Self {
        Self { bounds, told: Some(Arc::default()), ..Self::default() }
    }

    /// Returns a journal for the pipes that a guest makes. Failures on them do not concern the
    /// operator, and both of their ends are the guest's own. Only the fact that bytes move is
    /// recorded.
    pub(super) fn of_own_pipes(&self) -> Self {
        let Bounds { watched, events, .. } = self.bounds.clone();
        let bounds = Bounds { watched, events, ..Bounds::default() };
        Self { bounds, ..Self::default() }
    }

    /// Returns a journal for a child's ends. An end that is passed to the child keeps its bounds.
    pub(super) fn of_child(&self) -> Self {
        let (ends, ending) = (EndLimits::default(), Arc::default());
        // It ends with its parent, whoever follows that.
        let handover = None;
        Self::within(Bounds { ends, ending, handover, ..self.bounds.clone() })
    }

    /// Has the next change of an end of this guest's wake `observer`, once: bytes that move, a wait that begins or ends, an end that
    /// opens, closes or fails. Those of its children and of the pipes that it makes do not. One that happens at this very moment may
    /// not wake, so whoever rests looks once more a moment later. There is one observer.
    #[cfg(feature = "cli")]
    pub(crate) fn wake(&self, observer: &Arc<Notify>) {
        self.changes.wake(observer);
    }

    /// Ends the run: the guest has written what is no record to an end that does not permit this.
    pub(super) fn end_unframed(&self, label: &Label, refused: Refused) {
        self.bounds.unframed.send_if_modified(|unframed| {
            let is_first = unframed.is_none();
            unframed.get_or_insert_with(|| (label.clone(), refused));
            is_first
        });
    }

    /// Returns what ended the run, if something that is no record did.
    pub(crate) fn unframed(&self) -> Option<(Label, Refused)> {
        self.bounds.unframed.borrow().clone()
    }

    /// Resolves when something that is no record ends the run. Cancel safe.
    pub(crate) async fn until_unframed(&self) -> (Label, Refused) {
        let mut unframed = self.bounds.unframed.subscribe();
        match unframed.wait_for(Option::is_some).await.map(|unframed| unframed.clone()) {
            Ok(Some(unframed)) => unframed,
            // Cannot be: `self` keeps the sender.
            _ => std::future::pending().await,
        }
    }

    /// Notes that the guest has ended: by itself, or `cut_short`, so that what it has begun to write stays unfinished.
    pub(crate) fn end(&self, cut_short: bool) {
        self.bounds.ending.cut_short.store(cut_short, Ordering::Relaxed);
        self.bounds.ending.is_over.store(true, Ordering::Relaxed);
    }

    /// Notes that the guest is started again.
    pub(crate) fn begin_again(&self) {
        self.bounds.ending.cut_short.store(false, Ordering::Relaxed);
        self.bounds.ending.is_over.store(false, Ordering::Relaxed);
    }

    /// Returns what tells of another guest that takes this one's place, if one may.
    pub(crate) fn handover(&self) -> Option<&Handover> {
        self.bounds.handover.as_ref()
    }

    /// Returns whether the guest has ended, in whatever way.
    pub(crate) fn is_over(&self) -> bool {
        self.bounds.ending.is_over.load(Ordering::Relaxed)
    }

    /// Returns whether the guest was ended, and has not come to an end by itself.
    pub(super) fn is_cut_short(&self) -> bool {
        self.bounds.ending.cut_short.load(Ordering::Relaxed)
    }

    /// Returns the limits that the guest and its children have reached.
    pub fn reached(&self) -> Reached {
        self.bounds.reached.clone()
    }

    /// Returns the receiver of the events of the guest and its family.
    pub(crate) fn events(&self) -> &Events {
        &self.bounds.events
    }

    /// Returns whether the guest waits for room in a pipe.
    pub(crate) fn waits_for_room(&self) -> bool {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters
            .iter()
            .any(|(_, way, counter)| *way == Direction::Write && counter.waiting().is_some())
    }

    pub(super) fn note(
        &self,
        label: &Label,
        direction: Direction,
        fault: Fault,
        left_behind: bool,
    ) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.iter().filter(|note| note.left_behind == left_behind).count() < MOST_NOTES {
            // A failure is noted anew if it turns out that the guest was not told of it.
            let is_same = |note: &Note| {
                (&note.label, note.direction, note.fault) == (label, direction, fault)
            };
            let was_noted = left_behind && notes.iter().any(is_same);
            if fault.code == ErrorCode::Io && !was_noted {
                // The guest learns only that there was an error.
                self.bounds.events.tell(&Event::PipeFault { label: label.clone(), fault });
            }
            end_span(label, Some(direction)).in_scope(|| tracing::debug!("{fault}"));
            notes.push(Note { label: label.clone(), direction, fault, left_behind });
        }
    }

    /// Returns the failures noted so far, in order.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a meter for this end. It adds to what was counted for the end before.
    pub(super) fn meter(&self, label: &Label, direction: Direction) -> Meter {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counters.iter().find(|(known, way, _)| known == label && *way == direction);
        let counter = match known {
            Some((_, _, counter)) => Arc::clone(counter),
            None => {
                let budget = self.bounds.ends.budget(label, direction, &self.bounds.reached);
                let counter = Arc::new(Counter::new(budget, self.changes.clone()));
                counters.push((label.clone(), direction, Arc::clone(&counter)));
                counter
            }
        };
        counter.opens();
        let budget = counter.budget.clone();
        let told = self.told.as_ref().and_then(|count| Told::opens(label, direction, count));
        Meter { counter, waits_since: None, budget, watched: self.bounds.watched[..].into(), told }
    }

    /// Returns what has been counted so far for each end that was opened, in the order of their
    /// first openings. A wait counts once it is over.
    pub fn totals(&self) -> Vec<Total> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let total = |(label, direction, counter): &Counted| Total {
            label: label.clone(),
            direction: *direction,
            bytes: counter.bytes.load(Ordering::Relaxed),
            waited: Duration::from_nanos(counter.waited.load(Ordering::Relaxed)),
        };
        counters.iter().map(total).collect()
    }

    /// Returns the state of each end that was opened, in the order of their first openings. Takes a short lock, which
    /// no end needs to move bytes.
    pub fn ends(&self) -> Vec<EndNow> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let now = |(label, direction, counter): &Counted| {
            let waited = Duration::from_nanos(counter.waited.load(Ordering::Relaxed));
            let waiting = counter.waiting();
            EndNow {
                label: label.clone(),
                direction: *direction,
                bytes: counter.bytes.load(Ordering::Relaxed),
                waited: waited.saturating_add(waiting.unwrap_or_default()),
                waiting,
                max_bytes: counter.budget.as_ref().and_then(|budget| budget.max_bytes()),
                is_open: counter.is_open(),
                is_at_end: counter.is_at_end(),
                fault: counter.fault(),
            }
        };
        counters.iter().map(now).collect()
    }
}

impl Meter {
    /// Counts `bytes` that went through. This ends a wait.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.counter.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counter.changes.note();
        if let Some(budget) = &self.budget {
            budget.spend(bytes);
        }
        if bytes > 0 {
            self.watched.iter().for_each(Activity::touch);
        }
        self.goes_on();
    }

    /// Returns `to`, the meter of the same end for another guest, with this meter's budget.
    pub(super) fn passed_on(&self, mut to: Self) -> Self {
        to.budget = self.budget.clone();
        to
    }

    /// Returns how many of `want` bytes may move now.
    pub(super) fn allow(&self, want: usize) -> Allowance {
        self.budget.as_ref().map_or(Allowance::Bytes(want), |budget| budget.allow(want))
    }

    /// Returns [`Budget::permit`], or `most` without a budget.
    pub(super) fn permit(&self, most: usize) -> usize {
        self.budget.as_ref().map_or(most, |budget| budget.permit(most))
    }

    /// Returns [`Budget::later`], or `None` without a budget.
    pub(super) fn later(&self) -> Option<tokio::time::Instant> {
        self.budget.as_ref()?.later()
    }

    /// Returns whether no more bytes may move.
    pub(super) fn is_spent(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.is_spent())
    }

    /// Returns whether the end has a budget of bytes.
    pub(super) fn is_bounded(&self) -> bool {
        self.budget.is_some()
    }

    /// Notes that the guest tried to move more bytes than it may, and returns its error.
    pub(super) fn exceeded(&self) -> Fault {
        if let Some(budget) = &self.budget {
            budget.exceeded();
        }
        ErrorCode::LimitExceeded.into()
    }

    /// Notes that the guest waits for bytes or room.
    pub(super) fn waits(&mut self) {
        if self.waits_since.is_none() {
            let now = Instant::now();
            let nanos = now.saturating_duration_since(self.counter.made).as_nanos();
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
            self.counter.waits_since.store(nanos, Ordering::Relaxed);
            self.waits_since = Some(now);
            self.counter.changes.note();
        }
    }

    /// Notes that the reader has met the end of file.
    pub(super) fn ends(&mut self) {
        self.goes_on();
        self.counter.meets_end();
    }

    /// Notes that the end has failed.
    pub(super) fn fails(&mut self, code: ErrorCode) {
        self.goes_on();
        self.counter.fails(code);
    }

    /// Notes that a wait is over: what the guest waited for is there, or will never be.
    pub(super) fn goes_on(&mut self) {
        if let Some(since) = self.waits_since.take() {
            let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.counter.waited.fetch_add(nanos, Ordering::Relaxed);
            self.counter.waits_since.store(0, Ordering::Relaxed);
            self.counter.changes.note();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.goes_on();
        self.counter.closes();
        if let Some(told) = self.told.take() {
            told.ends(self.counter.bytes.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_called_like_a_stream_is_counted_apart() {
        let journal = Journal::new();
        journal.meter(&Label::Stdout, Direction::Write).moved(1);
        journal.meter(&Label::Pipe("stdout".into()), Direction::Write).moved(2);
        let bytes: Vec<_> = journal.totals().iter().map(|total| total.bytes).collect();
        assert_eq!(bytes, [1, 2]);
    }

    #[test]
    fn a_wait_is_seen_while_it_lasts() {
        let journal = Journal::new();
        let mut meter = journal.meter(&Label::Stdin, Direction::Read);
        let now = || journal.ends().remove(0);
        assert_eq!(now().waiting, None);
        meter.waits();
        std::thread::sleep(Duration::from_millis(2));
        meter.waits();
        let waits = now();
        assert!(waits.waiting.unwrap() >= Duration::from_millis(2), "{waits:?}");
        assert!(waits.waited >= waits.waiting.unwrap(), "{waits:?}");
        meter.moved(3);
        let after = now();
        assert_eq!((after.waiting, after.bytes, after.max_bytes), (None, 3, None));
        assert_eq!(after.waited, journal.totals()[0].waited);
        meter.waits();
        drop(meter);
        assert_eq!(now().waiting, None);
    }

    #[test]
    fn what_became_of_an_end_is_seen() {
        let journal = Journal::new();
        let label = Label::Pipe("x".into());
        let now = || {
            let end = journal.ends().remove(0);
            (end.is_open, end.is_at_end, end.fault)
        };
        let mut meter = journal.meter(&label, Direction::Read);
        assert_eq!(now(), (true, false, None));
        meter.ends();
        assert_eq!(now(), (true, true, None));
        // Handed over.
        let other = journal.meter(&label, Direction::Read);
        drop(meter);
        assert_eq!(now(), (true, true, None));
        drop(other);
        assert_eq!(now(), (false, true, None));
        let mut again = journal.meter(&label, Direction::Read);
        assert_eq!(now(), (true, false, None));
        for code in ErrorCode::ALL {
            again.fails(code);
            assert_eq!(now(), (true, false, Some(code)));
        }
    }

    #[test]
    fn a_limit_is_seen() {
        let ends = EndLimits { max_bytes: Some(10), rate: None };
        let journal = Journal::within(Bounds { ends, ..Bounds::default() });
        journal.meter(&Label::Stdin, Direction::Read).moved(4);
        assert_eq!(journal.ends()[0].max_bytes, Some(10));
    }

    #[test]
    fn an_end_that_is_opened_again_is_counted_on() {
        let journal = Journal::new();
        let label = Label::Pipe("in".into());
        for _ in 0..2 {
            let mut meter = journal.meter(&label, Direction::Read);
            meter.moved(3);
            meter.waits();
        }
        journal.meter(&label, Direction::Write).moved(1);
        let totals = journal.totals();
        let bytes: Vec<_> = totals.iter().map(|total| (total.direction, total.bytes)).collect();
        assert_eq!(bytes, [(Direction::Read, 6), (Direction::Write, 1)]);
        assert!(totals[0].waited > Duration::ZERO && totals[1].waited == Duration::ZERO);
    }
}
