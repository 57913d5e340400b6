//! Tells `pipehost ps` and `pipehost trace` what this process does: it writes a [`Snapshot`] into a file of its own in the runtime
//! folder, when it starts, whenever something has changed, four times a second at most, and when it ends.
//!
//! The file is opened before the process confines itself. From then on it is written to, which the fences permit, and no thread
//! and no timer is there for it while nothing changes. Whatever fails here fails no run: it is not listed then.
//!
//! The thread that writes is the one that moves pipes, so the folder must be on this machine: a disk that is frozen, as by
//! fsfreeze(8), keeps the run waiting, and a disk that is busy may.

pub(crate) mod snapshot;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::exit::Status;
use super::watching::{OpenedEnd, Watched, on_changes};
use crate::launch::{GuestPlan, StreamSpec};
use crate::names::Label;
use crate::pipe::ErrorCode;
use crate::sys::{self, Direction, Listing};
use crate::threads;
use snapshot::{Command, End, Met, PartOf, Snapshot, StageKind, StageNow, State, Way, millis};

/// How often is written, at most.
const EVERY: Duration = Duration::from_millis(250);

/// How long the end of the process may wait for a snapshot that is being written.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long after a write that failed it is tried again, and how many writes without anything new may fail.
const AGAIN: Duration = Duration::from_secs(5);
const MOST_FAILURES: u32 = 64;

/// What is known before anything runs.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) command: Command,
    /// What runs, as it is called in a title.
    pub(crate) runs: String,
    pub(crate) stages: Vec<StageNow>,
    pub(crate) part: Option<PartOf>,
}

/// Where an end of a stage leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) stage: usize,
    pub(crate) label: Label,
    pub(crate) path: String,
}

/// The file of this process, and what stands in it.
#[derive(Debug)]
struct Listed {
    file: Listing,
    snapshot: Snapshot,
    watched: Watched,
    places: Vec<Place>,
    /// Notified when something but an end has changed.
    changes: Arc<Notify>,
    /// Whether there is something to write but what the ends say.
    is_changed: bool,
    /// How many writes have failed since the last one that did not, or since something has changed.
    failures: u32,
    /// Notified when one has failed that is to be tried again.
    failed: Arc<Notify>,
}

static LISTED: Mutex<Option<Listed>> = Mutex::new(None);

fn listed() -> MutexGuard<'static, Option<Listed>> {
    LISTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the file of this process, if that is possible. Must be called before it confines itself, and after its monitor was started.
/// Warns if guests could look into it through their `folders`.
pub(crate) fn open<'a>(facts: impl FnOnce() -> Facts, folders: impl Iterator<Item = &'a Path>) {
    let file = match Listing::make() {
        Ok(file) => file,
        Err(error) => return tracing::debug!("`pipehost ps` does not list this run: {error}"),
    };
    warn_of(folders, file.folder());
    let Facts { command, runs, stages, part } = facts();
    let now = millis(sys::shared_clock());
    let snapshot = Snapshot {
        pid: std::process::id(),
        pid_namespace: sys::pid_namespace(),
        command,
        runs,
        state: State::Starting,
        status: None,
        began: now,
        at: now,
        part,
        stages,
        ends: Vec::new(),
        left_out: 0,
    };
    let (watched, places) = (Watched::default(), Vec::new());
    let (changes, failed) = (Arc::default(), Arc::default());
    let (is_changed, failures) = (false, 0);
    let it = Listed { file, snapshot, watched, places, changes, is_changed, failures, failed };
    it.write();
    *listed() = Some(it);
}

fn warn_of<'a>(mut folders: impl Iterator<Item = &'a Path>, place: &Path) {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
    let reaches = |folder: &&Path| {
        let (folder, place) = (whole(folder), whole(place));
        place.starts_with(&folder) || folder.starts_with(&place)
    };
    if let Some(folder) = folders.find(reaches) {
        tracing::warn!(
            "the guest can look into {}, where other runs say for `pipehost ps` what they do; grant a smaller folder than {}",
            place.display(),
            folder.display()
        );
    }
}

/// Keeps the file up to date, until it is dropped.
pub(crate) struct Kept(JoinHandle<()>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says that the guests run, and starts to keep the file up to date. Must be called inside the runtime that runs until the end.
pub(crate) fn start(watched: &Watched, places: Vec<Place>) -> Option<Kept> {
    let mut listed = listed();
    let it = listed.as_mut()?;
    it.snapshot.state = State::Running;
    (it.watched, it.places, it.is_changed) = (watched.clone(), places, true);
    // In this order, and before a guest runs: what happens from now on wakes the task, also before that has begun.
    watched.wake(&it.changes);
    it.update();
    let look = || self::listed().as_mut().is_some_and(Listed::update);
    let (changes, failed) = (Arc::clone(&it.changes), Arc::clone(&it.failed));
    let kept = on_changes(watched.clone(), Arc::clone(&changes), EVERY, look);
    Some(Kept(tokio::spawn(async move {
        tokio::join!(kept, try_again(&failed, &changes));
    })))
}

/// Has what could not be written looked at once more, some time later.
async fn try_again(failed: &Notify, changes: &Notify) {
    loop {
        failed.notified().await;
        tokio::time::sleep(AGAIN).await;
        changes.notify_one();
    }
}

/// Notes that a stage of a pipeline has ended.
pub(crate) fn stage_ended(at: usize, status: Status) {
    if let Some(it) = listed().as_mut()
        && let Some(stage) = it.snapshot.stages.get_mut(at)
    {
        stage.status = Some(status.code());
        (it.is_changed, it.failures) = (true, 0);
        it.changes.notify_one();
    }
}

/// Says that all has ended, and takes the run off the list. Does nothing the second time. Waits for 20 ms at most for a snapshot
/// that is being written, for moments for the counters of the guests, and for the file system as long as that takes.
pub(crate) fn end(status: Status) {
    end_with(status, true);
}

/// Does what [`end`] does, for a thread that ends the process while others may hold any lock: what the ends have moved since the
/// last snapshot is not told. Waits for 20 ms at most for a snapshot that is being written, and for the file system.
pub(crate) fn end_early(status: Status) {
    end_with(status, false);
}

fn end_with(status: Status, looks_at_ends: bool) {
    // It is held until all is written: whoever finds nothing left to do may end the process.
    let Some(mut listed) = threads::lock_within(&LISTED, PATIENCE) else { return };
    let Some(mut it) = listed.take() else { return };
    if looks_at_ends {
        it.snapshot.ends = it.ends();
    }
    it.snapshot.state = State::Ended;
    it.snapshot.status = Some(status.code());
    it.snapshot.at = millis(sys::shared_clock());
    it.write();
    it.file.remove();
}

impl Listed {
    /// Writes a new snapshot if anything but the time has changed, and returns whether it has. What could not be written
    /// is new the next time, too.
    fn update(&mut self) -> bool {
        let ends = self.ends();
        let is_same = ends.len() == self.snapshot.ends.len()
            && ends.iter().zip(&self.snapshot.ends).all(|(now, before)| now.is_like(before));
        if is_same && !self.is_changed {
            return false;
        }
        self.snapshot.at = millis(sys::shared_clock());
        self.snapshot.ends = ends;
        let is_written = self.write();
        self.is_changed = !is_written;
        if !is_same || is_written {
            self.failures = 0;
        }
        if !is_written {
            self.failures += 1;
            match self.failures {
                0..MOST_FAILURES => self.failed.notify_one(),
                // Until something changes.
                _ => self.is_changed = false,
            }
        }
        !is_same || is_written
    }

    /// Writes the snapshot, and returns whether that succeeded.
    fn write(&self) -> bool {
        let written = self.file.write(&self.snapshot.to_bytes());
        // A full disk, say: what stands there then is older, or torn.
        if let Err(error) = &written {
            tracing::debug!("`pipehost ps` does not see what this run does: {error}");
        }
        written.is_ok()
    }

    /// Returns what the ends of the guests do now.
    fn ends(&self) -> Vec<End> {
        self.watched.ends().into_iter().map(|end| self.seen(end)).collect()
    }

    fn seen(&self, end: OpenedEnd) -> End {
        let OpenedEnd { sample, label, is_open, is_at_end, fault } = end;
        let stage = sample.id.0;
        let place = self.places.iter().find(|place| (place.stage, &place.label) == (stage, &label));
        let met = match fault {
            None => is_at_end.then_some(Met::EndOfFile),
            Some(ErrorCode::BrokenPipe) => Some(Met::BrokenPipe),
            Some(ErrorCode::TimedOut) => Some(Met::TimedOut),
            Some(ErrorCode::LimitExceeded) => Some(Met::LimitExceeded),
            Some(_) => Some(Met::Error),
        };
        End {
            stage,
            name: sample.name,
            direction: match sample.direction {
                Direction::Read => Way::Reading,
                Direction::Write => Way::Writing,
            },
            path: place.map(|place| place.path.clone()),
            peer: sample.peer,
            bytes: sample.bytes,
            max_bytes: sample.most,
            waited: millis(sample.waited),
            waits_over: sample.waited.saturating_sub(sample.waiting.unwrap_or_default()),
            waiting: sample.waiting.map(millis),
            is_open,
            met,
        }
    }
}

impl End {
    /// Returns whether nothing has happened between these two.
    fn is_like(&self, before: &Self) -> bool {
        // A wait that goes on changes by itself; one that is over is another, which the sum of those tells.
        let still = |end: &Self| Self {
            waited: if end.waiting.is_some() { 0 } else { end.waited },
            waiting: end.waiting.map(|_| 0),
            ..end.clone()
        };
        still(self) == still(before)
    }
}

/// Returns where the standard streams of a guest lead to, as far as that has a path.
pub(crate) fn stream_places(stage: usize, plan: &GuestPlan) -> impl Iterator<Item = Place> {
    let streams =
        [(Label::Stdin, &plan.stdin), (Label::Stdout, &plan.stdout), (Label::Stderr, &plan.stderr)];
    streams.into_iter().filter_map(move |(label, stream)| {
        let path = match stream.as_ref()? {
            StreamSpec::File(path) | StreamSpec::Append(path) => path,
            StreamSpec::Fifo(fifo) => &fifo.path,
            StreamSpec::Inherit | StreamSpec::Null => return None,
        };
        Some(Place { stage, label, path: path.display().to_string() })
    })
}

/// Returns a guest that is to be listed as a stage.
pub(crate) fn stage(name: &str, runs: &str, is_guest: bool) -> StageNow {
    let kind = if is_guest { StageKind::Guest } else { StageKind::Command };
    StageNow { name: name.into(), runs: runs.into(), kind, status: None }
}

#[cfg(test)]
mod tests {
    use super::snapshot::tests::{end, snapshot};
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_could_not_be_written_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let listing = |path: &Path| {
            Listing::of_file(&dir.path().join("runtime"), std::fs::File::create(path).unwrap())
                .unwrap()
        };
        let full = || listing(Path::new("/dev/full"));
        let mut it = Listed {
            file: full(),
            snapshot: snapshot(Vec::new()),
            watched: Watched::default(),
            places: Vec::new(),
            changes: Arc::default(),
            is_changed: true,
            failures: 0,
            failed: Arc::default(),
        };
        assert!(!it.update() && it.is_changed);
        let path = dir.path().join("run-7");
        it.file = listing(&path);
        assert!(it.update() && !it.is_changed && !it.update());
        assert_eq!(std::fs::read(&path).unwrap(), it.snapshot.to_bytes());
        // Not for ever.
        (it.file, it.is_changed) = (full(), true);
        for _ in 0..MOST_FAILURES {
            assert!(it.is_changed);
            it.update();
        }
        assert!(!it.is_changed && !it.update());
    }

    #[test]
    fn a_wait_that_goes_on_is_told_from_the_next_one() {
        let over = Duration::from_nanos;
        let waits = End { waited: 100, waiting: Some(100), ..end("in", 5) };
        let later = End { waited: 350, waiting: Some(350), ..waits.clone() };
        assert!(later.is_like(&waits));
        // However short the one before was.
        let next = End { waits_over: over(1), ..later.clone() };
        assert!(!next.is_like(&later));
        assert!(next.is_like(&End { waiting: Some(7), waited: 8, ..next.clone() }));
        // It is over.
        let done = End { waiting: None, waits_over: over(350_000_000), ..later.clone() };
        assert!(!done.is_like(&later) && done.is_like(&done));
    }
}
