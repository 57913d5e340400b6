//! `pipehost run`: one guest, from its arguments to its end.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::args::{RunArgs, SandboxMode};
use super::compile::{engine_for, metering};
use super::confining::{confine, provide};
use super::exit::{Failure, OrStatus, Status};
use super::grants::{self, Granted, Pin};
use super::graph::{Graph, Kind, Node};
use super::launching::{fifo_listener, listener};
use super::listing::snapshot::Command;
use super::listing::{self, Place, stream_places};
use super::named_files::NamedFiles;
use super::report::Facts;
use super::signals::{SignalWatch, hard_deadline, say_stopped};
use super::source::Source;
use super::stats::{FifoStats, Stats, Used};
use super::wants::{self, Want};
use super::watch::Watch;
use super::watching::{Watched, any_terminal, bytes_left};
use super::{log, mistake, progress, report, say, verdict};
use crate::children::Children;
use crate::deadlines::{HARD_DEADLINE, LAST_DELIVERY, after};
use crate::engine::Engine;
use crate::guest::Guest;
use crate::launch::{
    self, Ended, GuestPlan, Leftovers, Opened, Opener, Stream, Streams, reserve_for_files,
    run_until,
};
use crate::limits::MemoryUse;
use crate::names::Label;
use crate::pipe::Journal;
use crate::setup::Setup;
use crate::sys;
use crate::threads;

pub(crate) fn main(args: RunArgs) -> Result<Status, Failure> {
    // `--timeout` bounds more than the guest: reading the grants and compiling, too.
    let mut begun = Instant::now();
    let typed = args.options.limits.timeout;
    let Some(mut granted) = Granted::of(&args, typed.and_then(|limit| begun.checked_add(limit)))?
    else {
        say_stopped(Status::TimedOut, typed);
        return Ok(Status::TimedOut);
    };
    if let Some(arg) = granted.source.useless(&granted.args) {
        let error = anyhow!(mistake::useless(&granted.source.display(), arg, "run"));
        return Err(error).or_status(Status::Usage);
    }
    let _stage = log::stage(&granted.source.program()).entered();
    // What contradicts itself is told before anybody is asked.
    let first = granted.plan()?;
    let timeout = first.limits.timeout;
    // A file that changes from now on is another guest.
    let seen = first.swap.and_then(|_| granted.source.stamp());
    let Ok(bytes) = granted.source.read_file(timeout.and_then(|limit| begun.checked_add(limit)))
    else {
        say_stopped(Status::TimedOut, timeout);
        return Ok(Status::TimedOut);
    };
    let declaring = bytes.as_deref().filter(|_| !granted.only_typed);
    if let Some(form) = args.grants.explain {
        let looked = declaring.and_then(|bytes| wants::look(&mut granted, bytes));
        let missing = looked.map(|looked| looked.missing).unwrap_or_default();
        return grants::explain(&granted, &args, form, missing.iter().map(Want::text).collect());
    }
    let settled =
        declaring.map(|bytes| wants::settle(&mut granted, bytes)).transpose()?.unwrap_or_default();
    // Whoever thinks about it takes none of the guest's time.
    begun += settled.took;
    let mut plan = granted.plan()?;
    wants::check_out_of_reach(&plan)?;
    let mut files = NamedFiles::default();
    files.guest("", &granted.source, &plan);
    files.program("--grants", granted.file());
    files.own("--report", args.report.report.as_deref());
    files.check()?;
    // What contradicts itself is not for good.
    settled.remember(&plan);
    if let Some(notice) = granted.notice() {
        log::inform(&notice);
    }
    provide(args.sandbox.sandbox, std::iter::once(&plan), plan.has_fifos())?;
    if plan.swap.is_some() && granted.pin.is_some() {
        let error = anyhow!(
            "--watch: the file of grants names one guest, by sha256, and a changed one is another; drop one of the two"
        );
        return Err(error).or_status(Status::Usage);
    }
    let watch = Watch::start(&granted.source, seen, &plan, plan.writable_folders(), &args.cache)?;
    report::open(&args.report, || facts(&granted.source, &plan))?;
    let folders = plan.folders.iter().map(|folder| &*folder.host);
    listing::open(|| listing_facts(&granted.source, &plan), folders);
    let timeout = plan.limits.timeout.take();
    let left = timeout.map(|limit| limit.saturating_sub(begun.elapsed()));
    let Granted { source, pin, .. } = granted;
    let bytes = bytes.map(Cow::Owned);
    let given = Given { source, bytes, pin, plan, timeout, left, watch };
    supervised(HARD_DEADLINE, timeout.zip(left), async |leftovers, signals| {
        run(args, given, leftovers, signals).await
    })
}

/// What [`run`] is given.
struct Given {
    source: Source,
    /// Its bytes, if they have been read: those that were looked at are those that run.
    bytes: Option<Cow<'static, [u8]>>,
    pin: Option<Pin>,
    plan: GuestPlan,
    /// How long the run may take, and how much of that is left.
    timeout: Option<Duration>,
    left: Option<Duration>,
    watch: Option<Watch>,
}

/// Runs `work` on this thread, watches signals, and leaves nothing behind whichever way it ends.
/// `timeout` is the limit that `work` keeps itself, as it was typed, and what is left of it; a thread
/// enforces it if `work` cannot. `patience` is how long its tidy end may take.
pub(crate) fn supervised<T>(
    patience: Duration,
    timeout: Option<(Duration, Duration)>,
    work: impl AsyncFnOnce(&Leftovers, SignalWatch) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime =
        threads::runtime().context("the runtime cannot be started").or_status(Status::Io)?;
    let leftovers = Leftovers::default();
    // Cleans up whichever way this function returns.
    let _clean_up = CleanUp(&leftovers);
    if let Some((typed, left)) = timeout {
        hard_deadline(typed, left.saturating_add(patience), leftovers.clone())
            .context("there is no thread to watch the time limit")
            .or_status(Status::Io)?;
    }
    let outcome = runtime.block_on(async {
        let signals = SignalWatch::start(leftovers.clone(), patience)
            .context("signals cannot be watched")
            .or_status(Status::Io)?;
        work(&leftovers, signals).await
    });
    if let Err(failure) = &outcome {
        listing::end(failure.status);
    }
    // A compilation or a file operation may still be under way on a thread: do not wait for it.
    runtime.shutdown_background();
    outcome
}

struct CleanUp<'a>(&'a Leftovers);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        self.0.clean_up();
    }
}

/// Runs the guest until it ends, or a signal or the time limit ends it.
async fn run(
    args: RunArgs,
    Given { source, bytes, pin, plan, timeout, left, watch }: Given,
    leftovers: &Leftovers,
    mut signals: SignalWatch,
) -> Result<Status, Failure> {
    let mut stopped = std::pin::pin!(async {
        tokio::select! {
            biased;
            signal = signals.received() => Status::Signal(signal.number()),
            () = after(left) => Status::TimedOut,
        }
    });
    let engine = engine_for(&args.cache, plan.writable_folders())?;
    let engine = match plan.limits.fuel {
        Some(_) => metering(&engine)?,
        None => engine,
    };
    let engine = match &watch {
        Some(watch) => watch.engine(&engine)?,
        None => engine,
    };
    // Another guest than the file of grants is for is seen before anything is opened, or emptied.
    let read = async {
        let Some(pin) = pin else { return Ok::<_, Failure>(bytes) };
        let source = source.clone();
        let bytes = threads::elsewhere(move || {
            let bytes = bytes.map_or_else(|| source.read(), Ok)?;
            pin.check(&source, &bytes)?;
            Ok(Some(bytes))
        });
        bytes.await.context("reading the guest failed").or_status(Status::Io)?
    };
    let bytes = tokio::select! {
        biased;
        status = &mut stopped => {
            listing::end(status);
            say_stopped(status, timeout);
            return Ok(status);
        }
        bytes = read => bytes?,
    };
    // The pipes come before compiling: peers may be about to open them, and would make regular files.
    let mut opener =
        Opener::new(leftovers, fifo_listener(), args.sandbox.sandbox != SandboxMode::Off);
    let (opened, streams) = open(&mut opener, &plan, &source)?;
    let fifos = FifoStats::of(&source.program(), opened.fifos());
    let mut setup = opened.setup()?;
    let places: Vec<_> =
        fifos.iter().map(|fifo| place(0, fifo)).chain(stream_places(0, &plan)).collect();
    let used = InUse::of(&setup, fifos);
    let watched = Watched::default();
    watched.add(0, setup.journal(), streams.input);
    let ends_with = |status| {
        listing::end(status);
        report::stages(|| used.stats(&source, status).stages);
        if let Some(form) = args.stats.stats {
            used.stats(&source, status).print(form);
        }
        Ok(status)
    };

    let loaded = tokio::select! {
        biased;
        status = &mut stopped => Err(status),
        loaded = load(&source, bytes, &plan, &engine, timeout.is_some()) => Ok(loaded?),
    };
    let (guest, children) = match loaded {
        Ok(loaded) => loaded,
        Err(status) => {
            say_stopped(status, timeout);
            return ends_with(status);
        }
    };
    if let Some(children) = children {
        setup.children(children);
    }
    if let Some(watch) = watch {
        watch.follow(&source, &engine, &mut setup)?;
    }
    // The guest has copies of those that it uses.
    sys::retire_standard_input_and_output()
        .context("the standard streams cannot be given up")
        .or_status(Status::Io)?;
    confine(args.sandbox.sandbox, opener.into_policy())?;
    reserve_for_files(&plan.folders)?;
    #[cfg(all(test, target_os = "linux", not(feature = "portable")))]
    super::breakout::broken_out();
    tracing::debug!("running {}", source.display());
    let reached = setup.reached();
    let shown = progress::start(args.progress.progress, &watched, streams.unseen);
    let recording = report::record(&watched);
    let listed = listing::start(&watched, places);
    let ended = run_until(setup, &engine, &guest, stopped, LAST_DELIVERY).await;
    drop((shown, recording, listed));
    let ended = ended.map_err(|error| source.failure(error).with_reached(&reached))?;
    // The process is about to end, and with it the code: unmapping it would gain nothing.
    std::mem::forget((guest, engine));
    let status = match ended {
        Ended::Stopped(status) => {
            say_stopped(status, timeout);
            status
        }
        Ended::Guest(outcome) => {
            let (status, line) = verdict::of(&outcome, &plan.limits, &reached.limits());
            if let Some(line) = line {
                say(&line);
            }
            status
        }
    };
    ends_with(status)
}

/// Returns what a report tells of a run before it begins.
fn facts(source: &Source, plan: &GuestPlan) -> Facts {
    let name = source.program();
    let text = plan.args.iter().fold(source.display(), |text, arg| format!("{text} {arg}"));
    let mut graph = Graph::default();
    graph.nodes.push(Node { name: name.clone(), text, kind: Kind::Guest });
    let streams = [("stdin", &plan.stdin), ("stdout", &plan.stdout), ("stderr", &plan.stderr)];
    for (end, stream) in streams {
        if end != "stderr" || stream.is_some() {
            graph.add_stream(0, end, stream.as_ref(), Some(end));
        }
    }
    graph.add_fifos(0, plan);
    let grants = vec![(name, report::grants(plan))];
    Facts { title: format!("pipehost run {}", source.display()), graph, grants, uncounted: None }
}

/// Returns what `pipehost ps` tells of a run before it begins.
fn listing_facts(source: &Source, plan: &GuestPlan) -> listing::Facts {
    let runs = plan.args.iter().fold(source.display(), |text, arg| format!("{text} {arg}"));
    let stages = vec![listing::stage(&source.program(), &runs, true)];
    listing::Facts { command: Command::Run, runs, stages, part: None }
}

/// Returns where a FIFO's end leads to.
pub(crate) fn place(stage: usize, fifo: &FifoStats) -> Place {
    Place { stage, label: Label::Pipe(fifo.name.as_str().into()), path: fifo.path.clone() }
}

/// What `--progress` wants to know of the standard streams.
struct StreamFacts {
    /// How many bytes there are to be read from stdin.
    input: Option<u64>,
    /// What may write to a terminal unseen.
    unseen: Option<&'static str>,
}

/// Opens what the guest is granted. Its standard streams are this process's by default.
fn open(
    opener: &mut Opener,
    plan: &GuestPlan,
    source: &Source,
) -> Result<(Opened, StreamFacts), Failure> {
    let inherit = |number| move || sys::standard(number).map(Stream::Shared);
    let streams = Streams {
        stdin: opener.stream(0, plan.stdin.as_ref(), inherit(0))?,
        stdout: opener.stream(1, plan.stdout.as_ref(), inherit(1))?,
        stderr: opener.stream(2, plan.stderr.as_ref(), inherit(2))?,
    };
    let on_terminal = any_terminal([&streams.stdout, &streams.stderr]);
    let facts = StreamFacts {
        input: bytes_left(&streams.stdin),
        unseen: unseen(plan).filter(|_| on_terminal),
    };
    Ok((opener.open(plan, streams, Vec::new(), listener(source))?, facts))
}

/// Returns what may write to a terminal of this guest's without the host seeing it.
pub(crate) fn unseen(plan: &GuestPlan) -> Option<&'static str> {
    match (plan.raw_terminal, plan.commands.is_empty()) {
        (true, _) => Some("a guest with --raw-terminal"),
        (_, false) => Some("a command of --exec"),
        _ => None,
    }
}

/// Loads the guest, of `bytes` if they have been read, and the children that it may start. With a time limit, all files are read on
/// another thread, so that a slow file system cannot block this one.
async fn load(
    source: &Source,
    bytes: Option<Cow<'static, [u8]>>,
    plan: &GuestPlan,
    engine: &Engine,
    has_time_limit: bool,
) -> Result<(Guest, Option<Children>), Failure> {
    let at_hand = match &bytes {
        _ if has_time_limit => None,
        Some(bytes) => Source::cached(bytes, engine),
        None => source.load_cached(engine),
    };
    let guest = match at_hand {
        Some(guest) => guest,
        None => {
            let (source, engine) = (source.clone(), engine.clone());
            let load = move || match bytes {
                None => source.load(&engine),
                Some(bytes) => source.compile(&bytes, &engine),
            };
            let guest = threads::elsewhere(load).await;
            guest.context("compiling failed").or_status(Status::Io)??
        }
    };
    if plan.children.is_empty() && plan.commands.is_empty() {
        return Ok((guest, None));
    }
    let (plan, engine) = (plan.clone(), engine.clone());
    let load = move || launch::children(&plan, |spec| Source::load_child(spec, &engine));
    let children = threads::elsewhere(load).await;
    Ok((guest, children.context("compiling failed").or_status(Status::Io)??))
}

/// The counters of a run, which are reported at its end.
struct InUse {
    journal: Journal,
    memory: MemoryUse,
    started: Instant,
    cpu_before: Duration,
    fifos: Vec<FifoStats>,
}

impl InUse {
    fn of(setup: &Setup, fifos: Vec<FifoStats>) -> Self {
        Self {
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
