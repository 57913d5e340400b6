//! `pipe --isolate`: runs each guest in a process of its own. That process runs this program again,
//! with the same arguments, which tell it what its stage is. It inherits the stage's ends, opens the
//! stage's other grants, confines itself to them, and writes a report to a file in memory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use super::super::args::{PipeArgs, SandboxMode};
use super::super::compile::{engine_for, metering};
use super::super::confining::{confine, provide};
use super::super::exit::{Failure, OrStatus, Status};
use super::super::launching::{fifo_listener, listener};
use super::super::listing::snapshot::PartOf;
use super::super::listing::{self, stream_places};
use super::super::log;
use super::super::part::Part;
use super::super::run::{place, supervised};
use super::super::signals::SignalWatch;
use super::super::source::Source;
use super::super::stats::FifoStats;
use super::super::verdict;
use super::super::watch::Watch;
use super::ends::Ends;
use super::job::GuestJob;
use super::plan::{Plan, Stage};
use super::{listing_facts, of_plan, watch};
use crate::deadlines::{PART_HARD_DEADLINE, PART_LAST_DELIVERY};
use crate::launch::{
    self, Ended, GuestPlan, Leftovers, Opener, Stream, StreamSpec, Streams, reserve_for_files,
    run_until,
};
use crate::pipe::Label;
use crate::pipe::{Grant, PipeName, Total, share_terminals};
use crate::pipeline::{Report, StageEnd};
use crate::sys::{self, Direction, Handle, NativeCommand, NativeEnd};

/// How many bytes a report may have. It is a few lines for each end: a longer one comes from a process
/// that is out of control.
const MOST_REPORT: u64 = 1024 * 1024;

/// How many bytes of a line are shown.
const MOST_LINE: usize = 2048;

/// The result of a stage's process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StageReport {
    status: u8,
    /// The line that says why.
    line: Option<String>,
    cpu: Duration,
    memory: Option<u64>,
    totals: Vec<TotalReport>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TotalReport {
    label: String,
    standard: bool,
    reads: bool,
    bytes: u64,
    waited: Duration,
}

impl TotalReport {
    fn of(total: &Total) -> Self {
        Self {
            label: total.label.to_string(),
            standard: total.label.is_standard(),
            reads: total.direction == Direction::Read,
            bytes: total.bytes,
            waited: total.waited,
        }
    }
}

impl StageReport {
    /// Reads the report once the process has ended. Returns `None` if the process wrote none.
    pub(super) fn read(file: &mut File) -> Option<Self> {
        let mut text = Vec::new();
        file.rewind().ok()?;
        file.take(MOST_REPORT).read_to_end(&mut text).ok()?;
        // The file is as long as a report may be, and filled with zeroes.
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        serde_json::from_slice(&text[..end]).ok()
    }

    /// Adds the report to what is known of the stage. Returns the status, and the line that says why.
    /// Returns `None` if the process did not end with the status that it reports.
    pub(super) fn put_into<E>(
        mut self,
        report: &mut Report<E>,
    ) -> Option<(Status, Option<String>)> {
        report.cpu = Some(self.cpu);
        report.memory = self.memory;
        report.totals = self.totals();
        let ended = match &report.end {
            StageEnd::Native(NativeEnd::Exited(status)) => Some(*status),
            _ => None,
        };
        if let Some(line) = &mut self.line {
            let end = line.floor_char_boundary(MOST_LINE);
            line.truncate(end);
        }
        (ended == Some(self.status)).then_some((Status::Exited(self.status), self.line))
    }

    fn totals(&self) -> Vec<Total> {
        let total = |total: &TotalReport| Total {
            label: Label::of_standard(&total.label)
                .filter(|_| total.standard)
                .unwrap_or_else(|| Label::Pipe(total.label.as_str().into())),
            direction: if total.reads { Direction::Read } else { Direction::Write },
            bytes: total.bytes,
            waited: total.waited,
        };
        self.totals.iter().map(total).collect()
    }
}

/// Makes the command that runs the guest of stage `at` in a process of its own, and the file for its
/// report.
pub(super) fn command(
    plan: &Plan,
    at: usize,
    ends: &mut Ends,
    opener: &mut Opener,
    text: Option<&str>,
) -> Result<(NativeCommand, File), Failure> {
    let mut others: Vec<(i32, Handle)> = Vec::new();
    let Some(guest) = plan.stages[at].guest() else {
        return Err(anyhow!("only guests have processes of their own")).or_status(Status::Usage);
    };
    // A descriptor granted by number keeps its number, and no other process gets it.
    let mut first = 3;
    for spec in guest.descriptors() {
        let (fd, _) = sys::take_inherited(spec.number)
            .map_err(|error| Failure { status: Status::Pipe, error: anyhow!("--fd {error}") })?;
        first = first.max(spec.number + 1);
        others.push((spec.number, fd));
    }
    let mut standard = [false; 3];
    for spec in guest.fifos() {
        let number = spec.path.as_deref().and_then(sys::inherited_number);
        let Some(number) = number else { continue };
        if let Some(granted) = usize::try_from(number).ok().and_then(|at| standard.get_mut(at)) {
            *granted = true;
            continue;
        }
        let (fd, _) = sys::take_inherited(number)
            .map_err(|error| Failure { status: Status::Pipe, error: anyhow!("--fifo {error}") })?;
        first = first.max(number + 1);
        others.push((number, fd));
    }
    let mut give = |fd: Handle| {
        let number = first;
        first += 1;
        others.push((number, fd));
        number
    };
    let failed = |error: std::io::Error| Failure {
        status: Status::Io,
        error: anyhow!(error).context("a process of its own cannot be given what it needs"),
    };
    let mut report = File::from(sys::memory_file("report", MOST_REPORT).map_err(failed)?);
    report.rewind().map_err(failed)?;
    let mut part = Part {
        stage: at,
        pipeline: std::process::id(),
        report: give(report.try_clone().map_err(failed)?.into()),
        file: None,
        streams: [None; 3],
        pipes: Vec::new(),
    };
    if let Some(text) = text {
        let mut file = File::from(sys::memory_file("pipeline", text.len() as u64).map_err(failed)?);
        file.write_all(text.as_bytes()).and_then(|()| file.rewind()).map_err(failed)?;
        part.file = Some(give(file.into()));
    }
    for name in plan.names(at) {
        let (reader, writer) = ends.both(at, name.as_str());
        part.pipes.push((name.to_string(), reader.map(&mut give), writer.map(&mut give)));
    }
    // The process opens a FIFO itself, unless its path stands for a descriptor of this process.
    for number in 0..3 {
        let is_fifo = match plan.stages[at].redirection(number) {
            Some(StreamSpec::Fifo(spec)) => sys::inherited_number(&spec.path).is_none(),
            _ => false,
        };
        if !is_fifo || ends.joins(at, number) {
            let stream = ends.stream(plan, at, number, opener)?;
            let alone = matches!(stream, Stream::Joined(_));
            if let Stream::Shared(fd) | Stream::Joined(fd) = stream {
                part.streams[usize::try_from(number).unwrap_or(0)] = Some((give(fd), alone));
            }
        }
    }
    let part = serde_json::to_string(&part).context("which stage it is").or_status(Status::Io)?;
    let mut args: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Directly after the command, wherever it is: the words after it may belong to a stage.
    let behind = 1 + position_of_command(&args);
    args.insert(behind, format!("--part={part}").into());
    let own = |number: i32, granted: bool| {
        if granted { sys::standard(number) } else { sys::null() }.map_err(failed)
    };
    let command = NativeCommand {
        program: sys::own_program(),
        args,
        stdin: own(0, standard[0])?,
        stdout: own(1, standard[1])?,
        // For the host's own messages.
        stderr: sys::standard(2).map_err(failed)?,
        others,
    };
    Ok((command, report))
}

/// Returns where the word `pipe` stands that is the command, and no value of an option in front of it.
fn position_of_command(args: &[OsString]) -> usize {
    let takes_value = |arg: &OsString| arg == "--log-file" || arg == "--log-format";
    let is_value = |at: usize| at > 0 && takes_value(&args[at - 1]);
    (0..args.len()).find(|at| args[*at] == "pipe" && !is_value(*at)).unwrap_or(0)
}

/// Runs the process of a stage from start to end.
pub(super) fn main(args: PipeArgs, part: Part) -> Result<Status, Failure> {
    let mut report =
        File::from(sys::take_given(part.report).context("--part").or_status(Status::Usage)?);
    let ended = of_plan(&args, part.file()).and_then(|plan| {
        let stage = plan.stages.get(part.stage);
        let _stage = stage.map(|stage| log::stage(&stage.name).entered());
        let watch = prepare(&args, &part, &plan)?;
        let of = PartOf { pid: part.pipeline, stage: part.stage };
        let folders = stage.and_then(Stage::guest).into_iter().flat_map(|guest| &guest.folders);
        let folders = folders.map(|folder| &*folder.host);
        listing::open(|| listing_facts(&plan, Some(of)), folders);
        // The process that started this one keeps the time limit.
        supervised(PART_HARD_DEADLINE, None, async |leftovers, signals| {
            run(&args, &plan, &part, watch, leftovers, signals).await
        })
    });
    let ended = ended.unwrap_or_else(|failure| StageReport {
        status: failure.status.code(),
        line: Some(format!("{:#}", failure.error)),
        cpu: sys::thread_cpu_time(),
        memory: None,
        totals: Vec::new(),
    });
    let text = serde_json::to_vec(&ended).context("its report").or_status(Status::Io)?;
    report.write_all(&text).context("its report").or_status(Status::Io)?;
    Ok(Status::Exited(ended.status))
}

/// Starts the monitor, and what watches the guest's file, while this process has only one thread.
fn prepare(args: &PipeArgs, part: &Part, plan: &Plan) -> Result<Option<Watch>, Failure> {
    share_terminals();
    let guest = plan.stages.get(part.stage).and_then(Stage::guest);
    let has_fifos = plan.stages.get(part.stage).is_some_and(Stage::has_fifos);
    provide(args.sandbox.sandbox, guest.into_iter(), has_fifos)?;
    plan.stages.get(part.stage).map_or(Ok(None), |stage| watch(args, plan, stage))
}

async fn run(
    args: &PipeArgs,
    plan: &Plan,
    part: &Part,
    watch: Option<Watch>,
    leftovers: &Leftovers,
    mut signals: SignalWatch,
) -> Result<StageReport, Failure> {
    let guest = plan.stages.get(part.stage).and_then(|stage| stage.job.kind().guest());
    let Some(GuestJob { source, plan: guest_plan }) = guest else {
        return Err(anyhow!("--part names no guest")).or_status(Status::Usage);
    };
    let engine = engine_for(&args.cache, guest_plan.writable_folders())?;
    let engine = if guest_plan.limits.fuel.is_some() { metering(&engine)? } else { engine };
    let engine = match &watch {
        Some(watch) => watch.engine(&engine)?,
        None => engine,
    };
    let mut opener =
        Opener::new(leftovers, fifo_listener(), args.sandbox.sandbox != SandboxMode::Off);
    let streams = streams(part, guest_plan, &mut opener)?;
    let opened = opener.open(guest_plan, streams, joined(&part.pipes)?, listener(source))?;
    let fifos = FifoStats::of(&source.program(), opened.fifos());
    let fifos = fifos.iter().map(|fifo| place(part.stage, fifo));
    let places = fifos.chain(stream_places(part.stage, guest_plan)).collect();
    let guest = source.load_runnable(&engine)?;
    let children = launch::children(guest_plan, |spec| Source::load_child(spec, &engine))?;
    let mut setup = opened.with_children(children).setup()?;
    if let Some(watch) = watch {
        watch.follow(source, &engine, &mut setup)?;
    }
    let (journal, memory, reached) = (setup.journal(), setup.memory(), setup.reached());
    confine(args.sandbox.sandbox, opener.into_policy())?;
    reserve_for_files(&guest_plan.folders)?;

    let watched = plan.watched();
    watched.add(part.stage, journal.clone(), None);
    let listed = listing::start(&watched, places);
    let ended = run_until(setup, &engine, &guest, signals.received(), PART_LAST_DELIVERY).await;
    drop(listed);
    let ended = ended.map_err(|error| source.failure(error).with_reached(&reached))?;
    let (status, line) = match ended {
        Ended::Stopped(signal) => (Status::Signal(signal.number()), None),
        Ended::Guest(outcome) => verdict::of(&outcome, &guest_plan.limits, &reached.limits()),
    };
    listing::end(status);
    // The process is about to end, and with it the code.
    std::mem::forget((guest, engine));
    Ok(StageReport {
        status: status.code(),
        line,
        cpu: sys::thread_cpu_time(),
        memory: Some(memory.peak()),
        totals: journal.totals().iter().map(TotalReport::of).collect(),
    })
}

/// Opens the stage's standard streams. Given descriptors come first: the parent process has already
/// followed the options for them.
fn streams(part: &Part, plan: &GuestPlan, opener: &mut Opener) -> Result<Streams, Failure> {
    let mut stream = |number: i32, spec: &Option<StreamSpec>, given: Option<(i32, bool)>| {
        let otherwise = || match given {
            Some((number, true)) => sys::take_given(number).map(Stream::Joined),
            Some((number, false)) => sys::take_given(number).map(Stream::Shared),
            None => sys::null().map(Stream::Shared),
        };
        opener.stream(number, spec.as_ref().filter(|_| given.is_none()), otherwise)
    };
    let [stdin, stdout, stderr] = part.streams;
    Ok(Streams {
        stdin: stream(0, &plan.stdin, stdin)?,
        stdout: stream(1, &plan.stdout, stdout)?,
        stderr: stream(2, &plan.stderr, stderr)?,
    })
}

/// Makes grants of the stage's pipes to other stages.
fn joined(pipes: &[(String, Option<i32>, Option<i32>)]) -> Result<Vec<Grant>, Failure> {
    let take = |number: Option<i32>| number.map(sys::take_given).transpose();
    let grant = |(name, reader, writer): &(String, Option<i32>, Option<i32>)| {
        let name: PipeName = name.parse().context("--part").or_status(Status::Usage)?;
        let reader = take(*reader).context("--part").or_status(Status::Usage)?;
        let writer = take(*writer).context("--part").or_status(Status::Usage)?;
        Ok(Grant::joined(name, reader, writer))
    };
    pipes.iter().map(grant).collect()
}
