//! `pipehost run`: one guest, from its arguments to its end.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::args::RunArgs;
use super::compile::{engine_for, metering};
use super::confining::{confine, has_fifos, provide};
use super::exit::{Failure, OrStatus, Status};
use super::granting::{self, Granting, Stream, Wiring};
use super::signals::{Leftovers, SignalWatch, clean_up, hard_deadline, say_stopped};
use super::source::Source;
use super::stats::{FifoStats, Stats, Used};
use super::{mistake, say, verdict};
use crate::deadlines::{HARD_DEADLINE, LAST_DELIVERY, after};
use crate::limits::MemoryUse;
use crate::pipe::{Journal, PendingWrites};
use crate::setup::Setup;
use crate::sys;
use crate::threads;

pub(crate) fn main(args: RunArgs) -> Result<Status, Failure> {
    let source = Source::of(&args.guest)?;
    if let Some(arg) = source.useless(&args.args) {
        let error = anyhow!(mistake::useless(&source.display(), arg, "run"));
        return Err(error).or_status(Status::Usage);
    }
    provide(args.sandbox.sandbox, std::iter::once(&args.options), has_fifos(&args.options))?;
    let timeout = args.options.limits.timeout;
    supervised(HARD_DEADLINE, timeout, async |leftovers, signals| {
        supervise(args, leftovers, signals).await
    })
}

/// Runs `work` on this thread, with the signals watched, and leaves nothing behind whichever way it
/// ends. `timeout` is the limit that `work` keeps itself, for what keeps even that from being looked at;
/// `patience` is how long its tidy end may take.
pub(crate) fn supervised<T>(
    patience: Duration,
    timeout: Option<Duration>,
    work: impl AsyncFnOnce(&Leftovers, SignalWatch) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime =
        threads::runtime().context("the runtime cannot be started").or_status(Status::Io)?;
    let leftovers = Leftovers::default();
    // Whichever way this is left.
    let _clean_up = CleanUp(&leftovers);
    if let Some(timeout) = timeout {
        hard_deadline(timeout, patience, Arc::clone(&leftovers))
            .context("there is no thread to watch the time limit")
            .or_status(Status::Io)?;
    }
    let outcome = runtime.block_on(async {
        let signals = SignalWatch::start(Arc::clone(&leftovers), patience)
            .context("signals cannot be watched")
            .or_status(Status::Io)?;
        work(&leftovers, signals).await
    });
    // A compilation or a file operation may still be under way on a thread: do not wait for it.
    runtime.shutdown_background();
    outcome
}

struct CleanUp<'a>(&'a Leftovers);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        clean_up(self.0);
    }
}

/// Runs the guest until it ends, or a signal or the time limit ends it.
async fn supervise(
    args: RunArgs,
    leftovers: &Leftovers,
    mut signals: SignalWatch,
) -> Result<Status, Failure> {
    let timeout = args.options.limits.timeout;
    let begun = OnceLock::new();
    let (form, source) = (args.stats.stats, Source::of(&args.guest)?);
    let stopped = tokio::select! {
        // A guest that is always busy must not keep these from being looked at.
        biased;
        signal = signals.received() => Status::Signal(signal.number()),
        () = after(timeout) => Status::TimedOut,
        ended = run(args, source.clone(), leftovers, &begun) => return ended,
    };
    // The guest is gone with the future above. What its writers had accepted may still go out.
    if let Some(begun) = begun.get() {
        let _ = tokio::time::timeout(LAST_DELIVERY, begun.pending_writes.idle()).await;
    }
    say_stopped(stopped, timeout);
    if let (Some(form), Some(begun)) = (form, begun.get()) {
        begun.stats(&source, stopped).print(form);
    }
    Ok(stopped)
}

/// What there is to be told of a run, for whoever outlives it.
struct Begun {
    pending_writes: PendingWrites,
    journal: Journal,
    memory: MemoryUse,
    started: Instant,
    cpu_before: Duration,
    fifos: Vec<FifoStats>,
}

impl Begun {
    fn of(setup: &Setup, fifos: Vec<FifoStats>) -> Self {
        Self {
            pending_writes: setup.pending_writes(),
            journal: setup.journal(),
            memory: setup.memory(),
            started: Instant::now(),
            cpu_before: sys::thread_cpu_time(),
            fifos,
        }
    }

    fn stats(&self, source: &Source, status: Status) -> Stats {
        let used = Used {
            time: self.started.elapsed(),
            cpu: Some(sys::thread_cpu_time().saturating_sub(self.cpu_before)),
            memory: Some(self.memory.peak()),
        };
        let stats = Stats::of_run(source, status, used, &self.journal.totals());
        Stats { fifos: self.fifos.clone(), ..stats }
    }
}

async fn run(
    args: RunArgs,
    source: Source,
    leftovers: &Leftovers,
    begun: &OnceLock<Begun>,
) -> Result<Status, Failure> {
    let options = &args.options;
    granting::check(options, [].into_iter())?;
    let writable = options.dir.iter().filter(|dir| !dir.read_only);
    let engine = engine_for(&args.cache, writable.map(|dir| dir.host.as_path()))?;
    let engine = match options.limits.fuel {
        Some(_) => metering(&engine)?,
        None => engine,
    };
    // The pipes come first: peers may be about to open them, and would make regular files.
    let granting = Granting::new(leftovers, args.sandbox.sandbox);
    let inherit = |number| move || sys::standard(number).map(Stream::Shared);
    let wiring = Wiring {
        stdin: granting.input(options.stdin.as_ref(), inherit(0))?,
        stdout: granting.output(options.stdout.as_ref(), 1, inherit(1))?,
        stderr: granting.output(options.stderr.as_ref(), 2, inherit(2))?,
        named: Vec::new(),
    };
    let mut setup = granting.prepare(options, wiring, &source, &args.args)?.setup()?;
    let begun = begun.get_or_init(|| Begun::of(&setup, granting.fifos()));

    // With a time limit the file system may not keep this thread waiting either.
    let at_hand = if options.limits.timeout.is_none() { source.load_cached(&engine) } else { None };
    let guest = match at_hand {
        Some(guest) => guest,
        None => {
            let (source, engine) = (source.clone(), engine.clone());
            let guest = threads::elsewhere(move || source.load(&engine)).await;
            guest.context("compiling failed").or_status(Status::Io)??
        }
    };
    if !options.child.is_empty() || !options.exec.is_empty() {
        let (options, engine) = (options.clone(), engine.clone());
        let load = move || granting::children(&options, |source| source.load_runnable(&engine));
        let children = threads::elsewhere(load).await;
        if let Some(children) = children.context("compiling failed").or_status(Status::Io)?? {
            setup.children(children);
        }
    }

    // The guest has copies of those that it is to have.
    sys::retire_standard_input_and_output()
        .context("the standard streams cannot be given up")
        .or_status(Status::Io)?;
    confine(args.sandbox.sandbox, granting.into_policy())?;
    granting::reserve_for_files(&options.dir)?;
    #[cfg(test)]
    super::breakout::broken_out();
    tracing::debug!("running {}", source.display());
    let reached = setup.reached();
    let outcome = setup.run(&engine, &guest).await;
    let outcome = outcome.map_err(|error| source.failure(error).with_reached(&reached))?;
    // The process is about to end, and with it the code: nothing is gained by unmapping it.
    std::mem::forget((guest, engine));
    let (status, line) = verdict::of(&outcome, &options.limits, &reached.limits());
    if let Some(line) = line {
        say(&line);
    }
    if let Some(form) = args.stats.stats {
        begun.stats(&source, status).print(form);
    }
    Ok(status)
}
