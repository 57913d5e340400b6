//! Tells one file from another, whatever their names are.

use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dev, FileType, Stat};
use rustix::io::Errno;

/// The device and the inode of a file. They identify it as long as a descriptor of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: Dev,
    inode: u64,
}

impl Identity {
    pub(in crate::sys) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// Returns the number of the device that a special file stands for.
    #[allow(clippy::unnecessary_cast, reason = "not 64 bits everywhere")]
    pub(in crate::sys) fn device_number(stat: &Stat) -> u64 {
        stat.st_rdev as u64
    }

    /// Returns the identity of an open file: fstat(2).
    pub(in crate::sys) fn of_open(fd: impl AsFd) -> Result<Self, Errno> {
        Ok(Self::of(&rustix::fs::fstat(fd)?))
    }

    /// Returns the identity of the file under a name: fstatat(2). The name may lead to another file a
    /// moment later.
    pub(in crate::sys) fn of_name(folder: &OwnedFd, name: &OsStr) -> Result<Self, Errno> {
        Ok(Self::of(&rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Returns the device and the inode as a part of a file's name.
    pub(in crate::sys) fn text(self) -> String {
        format!("{:x}-{:x}", self.device, self.inode)
    }
}

/// What tells a regular file from all others at a moment.
pub(crate) type FileId = Identity;

/// Returns the identity of the regular file that a path leads to, by whatever links; nothing for another kind of file.
///
/// # Errors
/// Those of stat(2).
pub(crate) fn file_id(path: &Path) -> io::Result<Option<FileId>> {
    let stat = rustix::fs::stat(path)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(is_file.then(|| Identity::of(&stat)))
}

/// Returns 16 hexadecimal digits that no other process can guess.
pub(in crate::sys) fn unique() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
