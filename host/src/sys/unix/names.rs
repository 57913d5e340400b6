//! Gives a FIFO its name and takes it away, while other processes may put another file under that name
//! at any moment.
//!
//! No system call makes a FIFO and opens it in one step. No system call removes a name only if it leads
//! to a certain file. Both are therefore done by way of a secret name, which no other process knows. A
//! FIFO made under a secret name is surely this process's; it then gets its real name, without
//! replacing any file. A FIFO that must be removed is first renamed to a secret name, and then checked.
//! A file that turns out to be another process's gets its name back.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, RenameFlags};
use rustix::io::Errno;

use super::super::own::monitor::{TraceId, announce, forget};
use super::super::own::{self, FifoHandle};
use super::identity::{Identity, unique};
use super::trace::{Removed, Trace};

/// How often giving a file its name back is tried while other processes take that name.
const ATTEMPTS: usize = 16;

/// A bit of a FIFO's mode without a meaning of its own. The host that made the FIFO sets it to say that
/// it is about to remove it: other hosts that use the FIFO need not warn then.
pub(in crate::sys) const GIVEN_UP: Mode = Mode::SVTX;

/// A FIFO of mode 0600 that this process made, under a secret name.
pub(super) struct Unnamed<'a> {
    folder: &'a OwnedFd,
    name: String,
    trace: Option<TraceId>,
    named: bool,
}

impl<'a> Unnamed<'a> {
    /// Makes the FIFO, and looks it up: mkfifo(3).
    ///
    /// # Errors
    /// Those of the two steps, with a text that says which of them failed.
    pub(super) fn make(folder: &'a OwnedFd) -> Result<(Self, FifoHandle), (&'static str, Errno)> {
        let name = secret();
        let trace = announce(Trace::Unnamed { folder: folder.as_fd(), name: &name })
            .map_err(|error| ("having it removed later", error))?;
        let mode = Mode::RUSR | Mode::WUSR;
        own::make_fifo(folder, &name, mode).map_err(|error| ("making it", error))?;
        let unnamed = Self { folder, name, trace, named: false };
        let handle = FifoHandle::look(folder, unnamed.name.as_ref())
            .map_err(|error| ("opening it", error))?;
        Ok((unnamed, handle))
    }

    /// Gives the FIFO its name.
    ///
    /// # Errors
    /// EEXIST if there is a file of that name. It stays.
    pub(super) fn name(mut self, name: &OsStr) -> Result<(), Errno> {
        rename(self.folder, self.name.as_ref(), name)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if !self.named {
            let _ = rustix::fs::unlinkat(self.folder, &self.name, AtFlags::empty());
        }
        if let Some(trace) = self.trace {
            forget(trace);
        }
    }
}

/// Removes a FIFO as [`remove`] does, for the host that made it and has its `handle`. Marks it
/// with [`GIVEN_UP`] first, so that other hosts do not warn.
///
/// # Errors
/// Those of [`remove`].
pub(in crate::sys) fn take_away(
    handle: &FifoHandle,
    folder: &OwnedFd,
    name: &OsStr,
) -> Result<Removed, Errno> {
    let ours = Identity::of(&handle.stat()?);
    if Identity::of_name(folder, name) == Ok(ours) {
        handle.give_up();
    }
    remove(folder, name, ours)
}

/// Removes `name` if it leads to the file `ours`. Removes no other file.
///
/// In a folder where other processes may rename and remove files, such a process can make this hit
/// another file only if it watches the folder and acts on a name that exists for microseconds. It could
/// just as well have removed that file itself.
///
/// # Errors
/// Those of rename(2) and unlink(2). Nothing was removed then.
fn remove(folder: &OwnedFd, name: &OsStr, ours: Identity) -> Result<Removed, Errno> {
    // Another process's file is not even renamed.
    if Identity::of_name(folder, name) != Ok(ours) {
        return Ok(Removed::NotThere);
    }
    // No file has a secret name, so this replaces none.
    let aside = secret();
    match rustix::fs::renameat(folder, name, folder, &aside) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(Removed::NotThere),
        Err(error) => return Err(error),
    }
    if Identity::of_name(folder, aside.as_ref()) == Ok(ours) {
        rustix::fs::unlinkat(folder, &aside, AtFlags::empty())?;
        return Ok(Removed::Yes);
    }
    for _ in 0..ATTEMPTS {
        match rename(folder, aside.as_ref(), name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(Removed::NotThere),
            Err(Errno::EXIST) => {}
            Err(_) => break,
        }
    }
    Ok(Removed::Displaced(aside))
}

/// Renames a file and replaces none: renameat2(2) with RENAME_NOREPLACE, or renameatx_np(2) with
/// RENAME_EXCL. Where the file system does not know that flag, uses link(2) and unlink(2): link(2) does not replace a file either.
fn rename(folder: &OwnedFd, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
            rustix::fs::unlinkat(folder, from, AtFlags::empty())
        }
        renamed => renamed,
    }
}

/// Returns a name that no other process knows.
fn secret() -> String {
    format!(".pipehost-{}", unique())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;
    use std::fs;

    fn open(dir: &tempfile::TempDir) -> OwnedFd {
        rustix::fs::openat(CWD, dir.path(), own::FOLDER, Mode::empty()).unwrap()
    }

    #[test]
    fn a_name_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = open(&dir);
        let (first, _) = Unnamed::make(&folder).unwrap();
        let (second, _) = Unnamed::make(&folder).unwrap();
        first.name("x".as_ref()).unwrap();
        assert_eq!(second.name("x".as_ref()), Err(Errno::EXIST));
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn only_what_is_ours_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, x) = (open(&dir), dir.path().join("x"));
        let (unnamed, handle) = Unnamed::make(&folder).unwrap();
        unnamed.name("x".as_ref()).unwrap();
        let ours = Identity::of(&handle.stat().unwrap());
        fs::rename(&x, dir.path().join("y")).unwrap();
        assert_eq!(remove(&folder, "x".as_ref(), ours), Ok(Removed::NotThere));
        fs::write(&x, "precious").unwrap();
        assert_eq!(remove(&folder, "x".as_ref(), ours), Ok(Removed::NotThere));
        assert_eq!(fs::read_to_string(&x).unwrap(), "precious");
        assert_eq!(remove(&folder, "y".as_ref(), ours), Ok(Removed::Yes));
        assert!(!dir.path().join("y").exists());
    }
}
