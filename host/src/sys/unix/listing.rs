//! The files by which running hosts are found. Each host has one in the runtime folder, named by the id of its process,
//! and locked (flock(2)) as long as it lives. The host writes into it, and others of this user read that. Nobody else
//! can look into the folder.
//!
//! A confined process cannot remove its file: the monitor does that where there is one, else the next run, or whoever
//! lists them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::super::PrivateError;
use super::super::own::is_served;
use super::super::own::monitor::{TraceId, announce, forget};
use super::flock::{self, Locked};
use super::private::PrivateFolder;
use super::runtime::{self, RUN};
use super::trace::Trace;

/// Whether runs are listed on this system.
pub(crate) const LISTS_RUNS: bool = true;

/// How often making the file is tried, with pauses: another process that cleans up may lock and remove it before its owner
/// has locked it.
const ATTEMPTS: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);

/// How many names are looked at in one folder. A user can put any number of files there.
const MOST_NAMES: usize = 65_536;

/// The file of this process. Dropping it releases the lock: whoever finds the file then removes it.
#[derive(Debug)]
pub(crate) struct Listing {
    folder: PrivateFolder,
    name: String,
    /// What the monitor removes.
    trace: Option<TraceId>,
    file: File,
}

impl Listing {
    /// Makes the file, with mode 0600, and locks it. Must be called before this process confines itself. Sleeps for some
    /// milliseconds at most.
    ///
    /// # Errors
    /// Fails if there is no folder for it, if that is on a network or of another process (FUSE), or if the file cannot be made there.
    pub(crate) fn make() -> Result<Self, PrivateError> {
        if !runtime::has_place() {
            return Err(PrivateError::Io { path: "/tmp".into(), error: Errno::NOENT.into() });
        }
        let folder = runtime::folder()?;
        // A server that does not answer would keep the pipes waiting.
        if is_served(&folder) {
            let error = io::Error::other("not on a file system of this machine");
            return Err(PrivateError::Io { path: folder.path().into(), error });
        }
        let name = name_of(std::process::id());
        let fail = |error: Errno| PrivateError::Io {
            path: folder.path().join(&name),
            error: error.into(),
        };
        let trace = announce(Trace::Lock { folder: folder.as_fd(), name: &name });
        let trace = trace.map_err(fail)?;
        match locked_file(&folder, &name) {
            Ok(file) => Ok(Self { folder, name, trace, file }),
            Err(error) => {
                trace.into_iter().for_each(forget);
                Err(fail(error))
            }
        }
    }

    /// Makes one of any file, without a lock.
    #[cfg(test)]
    pub(crate) fn of_file(folder: &Path, file: File) -> Result<Self, PrivateError> {
        let (folder, name) = (PrivateFolder::open(folder)?, name_of(std::process::id()));
        Ok(Self { folder, name, trace: None, file })
    }

    /// Returns the path of the folder that the file is in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `bytes` at the start of the file: pwrite(2). What was longer before stays behind them. Waits for a disk that is
    /// slow, or frozen.
    ///
    /// # Errors
    /// Those of pwrite(2).
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, 0)
    }

    /// Releases the lock, and removes the file if this process can. Else the monitor does.
    pub(crate) fn remove(self) {
        if self.trace.is_none() {
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// Opens the file `name`, and locks it.
fn locked_file(folder: &PrivateFolder, name: &str) -> Result<File, Errno> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut is_taken = false;
    for _ in 0..ATTEMPTS {
        let fd = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
        // It may be one of a killed process with the same number, or anything.
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink > 1 {
            return Err(Errno::EXIST);
        }
        match flock::lock(folder, name, &fd)? {
            Locked::Yes => {
                if stat.st_size > 0 {
                    rustix::fs::ftruncate(&fd, 0)?;
                }
                return Ok(fd.into());
            }
            // Of a process with this number in another PID namespace, unless it is one of a killed process that is being removed.
            Locked::Held if stat.st_size > 0 && is_taken => return Err(Errno::EXIST),
            locked => is_taken = locked == Locked::Held && stat.st_size > 0,
        }
        std::thread::sleep(PAUSE);
    }
    Err(Errno::AGAIN)
}

/// The file of a host, which may have ended.
#[derive(Debug)]
pub(crate) struct Listed {
    pid: u32,
    folder: Arc<PrivateFolder>,
    file: File,
}

/// Opens the files of the hosts of this user, one after the other: regular files of this user, with one name, that nobody else has
/// access to. Gives folders that cannot be used to `unusable`. Blocks for the file system only.
pub(crate) fn listed(mut found: impl FnMut(Listed), mut unusable: impl FnMut(PrivateError)) {
    for folder in runtime::folders() {
        match folder {
            Ok(folder) => files_in(Arc::new(folder), &mut found),
            Err(error) => unusable(error),
        }
    }
}

fn files_in(folder: Arc<PrivateFolder>, found: &mut impl FnMut(Listed)) {
    let Ok(entries) = Dir::read_from(&*folder) else { return };
    for entry in entries.flatten().take(MOST_NAMES) {
        let pid = entry.file_name().to_str().ok().and_then(|name| {
            let pid = name.strip_prefix(RUN)?.parse::<u32>().ok()?;
            (name == name_of(pid)).then_some(pid)
        });
        let Some(pid) = pid else { continue };
        // It is trusted as far as that: what is in it may be anything.
        let file = folder.file(&name_of(pid)).and_then(|file| file.file().try_clone().ok());
        let Some(file) = file else { continue };
        if rustix::fs::fstat(&file).is_ok_and(|stat| stat.st_nlink == 1) {
            found(Listed { pid, folder: Arc::clone(&folder), file });
        }
    }
}

/// Returns a number of the PID namespace of this process: two that run at once have two of them. Returns 0 if that is not known.
pub(crate) fn pid_namespace() -> u64 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino)
}

fn name_of(pid: u32) -> String {
    format!("{RUN}{pid}")
}

impl Listed {
    /// Returns the id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns whether the process has ended: nobody holds the lock.
    pub(crate) fn is_over(&self) -> bool {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
                true
            }
            Err(error) => error != Errno::WOULDBLOCK,
        }
    }

    /// Reads what the process has written. A write may be under way. Returns `None` if there is more than `most` bytes, or if
    /// the file cannot be read.
    pub(crate) fn read(&self, most: usize) -> Option<Vec<u8>> {
        let length = usize::try_from(self.file.metadata().ok()?.len()).ok()?;
        if length > most {
            return None;
        }
        let mut bytes = vec![0; length];
        let mut at = 0;
        while at < length {
            match self.file.read_at(&mut bytes[at..], at as u64) {
                Ok(0) => break,
                Ok(n) => at += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        bytes.truncate(at);
        Some(bytes)
    }

    /// Removes the file, if its process has ended.
    pub(crate) fn remove_if_over(&self) {
        runtime::remove_unlocked(self.folder.as_fd(), name_of(self.pid).as_ref());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::super::own::make_fifo;
    use super::*;

    fn found(folder: &Path) -> Vec<Listed> {
        let mut found = Vec::new();
        files_in(Arc::new(PrivateFolder::open(folder).unwrap()), &mut |it| found.push(it));
        found.sort_by_key(|listed: &Listed| listed.pid);
        found
    }

    #[test]
    fn only_files_of_ours_with_one_name_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runtime");
        let folder = PrivateFolder::open(&path).unwrap();
        let private = |name: &str| {
            fs::write(path.join(name), "x").unwrap();
            fs::set_permissions(path.join(name), Permissions::from_mode(0o600)).unwrap();
        };
        for name in
            ["run-1", "run-2", "run-3", "run-03", "run-", "run-x", "run-99999999999", "else"]
        {
            private(name);
        }
        fs::set_permissions(path.join("run-2"), Permissions::from_mode(0o640)).unwrap();
        fs::hard_link(path.join("run-3"), path.join("twin")).unwrap();
        symlink(path.join("run-1"), path.join("run-4")).unwrap();
        make_fifo(&folder, "run-5", Mode::RUSR | Mode::WUSR).unwrap();
        fs::create_dir(path.join("run-6")).unwrap();
        let pids: Vec<_> = found(&path).iter().map(Listed::pid).collect();
        assert_eq!(pids, [1]);
        // Neither are they written to.
        for name in ["run-3", "run-4", "run-5", "run-6"] {
            assert!(locked_file(&folder, name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_lock_tells_who_lives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runtime");
        let folder = PrivateFolder::open(&path).unwrap();
        let (trace, name) = (None, "run-7".to_owned());
        let file = locked_file(&folder, &name).unwrap();
        let listing = Listing { folder, name, trace, file };
        listing.write(b"hello").unwrap();
        listing.write(b"HE").unwrap();
        // As if it were one of another PID namespace.
        assert_eq!(locked_file(&listing.folder, "run-7").unwrap_err(), Errno::EXIST);
        let listed = found(&path).remove(0);
        assert!(!listed.is_over());
        assert_eq!(listed.read(5).unwrap(), b"HEllo");
        assert_eq!(listed.read(4), None);
        listed.remove_if_over();
        assert!(path.join("run-7").exists());
        // As if it were killed.
        let Listing { folder, file, .. } = listing;
        drop(file);
        assert!(listed.is_over());
        // One with the same number takes it over, and empties it.
        let next = locked_file(&folder, "run-7").unwrap();
        assert!(!listed.is_over() && listed.read(5).unwrap().is_empty());
        drop(next);
        listed.remove_if_over();
        assert!(found(&path).is_empty() && !path.join("run-7").exists());
        assert!(listed.is_over() && listed.read(5).is_some());
    }
}
