//! Named pipes: made or found, checked, opened by what was checked, and removed if they are ours.
//!
//! A path can be swapped at any moment, so it is looked up once: an O_PATH descriptor then stands
//! for the FIFO, the checks ask the descriptor, and each open goes through its name under
//! /proc/self/fd, which leads to the same inode whatever has become of the path.

use std::ffi::{CString, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Direction, End, ReaderWait, reopen, sealed};

/// How often making and finding a FIFO is tried when others make and remove it all the while.
const ATTEMPTS: usize = 16;

const GROUP_OR_WORLD_WRITES: u32 = 0o022;
const WORLD_WRITES: u32 = 0o002;

/// What to do about a path. By default a missing FIFO is made, and removed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FifoOptions {
    /// Do not make it: a missing one is an error.
    pub existing: bool,
    /// Do not remove it at the end, even if it was made here.
    pub keep: bool,
    /// Use it even if it belongs to another user, or others may open it.
    pub insecure: bool,
}

/// Why a path cannot serve as a FIFO. The text names what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum FifoError {
    /// Something else stands there. It is left alone.
    #[error("{}: is {found}, not a FIFO; name another path", .path.display())]
    NotAFifo {
        /// The path.
        path: PathBuf,
        /// What stands there, with its article.
        found: &'static str,
    },
    /// The FIFO was asked to exist, and does not.
    #[error("{}: no such FIFO; make it with mkfifo, or drop the key `existing`", .0.display())]
    Missing(PathBuf),
    /// The folder that it should stand in is missing.
    #[error("{}: its folder does not exist; make it first", .0.display())]
    NoFolder(PathBuf),
    /// It belongs to another user.
    #[error("{}: belongs to another user (uid {owner}); add the key `insecure` to use it all the same", .path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Others may write to it, in a folder where anybody may make one.
    #[error("{}: others may write to it, in a folder that all may write to; type `chmod go-w {}`, or add the key `insecure`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// The system does not permit it.
    #[error("{}: {doing} is not permitted; check the folder's and the FIFO's mode", .path.display())]
    NotPermitted {
        /// The path.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
    },
    /// Anything else.
    #[error("{}: {doing} failed: {error}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

/// A checked FIFO. Dropping it removes the FIFO from its folder if it was made here.
pub struct Fifo {
    /// O_PATH: the identity of the FIFO, which no swapping of paths changes.
    handle: OwnedFd,
    folder: OwnedFd,
    file_name: OsString,
    path: PathBuf,
    remove: AtomicBool,
}

impl Fifo {
    /// `mkfifoat(..)` and `openat(.., O_PATH | O_NOFOLLOW)`: finds the FIFO, or makes it with mode
    /// 0600, and checks what it found. mkfifo(3), fifo(7).
    ///
    /// # Errors
    /// See [`FifoError`]. Nothing that was found is changed.
    pub fn prepare(path: &Path, options: FifoOptions) -> Result<Self, FifoError> {
        let fail = |doing, error| FifoError::from_errno(path, doing, error);
        let Some(file_name) = path.file_name() else {
            let found = "a folder";
            return Err(FifoError::NotAFifo { path: path.into(), found });
        };
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::openat(CWD, parent, flags, Mode::empty()).map_err(|error| match error {
                Errno::NOENT | Errno::NOTDIR => FifoError::NoFolder(path.into()),
                error => fail("opening its folder", error),
            })?;

        for _ in 0..ATTEMPTS {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let (handle, made) = match rustix::fs::openat(&folder, file_name, flags, Mode::empty())
            {
                Ok(handle) => (handle, false),
                Err(Errno::NOENT) if options.existing => {
                    return Err(FifoError::Missing(path.into()));
                }
                Err(Errno::NOENT) => {
                    let mode = Mode::RUSR | Mode::WUSR;
                    match rustix::fs::mknodat(&folder, file_name, FileType::Fifo, mode, 0) {
                        Ok(()) => {}
                        Err(Errno::EXIST) => continue,
                        Err(error) => return Err(fail("making it", error)),
                    }
                    match rustix::fs::openat(&folder, file_name, flags, Mode::empty()) {
                        Ok(handle) => (handle, true),
                        Err(Errno::NOENT) => continue,
                        Err(error) => return Err(fail("opening it", error)),
                    }
                }
                Err(error) => return Err(fail("opening it", error)),
            };
            let stat =
                rustix::fs::fstat(&handle).map_err(|error| fail("asking about it", error))?;
            let folder_stat = rustix::fs::fstat(&folder)
                .map_err(|error| fail("asking about its folder", error))?;
            check(path, &stat, &folder_stat, options)?;
            if made && stat.st_mode & 0o777 != 0o600 {
                // The umask took bits away that the owner needs.
                let name = proc_name(&handle);
                rustix::fs::chmod(name, Mode::RUSR | Mode::WUSR)
                    .map_err(|error| fail("setting its mode", error))?;
            }
            return Ok(Self {
                handle,
                folder,
                file_name: file_name.into(),
                path: path.into(),
                remove: AtomicBool::new(made && !options.keep),
            });
        }
        Err(fail("making it", Errno::EXIST))
    }

    /// What stands for the FIFO, whatever becomes of its path: an O_PATH descriptor.
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Its folder and its name there, if it is to be removed.
    pub(super) fn removal(&self) -> Option<(BorrowedFd<'_>, CString)> {
        let remove = self.remove.load(Ordering::SeqCst);
        let name = CString::new(self.file_name.as_bytes()).ok().filter(|_| remove)?;
        Some((self.folder.as_fd(), name))
    }

    /// The path that it was found at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `open(.., O_RDONLY | O_NONBLOCK | O_CLOEXEC)`: never waits for a writer.
    pub fn open_reader(&self) -> io::Result<End> {
        let fd = reopen(&self.handle, OFlags::RDONLY | OFlags::NONBLOCK)?;
        End::owned(fd, Direction::Read)
    }

    /// `open(.., O_WRONLY | O_NONBLOCK | O_CLOEXEC)`: the end, or `None` while nobody reads.
    pub fn open_writer(&self) -> io::Result<Option<End>> {
        match reopen(&self.handle, OFlags::WRONLY | OFlags::NONBLOCK) {
            Ok(fd) => End::owned(fd, Direction::Write).map(Some),
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for a reader on a thread; what comes of it is to be made an end by [`End::owned`].
    pub fn wait_for_reader(&self) -> io::Result<ReaderWait> {
        ReaderWait::start(self.handle.try_clone()?)
    }

    /// Removes the FIFO if it was made here, is to be removed, and still stands at its path.
    /// Does so once; also called by drop.
    pub fn remove(&self) {
        if !self.remove.swap(false, Ordering::SeqCst) {
            return;
        }
        let Ok(name) = CString::new(self.file_name.as_bytes()) else { return };
        let name = sealed::removable(&name);
        let ours = rustix::fs::fstat(&self.handle);
        let there = rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW);
        match (ours, there) {
            (Ok(ours), Ok(there)) if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino) => {
                if let Err(error) = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
                    tracing::warn!("{}: cannot be removed: {error}", self.path.display());
                }
            }
            _ => tracing::debug!("{}: is no longer ours; left alone", self.path.display()),
        }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.remove();
    }
}

impl fmt::Debug for Fifo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fifo")
            .field("path", &self.path)
            .field("remove", &self.remove)
            .finish_non_exhaustive()
    }
}

/// Whether the thing at `path` may be used: its type, its owner, its mode.
fn check(path: &Path, stat: &Stat, folder: &Stat, options: FifoOptions) -> Result<(), FifoError> {
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => None,
        FileType::RegularFile => Some("a regular file"),
        FileType::Directory => Some("a folder"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        _ => Some("something else"),
    };
    if let Some(found) = found {
        return Err(FifoError::NotAFifo { path: path.into(), found });
    }
    if options.insecure {
        return Ok(());
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(FifoError::NotOurs { path: path.into(), owner: stat.st_uid });
    }
    if stat.st_mode & GROUP_OR_WORLD_WRITES != 0 && folder.st_mode & WORLD_WRITES != 0 {
        return Err(FifoError::Exposed(path.into()));
    }
    Ok(())
}

/// The name under which the kernel lets a descriptor of ours be opened anew.
pub(in crate::os) fn proc_name(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

impl FifoError {
    fn from_errno(path: &Path, doing: &'static str, error: Errno) -> Self {
        match error {
            Errno::ACCESS | Errno::PERM => Self::NotPermitted { path: path.into(), doing },
            error => Self::Io { path: path.into(), doing, error: error.into() },
        }
    }

    /// Whether the reason is a lack of permission, rather than that the pipe cannot be made.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::NotOurs { .. } | Self::Exposed(_) | Self::NotPermitted { .. })
    }
}
