//! Linux without what only Linux has, for tests: what macOS uses runs here, too.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

pub use super::unix::plain::*;
pub(crate) use super::without::FifoWatch;

/// PIPE_BUF of pipe(7).
pub(crate) const PIPE_BUF: usize = 4096;

/// The folder of caches, in the home folder.
pub(crate) const CACHES: &str = ".cache";

/// The folder of what programs remember in it.
pub(crate) const STATE: &str = ".local/state";

/// The unit of the most memory that getrusage(2) reports, in bytes.
pub(super) const MEMORY_UNIT: u64 = 1024;

/// The flags of fchmodat(2). Linux follows links.
pub(super) const CHMOD: AtFlags = AtFlags::empty();

/// Returns whether a descriptor is always ready, and must not be registered. Here epoll(7) refuses it.
pub(super) fn is_always_ready(_: &OwnedFd) -> bool {
    false
}

/// Makes a FIFO: mkfifoat(3).
///
/// # Errors
/// Those of mkfifoat(3).
pub(super) fn make_fifo(folder: impl AsFd, name: &str, mode: Mode) -> Result<(), Errno> {
    rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0)
}
