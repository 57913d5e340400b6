//! How this process is tied to the commands that it starts.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags};

/// Returns a descriptor that becomes readable when a child of this process has ended: a pidfd.
///
/// # Errors
/// Those of pidfd_open(2).
pub(in crate::sys) fn ended(pid: Pid) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Has the kernel kill this process when the thread that started it ends: PR_SET_PDEATHSIG of prctl(2).
/// Async-signal-safe.
///
/// # Errors
/// Those of prctl(2).
pub(in crate::sys) fn tie_to_parent() -> io::Result<()> {
    // SAFETY: changes an attribute of this process, and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps other threads from making descriptors that a new process would inherit. Here every descriptor
/// is close-on-exec from the start.
pub(in crate::sys) fn forking() {}
