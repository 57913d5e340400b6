//! Locks on files that have a name: flock(2). A lock is held as long as a descriptor is open.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FlockOperation};
use rustix::io::Errno;
use rustix::path::Arg;

use super::identity::Identity;

/// The result of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locked {
    /// The caller has the lock, and the name leads to the locked file.
    Yes,
    /// Another process or thread has the lock.
    Held,
    /// The locked file has lost its name: its last holder has removed it since it was opened.
    Moved,
}

/// Locks the file open as `fd`, if its lock is free, and checks whether `name` still leads to it. Never
/// blocks.
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
