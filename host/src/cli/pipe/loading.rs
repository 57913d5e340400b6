//! Reads and compiles the guests of a pipeline.

use anyhow::Context;

use super::super::compile::metering;
use super::super::exit::{Failure, OrStatus, Status};
use super::super::log;
use super::super::source::Source;
use super::super::wants;
use super::super::watch::Watch;
use super::job::GuestJob;
use super::plan::{Plan, Stage};
use crate::children::Children;
use crate::engine::Engine;
use crate::guest::Guest;
use crate::launch;
use crate::names::PipeName;
use crate::threads;

/// A stage's code, and that of the children that it may start.
pub(super) struct Code {
    pub(super) engine: Engine,
    pub(super) guest: Guest,
    pub(super) children: Option<Children>,
    /// What brings those that take its place.
    pub(super) watch: Option<Watch>,
}

/// Checks that all guests are granted what they declare. Reads them, on a thread.
pub(super) async fn check_wants(plan: &Plan) -> Result<(), Failure> {
    let stages = plan.stages.clone();
    let joined: Vec<_> = (0..stages.len()).map(|at| plan.names(at)).collect();
    let check = move || {
        stages.iter().zip(&joined).try_for_each(|(stage, joined)| {
            let Some(GuestJob { source, plan }) = stage.job.kind().guest() else { return Ok(()) };
            let _stage = log::stage(&stage.name).entered();
            wants::check_stage(source, plan, joined)
                .map_err(|failure| failure.of_stage(&stage.name))
        })
    };
    threads::elsewhere(check).await.context("reading the guests failed").or_status(Status::Io)?
}

/// Reads and compiles all guests, and the children that they may start, each once, on a thread.
///
/// Guests with fuel are compiled separately, so that the others do not count what they compute.
pub(super) async fn load(
    plan: &Plan,
    watches: Vec<Option<Watch>>,
    engine: &Engine,
) -> Result<Vec<Option<Code>>, Failure> {
    let (stages, engine) = (plan.stages.clone(), engine.clone());
    let joined: Vec<_> = (0..stages.len()).map(|at| plan.names(at)).collect();
    let load = move || {
        let with_fuel =
            match stages.iter().filter_map(Stage::guest).any(|it| it.limits.fuel.is_some()) {
                true => Some(metering(&engine)?),
                false => None,
            };
        let mut known: Vec<(Source, bool, Guest)> = Vec::new();
        let load = |((stage, joined), watch): ((&Stage, Vec<PipeName>), Option<Watch>)| {
            let Some(GuestJob { source, plan }) = stage.job.kind().guest() else { return Ok(None) };
            let (engine, fueled) = match (&with_fuel, plan.limits.fuel) {
                (Some(with_fuel), Some(_)) => (with_fuel, true),
                _ => (&engine, false),
            };
            let _stage = log::stage(&stage.name).entered();
            // Code that comes later runs on an engine of its own.
            let own = watch.as_ref().map(|watch| watch.engine(engine)).transpose()?;
            let mut guest = |source: &Source| {
                if let Some(own) = &own {
                    return source.load_runnable(own);
                }
                let same =
                    |(known, with, _): &&(Source, bool, Guest)| known == source && *with == fueled;
                if let Some((.., guest)) = known.iter().find(same) {
                    return Ok::<_, Failure>(guest.clone());
                }
                let guest = source.load_runnable(engine)?;
                known.push((source.clone(), fueled, guest.clone()));
                Ok(guest)
            };
            let load = || {
                wants::check_stage(source, plan, &joined)?;
                let (code, engine) = (guest(source)?, own.as_ref().unwrap_or(engine).clone());
                let children = launch::children(plan, |spec| {
                    let source = Source::of(&spec.guest)?;
                    Ok::<_, Failure>((guest(&source)?, source.program()))
                })?;
                Ok(Some(Code { engine, guest: code, children, watch }))
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
        stages.iter().zip(joined).zip(watches).map(load).collect()
    };
    threads::elsewhere(load).await.context("compiling failed").or_status(Status::Io)?
}
