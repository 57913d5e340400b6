//! Looks at what the ends of guests' pipes have moved, and who waits, while the guests run.

use std::fs::File;
use std::io::Seek as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval_at};

use super::limit_names::option_of;
use crate::launch::Stream;
use crate::names::Label;
use crate::pipe::{ErrorCode, Journal, quoted_in_line};
use crate::sys::{self, Direction};

/// The guests of this process, once they are there. Cloning gives another handle to the same list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    guests: Arc<Mutex<Vec<Guest>>>,
    /// The names of the stages of a pipeline, or none for a single guest.
    stages: Arc<[String]>,
    joints: Arc<[Joint]>,
}

/// What an end is joined to: the names of the stages on the other side.
#[derive(Clone, Debug)]
pub(crate) struct Joint {
    pub(crate) stage: usize,
    pub(crate) label: Label,
    pub(crate) direction: Direction,
    pub(crate) peers: String,
}

#[derive(Debug)]
struct Guest {
    stage: usize,
    journal: Journal,
    /// How many bytes there are to be read from stdin, where that is a file.
    input: Option<u64>,
}

/// The stage of an end, and its place among the ends of that stage's guest.
pub(crate) type EndId = (usize, usize);

/// One end at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndSample {
    /// Its stage, and which of its guest's ends it is. This stays.
    pub(crate) id: EndId,
    /// `stdin`, or STAGE.stdin in a pipeline. No two ends have the same name, so that one may get a
    /// longer name when another is opened.
    pub(crate) name: String,
    pub(crate) direction: Direction,
    /// Who is on the other side.
    pub(crate) peer: String,
    pub(crate) bytes: u64,
    /// How long its guest has waited in all.
    pub(crate) waited: Duration,
    /// For how long its guest has been waiting now.
    pub(crate) waiting: Option<Duration>,
    /// How many bytes can pass in all, if that is known.
    pub(crate) most: Option<u64>,
}

/// One end that was opened, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenedEnd {
    pub(crate) sample: EndSample,
    pub(crate) label: Label,
    pub(crate) is_open: bool,
    pub(crate) is_at_end: bool,
    pub(crate) fault: Option<ErrorCode>,
}

impl Watched {
    /// Makes an empty list for the stages of a pipeline.
    pub(crate) fn of_stages(stages: Vec<String>, joints: Vec<Joint>) -> Self {
        Self { guests: Arc::default(), stages: stages.into(), joints: joints.into() }
    }

    /// Adds the guest of a stage. `input` is the number of bytes in its stdin, if that is known.
    pub(crate) fn add(&self, stage: usize, journal: Journal, input: Option<u64>) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.push(Guest { stage, journal, input });
        guests.sort_by_key(|guest| guest.stage);
    }

    /// Returns the state of every end that has moved a byte or that its guest has waited for, by stages.
    pub(crate) fn sample(&self) -> Vec<EndSample> {
        let ends = self.ends().into_iter().map(|end| end.sample);
        ends.filter(|end| end.bytes > 0 || !end.waited.is_zero()).collect()
    }

    /// Returns the state of every end that was opened, by stages.
    pub(crate) fn ends(&self) -> Vec<OpenedEnd> {
        let guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut opened = Vec::new();
        for guest in guests.iter() {
            let ends = guest.journal.ends();
            for (index, end) in ends.iter().enumerate() {
                // A pipe that is granted both ways, or called as a standard stream is.
                let is_twin = ends.iter().filter(|it| it.label.as_str() == end.label.as_str());
                let name = match is_twin.count() {
                    0 | 1 => end.label.to_string(),
                    _ if end.label.is_standard() => end.label.to_string(),
                    _ => format!("{} ({})", end.label, end.direction.doing()),
                };
                let name = match self.stages.get(guest.stage) {
                    Some(stage) => format!("{stage}.{name}"),
                    None => name,
                };
                let input = guest.input.filter(|_| end.label == Label::Stdin);
                let sample = EndSample {
                    id: (guest.stage, index),
                    name,
                    direction: end.direction,
                    peer: self.peer(guest.stage, &end.label, end.direction),
                    bytes: end.bytes,
                    waited: end.waited,
                    waiting: end.waiting,
                    most: [end.max_bytes, input].into_iter().flatten().min(),
                };
                let (label, is_open) = (end.label.clone(), end.is_open);
                let (is_at_end, fault) = (end.is_at_end, end.fault);
                opened.push(OpenedEnd { sample, label, is_open, is_at_end, fault });
            }
        }
        opened
    }

    /// Has the next change of an end wake `observer`, once: see [`Journal::wake`].
    pub(crate) fn wake(&self, observer: &Arc<Notify>) {
        let guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.iter().for_each(|guest| guest.journal.wake(observer));
    }

    /// Returns the limits that were met, as an operator types them.
    pub(crate) fn limits(&self) -> Vec<String> {
        let guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |guest: &Guest| {
            let stage = self.stages.get(guest.stage).map(|stage| format!("stage {stage}: "));
            let stage = stage.unwrap_or_default();
            let limits = guest.journal.reached().limits();
            limits.iter().map(|limit| format!("{stage}{}", option_of(limit))).collect::<Vec<_>>()
        };
        guests.iter().flat_map(of).collect()
    }

    fn peer(&self, stage: usize, label: &Label, direction: Direction) -> String {
        let is_it = |joint: &&Joint| {
            (joint.stage, &joint.label, joint.direction) == (stage, label, direction)
        };
        match (self.joints.iter().find(is_it), direction) {
            (Some(joint), _) => joint.peers.clone(),
            (None, Direction::Read) => "its writer".into(),
            (None, Direction::Write) => "its reader".into(),
        }
    }
}

/// Returns how many bytes are still to be read from a stream that is a regular file.
pub(crate) fn bytes_left(stream: &Stream) -> Option<u64> {
    let Stream::Shared(handle) = stream else { return None };
    let mut file = File::from(handle.try_clone().ok()?);
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let left = metadata.len().checked_sub(file.stream_position().ok()?)?;
    // Files of /proc have no length, and bytes all the same.
    (left > 0).then_some(left)
}

/// Returns whether one of these streams is a terminal.
pub(crate) fn any_terminal<'a>(streams: impl IntoIterator<Item = &'a Stream>) -> bool {
    streams
        .into_iter()
        .any(|stream| matches!(stream, Stream::Shared(handle) if sys::is_terminal(handle)))
}

/// Calls `look` at these intervals as long as something changes on the guests' ends, and not at all while nothing does, so that
/// an idle process sleeps. `look` says whether anything had changed. `changes` is notified of any change: of those on ends, by a
/// [`Watched::wake`] before what changes is looked at first. For a task of a runtime.
pub(crate) async fn on_changes(
    watched: Watched,
    changes: Arc<Notify>,
    every: Duration,
    mut look: impl FnMut() -> bool,
) {
    loop {
        changes.notified().await;
        let mut rests = false;
        loop {
            tokio::time::sleep(every).await;
            match (look(), rests) {
                (true, _) => rests = false,
                (false, true) => break,
                // A change just before this is found by one more look.
                (false, false) => {
                    watched.wake(&changes);
                    rests = true;
                }
            }
        }
    }
}

/// Says for how long an end's guest has been waiting, and for whom.
pub(crate) fn waits(waiting: Duration, peer: &str) -> String {
    let waiting = match waiting.as_secs() {
        0..60 => format!("{:.1} s", waiting.as_secs_f64()),
        seconds => format!("{} min", seconds / 60),
    };
    format!("waits {waiting} for {}", quoted_in_line(peer))
}

/// Writes a time as a clock shows it: `0:02`, `1:01:40`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A wait is shown from this length on. What flows waits for moments all the time.
pub(crate) const LEAST_WAIT: Duration = Duration::from_millis(200);

/// Calls `work` at these intervals, less often on a machine that is busy. For a task of a runtime.
pub(crate) async fn regularly(every: Duration, mut work: impl FnMut()) {
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn an_idle_process_is_not_looked_at() {
        let changes = Arc::new(Notify::new());
        let [looks, changing] = [0, 3].map(|n| Arc::new(AtomicUsize::new(n)));
        let look = {
            let (looks, changing) = (Arc::clone(&looks), Arc::clone(&changing));
            move || {
                looks.fetch_add(1, Ordering::Relaxed);
                let left = changing.load(Ordering::Relaxed);
                changing.store(left.saturating_sub(1), Ordering::Relaxed);
                left > 0
            }
        };
        let every = Duration::from_millis(1);
        let task = tokio::spawn(on_changes(Watched::default(), Arc::clone(&changes), every, look));
        let looks_are = async |expected| {
            while looks.load(Ordering::Relaxed) < expected {
                tokio::time::sleep(every).await;
            }
            // None is added, however long that takes.
            tokio::time::sleep(20 * every).await;
            assert_eq!(looks.swap(0, Ordering::Relaxed), expected);
        };
        looks_are(0).await;
        changes.notify_one();
        // As long as something changes, and twice in vain.
        looks_are(5).await;
        changing.store(1, Ordering::Relaxed);
        changes.notify_one();
        looks_are(3).await;
        task.abort();
    }

    #[test]
    fn times_are_written_as_on_a_clock() {
        let seen = [2, 100, 3700, 360_000].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(seen, ["0:02", "1:40", "1:01:40", "100:00:00"]);
        assert_eq!(waits(Duration::from_millis(3200), "\u{1b}"), "waits 3.2 s for \\x1b");
        assert_eq!(waits(Duration::from_secs(150), "its writer"), "waits 2 min for its writer");
    }
}
