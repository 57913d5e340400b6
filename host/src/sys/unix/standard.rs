//! The standard streams that this process was started with, and which of them were missing.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::own;
use super::open_null;

/// A bit for each of the descriptors 0 to 2 that was closed when this process was started.
static MISSING: AtomicU8 = AtomicU8::new(0);

/// Called by the loader, before Rust's runtime opens /dev/null in place of closed descriptors. Later
/// they can no longer be told apart.
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for number in 0..3 {
        // SAFETY: fcntl(2) with F_GETFD only asks about a number, and touches no memory. It does not
        // need Rust's runtime, which has not started.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            MISSING.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

/// Returns a copy of one of the standard descriptors 0 to 2. The parent process may share its
/// description. If the descriptor was closed when this process was started, or is open for the other
/// direction only, each read and write of the copy fails with EBADF.
///
/// See the example of [`Setup`](crate::Setup).
///
/// # Errors
/// Fails if no descriptors are left.
pub fn standard(number: RawFd) -> io::Result<OwnedFd> {
    if standard_is_open(number) {
        return copy(number);
    }
    // /dev/null opened for the wrong direction: each read or write fails with EBADF at once.
    let access = if number == 0 { OFlags::WRONLY } else { OFlags::RDONLY };
    open_null(access)
}

/// Returns whether one of the standard descriptors 0 to 2 was open when this process was started, for
/// reading (0) or for writing (1 and 2).
fn standard_is_open(number: RawFd) -> bool {
    if MISSING.load(Ordering::Relaxed) & (1 << number) != 0 {
        return false;
    }
    let flags = match number {
        0 => rustix::fs::fcntl_getfl(io::stdin()),
        1 => rustix::fs::fcntl_getfl(io::stdout()),
        _ => rustix::fs::fcntl_getfl(io::stderr()),
    };
    let Ok(flags) = flags else { return false };
    let access = flags & OFlags::ACCMODE;
    let way = if number == 0 { OFlags::RDONLY } else { OFlags::WRONLY };
    !own::is_path_only(flags) && (access == way || access == OFlags::RDWR)
}

/// Checks that this process can write to stdout.
///
/// # Errors
/// EBADF if stdout was closed at the start: `std` would drop all that is written to it, and report no
/// error.
pub(crate) fn demand_standard_output() -> io::Result<()> {
    match standard_is_open(1) {
        true => Ok(()),
        false => Err(Errno::BADF.into()),
    }
}

fn copy(number: RawFd) -> io::Result<OwnedFd> {
    let copy = |fd: std::os::fd::BorrowedFd<'_>| Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?);
    match number {
        0 => copy(io::stdin().as_fd()),
        1 => copy(io::stdout().as_fd()),
        _ => copy(io::stderr().as_fd()),
    }
}

/// Puts /dev/null in place of this process's standard input and output, which it no longer needs. Their
/// peers then see them closed as soon as the processes that were given them close them.
///
/// # Errors
/// Those of open(2) and dup2(2).
pub(crate) fn retire_standard_input_and_output() -> io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}
