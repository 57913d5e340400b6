//! Opens everything that a pipeline's stages are given.

use std::fs::File;

use anyhow::anyhow;
use tracing::Span;

use super::super::exit::{Failure, OrStatus, Status};
use super::super::launching::{fifo_listener, listener};
use super::super::log;
use super::super::run::unseen;
use super::super::source::Source;
use super::super::stats::FifoStats;
use super::super::watching::{Watched, any_terminal, bytes_left};
use super::ends::Ends;
use super::isolated;
use super::job::{GuestJob, Job};
use super::loading::Code;
use super::plan::Plan;
use crate::launch::{GuestPlan, Leftovers, Opened, Opener, Shared, reserve_for_files};
use crate::pipeline;
use crate::sys::{self, CapacityLease, SandboxPolicy};

/// The stages with everything that they are given, and what this process must keep for them.
pub(super) struct Ready {
    pub(super) stages: Vec<pipeline::Stage<Failure>>,
    /// The leases of the pipes that were made larger.
    pub(super) leases: Vec<CapacityLease>,
    /// The granted FIFOs.
    pub(super) fifos: Vec<FifoStats>,
    pub(super) policy: SandboxPolicy,
    /// The files to which the processes of guests write their reports.
    pub(super) reports: Vec<Option<File>>,
    /// The guests, as soon as they are prepared.
    pub(super) watched: Watched,
    /// What may write to a terminal without this process seeing it.
    pub(super) unseen: Option<String>,
}

/// Opens everything that is granted, makes the pipes, and gives each stage its ends. Nothing runs yet.
/// `isolated` is the text of the pipeline's file, if guests get processes of their own.
pub(super) fn open(
    plan: &Plan,
    loaded: Vec<Option<Code>>,
    shared: &Shared,
    isolated: Option<Option<&str>>,
    leftovers: &Leftovers,
    confined: bool,
) -> Result<Ready, Failure> {
    let mut ends = Ends::make(plan)?;
    let mut opener = Opener::new(leftovers, fifo_listener(), confined);
    let (mut stages, mut reports, mut fifos) = (Vec::new(), Vec::new(), Vec::new());
    let (watched, mut unseen_writer) = (plan.watched(), None);
    for ((at, stage), loaded) in plan.stages.iter().enumerate().zip(loaded) {
        let _stage = log::stage(&stage.name).entered();
        let mut report = None;
        let opened = match (&stage.job, loaded) {
            (Job::Guest(_), _) if let Some(text) = isolated => {
                isolated::command(plan, at, &mut ends, &mut opener, text).map(|(command, file)| {
                    report = Some(file);
                    pipeline::Stage::Native(command)
                })
            }
            (Job::Guest(GuestJob { source, plan: guest }), Some(code)) => ends
                .wiring(plan, at, &mut opener)
                .and_then(|(streams, named)| {
                    if let Some(what) = unseen(guest)
                        && any_terminal([&streams.stdout, &streams.stderr])
                    {
                        unseen_writer = Some(format!("stage {}, {what},", stage.name));
                    }
                    let input = bytes_left(&streams.stdin);
                    Ok((opener.open(guest, streams, named, listener(source))?, input))
                })
                .map(|(opened, input)| {
                    fifos.extend(FifoStats::of(&stage.name, opened.fifos()));
                    let seen = Seen { watched: watched.clone(), at, input };
                    guest_stage(code, opened.shared(shared.clone()), source, guest, seen)
                }),
            (Job::Native(native), _) => {
                ends.command(plan, at, &native.command, &mut opener).map(|command| {
                    if sys::is_terminal(&command.stdout) || sys::is_terminal(&command.stderr) {
                        unseen_writer = Some(format!("stage {}, a native command,", stage.name));
                    }
                    pipeline::Stage::Native(command)
                })
            }
            (Job::Guest(_), None) => {
                Err(anyhow!("it has not been compiled")).or_status(Status::NotUsable)
            }
        };
        stages.push(opened.map_err(|failure| failure.of_stage(&stage.name))?);
        reports.push(report);
    }
    let leases = ends.into_leases();
    let (policy, unseen) = (opener.into_policy(), unseen_writer);
    Ok(Ready { stages, leases, fifos, policy, reports, watched, unseen })
}

/// Where a guest is added once it is prepared.
struct Seen {
    watched: Watched,
    at: usize,
    /// How many bytes there are to be read from its stdin.
    input: Option<u64>,
}

fn guest_stage(
    code: Code,
    opened: Opened,
    source: &Source,
    plan: &GuestPlan,
    seen: Seen,
) -> pipeline::Stage<Failure> {
    let Code { engine, guest, children, watch } = code;
    let folders = plan.folders.clone();
    let (source, own) = (source.clone(), engine.clone());
    // That of the stage.
    let span = Span::current();
    let prepare = Box::new(move || {
        let mut setup = span.in_scope(|| {
            reserve_for_files(&folders)?;
            opened.with_children(children).setup()
        })?;
        setup.span(span);
        if let Some(watch) = watch {
            watch.follow(&source, &own, &mut setup)?;
        }
        seen.watched.add(seen.at, setup.journal(), seen.input);
        Ok(setup)
    });
    pipeline::Stage::Guest { engine, guest, prepare }
}
