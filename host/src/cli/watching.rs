//! Looks at what the ends of guests' pipes have moved, and who waits, while the guests run.

use std::fs::File;
use std::io::Seek as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval_at};

use super::limit_names::option_of;
use crate::launch::Stream;
use crate::names::Label;
use crate::pipe::Journal;
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
        let guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples = Vec::new();
        for guest in guests.iter() {
            let ends = guest.journal.ends();
            for (index, end) in ends.iter().enumerate() {
                if end.bytes == 0 && end.waited.is_zero() {
                    continue;
                }
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
                samples.push(EndSample {
                    id: (guest.stage, index),
                    name,
                    direction: end.direction,
                    peer: self.peer(guest.stage, &end.label, end.direction),
                    bytes: end.bytes,
                    waited: end.waited,
                    waiting: end.waiting,
                    most: [end.max_bytes, input].into_iter().flatten().min(),
                });
            }
        }
        samples
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

/// Calls `work` at these intervals, less often on a machine that is busy. For a task of a runtime.
pub(crate) async fn regularly(every: Duration, mut work: impl FnMut()) {
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work();
    }
}
