//! Reports on a pipeline's stages: whether they can run, how they ended, what they used.

use std::time::Duration;

use anyhow::anyhow;

use super::super::exit::{Failure, OrStatus, Status};
use super::super::limit_names::option_of;
use super::super::source::{line_of, status_of};
use super::super::stats::{self, PipeStats, StageStats, Stats, Used};
use super::super::verdict;
use super::plan::{EndRef, Plan};
use crate::limits::GuestLimits;
use crate::pipeline::{Report, StageEnd};
use crate::sys::{self, Direction, NativeEnd, SystemError};

/// Checks that the native commands exist and can be executed.
pub(super) fn find_commands(plan: &Plan) -> Result<(), Failure> {
    for stage in &plan.stages {
        if let Some(native) = stage.job.kind().native()
            && let Some(program) = native.command.first()
            && let Err(error) = sys::find_command(program)
        {
            let (status, line) = not_started(&error, &program.to_string_lossy());
            return Err(anyhow!("stage {}: {line}", stage.name)).or_status(status);
        }
    }
    Ok(())
}

/// Returns the status and the line that a shell would give.
fn not_started(error: &std::io::Error, program: &str) -> (Status, String) {
    match error.kind() {
        std::io::ErrorKind::NotFound => (
            Status::NotFound,
            format!("{program}: no such command; look at PATH, or give its path"),
        ),
        std::io::ErrorKind::PermissionDenied => {
            (Status::NotExecutable, format!("{program}: cannot be executed; look at its mode"))
        }
        std::io::ErrorKind::NotADirectory => {
            (Status::NotExecutable, format!("{program}: a part of its path is no folder"))
        }
        std::io::ErrorKind::InvalidInput => (Status::NotExecutable, format!("{program}: {error}")),
        _ if SystemError::of(error) == Some(SystemError::NotExecutable) => {
            let text = "is no program, and no script that begins with #! and an interpreter";
            (Status::NotExecutable, format!("{program}: {text}"))
        }
        _ => (Status::Io, format!("{program}: cannot be started: {error}")),
    }
}

impl Plan {
    /// Returns the status of a stage, and the line that says why, unless its program has said so
    /// itself.
    pub(super) fn verdict(
        &self,
        at: usize,
        report: &Report<Failure>,
        stopped: Option<Status>,
    ) -> (Status, Option<String>) {
        let stage = &self.stages[at];
        let guest = stage.guest();
        match &report.end {
            StageEnd::Guest(outcome) => {
                let none = GuestLimits::default();
                let limits = guest.map_or(&none, |guest| &guest.limits);
                verdict::of(outcome, limits, &report.reached)
            }
            StageEnd::Unfit(error) => {
                let met = report.reached.first().map(|limit| format!(" ({})", option_of(limit)));
                (status_of(error), Some(format!("{}{}", line_of(error), met.unwrap_or_default())))
            }
            StageEnd::Unprepared(failure) => (failure.status, Some(format!("{:#}", failure.error))),
            StageEnd::Native(NativeEnd::Exited(status)) => (Status::Exited(*status), None),
            StageEnd::Native(NativeEnd::Signaled(number)) => {
                let line = format!("its process was ended by signal {number}");
                (Status::Signal(*number), guest.map(|_| line))
            }
            StageEnd::NotStarted(error) => {
                let program = stage.job.kind().program();
                let (status, line) = not_started(error, &program.to_string_lossy());
                (status, Some(line))
            }
            StageEnd::Stopped => (stopped.unwrap_or(Status::TimedOut), None),
            StageEnd::Panicked => {
                (Status::Panicked, Some("the host panicked, which is a bug of pipehost's".into()))
            }
        }
    }

    pub(super) fn stats(
        &self,
        status: Status,
        time: Duration,
        ended: &[Option<(Status, Report<Failure>)>],
    ) -> Stats {
        let stages = self.stages.iter().zip(ended).map(|(stage, ended)| match ended {
            Some((status, Report { time, cpu, memory, totals, .. })) => {
                let used = Used { time: *time, cpu: *cpu, memory: *memory };
                let stats = StageStats::of(&stage.name, &stage.runs(), *status, used);
                match stage.guest() {
                    Some(_) => stats.counting(totals),
                    None => stats,
                }
            }
            None => {
                let used = Used { time, cpu: None, memory: None };
                StageStats::of(&stage.name, &stage.runs(), status, used)
            }
        });
        let total = |end: &EndRef, direction: Direction| {
            let (_, report) = ended[end.stage].as_ref()?;
            report
                .totals
                .iter()
                .find(|total| total.label == end.label() && total.direction == direction)
        };
        let pipes = self.pipes.iter().map(|pipe| {
            let writer = total(&pipe.from, Direction::Write);
            let reader = total(&pipe.to, Direction::Read);
            PipeStats::of(self.end_name(&pipe.from), self.end_name(&pipe.to), writer, reader)
        });
        Stats {
            version: stats::VERSION,
            status: status.code(),
            seconds: time.as_secs_f64(),
            stages: stages.collect(),
            pipes: pipes.collect(),
            fifos: Vec::new(),
        }
    }
}
