//! What tells one file from another, whatever they are called.

use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

/// What tells a thing from all others, as long as somebody has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// Of what is open; fstat(2).
    pub(super) fn of_open(fd: impl AsFd) -> Result<Self, Errno> {
        Ok(Self::of(&rustix::fs::fstat(fd)?))
    }

    /// Of what stands under a name now. That may be another in a moment.
    pub(super) fn of_name(folder: &OwnedFd, name: &OsStr) -> Result<Self, Errno> {
        Ok(Self::of(&rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The device and the inode, as a part of a file's name.
    pub(super) fn text(self) -> String {
        format!("{:x}-{:x}", self.device, self.inode)
    }
}

/// 16 hexadecimal digits that nobody can guess.
pub(super) fn unique() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
