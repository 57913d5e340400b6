//! Locks on files that have a name, held for as long as a descriptor is open: flock(2).

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FlockOperation};
use rustix::io::Errno;
use rustix::path::Arg;

use super::identity::Identity;

/// What became of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locked {
    /// It is ours, and the name leads to what is locked.
    Yes,
    /// Somebody else has it.
    Held,
    /// What is locked has lost its name: whoever had it has removed it since it was opened.
    Moved,
}

/// Locks what `fd` has open, if nobody else has, and looks whether `name` leads to it still. Never waits.
///
/// # Errors
/// Those of flock(2), fstat(2) and fstatat(2).
pub(super) fn lock(folder: impl AsFd, name: impl Arg, fd: impl AsFd) -> Result<Locked, Errno> {
    let fd = fd.as_fd();
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Locked::Held),
        Err(error) => return Err(error),
    }
    let ours = Identity::of_open(fd)?;
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) if Identity::of(&named) == ours => Ok(Locked::Yes),
        Ok(_) | Err(Errno::NOENT) => Ok(Locked::Moved),
        Err(error) => Err(error),
    }
}
