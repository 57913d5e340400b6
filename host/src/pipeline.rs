//! Runs several programs at once, joined by pipes: each guest in a store and on a thread of its own,
//! each native command as a process.
//!
//! The host copies nothing between two programs: each writes to the kernel pipe that the next one
//! reads, and the host keeps no end of it.

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

/// Ties what a guest is given to the thread on which it runs.
///
/// See the example of [`Pipeline`].
pub type Prepare<E> = Box<dyn FnOnce() -> Result<Setup, E> + Send>;

/// A stage of a pipeline.
///
/// See the example of [`Pipeline`].
pub enum Stage<E> {
    /// A guest.
    Guest {
        /// The engine that compiled it, and runs it.
        engine: Engine,
        /// Its code.
        guest: Guest,
        /// Makes what it is given. Called on its thread, inside its runtime.
        prepare: Prepare<E>,
    },
    /// A native command.
    Native(NativeCommand),
}

/// How a stage ended.
///
/// See the example of [`Pipeline`].
#[derive(Debug)]
#[non_exhaustive]
pub enum StageEnd<E> {
    /// A guest ended.
    Guest(Outcome),
    /// The guest cannot run here.
    Unfit(GuestError),
    /// What the guest was to be given could not be opened.
    Unprepared(E),
    /// A native command ended.
    Native(NativeEnd),
    /// The native command could not be started, or there was no thread for the guest.
    NotStarted(io::Error),
    /// The stage was ended with the whole pipeline.
    Stopped,
    /// The host's code for the stage panicked, which is a bug. It took only this stage with it.
    Panicked,
}

/// A stage that has ended.
///
/// See the example of [`Pipeline`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Report<E> {
    /// How it ended.
    pub end: StageEnd<E>,
    /// How long it ran.
    pub time: Duration,
    /// How long it was on a processor.
    pub cpu: Option<Duration>,
    /// The most memory that it had at once, in bytes: a guest's own memory, a command's resident
    /// memory.
    pub memory: Option<u64>,
    /// What went through the ends of a guest.
    pub totals: Vec<Total>,
    /// The limits that a guest and its children have met.
    pub reached: Vec<Limit>,
}

/// Running stages. Dropping it stops them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::pipeline::{NativeCommand, Pipeline, Stage};
/// use pipehost::{Engine, Guest, Pipes, Setup, pipes};
/// # use pipehost::pipes::{null, standard};
///
/// let engine = Engine::new()?;
/// let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
/// let pair = pipes::pipe_pair(None)?;
/// let (program, args) = ("echo".into(), vec!["hello".into()]);
/// let (stdin, stdout, stderr) = (null()?, pair.writer, standard(2)?);
/// let echo = NativeCommand { program, args, stdin, stdout, stderr, others: Vec::new() };
/// let prepare = Box::new(move || {
///     Setup::between(Pipes::builder().build(), pair.reader, standard(1)?, standard(2)?)
/// });
/// let stages = vec![Stage::Native(echo), Stage::Guest { engine, guest, prepare }];
/// let mut pipeline = Pipeline::start(stages);
/// pipeline.prepare().await;
/// pipeline.go();
/// while let Some((at, report)) = pipeline.next().await {
///     println!("stage {at} after {:?}: {:?}", report.time, report.end);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pipeline<E> {
    reports: mpsc::UnboundedReceiver<(usize, Report<E>)>,
    /// Tells the stages to end, and how native commands are ended.
    stop: watch::Sender<Option<Stop>>,
    /// The guests, until they have threads.
    guests: Option<Guests<E>>,
    /// How many guests are still being prepared.
    preparing: Arc<AtomicUsize>,
    prepared: Arc<Notify>,
    /// True once guests may run.
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
    /// Starts all native commands. Must be called inside a tokio runtime that is kept running, as it
    /// waits for them.
    ///
    /// A stage that cannot be started counts as ended, as with a shell: the other stages see that its
    /// ends are closed.
    pub fn start(stages: Vec<Stage<E>>) -> Self {
        let (announce, reports) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(None);
        let mut guests = Vec::new();
        // Commands are started first: while the process is small, fork(2) copies little.
        for (at, stage) in stages.into_iter().enumerate() {
            match stage {
                Stage::Native(command) => {
                    let started = Instant::now();
                    match command.start() {
                        Ok(native) => {
                            let waiting = wait_for(native, started, stopped.clone());
                            let announce = announce.clone();
                            tokio::spawn(async move {
                                // Fails if the `Pipeline` is dropped.
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

    /// Starts a thread for each guest, which prepares what the guest is given. Resolves when every
    /// guest is prepared, or could not be. Guests run once [`Pipeline::go`] is called. Cancel safe.
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

    /// Waits for the next stage to end, and returns its position. Returns `None` when all have ended.
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<(usize, Report<E>)> {
        self.reports.recv().await
    }

    /// Ends all stages that still run. Guests end at their next yield. Native commands get the signal
    /// `stop`, and are killed if they do not end soon. Each stage is reported as it ends.
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

/// A guest's place among the guests that wait for each other before they run.
struct Turn {
    preparing: Arc<AtomicUsize>,
    prepared: Arc<Notify>,
    start: watch::Receiver<bool>,
    /// True once it has been counted as prepared.
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

    /// Waits until all guests may run.
    async fn come(mut self) {
        self.ready();
        // An error says that the pipeline is dropped, which ends the stage in another way.
        let _ = self.start.wait_for(|go| *go).await;
    }
}

impl Drop for Turn {
    /// Counts the guest as prepared, also if it failed: the others must not wait for it.
    fn drop(&mut self) {
        self.ready();
    }
}

/// Resolves with the signal when the pipeline must end.
async fn stopping(stopped: &mut watch::Receiver<Option<Stop>>) -> Stop {
    match stopped.wait_for(Option::is_some).await {
        Ok(stop) => stop.unwrap_or(Stop::Terminate),
        // The pipeline is dropped.
        Err(_) => Stop::Terminate,
    }
}

/// Ends a running command with the signal `stop`, and kills it if it does not end soon.
async fn end_native(native: &mut Native, stop: Stop) -> io::Result<(NativeEnd, Usage)> {
    // The terminal sends a typed signal to its whole foreground group, so the command has it already.
    // To many programs a second signal means more than the first.
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

/// Runs a guest from start to end, on its own thread.
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
    // All ends are closed from here on. A file operation that is under way is not waited for.
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

    /// Returns the setup for a module that does nothing.
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
