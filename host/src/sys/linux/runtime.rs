//! What a run keeps on disk for as long as it lasts: folders for pipes that have no path of their own,
//! and locks. All of it lies in one folder of this user's, and what a killed run left there is cleaned
//! away by the next one.
//!
//! Each thing there is held by a lock (flock(2)), which the kernel takes back however its holder ends.
//! Whoever gets a lock looks whether its name still leads to what it locked, and starts anew if not: so
//! cleaning away what nobody holds needs no lock beyond that.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::PrivateError;
use super::flock::{self, Locked};
use super::identity::unique;
use super::monitor::{self, Removed, Trace, TraceId, announce, forget};
use super::private::PrivateFolder;

/// How often something is tried that others can make fail for a moment.
const ATTEMPTS: usize = 16;

/// Whoever cleans holds a lock for some microseconds: what is locked for longer than this is in use.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_millis(2); 3];

/// What the folders for pipes without a path are called, before 16 digits.
const PLACE: &str = "pipe-";

/// What locks are called, before what they lock.
const LOCK: &str = "lock-";

/// `$XDG_RUNTIME_DIR/pipehost`, where that is ours and private, or else `/tmp/pipehost-UID`, which must
/// be.
///
/// # Errors
/// Where neither can be had.
pub(super) fn folder() -> Result<PrivateFolder, PrivateError> {
    let standard = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let standard = standard.filter(|path| path.is_absolute() && PrivateFolder::is_private(path));
    let folder = match standard.map(|path| PrivateFolder::open(&path.join("pipehost"))) {
        Some(Ok(folder)) => folder,
        _ => {
            let user = rustix::process::geteuid().as_raw();
            PrivateFolder::open(Path::new(&format!("/tmp/pipehost-{user}")))?
        }
    };
    static CLEANED: Once = Once::new();
    CLEANED.call_once(|| clean(&folder));
    Ok(folder)
}

/// A fresh folder of mode 0700 in that of [`folder`], for one pipe. Removed when it is dropped, if it is
/// empty.
#[derive(Debug)]
pub(super) struct Place {
    runtime: PrivateFolder,
    name: String,
    trace: Option<TraceId>,
    /// Holds the lock.
    fd: OwnedFd,
}

impl Place {
    /// # Errors
    /// As [`folder`], and those of mkdir(2).
    pub(super) fn make() -> Result<Self, PrivateError> {
        let runtime = folder()?;
        let fail =
            |error: Errno| PrivateError::Io { path: runtime.path().into(), error: error.into() };
        for _ in 0..ATTEMPTS {
            let name = format!("{PLACE}{}", unique());
            let trace = announce(Trace::Place { folder: runtime.as_fd(), name: &name });
            let trace = trace.map_err(fail)?;
            match rustix::fs::mkdirat(&runtime, &name, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => {
                    trace.into_iter().for_each(forget);
                    continue;
                }
                Err(error) => return Err(fail(error)),
            }
            // Whoever cleans may have come first.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&runtime, &name, flags, Mode::empty()) {
                Ok(fd) if locked(&runtime, &name, &fd) => {
                    return Ok(Self { runtime, name, trace, fd });
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Err(fail(Errno::AGAIN))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.runtime.path().join(&self.name)
    }

    /// The folder itself.
    ///
    /// # Errors
    /// Those of dup(2).
    pub(super) fn folder(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// rmdir(2). What is missing already is none of its concern.
    pub(super) fn remove(&self) {
        let removed = self.trace.and_then(monitor::remove).unwrap_or_else(|| {
            rustix::fs::unlinkat(&self.runtime, &self.name, AtFlags::REMOVEDIR)?;
            Ok(Removed::Yes)
        });
        match removed {
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => tracing::debug!("{}: stays: {error}", self.path().display()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A lock that no other process of this user's has.
#[derive(Debug)]
pub(super) struct Lock {
    folder: PrivateFolder,
    name: String,
    trace: Option<TraceId>,
    _fd: OwnedFd,
}

impl Lock {
    /// Takes the lock on `what`; `None` where another process has it. Whoever asks for it again in this
    /// process gets the same.
    ///
    /// # Errors
    /// Where there is no folder for it, or nothing can be made there.
    pub(super) fn take(what: &str) -> Result<Option<Arc<Self>>, PrivateError> {
        static HELD: Mutex<Vec<Weak<Lock>>> = Mutex::new(Vec::new());
        let name = format!("{LOCK}{what}");
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|lock| lock.strong_count() > 0);
        if let Some(lock) = held.iter().filter_map(Weak::upgrade).find(|lock| lock.name == name) {
            return Ok(Some(lock));
        }
        let folder = folder()?;
        let trace = announce(Trace::Lock { folder: folder.as_fd(), name: &name });
        let trace = trace.map_err(|error| PrivateError::Io {
            path: folder.path().join(&name),
            error: error.into(),
        })?;
        let mut pauses = LOOK_AGAIN.iter();
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR);
            let fd = fd.map_err(|error| PrivateError::Io {
                path: folder.path().join(&name),
                error: error.into(),
            })?;
            if locked(&folder, &name, &fd) {
                let lock = Arc::new(Self { folder, name, trace, _fd: fd });
                held.push(Arc::downgrade(&lock));
                return Ok(Some(lock));
            }
            match pauses.next() {
                Some(pause) => std::thread::sleep(*pause),
                None => {
                    trace.into_iter().for_each(forget);
                    return Ok(None);
                }
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held: nobody else's is removed.
        if self.trace.and_then(monitor::remove).is_none() {
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// Locks what `fd` has open, if nobody else has, and tells whether `name` leads to it still.
fn locked(folder: impl AsFd, name: impl rustix::path::Arg, fd: impl AsFd) -> bool {
    flock::lock(folder, name, fd) == Ok(Locked::Yes)
}

/// Removes the lock `name`, if it is there and nobody has it; whether it is gone.
pub(super) fn remove_unlocked(folder: BorrowedFd<'_>, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => {
            locked(folder, name, &fd)
                && rustix::fs::unlinkat(folder, name, AtFlags::empty()).is_ok()
        }
        Err(error) => error == Errno::NOENT,
    }
}

/// Removes what runs that were killed have left: what nobody has a lock on.
fn clean(folder: &PrivateFolder) {
    let Ok(entries) = Dir::read_from(folder) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let is_place = name.starts_with(PLACE);
        if !is_place && !name.starts_with(LOCK) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(folder, &name, flags, Mode::empty()) else { continue };
        if !locked(folder, &name, &fd) {
            continue;
        }
        let removed = match is_place {
            true => remove_fifos(&fd)
                .and_then(|()| rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR)),
            false => rustix::fs::unlinkat(folder, &name, AtFlags::empty()),
        };
        tracing::debug!(
            "{}: left by a killed run: {removed:?}",
            folder.path().join(name).display()
        );
    }
}

/// Removes the pipes in a folder that nobody uses, and nothing else.
fn remove_fifos(folder: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)?.flatten() {
        let name = entry.file_name();
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_and_what_is_not_is_cleaned_away() {
        let dir = tempfile::tempdir().unwrap();
        let open = || PrivateFolder::open(&dir.path().join("runtime")).unwrap();
        let (folder, path) = (open(), dir.path().join("runtime"));
        for name in ["pipe-held", "pipe-left"] {
            std::fs::create_dir(path.join(name)).unwrap();
            let fifo = path.join(name).join("x");
            rustix::fs::mknodat(&folder, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        }
        for name in ["lock-held", "lock-left", "else"] {
            std::fs::write(path.join(name), "").unwrap();
        }
        let hold = |name| {
            let fd = std::fs::File::open(path.join(name)).unwrap();
            assert!(locked(&folder, name, &fd));
            fd
        };
        let _held = [hold("pipe-held"), hold("lock-held")];
        clean(&open());
        let mut left: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["else", "lock-held", "pipe-held"]);
        assert!(path.join("pipe-held/x").exists());
    }

    /// A lock on a file whose name was taken away is no lock.
    #[test]
    fn a_name_that_leads_elsewhere_is_not_locked() {
        let dir = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::open(&dir.path().join("runtime")).unwrap();
        let path = dir.path().join("runtime/lock-x");
        std::fs::write(&path, "").unwrap();
        let before = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!locked(&folder, "lock-x", &before));
        std::fs::write(&path, "").unwrap();
        assert!(!locked(&folder, "lock-x", &before));
        assert!(locked(&folder, "lock-x", std::fs::File::open(&path).unwrap()));
    }
}
