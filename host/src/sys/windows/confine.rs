//! `--sandbox`: what Windows lets a process forbid itself. That is little: no new processes, no code
//! that was not there, no libraries from elsewhere. It cannot bound which files a process opens.

use std::ffi::OsString;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::System::Threading::{
    PROCESS_MITIGATION_POLICY, ProcessChildProcessPolicy, ProcessDynamicCodePolicy,
    ProcessExtensionPointDisablePolicy, ProcessImageLoadPolicy, SetProcessMitigationPolicy,
};

use super::calls::done;

pub use super::super::without::{SandboxPolicy, expect_folders, renounce_files};

/// Whether guests may start native commands later.
static COMMANDS: AtomicBool = AtomicBool::new(false);

/// A part of the sandbox that [`confine`] could not set up.
///
/// See the example of [`sandbox`](crate::sandbox).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// The system refuses a promise.
    #[error("Windows does not forbid this process {what}: {error}")]
    Refused {
        /// What the process would have given up.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// Nothing bounds which files the process opens, and whom it connects to.
    #[error(
        "Windows can forbid this process new processes, new code and libraries from elsewhere, but not \
         files and the network: against these, the engine alone bounds the guest"
    )]
    Files,
}

impl Missing {
    /// Returns what the user can do. That is nothing here.
    pub fn remedy(&self) -> Option<&'static str> {
        None
    }

    /// Returns whether the sandbox is far weaker than it should be.
    pub fn is_critical(&self) -> bool {
        matches!(self, Self::Files)
    }
}

/// A policy of a process: which one, its first flag or flags, and what they forbid.
const POLICIES: [(PROCESS_MITIGATION_POLICY, u32, &str); 4] = [
    // NoRemoteImages, NoLowMandatoryLabelImages.
    (ProcessImageLoadPolicy, 0b11, "libraries from elsewhere"),
    // DisableExtensionPoints.
    (ProcessExtensionPointDisablePolicy, 0b1, "libraries that others put into it"),
    // ProhibitDynamicCode. All guests are compiled by now.
    (ProcessDynamicCodePolicy, 0b1, "new code"),
    // NoChildProcessCreation.
    (ProcessChildProcessPolicy, 0b1, "new processes"),
];

/// Confines this process, as far as Windows can. Returns the parts that could not be set up.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn confine(_: SandboxPolicy) -> Vec<Missing> {
    let mut missing = vec![Missing::Files];
    let starts_commands = COMMANDS.load(Ordering::Relaxed);
    for (policy, flags, what) in POLICIES {
        if policy == ProcessChildProcessPolicy && starts_commands {
            continue;
        }
        // SAFETY: each of these policies is one number of 32 bits.
        let set = unsafe {
            done(SetProcessMitigationPolicy(policy, (&raw const flags).cast(), size_of::<u32>()))
        };
        missing.extend(set.err().map(|error| Missing::Refused { what, error }));
    }
    missing
}

/// Notes which commands guests may start. This process starts them itself, and there is no monitor: the
/// system removes its pipes and ends its commands, however it ends.
///
/// See the example of [`sandbox`](crate::sandbox).
///
/// # Errors
/// None.
pub fn start_monitor(commands: Vec<Vec<OsString>>) -> io::Result<()> {
    COMMANDS.store(!commands.is_empty(), Ordering::Relaxed);
    Ok(())
}

/// Ends no monitor.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn end_monitor() {}
