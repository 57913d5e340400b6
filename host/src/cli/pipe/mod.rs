//! `pipehost pipe`: runs several stages at once, joined by pipes.

mod drawing;
mod ends;
mod file;
mod isolated;
mod job;
mod line;
mod loading;
mod opening;
mod plan;
mod report;

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::args::{GuestOptions, PipeArgs, SandboxMode};
use super::compile::engine_for;
use super::confining::{bound_files, confine, provide};
use super::exit::{Failure, OrStatus, Status, pipefail};
use super::graph::Graph;
use super::launching::file_failure;
use super::listing::snapshot::{Command, PartOf, StageNow};
use super::listing::{self, Place, stream_places};
use super::named_files::NamedFiles;
use super::output::print;
use super::report::{self as page, Facts};
use super::run::{place, supervised};
use super::signals::{SignalWatch, say_stopped};
use super::stats::{FifoStats, Stats};
use super::watch::Watch;
use super::{log, progress, say, verdict, wants, with_remedy};
use crate::deadlines::{HARD_DEADLINE, PIPELINE_STOP, after};
use crate::launch::{Leftovers, Shared};
use crate::pipe::Activity;
use crate::pipeline::Pipeline;
use crate::sys::{self, Stop};
use isolated::StageReport;
use job::{GuestJob, Job};
use loading::{check_wants, load};
use opening::{Ready, open};
use plan::{Plan, Stage};
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
    check_files(&args, &plan)?;
    if !args.check && args.graph.is_none() {
        plan.guests().try_for_each(wants::check_out_of_reach)?;
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
    // The processes of isolated stages start monitors of their own.
    if !args.check && !args.isolate {
        let guests = plan.guests();
        let has_fifos = plan.stages.iter().any(plan::Stage::has_fifos);
        provide(args.sandbox.sandbox, guests, has_fifos)?;
    }
    let watches = match args.check || args.isolate {
        true => plan.stages.iter().map(|_| None).collect(),
        false => watches(&args, &plan)?,
    };
    if !args.check {
        page::open(&args.report, || facts(&plan, args.isolate))?;
        // The processes of isolated stages warn of their own.
        let folders = plan.folders().filter(|_| !args.isolate);
        listing::open(|| listing_facts(&plan, None), folders);
    }
    // The time that is left after the file was read.
    let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
    supervised(HARD_DEADLINE, args.options.limits.timeout.zip(left), async |leftovers, signals| {
        supervise(args, plan, watches, text, left, leftovers, signals).await
    })
}

/// Has the files of the guests watched that say so. Must be called while this process has one thread.
fn watches(args: &PipeArgs, plan: &Plan) -> Result<Vec<Option<Watch>>, Failure> {
    let of =
        |stage: &Stage| watch(args, plan, stage).map_err(|failure| failure.of_stage(&stage.name));
    plan.stages.iter().map(of).collect()
}

/// Has the file of a stage's guest watched, if that is to be.
fn watch(args: &PipeArgs, plan: &Plan, stage: &Stage) -> Result<Option<Watch>, Failure> {
    let Some(GuestJob { source, plan: guest }) = stage.job.kind().guest() else { return Ok(None) };
    Watch::start(source, source.stamp(), guest, plan.writable_folders(), &args.cache)
}

/// Makes the plan that `args` describe. `text` is the text of the file, if they name one.
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

/// Checks that the grants of each stage do not contradict each other.
fn check(plan: &Plan) -> Result<(), Failure> {
    for (at, stage) in plan.stages.iter().enumerate() {
        if let Some(guest) = stage.guest() {
            let names = plan.names(at);
            let checked = guest.check(names.iter());
            checked.map_err(|conflict| Failure::from(conflict).of_stage(&stage.name))?;
        }
    }
    Ok(())
}

/// Checks that no file is named for two things, and that no stage can change the pipeline's own.
fn check_files(args: &PipeArgs, plan: &Plan) -> Result<(), Failure> {
    let mut files = NamedFiles::default();
    files.program("-f", args.file.as_deref());
    files.own("--report", args.report.report.as_deref());
    files.own("--graph", args.graph.as_ref().and_then(|graph| graph.as_deref()));
    for stage in &plan.stages {
        let of = format!(" of {}", stage.name);
        match &stage.job {
            Job::Guest(guest) => files.guest(&of, &guest.source, &guest.plan),
            job => files.streams(&of, job.kind().streams()),
        }
    }
    files.check()?;
    args.file.as_deref().map_or(Ok(()), |path| file::check_out_of_reach(path, plan))
}

/// Makes a plan that could be run of the text of a file.
pub(super) fn checked(text: &str) -> Result<Plan, Failure> {
    let plan = file::parse(text, Path::new("."), &GuestOptions::default())?;
    check(&plan)?;
    Ok(plan)
}

/// Makes a plan that could be run of the stages between `!`.
pub(super) fn checked_line(args: &PipeArgs) -> Result<Plan, Failure> {
    of_plan(args, None)
}

/// Returns what a report tells of a pipeline before it runs.
fn facts(plan: &Plan, isolated: bool) -> Facts {
    let names: Vec<_> = plan.stages.iter().map(|stage| &*stage.name).collect();
    let guests = plan.stages.iter().filter_map(|stage| Some((&stage.name, stage.guest()?)));
    Facts {
        title: format!("pipehost pipe {}", names.join(" ! ")),
        graph: plan.graph(),
        grants: guests.map(|(name, plan)| (name.clone(), page::grants(plan))).collect(),
        uncounted: isolated.then_some(
            "With --isolate the guests are in processes of their own, and their ends are not looked at over time.",
        ),
    }
}

/// Returns what `pipehost ps` tells of a pipeline before it runs, or of the process of one of its stages.
fn listing_facts(plan: &Plan, part: Option<PartOf>) -> listing::Facts {
    let stage = |stage: &Stage| listing::stage(&stage.name, &stage.runs(), !stage.is_native());
    let stages: Vec<StageNow> = plan.stages.iter().map(stage).collect();
    let runs = stages.iter().map(|stage| &*stage.runs).collect::<Vec<_>>().join(" ! ");
    listing::Facts { command: Command::Pipe, runs, stages, part }
}

/// Returns where the ends of stages lead to that are not joined to each other.
fn places(plan: &Plan, fifos: &[FifoStats]) -> Vec<Place> {
    let at = |fifo: &FifoStats| plan.stages.iter().position(|stage| stage.name == fifo.stage);
    let named = fifos.iter().filter_map(|fifo| Some(place(at(fifo)?, fifo)));
    let guests = plan.stages.iter().enumerate();
    let guests = guests.filter_map(|(at, stage)| Some((at, stage.guest()?)));
    named.chain(guests.flat_map(|(at, guest)| stream_places(at, guest))).collect()
}

/// Prints the pipeline, or draws it to a file.
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

/// Runs the stages until all have ended, or a signal or the time limit ends them.
async fn supervise(
    args: PipeArgs,
    plan: Plan,
    watches: Vec<Option<Watch>>,
    text: Option<String>,
    left: Option<Duration>,
    leftovers: &Leftovers,
    mut signals: SignalWatch,
) -> Result<Status, Failure> {
    let timeout = args.options.limits.timeout;
    let mut limit = pin!(after(left));
    let engine = engine_for(&args.cache, plan.writable_folders())?;
    let isolated = args.isolate && !args.check;
    let loading = Instant::now();
    let stopped = tokio::select! {
        // The guests' own processes compile them, but nothing is opened or started if one of them will not.
        checked = check_wants(&plan), if isolated => {
            checked?;
            Ok(plan.stages.iter().map(|_| None).collect())
        }
        loaded = load(&plan, watches, &engine), if !isolated => Ok(loaded?),
        signal = signals.received() => Err(Status::Signal(signal.number())),
        () = &mut limit => Err(Status::TimedOut),
    };
    let loaded = match stopped {
        Ok(loaded) => loaded,
        Err(stopped) => {
            listing::end(stopped);
            say_stopped(stopped, timeout);
            if let Some(form) = args.stats.stats
                && !args.check
            {
                let none: Vec<_> = plan.stages.iter().map(|_| None).collect();
                plan.stats(stopped, loading.elapsed(), &none).print(form);
            }
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
    let shared = Shared { totals, guests, activity: silence.map(|_| Activity::new()) };
    let ready = open(
        &plan,
        loaded,
        &shared,
        isolated.then_some(text.as_deref()),
        leftovers,
        args.sandbox.sandbox != SandboxMode::Off,
    )?;
    let Ready { stages, leases: _leases, fifos, mut policy, mut reports, watched, unseen } = ready;
    let started = Instant::now();
    let mut silent = pin!(silence_of(&shared, silence));
    let mut guests = plan.guests().count();
    let mut pipeline = Pipeline::start(stages);
    if isolated || plan.stages.iter().any(Stage::is_native) {
        policy.natives();
    }
    // Commands are started before, and so are not bounded. Guests' threads are, from their start.
    bound_files(args.sandbox.sandbox, &mut policy)?;
    sys::retire_standard_input_and_output()
        .context("the standard streams cannot be given up")
        .or_status(Status::Io)?;
    // Files that the guests need are open before the process confines itself.
    pipeline.prepare().await;
    confine(args.sandbox.sandbox, policy)?;
    #[cfg(all(test, target_os = "linux", not(feature = "portable")))]
    super::breakout::broken_out();
    let shown = match isolated {
        false => progress::start(args.progress.progress, &watched, unseen.as_deref()),
        true => {
            if progress::is_shown(args.progress.progress) {
                tracing::warn!(
                    "--progress shows nothing with --isolate, as the guests are in processes of their own"
                );
            }
            None
        }
    };
    let recording = page::record(&watched);
    let listed = listing::start(&watched, places(&plan, &fifos));
    pipeline.go();
    let (mut stopped, mut was_silent) = (None, false);
    let mut given_up = pin!(after(None));
    let mut ended: Vec<_> = plan.stages.iter().map(|_| None).collect();
    loop {
        let why = tokio::select! {
            biased;
            signal = signals.received(), if stopped.is_none() => Status::Signal(signal.number()),
            () = &mut limit, if stopped.is_none() => Status::TimedOut,
            // The host does not see what commands move after the last guest has ended.
            () = &mut silent, if stopped.is_none() && guests > 0 => {
                was_silent = true;
                Status::TimedOut
            }
            report = pipeline.next() => {
                let Some((at, mut report)) = report else { break };
                guests -= usize::from(plan.stages[at].guest().is_some());
                let told = reports[at].as_mut().and_then(StageReport::read);
                let told = told.and_then(|told| told.put_into(&mut report));
                let (status, line) = told.unwrap_or_else(|| plan.verdict(at, &report, stopped));
                if let Some(line) = line.filter(|_| stopped.is_none()) {
                    let _stage = log::stage(&plan.stages[at].name).entered();
                    say(&with_remedy(format!("stage {}: {line}", plan.stages[at].name)));
                }
                listing::stage_ended(at, status);
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
    drop((shown, recording, listed));
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
    listing::end(status);
    page::stages(|| plan.stats(status, started.elapsed(), &ended).stages);
    if let Some(form) = args.stats.stats {
        let stats = plan.stats(status, started.elapsed(), &ended);
        Stats { fifos, ..stats }.print(form);
    }
    // The process is about to end, and with it the code.
    std::mem::forget(engine);
    Ok(status)
}

/// Resolves when nothing has moved on any guest's pipes for as long as `limit`.
async fn silence_of(shared: &Shared, limit: Option<Duration>) {
    match (&shared.activity, limit) {
        (Some(activity), Some(limit)) => activity.silence(limit).await,
        _ => std::future::pending().await,
    }
}
