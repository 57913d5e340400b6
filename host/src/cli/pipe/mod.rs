//! `pipehost pipe`: several stages at once, joined by pipes.

mod file;
mod isolated;
mod line;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::args::{GuestOptions, PipeArgs, SandboxMode, TotalsArgs};
use super::compile::{engine_for, metering};
use super::confining::{bound_files, confine, provide};
use super::exit::{Failure, OrStatus, Status, pipefail};
use super::granting::{self, Granting, Prepared, SharedLimits, Stream, Wiring, file_failure};
use super::graph::Graph;
use super::output::print;
use super::run::supervised;
use super::signals::{Leftovers, SignalWatch, say_stopped};
use super::source::Source;
use super::stats::{FifoStats, Stats};
use super::{say, verdict};
use crate::children::Children;
use crate::deadlines::{HARD_DEADLINE, PIPELINE_STOP, after};
use crate::engine::Engine;
use crate::guest::Guest;
use crate::limits::{
    DEFAULT_MAX_CHILDREN, DEFAULT_MAX_TOTAL_CHILDREN, DEFAULT_MAX_TOTAL_MEMORY,
    DEFAULT_MAX_TOTAL_PIPES, Totals,
};
use crate::pipe::{Activity, Grant, PipeName};
use crate::pipeline::{self, Pipeline};
use crate::sys::{self, CapacityLease, Handle, NativeCommand, SandboxPolicy, Stop};
use crate::threads;
use isolated::StageReport;
use plan::{EndKind, EndRef, Job, Plan};
use report::find_commands;

pub(crate) fn main(mut args: PipeArgs) -> Result<Status, Failure> {
    if let Some(part) = args.part.take() {
        return isolated::main(args, part);
    }
    let timeout = args.options.limits.timeout;
    let limit = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let text = match &args.file {
        None => None,
        Some(path) => match file::read(path, limit)? {
            Some(text) => Some(text),
            None => {
                say_stopped(Status::TimedOut, timeout);
                return Ok(Status::TimedOut);
            }
        },
    };
    let plan = of_plan(&args, text.clone().map(Ok))?;
    if args.options.limits.idle_timeout.is_some() && plan.guests().next().is_none() {
        return plan::usage("--idle-timeout watches guests, and no stage is one".into());
    }
    if args.isolate && (args.options.limits.idle_timeout.is_some() || args.totals.any()) {
        return plan::usage(
            "--isolate: --idle-timeout and --max-total-* for all stages need the guests in one \
             process; give each stage limits of its own"
                .into(),
        );
    }
    let graph = plan.graph();
    if let Some(to) = &args.graph
        && !args.check
    {
        return draw(&graph, to.as_deref());
    }
    if let Some(cycle) = graph.cycle() {
        let first = cycle.first().copied().unwrap_or_default();
        tracing::warn!(
            "the pipes form a cycle, {} → {first}: if all of them are full, each waits for the next",
            cycle.join(" → ")
        );
    }
    // The processes of isolated stages provide for themselves.
    if !args.check && !args.isolate {
        let guests = plan.stages.iter().filter_map(plan::Stage::options);
        let has_fifos = plan.stages.iter().any(plan::Stage::has_fifos);
        provide(args.sandbox.sandbox, guests, has_fifos)?;
    }
    // Of what was left when the file was read.
    let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
    supervised(HARD_DEADLINE, left, async |leftovers, signals| {
        supervise(args, plan, text, left, leftovers, signals).await
    })
}

/// The pipeline that `args` describe; `text` is that of the file, if they name one.
fn of_plan(args: &PipeArgs, text: Option<std::io::Result<String>>) -> Result<Plan, Failure> {
    let plan = match (&args.file, text) {
        (Some(path), Some(text)) => {
            let text = text.map_err(|error| file_failure("-f", path, &error))?;
            file::plan(path, &text, &args.options)?
        }
        _ => line::plan(&args.stages, &args.options)?,
    };
    check(&plan)?;
    Ok(plan)
}

/// Sees whether the grants of each stage go together.
fn check(plan: &Plan) -> Result<(), Failure> {
    for (at, stage) in plan.stages.iter().enumerate() {
        if let Job::Guest { options, .. } = &stage.job {
            let names = plan.names(at);
            granting::check(options, names.iter()).map_err(|error| error.of_stage(&stage.name))?;
        }
    }
    Ok(())
}

/// The text of a file as a plan that could be run.
pub(super) fn checked(text: &str) -> Result<Plan, Failure> {
    let plan = file::parse(text, Path::new("."), &GuestOptions::default())?;
    check(&plan)?;
    Ok(plan)
}

/// The stages between `!` as a plan that could be run.
pub(super) fn checked_line(args: &PipeArgs) -> Result<Plan, Failure> {
    of_plan(args, None)
}

/// Prints the pipeline, or draws it in a file.
fn draw(graph: &Graph, to: Option<&Path>) -> Result<Status, Failure> {
    let Some(path) = to else { return print(&graph.text()) };
    let picture = match path.extension().and_then(|extension| extension.to_str()) {
        Some("dot") => graph.dot(),
        Some("svg") => graph.svg(),
        _ => {
            let path = path.display();
            return plan::usage(format!("--graph={path}: name a file that ends in .dot or .svg"));
        }
    };
    std::fs::write(path, picture).map_err(|error| file_failure("--graph", path, &error))?;
    Ok(Status::Exited(0))
}

/// A stage's code, and that of what it may start.
struct Code {
    engine: Engine,
    guest: Guest,
    children: Option<Children>,
}

/// Runs the stages until all have ended, or a signal or the time limit ends them.
async fn supervise(
    args: PipeArgs,
    plan: Plan,
    text: Option<String>,
    left: Option<Duration>,
    leftovers: &Leftovers,
    mut signals: SignalWatch,
) -> Result<Status, Failure> {
    let timeout = args.options.limits.timeout;
    let mut limit = pin!(after(left));
    let engine = engine_for(&args.cache, plan.writable_folders())?;
    let isolated = args.isolate && !args.check;
    let stopped = tokio::select! {
        // Their own processes look at what guests are made of.
        _ = std::future::ready(()), if isolated => Ok(plan.stages.iter().map(|_| None).collect()),
        loaded = load(&plan, &engine), if !isolated => Ok(loaded?),
        signal = signals.received() => Err(Status::Signal(signal.number())),
        () = &mut limit => Err(Status::TimedOut),
    };
    let loaded = match stopped {
        Ok(loaded) => loaded,
        Err(stopped) => {
            say_stopped(stopped, timeout);
            return Ok(stopped);
        }
    };
    if args.check {
        find_commands(&plan)?;
        if let Some(to) = &args.graph {
            draw(&plan.graph(), to.as_deref())?;
        }
        let (stages, pipes) = (plan.stages.len(), plan.pipes.len());
        return print(&format!("{stages} stages, {pipes} pipes between them: can run\n"));
    }

    let silence = args.options.limits.idle_timeout;
    let (totals, guests) = (plan.totals(&args.totals), plan.guests().count());
    let shared = SharedLimits { totals, guests, activity: silence.map(|_| Activity::new()) };
    let opened = open(
        &plan,
        loaded,
        &shared,
        isolated.then_some(text.as_deref()),
        leftovers,
        args.sandbox.sandbox,
    )?;
    let Opened { stages, leases: _growths, fifos, mut policy, mut reports } = opened;
    let started = Instant::now();
    let mut silent = pin!(silence_of(&shared, silence));
    let mut guests = plan.guests().count();
    let mut pipeline = Pipeline::start(stages);
    if isolated || plan.stages.iter().any(|stage| matches!(stage.job, Job::Native { .. })) {
        policy.natives();
    }
    // Commands are not bounded, and guests' threads are, from their start.
    bound_files(args.sandbox.sandbox, &mut policy)?;
    sys::retire_standard_input_and_output()
        .context("the standard streams cannot be given up")
        .or_status(Status::Io)?;
    // What opens files is done before.
    pipeline.prepare().await;
    confine(args.sandbox.sandbox, policy)?;
    #[cfg(test)]
    super::breakout::broken_out();
    pipeline.go();
    let (mut stopped, mut was_silent) = (None, false);
    let mut given_up = pin!(after(None));
    let mut ended: Vec<_> = plan.stages.iter().map(|_| None).collect();
    loop {
        let why = tokio::select! {
            biased;
            signal = signals.received(), if stopped.is_none() => Status::Signal(signal.number()),
            () = &mut limit, if stopped.is_none() => Status::TimedOut,
            // What commands do after the last guest has ended is not seen.
            () = &mut silent, if stopped.is_none() && guests > 0 => {
                was_silent = true;
                Status::TimedOut
            }
            report = pipeline.next() => {
                let Some((at, mut report)) = report else { break };
                guests -= usize::from(matches!(plan.stages[at].job, Job::Guest { .. }));
                let told = reports[at].as_mut().and_then(StageReport::read);
                let told = told.and_then(|told| told.put_into(&mut report));
                let (status, line) = told.unwrap_or_else(|| plan.verdict(at, &report, stopped));
                if let Some(line) = line.filter(|_| stopped.is_none()) {
                    say(&format!("stage {}: {line}", plan.stages[at].name));
                }
                ended[at] = Some((status, report));
                continue;
            }
            () = &mut given_up => break,
        };
        pipeline.stop(match why {
            Status::Signal(number) => Stop::of_number(number).unwrap_or(Stop::Terminate),
            _ => Stop::Terminate,
        });
        given_up.set(after(Some(PIPELINE_STOP)));
        stopped = Some(why);
    }
    let statuses: Vec<u8> = ended
        .iter()
        .map(|stage| stage.as_ref().map_or(Status::TimedOut.code(), |(status, _)| status.code()))
        .collect();
    let status = stopped.unwrap_or(Status::Exited(pipefail(&statuses)));
    match (stopped, silence) {
        (Some(_), Some(limit)) if was_silent => say(&verdict::silent(limit)),
        (Some(stopped), _) => say_stopped(stopped, timeout),
        (None, _) => {}
    }
    if let Some(form) = args.stats.stats {
        let stats = plan.stats(status, started.elapsed(), &ended);
        Stats { fifos, ..stats }.print(form);
    }
    // The process is about to end, and with it the code.
    std::mem::forget(engine);
    Ok(status)
}

/// Resolves when nothing has moved on any guest's pipes for as long as `limit`.
async fn silence_of(shared: &SharedLimits, limit: Option<Duration>) {
    match (&shared.activity, limit) {
        (Some(activity), Some(limit)) => activity.silence(limit).await,
        _ => std::future::pending().await,
    }
}

/// Reads and compiles all guests, those that may be started included, each once, on a thread.
///
/// Those with fuel are compiled apart, so that the others do not count what they compute.
async fn load(plan: &Plan, engine: &Engine) -> Result<Vec<Option<Code>>, Failure> {
    let (stages, engine) = (plan.stages.clone(), engine.clone());
    let load = move || {
        let with_fuel =
            match stages.iter().filter_map(plan::Stage::options).any(|it| it.limits.fuel.is_some())
            {
                true => Some(metering(&engine)?),
                false => None,
            };
        let mut known: Vec<(Source, bool, Guest)> = Vec::new();
        let load = |stage: &plan::Stage| {
            let Job::Guest { source, options, .. } = &stage.job else { return Ok(None) };
            let (engine, fueled) = match (&with_fuel, options.limits.fuel) {
                (Some(with_fuel), Some(_)) => (with_fuel, true),
                _ => (&engine, false),
            };
            let mut guest = |source: &Source| {
                let same =
                    |(known, with, _): &&(Source, bool, Guest)| known == source && *with == fueled;
                if let Some((.., guest)) = known.iter().find(same) {
                    return Ok(guest.clone());
                }
                let guest = source.load_runnable(engine)?;
                known.push((source.clone(), fueled, guest.clone()));
                Ok(guest)
            };
            let mut load = || {
                let (code, engine) = (guest(source)?, engine.clone());
                let children = granting::children(options, &mut guest)?;
                Ok(Some(Code { engine, guest: code, children }))
            };
            load().map_err(|failure: Failure| {
                let failure = match matches!(failure.status, Status::Missing | Status::NotUsable)
                    && source.is_command()
                {
                    true => failure
                        .with_hint(&format!("a native command is written: exec {}", stage.runs())),
                    false => failure,
                };
                failure.of_stage(&stage.name)
            })
        };
        stages.iter().map(load).collect()
    };
    threads::elsewhere(load).await.context("compiling failed").or_status(Status::Io)?
}

/// Opens all that is granted, makes the pipes, and gives each stage its ends. Nothing runs yet.
/// `isolated`, with the text of the pipeline's file, if guests are to have processes of their own.
fn open(
    plan: &Plan,
    loaded: Vec<Option<Code>>,
    shared: &SharedLimits,
    isolated: Option<Option<&str>>,
    leftovers: &Leftovers,
    sandbox: SandboxMode,
) -> Result<Opened, Failure> {
    let mut ends = Ends::make(plan)?;
    let granting = Granting::new(leftovers, sandbox);
    let mut stages = Vec::new();
    let mut reports = Vec::new();
    for ((at, stage), loaded) in plan.stages.iter().enumerate().zip(loaded) {
        granting.for_stage(&stage.name);
        let mut report = None;
        let opened = match (&stage.job, loaded) {
            (Job::Guest { .. }, _) if let Some(text) = isolated => {
                isolated::command(plan, at, &mut ends, &granting, text).map(|(command, file)| {
                    report = Some(file);
                    pipeline::Stage::Native(command)
                })
            }
            (Job::Guest { source, args, options }, Some(code)) => {
                let prepared = ends
                    .wiring(plan, at, &granting)
                    .and_then(|wiring| granting.prepare(options, wiring, source, args));
                prepared.map(|prepared| {
                    guest_stage(code, prepared.shared_limits(shared.clone()), options)
                })
            }
            (Job::Native { command, .. }, _) => {
                ends.command(plan, at, command, &granting).map(pipeline::Stage::Native)
            }
            (Job::Guest { .. }, None) => {
                Err(anyhow!("it has not been compiled")).or_status(Status::NotUsable)
            }
        };
        stages.push(opened.map_err(|failure| failure.of_stage(&stage.name))?);
        reports.push(report);
    }
    let (leases, fifos) = (ends.leases, granting.fifos());
    Ok(Opened { stages, leases, fifos, policy: granting.into_policy(), reports })
}

/// The stages with all that they are given, and what this process needs for it.
struct Opened {
    stages: Vec<pipeline::Stage<Failure>>,
    /// The room that its pipes have taken.
    leases: Vec<CapacityLease>,
    /// The FIFOs that are granted.
    fifos: Vec<FifoStats>,
    policy: SandboxPolicy,
    /// Where the processes of guests leave their reports.
    reports: Vec<Option<File>>,
}

fn guest_stage(code: Code, prepared: Prepared, options: &GuestOptions) -> pipeline::Stage<Failure> {
    let Code { engine, guest, children } = code;
    let folders = options.dir.clone();
    let prepare = Box::new(move || {
        granting::reserve_for_files(&folders)?;
        prepared.with_children(children).setup()
    });
    pipeline::Stage::Guest { engine, guest, prepare, timeout: options.limits.timeout }
}

/// The ends of all pipes between stages, until they are given to those.
struct Ends {
    readers: BTreeMap<EndRef, Handle>,
    writers: BTreeMap<EndRef, Handle>,
    leases: Vec<CapacityLease>,
}

impl Ends {
    fn make(plan: &Plan) -> Result<Self, Failure> {
        let mut ends =
            Self { readers: BTreeMap::new(), writers: BTreeMap::new(), leases: Vec::new() };
        for (reader, pipes) in plan.by_reader() {
            let mut make = || {
                let capacity = pipes.iter().find_map(|pipe| pipe.capacity);
                let pair = sys::pipe_pair(capacity)?;
                for pipe in pipes.iter().skip(1) {
                    ends.writers.insert(pipe.from.clone(), sys::another_writer(&pair.writer)?);
                }
                if let Some(pipe) = pipes.first() {
                    ends.writers.insert(pipe.from.clone(), pair.writer);
                }
                ends.readers.insert(reader.clone(), pair.reader);
                ends.leases.push(pair.lease);
                std::io::Result::Ok(())
            };
            make().context("a pipe cannot be made").or_status(Status::Io)?;
        }
        Ok(ends)
    }

    /// The standard streams of a stage, and its other ends.
    fn wiring(
        &mut self,
        plan: &Plan,
        at: usize,
        granting: &Granting<'_>,
    ) -> Result<Wiring, Failure> {
        let stdin = self.stream(plan, at, 0, granting)?;
        let stdout = self.stream(plan, at, 1, granting)?;
        let stderr = self.stream(plan, at, 2, granting)?;
        let mut named = Vec::new();
        for name in plan.names(at) {
            let (reader, writer) = self.both(at, name.as_str());
            named.push(Grant::joined(name, reader, writer));
        }
        Ok(Wiring { stdin, stdout, stderr, named })
    }

    /// One of the standard streams of a stage.
    fn stream(
        &mut self,
        plan: &Plan,
        at: usize,
        number: i32,
        granting: &Granting<'_>,
    ) -> Result<Stream, Failure> {
        if let Some(joined) = self.standard_ends(number).remove(&standard_end(at, number)) {
            return Ok(Stream::Joined(joined));
        }
        let redirection = plan.stages[at].redirection(number);
        let inherited = || sys::standard(number).map(Stream::Shared);
        match number {
            0 if at > 0 => granting.input(redirection, || sys::null().map(Stream::Shared)),
            0 => granting.input(redirection, inherited),
            _ => granting.output(redirection, number, inherited),
        }
    }

    /// Whether another stage is on the other side of it.
    fn joins(&mut self, at: usize, number: i32) -> bool {
        self.standard_ends(number).contains_key(&standard_end(at, number))
    }

    fn standard_ends(&mut self, number: i32) -> &mut BTreeMap<EndRef, Handle> {
        if number == 0 { &mut self.readers } else { &mut self.writers }
    }

    fn both(&mut self, at: usize, end: &str) -> (Option<Handle>, Option<Handle>) {
        let end = EndRef::new(at, end);
        (self.readers.remove(&end), self.writers.remove(&end))
    }

    fn command(
        &mut self,
        plan: &Plan,
        at: usize,
        command: &[std::ffi::OsString],
        granting: &Granting<'_>,
    ) -> Result<NativeCommand, Failure> {
        let mut others = Vec::new();
        for (end, number) in plan.numbers(at) {
            let (reader, writer) = self.both(at, &end);
            others.extend(reader.or(writer).map(|fd| (number, fd)));
        }
        let wiring = self.wiring(plan, at, granting)?;
        let fd = |stream| match stream {
            Stream::Shared(fd) | Stream::Joined(fd) => Ok(fd),
            // Refused when the plan was made.
            Stream::Fifo { .. } => {
                Err(anyhow!("a native command has no FIFO")).or_status(Status::Usage)
            }
        };
        Ok(NativeCommand {
            program: command.first().cloned().unwrap_or_default(),
            args: command.iter().skip(1).cloned().collect(),
            stdin: fd(wiring.stdin)?,
            stdout: fd(wiring.stdout)?,
            stderr: fd(wiring.stderr)?,
            others,
        })
    }
}

fn standard_end(at: usize, number: i32) -> EndRef {
    let names = ["stdin", "stdout", "stderr"];
    EndRef::new(at, names[usize::try_from(number).unwrap_or(0).min(2)])
}

impl Plan {
    /// The ends of one stage, each once.
    fn ends(&self, at: usize) -> Vec<&str> {
        let ends = self.pipes.iter().flat_map(|pipe| [&pipe.from, &pipe.to]);
        let mut ends: Vec<_> =
            ends.filter(|end| end.stage == at).map(|end| end.end.as_str()).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// The names by which a guest opens its pipes to other stages.
    fn names(&self, at: usize) -> Vec<PipeName> {
        let stage = &self.stages[at];
        let named = |end: &&str| matches!(stage.end_kind(end), Some(EndKind::Named(_)));
        self.ends(at).into_iter().filter(named).filter_map(|end| end.parse().ok()).collect()
    }

    /// The numbers under which a native command has its pipes to other stages.
    fn numbers(&self, at: usize) -> Vec<(String, i32)> {
        let number = |end: &str| match self.stages[at].end_kind(end) {
            Some(EndKind::Number(number)) => Some((end.to_owned(), number)),
            _ => None,
        };
        self.ends(at).into_iter().filter_map(number).collect()
    }

    /// What each guest is granted.
    fn guests(&self) -> impl Iterator<Item = &GuestOptions> {
        self.stages.iter().filter_map(plan::Stage::options)
    }

    /// What all guests may have together: what was said, or what is usual, where none is permitted more
    /// by itself.
    fn totals(&self, args: &TotalsArgs) -> Totals {
        let most = |of: fn(&GuestOptions) -> Option<usize>| self.guests().filter_map(of).max();
        let memory = self.guests().filter_map(|options| options.limits.max_memory).max();
        let pipes = most(|options| options.limits.max_pipes).unwrap_or(0);
        let children = most(|options| options.limits.max_children).unwrap_or(DEFAULT_MAX_CHILDREN);
        Totals::new(
            args.max_total_memory.unwrap_or(DEFAULT_MAX_TOTAL_MEMORY.max(memory.unwrap_or(0))),
            args.max_total_pipes.unwrap_or(DEFAULT_MAX_TOTAL_PIPES.max(pipes)),
            args.max_total_children.unwrap_or(DEFAULT_MAX_TOTAL_CHILDREN.max(children)),
        )
    }

    /// The folders that guests may write to.
    fn writable_folders(&self) -> impl Iterator<Item = &Path> {
        let folders = self.guests().flat_map(|options| &options.dir);
        folders.filter(|dir| !dir.read_only).map(|dir| dir.host.as_path())
    }
}
