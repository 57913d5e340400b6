//! Keeps on disk what a run needs only while it lasts: folders for pipes that have no path of their
//! own, and locks. Everything lies in one folder of this user. Each run removes what a killed run left
//! there.
//!
//! Each entry is held by a lock (flock(2)), which the kernel releases however its holder ends. A
//! process that gets a lock checks that the name still leads to the file it locked, and starts anew if
//! not. Removing entries whose lock is free therefore needs no further lock.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::PrivateError;
use super::super::own::monitor::{self, TraceId, announce, forget};
use super::flock::{self, Locked};
use super::identity::{Identity, unique};
use super::private::PrivateFolder;
use super::trace::{Removed, Trace};

/// How often an operation is tried that another process can make fail for a moment.
const ATTEMPTS: usize = 16;

/// The pauses between attempts to take a lock. A process that cleans up holds a lock for some
/// microseconds: a lock held for longer than these pauses is in use.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_millis(2); 3];

/// The prefix of the name of a folder for a pipe without a path. 16 digits follow.
const PLACE: &str = "pipe-";

/// The prefix of the name of a lock. The name of the locked thing follows.
const LOCK: &str = "lock-";

/// The prefix of the name of the file by which a run is listed. The id of its process follows.
pub(super) const RUN: &str = "run-";

/// How many files of runs that go on are met before no more are looked at. Many runs that start at once would open them all, each.
const MOST_HELD: usize = 16;

/// Opens `$XDG_RUNTIME_DIR/pipehost`, if XDG_RUNTIME_DIR is private to this user, or else
/// `/tmp/pipehost-UID`, which must be private. The first call also cleans up there.
///
/// # Errors
/// Fails if neither folder can be opened or made.
pub(super) fn folder() -> Result<PrivateFolder, PrivateError> {
    let standard = standard().filter(|path| PrivateFolder::is_private(path));
    let folder = match standard.map(|path| PrivateFolder::open(&path.join(NAME))) {
        Some(Ok(folder)) => folder,
        _ => PrivateFolder::open(&fallback())?,
    };
    static CLEANED: Once = Once::new();
    CLEANED.call_once(|| clean(&folder));
    Ok(folder)
}

/// Returns whether [`folder`] finds a place that is there. Otherwise it would make /tmp, too.
pub(super) fn has_place() -> bool {
    standard().is_some_and(|path| PrivateFolder::is_private(&path)) || Path::new("/tmp").is_dir()
}

/// Opens every folder that [`folder`] may have been for a process of this user: other processes may have another
/// XDG_RUNTIME_DIR, or none. One that is not private to this user is none of those: sudo(8) may leave that of another user.
/// Makes none, and changes none. Lists each folder once.
pub(super) fn folders() -> Vec<Result<PrivateFolder, PrivateError>> {
    let user = rustix::process::geteuid().as_raw();
    let usual = PathBuf::from(format!("/run/user/{user}"));
    let mut seen = Vec::new();
    [standard(), Some(usual)]
        .into_iter()
        .flatten()
        .filter(|path| PrivateFolder::is_private(path))
        .map(|path| path.join(NAME))
        .chain([fallback()])
        .filter_map(|path| PrivateFolder::find(&path).transpose())
        .filter(|found| {
            let identity = found.as_ref().ok().and_then(|found| Identity::of_open(found).ok());
            let is_new = identity.is_none_or(|identity| !seen.contains(&identity));
            seen.extend(identity);
            is_new
        })
        .collect()
}

/// The name of the folder in XDG_RUNTIME_DIR.
const NAME: &str = "pipehost";

fn standard() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
}

fn fallback() -> PathBuf {
    format!("/tmp/pipehost-{}", rustix::process::geteuid().as_raw()).into()
}

/// A fresh folder of mode 0700 in [`folder`], for one pipe. Dropping this removes the folder, if it is
/// empty.
#[derive(Debug)]
pub(in crate::sys) struct Place {
    runtime: PrivateFolder,
    name: String,
    trace: Option<TraceId>,
    /// Holds the lock.
    fd: OwnedFd,
}

impl Place {
    /// Makes the folder and locks it.
    ///
    /// # Errors
    /// Those of [`folder`] and of mkdir(2).
    pub(in crate::sys) fn make() -> Result<Self, PrivateError> {
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
            // Another process that cleans up may have locked or removed it first.
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

    /// Returns another descriptor of the folder.
    ///
    /// # Errors
    /// Those of dup(2).
    pub(in crate::sys) fn folder(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Removes the folder: rmdir(2). Does nothing if it is gone already.
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

/// A lock that no other process of this user holds.
#[derive(Debug)]
pub(super) struct Lock {
    folder: PrivateFolder,
    name: String,
    trace: Option<TraceId>,
    _fd: OwnedFd,
}

impl Lock {
    /// Takes the lock on `what`. Returns `None` if another process holds it. A second call in this
    /// process returns the same lock. Sleeps for some milliseconds at most.
    ///
    /// # Errors
    /// Fails if there is no folder for locks, or no file can be made in it.
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
        // The file is removed while the lock is held, so it cannot be another process's lock.
        if self.trace.and_then(monitor::remove).is_none() {
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// Makes a file, which has no name any more when this returns.
///
/// # Errors
/// Those of [`folder`] and of open(2).
#[cfg(any(target_os = "macos", feature = "portable"))]
pub(in crate::sys) fn scratch_file() -> Result<OwnedFd, PrivateError> {
    let folder = folder()?;
    // If this process is killed before the name is gone, the next one removes the file as a lock.
    let name = format!("{LOCK}{}", unique());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let made = rustix::fs::openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR);
    let _ = folder.remove(&name);
    made.map_err(|error| PrivateError::Io { path: folder.path().join(&name), error: error.into() })
}

/// Locks the file open as `fd`, and returns whether that succeeded and `name` still leads to it.
pub(super) fn locked(folder: impl AsFd, name: impl rustix::path::Arg, fd: impl AsFd) -> bool {
    flock::lock(folder, name, fd) == Ok(Locked::Yes)
}

/// Removes the lock file `name`, unless a process holds the lock. Returns whether the file is gone.
pub(in crate::sys) fn remove_unlocked(folder: BorrowedFd<'_>, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(fd) => {
            locked(folder, name, &fd)
                && rustix::fs::unlinkat(folder, name, AtFlags::empty()).is_ok()
        }
        Err(error) => error == Errno::NOENT,
    }
}

/// Removes the entries that runs have left, as they were killed or confined: those whose lock is free. Leaves some files of runs
/// for later where many runs go on.
fn clean(folder: &PrivateFolder) {
    let Ok(entries) = Dir::read_from(folder) else { return };
    let mut held = 0;
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let is_place = name.starts_with(PLACE);
        let is_run = name.starts_with(RUN);
        if !is_place && !is_run && !name.starts_with(LOCK) {
            continue;
        }
        if is_run && held >= MOST_HELD {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(folder, &name, flags, Mode::empty()) else { continue };
        if !locked(folder, &name, &fd) {
            held += usize::from(is_run);
            continue;
        }
        let removed = match is_place {
            true => remove_fifos(&fd)
                .and_then(|()| rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR)),
            false => rustix::fs::unlinkat(folder, &name, AtFlags::empty()),
        };
        tracing::debug!(
            "{}: left by a run that is over: {removed:?}",
            folder.path().join(name).display()
        );
    }
}

/// Removes the FIFOs in a folder that no process uses, and nothing else.
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
    use super::super::super::own::make_fifo;
    use super::*;

    #[test]
    fn what_is_held_stays_and_what_is_not_is_cleaned_away() {
        let dir = tempfile::tempdir().unwrap();
        let open = || PrivateFolder::open(&dir.path().join("runtime")).unwrap();
        let (folder, path) = (open(), dir.path().join("runtime"));
        for name in ["pipe-held", "pipe-left"] {
            std::fs::create_dir(path.join(name)).unwrap();
            let fifo = path.join(name).join("x");
            make_fifo(&folder, fifo.to_str().unwrap(), Mode::RUSR).unwrap();
        }
        for name in ["lock-held", "lock-left", "run-1", "run-2", "else"] {
            std::fs::write(path.join(name), "").unwrap();
        }
        let hold = |name| {
            let fd = std::fs::File::open(path.join(name)).unwrap();
            assert!(locked(&folder, name, &fd));
            fd
        };
        let _held = [hold("pipe-held"), hold("lock-held"), hold("run-1")];
        clean(&open());
        let mut left: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["else", "lock-held", "pipe-held", "run-1"]);
        assert!(path.join("pipe-held/x").exists());
    }

    /// They would be opened by each of many runs that start at once.
    #[test]
    fn few_files_of_runs_that_go_on_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runtime");
        let folder = PrivateFolder::open(&path).unwrap();
        let hold = |at: usize| {
            let name = format!("run-{at}");
            let fd = std::fs::File::create(path.join(&name)).unwrap();
            assert!(locked(&folder, &name, &fd));
            fd
        };
        let mut held: Vec<_> = (0..MOST_HELD).map(hold).collect();
        for name in ["run-left", "lock-left"] {
            std::fs::write(path.join(name), "").unwrap();
        }
        clean(&folder);
        // What is no file of a run is looked at in any case.
        assert!(!path.join("lock-left").exists());
        held.truncate(MOST_HELD - 1);
        clean(&folder);
        assert!(!path.join("run-left").exists());
        let count = std::fs::read_dir(&path).unwrap().count();
        assert_eq!(count, MOST_HELD - 1);
    }

    /// A lock on a file does not count once the file has lost its name.
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
