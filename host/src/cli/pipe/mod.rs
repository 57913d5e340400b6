//! `pipehost pipe`: several stages at once, joined by pipes.

mod file;
mod isolated;
mod line;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::args::{GuestOptions, PipeArgs};
use super::compile::engine_for;
use super::confining::{confine, provide_for_commands};
use super::exit::{Failure, OrStatus, Status, pipefail};
use super::granting::{self, Granting, Prepared, Stream, Wiring, file_failure};
use super::graph::Graph;
use super::inspect::print;
use super::run::{say_stopped, supervised};
use super::say;
use super::signals::{Leftovers, SignalWatch};
use super::source::Source;
use crate::children::{Children, after};
use crate::engine::Engine;
use crate::guest::Guest;
use crate::os::{self, Growth, NativeCommand, Powers};
use crate::pipe::{Grant, PipeName};
use crate::pipeline::{self, Pipeline};
use isolated::StageReport;
use plan::{EndKind, EndRef, Job, Plan};
use report::find_commands;

/// How long stages that are told to end may take, before the pipeline ends without them.
const PATIENCE: Duration = Duration::from_millis(150);

pub(crate) use isolated::Part;

pub(crate) fn main(mut args: PipeArgs) -> Result<Status, Failure> {
    if let Some(part) = args.part.take() {
        return isolated::main(args, part);
    }
    let text = args.file.as_deref().map(file::read).transpose()?;
    let plan = of_plan(&args, text.clone().map(Ok))?;
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
    if !args.check && !args.isolate && plan.stages.iter().any(plan::Stage::starts_commands) {
        provide_for_commands(args.sandbox.sandbox)?;
    }
    supervised(async |leftovers, signals| supervise(args, plan, text, leftovers, signals).await)
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
    for (at, stage) in plan.stages.iter().enumerate() {
        if let Job::Guest { options, .. } = &stage.job {
            let names = plan.names(at);
            granting::check(options, names.iter()).map_err(|error| error.of_stage(&stage.name))?;
        }
    }
    Ok(plan)
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
type Loaded = Option<(Guest, Option<Children>)>;

/// Runs the stages until all have ended, or a signal or the time limit ends them.
async fn supervise(
    args: PipeArgs,
    plan: Plan,
    text: Option<String>,
    leftovers: &Leftovers,
    mut signals: SignalWatch,
) -> Result<Status, Failure> {
    let timeout = args.options.timeout;
    let mut limit = pin!(after(timeout));
    let engine = engine_for(&args.cache, plan.writable_folders())?;
    let isolated = args.isolate && !args.check;
    let stopped = tokio::select! {
        // Their own processes look at what guests are made of.
        _ = std::future::ready(()), if isolated => Ok(plan.stages.iter().map(|_| None).collect()),
        loaded = load(&plan, &engine), if !isolated => Ok(loaded?),
        signal = signals.received() => Err(Status::Signal(signal)),
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

    let opened = open(&plan, loaded, isolated.then_some(text.as_deref()), leftovers)?;
    let Opened { stages, growths: _growths, mut powers, mut reports } = opened;
    let started = Instant::now();
    let mut pipeline = Pipeline::start(&engine, stages);
    os::retire_standard_input_and_output()
        .context("the standard streams cannot be given up")
        .or_status(Status::Io)?;
    // What opens files, and what is a process of its own, is done before.
    pipeline.prepared().await;
    if isolated || plan.stages.iter().any(|stage| matches!(stage.job, Job::Native { .. })) {
        powers.natives();
    }
    confine(args.sandbox.sandbox, &powers)?;
    pipeline.go();
    let mut stopped = None;
    let mut given_up = pin!(after(None));
    let mut ended: Vec<_> = plan.stages.iter().map(|_| None).collect();
    loop {
        let why = tokio::select! {
            biased;
            signal = signals.received(), if stopped.is_none() => Status::Signal(signal),
            () = &mut limit, if stopped.is_none() => Status::TimedOut,
            report = pipeline.next() => {
                let Some((at, mut report)) = report else { break };
                let told = reports[at].as_mut().and_then(StageReport::read);
                let (status, line) = match told {
                    Some(told) => told.put_into(&mut report),
                    None => plan.verdict(at, &report, stopped),
                };
                if let Some(line) = line.filter(|_| stopped.is_none()) {
                    say(&format!("stage {}: {line}", plan.stages[at].name));
                }
                ended[at] = Some((status, report));
                continue;
            }
            () = &mut given_up => break,
        };
        pipeline.stop(match why {
            Status::Signal(number) => number.into(),
            _ => libc::SIGTERM,
        });
        given_up.set(after(Some(PATIENCE)));
        stopped = Some(why);
    }
    let statuses: Vec<u8> = ended
        .iter()
        .map(|stage| stage.as_ref().map_or(Status::TimedOut.code(), |(status, _)| status.code()))
        .collect();
    let status = stopped.unwrap_or(Status::Exited(pipefail(&statuses)));
    if let Some(stopped) = stopped {
        say_stopped(stopped, timeout);
    }
    if let Some(form) = args.stats.stats {
        plan.stats(status, started.elapsed(), &ended).print(form);
    }
    // The process is about to end, and with it the code.
    std::mem::forget(engine);
    Ok(status)
}

/// Reads and compiles all guests, those that may be started included, each once, on a thread.
async fn load(plan: &Plan, engine: &Engine) -> Result<Vec<Loaded>, Failure> {
    let (stages, engine) = (plan.stages.clone(), engine.clone());
    let load = move || {
        let mut known: Vec<(Source, Guest)> = Vec::new();
        let mut guest = |source: &Source| {
            if let Some((_, guest)) = known.iter().find(|(known, _)| known == source) {
                return Ok(guest.clone());
            }
            let guest = source.load_runnable(&engine)?;
            known.push((source.clone(), guest.clone()));
            Ok(guest)
        };
        let load = |stage: &plan::Stage| {
            let Job::Guest { source, options, .. } = &stage.job else { return Ok(None) };
            let loaded = guest(source)
                .and_then(|code| Ok(Some((code, granting::children(options, &mut guest)?))));
            loaded.map_err(|failure| failure.of_stage(&stage.name))
        };
        stages.iter().map(load).collect()
    };
    tokio::task::spawn_blocking(load)
        .await
        .context("compiling failed")
        .or_status(Status::NotUsable)?
}

/// Opens all that is granted, makes the pipes, and gives each stage its ends. Nothing runs yet.
/// `isolated`, with the text of the pipeline's file, if guests are to have processes of their own.
fn open(
    plan: &Plan,
    loaded: Vec<Loaded>,
    isolated: Option<Option<&str>>,
    leftovers: &Leftovers,
) -> Result<Opened, Failure> {
    let mut ends = Ends::make(plan)?;
    let granting = Granting::new(leftovers);
    let mut stages = Vec::new();
    let mut reports = Vec::new();
    for ((at, stage), loaded) in plan.stages.iter().enumerate().zip(loaded) {
        let mut report = None;
        let opened = match (&stage.job, loaded) {
            (Job::Guest { .. }, _) if let Some(text) = isolated => {
                isolated::command(plan, at, &mut ends, &granting, text).map(|(command, file)| {
                    report = Some(file);
                    pipeline::Stage::Native(command)
                })
            }
            (Job::Guest { source, args, options }, Some((guest, children))) => {
                let prepared = ends
                    .wiring(plan, at, &granting)
                    .and_then(|wiring| granting.prepare(options, wiring, source, args));
                prepared
                    .map(|prepared| guest_stage(guest, prepared.with_children(children), options))
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
    Ok(Opened { stages, growths: ends.growths, powers: granting.into_powers(), reports })
}

/// The stages with all that they are given, and what this process needs for it.
struct Opened {
    stages: Vec<pipeline::Stage<Failure>>,
    growths: Vec<Growth>,
    powers: Powers,
    /// Where the processes of guests leave their reports.
    reports: Vec<Option<File>>,
}

fn guest_stage(
    guest: Guest,
    prepared: Prepared,
    options: &GuestOptions,
) -> pipeline::Stage<Failure> {
    let prepare = Box::new(move || prepared.setup());
    pipeline::Stage::Guest { guest, prepare, timeout: options.timeout }
}

/// The ends of all pipes between stages, until they are given to those.
struct Ends {
    readers: BTreeMap<EndRef, OwnedFd>,
    writers: BTreeMap<EndRef, OwnedFd>,
    growths: Vec<Growth>,
}

impl Ends {
    fn make(plan: &Plan) -> Result<Self, Failure> {
        let mut ends =
            Self { readers: BTreeMap::new(), writers: BTreeMap::new(), growths: Vec::new() };
        for (reader, pipes) in plan.by_reader() {
            let mut make = || {
                let capacity = pipes.iter().find_map(|pipe| pipe.capacity);
                let joint = os::joint(capacity)?;
                for pipe in pipes.iter().skip(1) {
                    ends.writers.insert(pipe.from.clone(), os::another_writer(&joint.writer)?);
                }
                if let Some(pipe) = pipes.first() {
                    ends.writers.insert(pipe.from.clone(), joint.writer);
                }
                ends.readers.insert(reader.clone(), joint.reader);
                ends.growths.push(joint.growth);
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
        let inherited = || os::standard(number).map(Stream::Shared);
        match number {
            0 if at > 0 => granting.input(redirection, || os::null().map(Stream::Shared)),
            0 => granting.input(redirection, inherited),
            _ => granting.output(redirection, number, inherited),
        }
    }

    /// Whether another stage is on the other side of it.
    fn joins(&mut self, at: usize, number: i32) -> bool {
        self.standard_ends(number).contains_key(&standard_end(at, number))
    }

    fn standard_ends(&mut self, number: i32) -> &mut BTreeMap<EndRef, OwnedFd> {
        if number == 0 { &mut self.readers } else { &mut self.writers }
    }

    fn both(&mut self, at: usize, end: &str) -> (Option<OwnedFd>, Option<OwnedFd>) {
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
            Stream::Fifo(_) => {
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

    /// The folders that guests may write to.
    fn writable_folders(&self) -> impl Iterator<Item = &Path> {
        let options = self.stages.iter().filter_map(|stage| match &stage.job {
            Job::Guest { options, .. } => Some(options),
            Job::Native { .. } => None,
        });
        let folders = options.flat_map(|options| &options.dir);
        folders.filter(|dir| !dir.read_only).map(|dir| dir.host.as_path())
    }
}
