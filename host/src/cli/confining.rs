//! `--sandbox`: this process confines itself before a guest runs.

use anyhow::{Context, anyhow};

use super::args::SandboxMode;
use super::exit::{Failure, OrStatus, Status};
use crate::os::{self, Missing, Powers};

/// Provides for native commands that guests start once this process is confined. To be called while it
/// has one thread only.
///
/// # Errors
/// Where no process is to be had.
pub(crate) fn provide_for_commands(mode: SandboxMode) -> Result<(), Failure> {
    match mode {
        SandboxMode::Off => Ok(()),
        SandboxMode::Auto | SandboxMode::Require => os::start_broker()
            .context("a process that starts native commands cannot be made")
            .or_status(Status::Io),
    }
}

/// Confines this process to `powers`, as far as `mode` asks for it.
///
/// # Errors
/// Where `mode` demands what the kernel does not have, or a fence could not be put up whole.
pub(crate) fn confine(mode: SandboxMode, powers: &Powers) -> Result<(), Failure> {
    if mode == SandboxMode::Off {
        return Ok(());
    }
    let missing = match os::confine(powers) {
        Ok(missing) => missing,
        Err(error) if mode == SandboxMode::Auto => {
            tracing::warn!(
                "the sandbox around this process is not whole: {error}; --sandbox require refuses that"
            );
            return Ok(());
        }
        Err(error) => {
            return Err(error)
                .context("--sandbox require: this process cannot confine itself")
                .or_status(Status::NotPermitted);
        }
    };
    for missing in missing {
        let (what, then) = match missing {
            Missing::Landlock => ("Landlock", "files"),
            Missing::Seccomp => ("seccomp filters", "system calls"),
        };
        if mode == SandboxMode::Require {
            let error = anyhow!(
                "--sandbox require: this kernel has no {what}; use --sandbox auto, or another kernel"
            );
            return Err(error).or_status(Status::NotPermitted);
        }
        tracing::warn!(
            "this kernel has no {what}: {then} are bounded by the engine alone; --sandbox off \
             says that this is known"
        );
    }
    tracing::info!("this process has given up what it does not need");
    Ok(())
}
