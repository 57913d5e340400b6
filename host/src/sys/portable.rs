//! Linux without what only Linux has, for tests: what macOS uses runs here, too.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::Fifo;
use super::unix::plain;

pub use plain::monitor::{end_monitor, start_monitor};
pub(super) use plain::{
    Ahead, DESCRIPTORS, FOLDER, FifoHandle, FoundFile, Lease, capacity, ended, forking, grow,
    has_writer, is_null, is_path_only, is_pipe, monitor, opens_fifos, path_of, pipe, pipe_of,
    read_nowait, reader_gone, reopen, set_capacity, splice, tie_to_parent, wake_signal,
    write_nowait,
};
pub use plain::{Missing, SandboxPolicy, confine, expect_folders, renounce_files};
pub(crate) use plain::{append, memory_file, own_program};

/// PIPE_BUF of pipe(7).
pub(crate) const PIPE_BUF: usize = 4096;

/// The folder of caches, in the home folder.
pub(crate) const CACHES: &str = ".cache";

/// A send to a socket without a reader may raise SIGPIPE, which Rust's runtime ignores.
pub(super) const NO_SIGNAL: SendFlags = SendFlags::empty();

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

/// Watches nothing: [`Fifo::remove`] still looks whether a FIFO is in its place.
#[derive(Debug)]
pub(crate) struct FifoWatch(());

impl FifoWatch {
    /// Starts nothing.
    pub(crate) fn start() -> Self {
        Self(())
    }

    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub(crate) fn add(&self, _: &Arc<Fifo>) -> io::Result<()> {
        Ok(())
    }
}
