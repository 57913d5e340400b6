//! Several programs at once, joined by pipes: each guest in a store of its own on a thread of its own,
//! each native command as a process.
//!
//! Nothing is copied between two of them: each writes the kernel pipe that the next one reads, and the
//! host keeps no end of it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};

use crate::deadlines::STAGE_STOP;
use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::launch::{Ended, run_until};
use crate::limits::{Limit, MemoryUse};
use crate::outcome::Outcome;
use crate::pipe::{Journal, Total};
use crate::setup::Setup;
use crate::sys::{self, Native, Usage};
pub use crate::sys::{NativeCommand, NativeEnd, Stop};
use crate::threads;

/// Ties what a guest is given to the thread that it is to run on.
pub type Prepare<E> = Box<dyn FnOnce() -> Result<Setup, E> + Send>;

/// What a stage is.
pub enum Stage<E> {
    /// A guest.
    Guest {
        /// What compiled it, and runs it.
        engine: Engine,
        /// Its code.
        guest: Guest,
        /// What it is given; called on its thread, inside its runtime.
        prepare: Prepare<E>,
    },
    /// A native command.
    Native(NativeCommand),
}

/// How a stage ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum StageEnd<E> {
    /// A guest.
    Guest(Outcome),
    /// A guest that did not fit.
    Unfit(GuestError),
    /// What a guest was to be given could not be opened.
    Unprepared(E),
    /// A native command.
    Native(NativeEnd),
    /// A native command that could not be started, or a guest without a thread to be had.
    NotStarted(io::Error),
    /// Because all was to end.
    Stopped,
    /// The host's part of it panicked, which is a bug; it took only this stage with it.
    Panicked,
}

/// A stage that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report<E> {
    /// How it ended.
    pub end: StageEnd<E>,
    /// How long it ran.
    pub time: Duration,
    /// How long it was on a processor.
    pub cpu: Option<Duration>,
    /// The most memory that it had at once, in bytes: a guest's own, a command's resident.
    pub memory: Option<u64>,
    /// What went through the ends of a guest.
    pub totals: Vec<Total>,
    /// The limits that a guest and its children have met.
    pub reached: Vec<Limit>,
}

/// Stages that run. Dropping it stops them.
#[derive(Debug)]
pub struct Pipeline<E> {
    reports: mpsc::UnboundedReceiver<(usize, Report<E>)>,
    /// How natives are to be ended.
    stop: watch::Sender<Option<Stop>>,
    /// The guests, until they have threads.
    guests: Option<Guests<E>>,
    /// How many guests are still being given what they need.
    preparing: Arc<AtomicUsize>,
    prepared: Arc<Notify>,
    /// Whether guests may run.
    go: watch::Sender<bool>,
}

/// Guests that have no thread yet.
#[derive(Debug)]
struct Guests<E> {
    list: Vec<WaitingGuest<E>>,
    announce: mpsc::UnboundedSender<(usize, Report<E>)>,
    stopped: watch::Receiver<Option<Stop>>,
}

struct WaitingGuest<E> {
    at: usize,
    engine: Engine,
    guest: Guest,
    prepare: Prepare<E>,
}

impl<E> std::fmt::Debug for WaitingGuest<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitingGuest").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<E: Send + 'static> WaitingGuest<E> {
    fn start(
        self,
        announce: mpsc::UnboundedSender<(usize, Report<E>)>,
        stopped: watch::Receiver<Option<Stop>>,
        turn: Turn,
    ) {
        let Self { at, engine, guest, prepare } = self;
        let report = announce.clone();
        let run = move || {
            let whole = AssertUnwindSafe(|| on_thread(&engine, &guest, prepare, stopped, turn));
            let ended = catch_unwind(whole);
            let ended = ended.unwrap_or_else(|_| Report::of(StageEnd::Panicked));
            let _ = report.send((at, ended));
        };
        let thread = std::thread::Builder::new().name(format!("stage {}", at + 1));
        if let Err(error) = thread.spawn(run) {
            let _ = announce.send((at, Report::of(StageEnd::NotStarted(error))));
        }
    }
}

impl<E: Send + 'static> Pipeline<E> {
    /// Starts all native commands. Must be called inside a tokio runtime, which is to be kept running: it waits for
    /// them.
    ///
    /// A stage that cannot be started has ended, as with a shell: the others see that its ends are
    /// closed.
    pub fn start(stages: Vec<Stage<E>>) -> Self {
        let (announce, reports) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(None);
        let mut guests = Vec::new();
        // The commands first: what a fork(2) has to copy is still small.
        for (at, stage) in stages.into_iter().enumerate() {
            match stage {
                Stage::Native(command) => {
                    let started = Instant::now();
                    match command.start() {
                        Ok(native) => {
                            let waiting = wait_for(native, started, stopped.clone());
                            let announce = announce.clone();
                            tokio::spawn(async move {
                                // Fails where nobody wants to know any more.
                                let _ = announce.send((at, waiting.await));
                            });
                        }
                        Err(error) => {
                            let _ = announce.send((at, Report::of(StageEnd::NotStarted(error))));
                        }
                    }
                }
                Stage::Guest { engine, guest, prepare } => {
                    guests.push(WaitingGuest { at, engine, guest, prepare });
                }
            }
        }
        let preparing = Arc::new(AtomicUsize::new(guests.len()));
        let guests = Some(Guests { list: guests, announce, stopped });
        let (go, _) = watch::channel(false);
        Self { reports, stop, guests, preparing, prepared: Arc::default(), go }
    }

    /// Starts a thread for each guest, on which that is given what it needs. Resolves when every guest has that, or
    /// could not be given it. A guest runs when [`Pipeline::go`] is called. Cancel safe.
    pub async fn prepare(&mut self) {
        if let Some(Guests { list, announce, stopped }) = self.guests.take() {
            for guest in list {
                let turn = Turn::new(&self.preparing, &self.prepared, self.go.subscribe());
                guest.start(announce.clone(), stopped.clone(), turn);
            }
        }
        while self.preparing.load(Ordering::SeqCst) > 0 {
            self.prepared.notified().await;
        }
    }

    /// Lets the guests run.
    pub fn go(&self) {
        self.go.send_replace(true);
    }

    /// The next stage that ends, by its place; `None` when all have. Cancel safe.
    pub async fn next(&mut self) -> Option<(usize, Report<E>)> {
        self.reports.recv().await
    }

    /// Ends all stages that still run: guests where they stand, native commands as `stop` says, and at
    /// once where that does not help in a moment. Each is reported as it ends.
    pub fn stop(&self, stop: Stop) {
        self.stop.send_replace(Some(stop));
    }
}

impl<E> Report<E> {
    fn of(end: StageEnd<E>) -> Self {
        let (totals, reached) = (Vec::new(), Vec::new());
        Self { end, time: Duration::ZERO, cpu: None, memory: None, totals, reached }
    }
}

/// A guest's place among those that wait for each other before they run.
struct Turn {
    preparing: Arc<AtomicUsize>,
    prepared: Arc<Notify>,
    start: watch::Receiver<bool>,
    /// It has been counted as prepared.
    counted: bool,
}

impl Turn {
    fn new(
        preparing: &Arc<AtomicUsize>,
        prepared: &Arc<Notify>,
        start: watch::Receiver<bool>,
    ) -> Self {
        let (preparing, prepared) = (Arc::clone(preparing), Arc::clone(prepared));
        Self { preparing, prepared, start, counted: false }
    }

    fn ready(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.preparing.fetch_sub(1, Ordering::SeqCst);
            self.prepared.notify_one();
        }
    }

    /// Waits until all may run.
    async fn come(mut self) {
        self.ready();
        // An error says that the pipeline is gone, which ends the stage in another way.
        let _ = self.start.wait_for(|go| *go).await;
    }
}

impl Drop for Turn {
    /// Whatever kept it from being ready, nobody waits for it.
    fn drop(&mut self) {
        self.ready();
    }
}

/// Resolves when all is to end, with how.
async fn stopping(stopped: &mut watch::Receiver<Option<Stop>>) -> Stop {
    match stopped.wait_for(Option::is_some).await {
        Ok(stop) => stop.unwrap_or(Stop::Terminate),
        // Nobody is left who wants it to go on.
        Err(_) => Stop::Terminate,
    }
}

/// Ends a command that runs: as `stop` says, and at once where that does not help.
async fn end_native(native: &mut Native, stop: Stop) -> io::Result<(NativeEnd, Usage)> {
    // What is typed at a terminal, all of its foreground group gets, and so this has it already. To
    // many programs a second one means more than the first.
    if !native.leads()
        && stop.is_typed()
        && let Ok(ended) = tokio::time::timeout(STAGE_STOP / 2, native.wait()).await
    {
        return ended;
    }
    native.stop(stop);
    if let Ok(ended) = tokio::time::timeout(STAGE_STOP, native.wait()).await {
        return ended;
    }
    native.kill();
    native.wait().await
}

async fn wait_for<E>(
    mut native: Native,
    started: Instant,
    mut stopped: watch::Receiver<Option<Stop>>,
) -> Report<E> {
    let ended = tokio::select! {
        ended = native.wait() => ended,
        signal = stopping(&mut stopped) => {
            end_native(&mut native, signal).await
        }
    };
    let time = started.elapsed();
    match ended {
        Ok((end, usage)) => Report {
            end: StageEnd::Native(end),
            time,
            cpu: Some(usage.cpu),
            memory: Some(usage.memory),
            totals: Vec::new(),
            reached: Vec::new(),
        },
        Err(error) => Report { time, ..Report::of(StageEnd::NotStarted(error)) },
    }
}

/// A guest's whole life, on its own thread.
fn on_thread<E>(
    engine: &Engine,
    guest: &Guest,
    prepare: Prepare<E>,
    mut stopped: watch::Receiver<Option<Stop>>,
    turn: Turn,
) -> Report<E> {
    let started = Instant::now();
    let runtime = match threads::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Report::of(StageEnd::NotStarted(error)),
    };
    let mut seen: Option<(Journal, MemoryUse)> = None;
    let end = runtime.block_on(async {
        let setup = match prepare() {
            Ok(setup) => setup,
            Err(error) => return StageEnd::Unprepared(error),
        };
        seen = Some((setup.journal(), setup.memory()));
        tokio::select! {
            biased;
            _ = stopping(&mut stopped) => return StageEnd::Stopped,
            () = turn.come() => {}
        }
        match run_until(setup, engine, guest, stopping(&mut stopped), STAGE_STOP).await {
            Ok(Ended::Guest(outcome)) => StageEnd::Guest(outcome),
            Ok(Ended::Stopped(_)) => StageEnd::Stopped,
            Err(error) => StageEnd::Unfit(error),
        }
    });
    // All ends are closed from here on; a file operation that is under way is not waited for.
    runtime.shutdown_background();
    let mut report = Report::of(end);
    if let Some((journal, memory)) = seen {
        report.totals = journal.totals();
        report.reached = journal.reached().limits();
        report.memory = Some(memory.peak());
    }
    Report { time: started.elapsed(), cpu: Some(sys::thread_cpu_time()), ..report }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::Pipes;

    /// What a module that does nothing is given.
    fn setup() -> Result<Setup, String> {
        let null = || sys::null().map_err(|error| error.to_string());
        let setup = Setup::between(Pipes::builder().build(), null()?, null()?, null()?);
        setup.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_panic_takes_one_stage_down() {
        let engine = Engine::new().unwrap();
        let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))").unwrap();
        let stage = |prepare: Prepare<String>| Stage::Guest {
            engine: engine.clone(),
            guest: guest.clone(),
            prepare,
        };
        let stages = vec![
            stage(Box::new(setup)),
            stage(Box::new(|| panic!("as a bug would"))),
            stage(Box::new(|| Err("refused".into()))),
        ];
        let mut pipeline = Pipeline::start(stages);
        pipeline.prepare().await;
        pipeline.go();
        let mut ends = [const { None }; 3];
        while let Some((at, report)) = pipeline.next().await {
            ends[at] = Some(report.end);
        }
        let [first, second, third] = ends.map(Option::unwrap);
        assert!(matches!(first, StageEnd::Guest(Outcome::Exited(0))), "{first:?}");
        assert!(matches!(second, StageEnd::Panicked), "{second:?}");
        assert!(matches!(third, StageEnd::Unprepared(text) if text == "refused"));
    }
}
