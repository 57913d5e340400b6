//! Named pipes: finds or makes a FIFO, checks it, opens the checked FIFO, and removes it if this
//! process made it.
//!
//! Another process can replace the file at a path at any moment, so the path is looked up once. From
//! then on a [`FifoHandle`] stands for the FIFO: the checks ask the handle, and each open goes through
//! it. On Linux it leads to the same inode whatever has become of the path. Elsewhere each open compares
//! what it has opened.

mod checks;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::super::own::monitor::{self, TraceId, announce, forget};
use super::super::own::{self, FifoHandle};
use super::super::{Direction, FifoError, FifoOptions, FifoWarning};
use super::identity::Identity;
use super::names::{self, Unnamed};
use super::runtime::{Lock, Place};
use super::trace::{Removed, Trace};
use super::warnings::Warnings;
use super::{End, ReaderWait, access};
use checks::{check, locks};

/// How often finding and making a FIFO is tried while other processes make and remove it.
const ATTEMPTS: usize = 16;

/// A checked FIFO. Dropping it removes the FIFO from its folder if this process made it.
///
/// See the example of [`Grant`](crate::Grant).
pub struct Fifo {
    handle: FifoHandle,
    identity: Identity,
    folder: OwnedFd,
    file_name: OsString,
    path: PathBuf,
    /// True if this process made the FIFO and must remove it.
    ours: bool,
    /// The monitor's number for the FIFO.
    trace: OnceLock<TraceId>,
    /// True if the monitor opens the FIFO for this process.
    by_monitor: AtomicBool,
    /// True once [`Fifo::remove`] has been called.
    ended: AtomicBool,
    /// True once a warning has said that another process removed or replaced the FIFO.
    missed: AtomicBool,
    warnings: Warnings,
    /// The folder that was made for this FIFO alone. Dropped after the FIFO is removed.
    place: Option<Place>,
    /// Keep other hosts from using the FIFO in the same direction, until it is removed.
    locks: Mutex<Vec<Arc<Lock>>>,
}

impl Fifo {
    /// Finds the FIFO, or makes it with mode 0600, and checks what it found: mkfifo(3), fifo(7).
    /// Opens nothing.
    ///
    /// # Errors
    /// See [`FifoError`]. A file that was found is not changed.
    pub fn prepare(path: &Path, options: FifoOptions) -> Result<Self, FifoError> {
        Self::prepare_alone(path, options, &[])
    }

    /// Does the same as [`Fifo::prepare`], and keeps other hosts of this user from using the FIFO in
    /// these directions. Only hosts that also ask for this are kept away.
    ///
    /// # Errors
    /// [`FifoError::Busy`] if another host already uses the FIFO that way. No FIFO is made then.
    pub fn prepare_alone(
        path: &Path,
        options: FifoOptions,
        ways: &[Direction],
    ) -> Result<Self, FifoError> {
        let fail = |doing, error| FifoError::from_errno(path, doing, error);
        let Some(file_name) = path.file_name() else {
            let found = "a folder";
            return Err(FifoError::NotAFifo { path: path.into(), found });
        };
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let folder = rustix::fs::openat(CWD, parent, own::FOLDER, Mode::empty());
        let folder = folder.map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => FifoError::NoFolder(path.into()),
            error => fail("opening its folder", error),
        })?;
        Self::prepare_in(folder, file_name, path, options, ways)
    }

    /// Makes a FIFO in a folder of its own that only this user can look into. That folder lies in
    /// `$XDG_RUNTIME_DIR/pipehost` or `/tmp/pipehost-UID`. Removing the FIFO removes its folder too. If
    /// this process is killed, the next run removes both.
    ///
    /// # Errors
    /// [`FifoError::NoPlace`] if the outer folder does not exist and cannot be made.
    pub fn private(name: &str, ways: &[Direction]) -> Result<Self, FifoError> {
        let place = Place::make().map_err(|error| FifoError::NoPlace(error.to_string()))?;
        let folder = place.folder().map_err(|error| FifoError::NoPlace(error.to_string()))?;
        let path = place.path().join(name);
        let options = FifoOptions::default();
        let mut fifo = Self::prepare_in(folder, name.as_ref(), &path, options, ways)?;
        fifo.place = Some(place);
        Ok(fifo)
    }

    fn prepare_in(
        folder: OwnedFd,
        file_name: &OsStr,
        path: &Path,
        options: FifoOptions,
        ways: &[Direction],
    ) -> Result<Self, FifoError> {
        let fail = |doing, error| FifoError::from_errno(path, doing, error);
        if !own::opens_fifos() {
            return Err(FifoError::NoProc(path.into()));
        }
        for _ in 0..ATTEMPTS {
            let (mut handle, unnamed) = match FifoHandle::look(&folder, file_name) {
                Ok(handle) => (handle, None),
                Err(Errno::NOENT) if options.existing => {
                    return Err(FifoError::Missing(path.into()));
                }
                Err(Errno::NOENT) => {
                    let made = Unnamed::make(&folder);
                    let (unnamed, handle) = made.map_err(|(doing, error)| fail(doing, error))?;
                    (handle, Some(unnamed))
                }
                Err(error) => return Err(fail("opening it", error)),
            };
            let stat = handle.stat().map_err(|error| fail("asking about it", error))?;
            let folder_stat = rustix::fs::fstat(&folder)
                .map_err(|error| fail("asking about its folder", error))?;
            check(path, &stat, &folder_stat, options)?;
            if unnamed.is_some() && stat.st_nlink != 1 {
                // Another process has put another FIFO of this user in its place.
                continue;
            }
            let identity = Identity::of(&stat);
            let warnings = Warnings::default();
            let locks = locks(path, identity, ways, &warnings)?;
            let made = unnamed.is_some();
            if !made && Identity::of_name(&folder, file_name) != Ok(identity) {
                // Its owner has removed it meanwhile: no peer could find it any more.
                continue;
            }
            if made && stat.st_mode & 0o777 != 0o600 {
                // The umask took bits away that the owner needs.
                let set = handle.set_mode(Mode::RUSR | Mode::WUSR);
                set.map_err(|error| fail("setting its mode", error))?;
            }
            let ours = made && !options.keep;
            let trace = OnceLock::new();
            if ours {
                let made = Trace::Made { folder: folder.as_fd(), handle: &handle, name: file_name };
                let id = announce(made).map_err(|error| fail("having it removed later", error))?;
                if let Some(id) = id {
                    let _ = trace.set(id);
                }
            }
            let named = unnamed.map_or(Ok(()), |unnamed| unnamed.name(file_name));
            if named.is_err()
                && let Some(id) = trace.get()
            {
                forget(*id);
            }
            match named {
                Ok(()) if made => handle.set_name(file_name),
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(fail("making it", error)),
            }
            return Ok(Self {
                handle,
                identity,
                file_name: file_name.into(),
                path: path.into(),
                ours,
                trace,
                by_monitor: AtomicBool::new(false),
                ended: AtomicBool::new(false),
                missed: AtomicBool::new(false),
                warnings,
                place: None,
                locks: Mutex::new(locks),
                folder,
            });
        }
        Err(fail("making it", Errno::EXIST))
    }

    /// Has the monitor open the FIFO from now on, in these directions. Called before this process is
    /// confined.
    ///
    /// # Errors
    /// Fails if there is no monitor, or the monitor is gone.
    pub(in crate::sys) fn leave_to_monitor(&self, directions: &[Direction]) -> io::Result<()> {
        if !monitor::is_there() {
            return Err(io::Error::other("FIFOs in a confined process need its monitor"));
        }
        let id = match self.trace.get() {
            Some(id) => *id,
            None => {
                let Self { folder, handle, file_name, .. } = self;
                let folder = folder.as_fd();
                let id = announce(Trace::Found { folder, handle, name: file_name })?;
                let id = id.ok_or(Errno::PIPE)?;
                *self.trace.get_or_init(|| id)
            }
        };
        let permits = |direction| directions.contains(&direction);
        monitor::permit(id, permits(Direction::Read), permits(Direction::Write))?;
        self.by_monitor.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Returns the monitor's number for the FIFO, if the monitor opens it.
    fn monitored(&self) -> Option<TraceId> {
        self.trace.get().copied().filter(|_| self.by_monitor.load(Ordering::SeqCst))
    }

    /// Opens the FIFO with O_NONBLOCK.
    fn open(&self, direction: Direction) -> io::Result<OwnedFd> {
        if let Some(id) = self.monitored() {
            return monitor::open(id, direction);
        }
        self.handle.open(access(direction) | OFlags::NONBLOCK)
    }

    /// Calls `listener` with the path and each warning about this FIFO, from the first on. Only the first
    /// listener is kept. Without one, the warnings are logged when the FIFO is dropped.
    pub fn on_warning(&self, listener: impl Fn(&Path, FifoWarning) + Send + Sync + 'static) {
        self.warnings.listen(&self.path, Box::new(listener));
    }

    /// Returns the path at which the FIFO was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the reading end: `open(.., O_RDONLY | O_NONBLOCK | O_CLOEXEC)`. Never waits for a writer.
    pub fn open_reader(&self) -> io::Result<End> {
        End::owned(self.open(Direction::Read)?, Direction::Read)
    }

    /// Opens the writing end: `open(.., O_WRONLY | O_NONBLOCK | O_CLOEXEC)`. Returns `None` while no
    /// reader has the FIFO open.
    pub fn open_writer(&self) -> io::Result<Option<End>> {
        match self.open(Direction::Write) {
            Ok(fd) => End::owned(fd, Direction::Write).map(Some),
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for a reader on a thread. [`End::owned`] makes an end of the descriptor that comes of it.
    pub(crate) fn wait_for_reader(&self) -> io::Result<ReaderWait> {
        match self.monitored() {
            Some(id) => ReaderWait::in_monitor(id),
            None => ReaderWait::on_thread(self.handle.try_clone()?),
        }
    }

    /// Removes the FIFO from its path, and the folder that was made for it. Only a FIFO that this
    /// process made, and was not told to keep, is removed, and only if the path still leads to it: a
    /// file that another process put there stays. Warns if another process has removed the FIFO already. Only the first call does anything; drop calls this too.
    pub fn remove(&self) {
        if !self.ended.swap(true, Ordering::SeqCst) {
            self.end();
            self.warnings.log(&self.path);
        }
    }

    fn end(&self) {
        if !self.ours {
            self.say_if_missing();
            self.unlock();
            return;
        }
        let Self { handle, folder, file_name, path, .. } = self;
        let removed = match self.trace.get().and_then(|id| monitor::remove(*id)) {
            Some(removed) => removed,
            None if monitor::is_sealed() => {
                self.warnings.tell(path, FifoWarning::Stays);
                self.unlock();
                return;
            }
            None => names::take_away(handle, folder, file_name),
        };
        match removed {
            Ok(Removed::Yes) => {}
            Ok(Removed::NotThere) => self.say_missing(),
            Ok(Removed::Displaced(now)) => {
                self.missed.store(true, Ordering::SeqCst);
                self.warnings.tell(path, FifoWarning::Displaced { now });
            }
            Err(error) => self.warnings.tell(path, FifoWarning::NotRemoved(error.into())),
        }
        if let Some(place) = &self.place {
            place.remove();
        }
        self.unlock();
    }

    /// Lets other hosts use the FIFO. Not left to drop: a process that a signal ends drops nothing.
    fn unlock(&self) {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Warns, once, if another process has removed or replaced the FIFO.
    pub fn say_if_missing(&self) {
        let is_in_place = match self.monitored() {
            Some(id) => monitor::is_in_place(id),
            None => Identity::of_name(&self.folder, &self.file_name) == Ok(self.identity),
        };
        if is_in_place {
            return;
        }
        // The host that made the FIFO may remove it. It marks the FIFO before it does so.
        if !self.handle.is_given_up() {
            self.say_missing();
        }
    }

    fn say_missing(&self) {
        if !self.missed.swap(true, Ordering::SeqCst) {
            self.warnings.tell(&self.path, FifoWarning::Gone);
        }
    }

    /// Returns whether [`Fifo::remove`] has not been called yet.
    pub(in crate::sys) fn is_in_use(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    pub(in crate::sys) fn handle(&self) -> &FifoHandle {
        &self.handle
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
            .field("ours", &self.ours)
            .finish_non_exhaustive()
    }
}
