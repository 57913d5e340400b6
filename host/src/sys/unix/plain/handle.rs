//! Files that are known by their name, their device and their inode: no descriptor stands for a file
//! without opening it, and none can be opened anew.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::super::super::own::CHMOD;
use super::super::identity::Identity;
use super::super::refuse_fifo;

/// Returns a path of a descriptor of this process. Opening it gives the same description.
pub(in crate::sys) fn path_of(fd: impl AsFd) -> String {
    format!("/dev/fd/{}", fd.as_fd().as_raw_fd())
}

/// Opens a new description of the terminal behind `fd`, by its name: ttyname(3).
///
/// # Errors
/// `Unsupported` for all other files; those of open(2).
pub(in crate::sys) fn reopen(fd: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let Ok(name) = rustix::termios::ttyname(&fd, Vec::new()) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(&name, flags, Mode::empty())?;
    match Identity::of_open(&opened)? == Identity::of_open(&fd)? {
        true => Ok(opened),
        false => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Returns whether checked FIFOs can be opened.
pub(in crate::sys) fn opens_fifos() -> bool {
    true
}

/// A FIFO that was looked up once. Each open looks at its name again, and refuses another file.
#[derive(Debug)]
pub(in crate::sys) struct FifoHandle {
    folder: OwnedFd,
    name: OsString,
    /// What was found.
    stat: Stat,
    /// True if this process made the FIFO.
    made: bool,
}

impl FifoHandle {
    /// Looks up a name, and follows no link: fstatat(2). It need not lead to a FIFO.
    ///
    /// # Errors
    /// Those of fstatat(2); EMFILE if no descriptors are left.
    pub(in crate::sys) fn look(folder: &OwnedFd, name: &OsStr) -> Result<Self, Errno> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let folder = rustix::io::fcntl_dupfd_cloexec(folder, 3)?;
        Ok(Self { folder, name: name.into(), stat, made: false })
    }

    /// Returns what was found.
    ///
    /// # Errors
    /// None.
    pub(in crate::sys) fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.stat)
    }

    /// Opens a new description of the FIFO, and of no other file. A file that takes its place between
    /// the look and the open is opened, and closed at once.
    ///
    /// # Errors
    /// Those of open(2).
    pub(in crate::sys) fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        let other = || io::Error::other("another file has taken the place of the FIFO");
        let ours = Identity::of(&self.stat);
        if Identity::of_name(&self.folder, &self.name)? != ours {
            return Err(other());
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?;
        match Identity::of_open(&fd)? == ours {
            true => Ok(fd),
            false => Err(other()),
        }
    }

    /// Sets the mode of a FIFO that this process has just made, under a name that nobody knows.
    ///
    /// # Errors
    /// Those of fchmodat(2).
    pub(in crate::sys) fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        rustix::fs::chmodat(&self.folder, &self.name, mode, CHMOD)
    }

    /// Notes the name that this process has given to the FIFO.
    pub(in crate::sys) fn set_name(&mut self, name: &OsStr) {
        self.name = name.into();
        self.made = true;
    }

    /// Says nothing to other hosts: a mark could not be read once the FIFO is gone.
    pub(in crate::sys) fn give_up(&self) {}

    /// Returns whether the host that made the FIFO may have removed it. A FIFO that is gone and was not
    /// made here may be.
    pub(in crate::sys) fn is_given_up(&self) -> bool {
        !self.made && Identity::of_name(&self.folder, &self.name) == Err(Errno::NOENT)
    }

    /// Returns the folder of the FIFO.
    pub(in crate::sys) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// Returns another handle of the same FIFO.
    ///
    /// # Errors
    /// Those of dup(2).
    pub(in crate::sys) fn try_clone(&self) -> io::Result<Self> {
        let Self { folder, name, stat, made } = self;
        Ok(Self { folder: folder.try_clone()?, name: name.clone(), stat: *stat, made: *made })
    }
}

/// A file that was found and not opened yet.
#[derive(Debug)]
pub(in crate::sys) struct FoundFile {
    path: PathBuf,
    kind: FileType,
}

impl FoundFile {
    /// Looks up a path, and follows links: stat(2).
    ///
    /// # Errors
    /// Those of stat(2).
    pub(in crate::sys) fn look(path: &Path) -> Result<Self, Errno> {
        let kind = FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode);
        Ok(Self { path: path.into(), kind })
    }

    /// Returns the kind of the file.
    ///
    /// # Errors
    /// None.
    pub(in crate::sys) fn kind(&self) -> Result<FileType, Errno> {
        Ok(self.kind)
    }

    /// Opens the file. A FIFO that has taken its place is opened, and closed at once.
    ///
    /// # Errors
    /// Those of open(2); [`IsAFifo`](crate::sys::IsAFifo).
    pub(in crate::sys) fn open(self, flags: OFlags) -> io::Result<OwnedFd> {
        let fd = rustix::fs::open(&self.path, flags | OFlags::CLOEXEC, Mode::empty())?;
        refuse_fifo(FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode), &self.path)?;
        Ok(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::own::{FOLDER, make_fifo};
    use super::*;

    #[test]
    fn another_fifo_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = rustix::fs::open(dir.path(), FOLDER, Mode::empty()).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        make_fifo(&folder, "x", mode).unwrap();
        let handle = FifoHandle::look(&folder, "x".as_ref()).unwrap();
        let open = || handle.open(OFlags::RDONLY | OFlags::NONBLOCK);
        open().unwrap();
        std::fs::rename(dir.path().join("x"), dir.path().join("y")).unwrap();
        assert_eq!(open().unwrap_err().kind(), io::ErrorKind::NotFound);
        make_fifo(&folder, "x", mode).unwrap();
        assert_eq!(open().unwrap_err().kind(), io::ErrorKind::Other);
        std::fs::remove_file(dir.path().join("x")).unwrap();
        std::os::unix::fs::symlink("y", dir.path().join("x")).unwrap();
        assert_eq!(open().unwrap_err().kind(), io::ErrorKind::Other, "no link is followed");
    }
}
