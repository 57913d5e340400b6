//! Descriptors that are opened anew through /proc, and O_PATH descriptors, which stand for a file
//! without opening it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::super::unix::identity::Identity;
use super::super::unix::names::GIVEN_UP;

/// Returns the path under which the kernel lets a descriptor of this process be opened anew.
pub(in crate::sys) fn path_of(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Opens a new description of the file behind `fd`, which may be an O_PATH descriptor:
/// `open("/proc/self/fd/N", flags | O_CLOEXEC)`. proc(5).
///
/// # Errors
/// Those of open(2), also EINTR if the open blocks; ENOENT if /proc is not mounted.
pub(in crate::sys) fn reopen(fd: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    // `fd` is borrowed: it must stay open during the call.
    Ok(rustix::fs::open(path_of(&fd), flags, Mode::empty())?)
}

/// Returns whether descriptors, and so checked FIFOs, can be opened anew: proc(5).
pub(in crate::sys) fn opens_fifos() -> bool {
    rustix::fs::access("/proc/self/fd", rustix::fs::Access::EXISTS).is_ok()
}

/// A FIFO that was looked up once: an O_PATH descriptor. It stands for the FIFO even if the path leads
/// elsewhere later.
#[derive(Debug)]
pub(in crate::sys) struct FifoHandle(OwnedFd);

impl FifoHandle {
    /// Looks up a name, and follows no link: `openat(.., O_PATH | O_NOFOLLOW)`. It need not lead to a
    /// FIFO.
    ///
    /// # Errors
    /// Those of open(2).
    pub(in crate::sys) fn look(folder: &OwnedFd, name: &OsStr) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(folder, name, flags, Mode::empty()).map(Self)
    }

    /// Asks about the file: fstat(2).
    ///
    /// # Errors
    /// Those of fstat(2).
    pub(in crate::sys) fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::fstat(&self.0)
    }

    /// Opens a new description of the FIFO, and of no other file.
    ///
    /// # Errors
    /// Those of open(2).
    pub(in crate::sys) fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        let fd = reopen(&self.0, flags)?;
        match Identity::of_open(&fd)? == Identity::of_open(&self.0)? {
            true => Ok(fd),
            // Another file system is mounted at /proc.
            false => Err(io::Error::other("what was opened is not the FIFO that was checked")),
        }
    }

    /// Sets the mode of a FIFO that this process has just made.
    ///
    /// # Errors
    /// Those of chmod(2).
    pub(in crate::sys) fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        rustix::fs::chmod(path_of(&self.0), mode)
    }

    /// Notes the name that this process has given to the FIFO.
    pub(in crate::sys) fn set_name(&mut self, _: &OsStr) {}

    /// Marks the FIFO with [`GIVEN_UP`].
    pub(in crate::sys) fn give_up(&self) {
        if let Ok(stat) = self.stat() {
            let mode = Mode::from_raw_mode(stat.st_mode) | GIVEN_UP;
            // If this is refused, other hosts log a needless warning, and no more.
            let _ = self.set_mode(mode);
        }
    }

    /// Returns whether the host that made the FIFO has marked it with [`GIVEN_UP`].
    pub(in crate::sys) fn is_given_up(&self) -> bool {
        self.stat().is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode).contains(GIVEN_UP))
    }

    /// Returns another handle of the same FIFO.
    ///
    /// # Errors
    /// Those of dup(2).
    pub(in crate::sys) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl AsFd for FifoHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for FifoHandle {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// A file that was found and not opened yet: an O_PATH descriptor.
#[derive(Debug)]
pub(in crate::sys) struct FoundFile(OwnedFd);

impl FoundFile {
    /// Looks up a path, and follows links.
    ///
    /// # Errors
    /// Those of open(2).
    pub(in crate::sys) fn look(path: &Path) -> Result<Self, Errno> {
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map(Self)
    }

    /// Returns the kind of the file.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub(in crate::sys) fn kind(&self) -> Result<FileType, Errno> {
        Ok(FileType::from_raw_mode(rustix::fs::fstat(&self.0)?.st_mode))
    }

    /// Opens the file that was found.
    ///
    /// # Errors
    /// Those of open(2).
    pub(in crate::sys) fn open(self, flags: OFlags) -> io::Result<OwnedFd> {
        reopen(&self.0, flags)
    }
}
