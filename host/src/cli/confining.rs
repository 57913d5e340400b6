//! `--sandbox`: this process confines itself before a guest runs.

use std::ffi::OsString;

use anyhow::{Context, anyhow};

use super::args::{GuestOptions, SandboxMode};
use super::exit::{Failure, OrStatus, Status};
use super::values::StdioSpec;
use crate::sys::{self, Powers};

/// Makes the process that removes what this one makes, if it makes FIFOs: before it makes anything, so that
/// nothing is left behind whichever way it ends. To be called while it has one thread only.
///
/// # Errors
/// Where no process is to be had.
pub(crate) fn provide_for_removal(makes_fifos: bool) -> Result<(), Failure> {
    if !makes_fifos {
        return Ok(());
    }
    sys::start_sweeper()
        .context("a process that removes what this one makes cannot be made")
        .or_status(Status::Io)
}

/// Whether a guest with these options has FIFOs.
pub(crate) fn has_fifos(options: &GuestOptions) -> bool {
    let streams = [&options.stdin, &options.stdout, &options.stderr];
    let is_fifo = |stream: &&Option<StdioSpec>| matches!(stream, Some(StdioSpec::Fifo(..)));
    !options.fifo.is_empty() || streams.iter().any(is_fifo)
}

/// Provides for the native commands that guests with these options may start once this process is confined.
/// To be called while it has one thread only.
///
/// # Errors
/// Where no process is to be had.
pub(crate) fn provide_for_commands<'a>(
    mode: SandboxMode,
    guests: impl Iterator<Item = &'a GuestOptions>,
) -> Result<(), Failure> {
    let commands: Vec<Vec<OsString>> = guests
        .flat_map(|options| &options.exec)
        .map(|spec| std::iter::once(&spec.program).chain(&spec.args).map(Into::into).collect())
        .collect();
    if commands.is_empty() || mode == SandboxMode::Off {
        return Ok(());
    }
    sys::start_broker(commands)
        .context("a process that starts native commands cannot be made")
        .or_status(Status::Io)
}

/// Confines this process to `powers`, as far as `mode` asks for it.
///
/// # Errors
/// Where `mode` demands what the kernel does not have, and where this process has too little for a fence.
pub(crate) fn confine(mode: SandboxMode, powers: Powers) -> Result<(), Failure> {
    if mode == SandboxMode::Off {
        return Ok(());
    }
    for missing in sys::confine(powers) {
        if mode == SandboxMode::Require {
            let error =
                anyhow!("--sandbox require: {missing}; use --sandbox auto, or another kernel");
            return Err(error).or_status(Status::NotPermitted);
        }
        if let Some(remedy) = missing.remedy() {
            let error =
                anyhow!("the sandbox is not complete: {missing}; {remedy}, or write --sandbox off");
            return Err(error).or_status(Status::Io);
        }
        match missing.is_grave() {
            true => tracing::warn!("{missing}; --sandbox off says that this is known"),
            // Older kernels are like that: said with -v.
            false => tracing::info!("{missing}; --sandbox require refuses that"),
        }
    }
    tracing::info!("this process has given up what it does not need");
    Ok(())
}
