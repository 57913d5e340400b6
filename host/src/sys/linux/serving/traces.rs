//! The files that the process has made on disk, as its monitor knows them, and how they are removed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::super::super::unix::identity::Identity;
use super::super::super::unix::trace::Removed;
use super::super::super::unix::{names, runtime};
use super::super::FifoHandle;
use super::super::monitor::TraceKind;

/// How long the kernel may take to release the locks of a process that has closed its socket: it closes
/// one descriptor after another.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A file on disk.
pub(super) struct Known {
    pub(super) id: u32,
    kind: TraceKind,
    folder: OwnedFd,
    /// That of a FIFO that has its name.
    handle: Option<FifoHandle>,
    name: OsString,
    pub(super) may_read: bool,
    pub(super) may_write: bool,
}

impl Known {
    /// Makes this of an announcement. Returns `None` if its parts do not fit together.
    pub(super) fn of(id: u32, kind: TraceKind, name: Vec<u8>, fds: Vec<OwnedFd>) -> Option<Self> {
        let name = OsString::from_vec(name);
        // It must be a name, not a path: so every request stays in its folder.
        let is_name = std::path::Path::new(&name).file_name() == Some(&name);
        let mut fds = fds.into_iter();
        let (folder, handle) = (fds.next()?, fds.next().map(FifoHandle::from));
        let has_handle = matches!(kind, TraceKind::Made | TraceKind::Found);
        (is_name && has_handle == handle.is_some()).then_some(Self {
            id,
            kind,
            folder,
            handle,
            name,
            may_read: false,
            may_write: false,
        })
    }

    /// Returns the FIFO's handle.
    ///
    /// # Errors
    /// EACCES if this is not a FIFO, or has no name yet.
    pub(super) fn handle(&self) -> Result<&FifoHandle, Errno> {
        self.handle.as_ref().ok_or(Errno::ACCESS)
    }

    /// Returns whether the name of a FIFO leads to it.
    pub(super) fn is_in_place(&self) -> Result<bool, Errno> {
        let there = Identity::of_name(&self.folder, &self.name);
        Ok(there == Ok(Identity::of(&self.handle()?.stat()?)))
    }

    /// Removes the file, if the process made it and it is still there.
    ///
    /// # Errors
    /// Those of unlink(2) and rename(2); EPERM for a FIFO that was found.
    pub(super) fn remove(&self) -> Result<Removed, Errno> {
        let unlink = |flags| match rustix::fs::unlinkat(&self.folder, &self.name, flags) {
            Ok(()) => Ok(Removed::Yes),
            Err(Errno::NOENT) => Ok(Removed::NotThere),
            Err(error) => Err(error),
        };
        match self.kind {
            TraceKind::Made => names::take_away(self.handle()?, &self.folder, &self.name),
            TraceKind::Unnamed | TraceKind::Lock => unlink(AtFlags::empty()),
            TraceKind::Place => unlink(AtFlags::REMOVEDIR),
            TraceKind::Found => Err(Errno::PERM),
        }
    }

    /// Removes what the process has left. Errors are dropped, as the process is gone.
    pub(super) fn sweep(&self) {
        if self.kind != TraceKind::Lock {
            let _ = self.remove();
            return;
        }
        // A lock that is still held belongs to a living process, or the kernel has not released it yet.
        let began = Instant::now();
        let name: &OsStr = &self.name;
        while !runtime::remove_unlocked(self.folder.as_fd(), name)
            && began.elapsed() < LOCK_PATIENCE
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
