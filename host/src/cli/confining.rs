//! `--sandbox`: this process confines itself before a guest runs.

use std::ffi::OsString;

use anyhow::{Context, anyhow};

use super::args::SandboxMode;
use super::exit::{Failure, OrStatus, Status};
use crate::launch::GuestPlan;
use crate::sys::{self, Missing, SandboxPolicy};

/// Starts the monitor, if these guests need one: for FIFOs, which it opens and removes, and for the
/// native commands that they may start from a confined process. Must be called while this process has
/// one thread, before it makes anything.
///
/// # Errors
/// Fails if no process can be made.
pub(crate) fn provide<'a>(
    mode: SandboxMode,
    guests: impl Iterator<Item = &'a GuestPlan> + Clone,
    has_fifos: bool,
) -> Result<(), Failure> {
    let confined = mode != SandboxMode::Off;
    if confined && guests.clone().any(|guest| !guest.folders.is_empty()) {
        sys::expect_folders();
    }
    let commands: Vec<Vec<OsString>> = guests
        .flat_map(|guest| &guest.commands)
        .filter(|_| confined)
        .map(|spec| std::iter::once(&spec.program).chain(&spec.args).map(Into::into).collect())
        .collect();
    if commands.is_empty() && !has_fifos {
        return Ok(());
    }
    sys::start_monitor(commands)
        .context("a process that removes FIFOs and starts commands cannot be made")
        .or_status(Status::Io)
}

/// Bounds which files the threads that are started from now on can open, if `mode` asks for it: see
/// [`SandboxPolicy::bound_files`].
///
/// # Errors
/// Those of [`confine`].
pub(crate) fn bound_files(mode: SandboxMode, policy: &mut SandboxPolicy) -> Result<(), Failure> {
    match mode {
        SandboxMode::Off => Ok(()),
        _ => tell_missing(mode, policy.bound_files()),
    }
}

/// Confines this process to `policy`, if `mode` asks for it.
///
/// # Errors
/// Fails if `mode` demands what the kernel does not have, or if this process has too few resources for
/// a part.
pub(crate) fn confine(mode: SandboxMode, policy: SandboxPolicy) -> Result<(), Failure> {
    if mode == SandboxMode::Off {
        return Ok(());
    }
    tell_missing(mode, sys::confine(policy))?;
    tracing::info!("this process has given up what it does not need");
    Ok(())
}

fn tell_missing(mode: SandboxMode, missing: Vec<Missing>) -> Result<(), Failure> {
    for missing in missing {
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
        match missing.is_critical() {
            true => tracing::warn!("{missing}; --sandbox off says that this is known"),
            // This is normal for older kernels, so it is reported with -v only.
            false => tracing::info!("{missing}; --sandbox require refuses that"),
        }
    }
    Ok(())
}
