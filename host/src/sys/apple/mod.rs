//! What macOS does in its own way. It has been compiled and linted, and never run.

mod fifo_watch;

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

pub use super::unix::plain::*;
pub(crate) use fifo_watch::FifoWatch;

/// PIPE_BUF: a pipe that poll(2) calls writable has room for this many bytes.
pub(crate) const PIPE_BUF: usize = 512;

/// The folder of caches, in the home folder.
pub(crate) const CACHES: &str = "Library/Caches";

/// The folder of what programs remember in it.
pub(crate) const STATE: &str = "Library/Application Support";

/// The unit of the most memory that getrusage(2) reports, in bytes.
pub(super) const MEMORY_UNIT: u64 = 1;

/// The flags of fchmodat(2): no link is followed.
pub(super) const CHMOD: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

/// Returns whether a descriptor is always ready, and must not be registered: kqueue(2) takes a file, and
/// says nothing at its end; it refuses devices.
pub(super) fn is_always_ready(fd: &OwnedFd) -> bool {
    match rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile | FileType::Directory | FileType::BlockDevice) => true,
        Ok(FileType::CharacterDevice) => !rustix::termios::isatty(fd),
        _ => false,
    }
}

/// Makes a FIFO: mkfifoat(2), which macOS 13 and later have.
///
/// # Errors
/// Those of mkfifoat(2).
pub(super) fn make_fifo(folder: impl AsFd, name: &str, mode: Mode) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    // SAFETY: the descriptor is open, and the name ends with a 0, during the call.
    match unsafe { libc::mkfifoat(folder.as_fd().as_raw_fd(), name.as_ptr(), mode.bits()) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
