//! Giving a FIFO its name, and taking it away, while others may put something else under that name at
//! any moment.
//!
//! No system call makes a FIFO and opens it, and none removes a name only if it leads to a certain thing.
//! So both go by way of a name that nobody knows: what is made under such a name is surely ours and gets
//! its real name only then, without replacing anything; and what is to be removed is first given such a
//! name, and then looked at. What turns out not to be ours gets its name back.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::identity::{Identity, unique};
use super::monitor::{Removed, Trace, TraceId, announce, forget};
use super::path_of;

/// How often something is given its name back while others take that name.
const ATTEMPTS: usize = 16;

/// The bit of a FIFO's mode, without a meaning of its own, by which the host that made it says that it is
/// about to remove it: other hosts that use it need not warn then.
pub(super) const GIVEN_UP: Mode = Mode::SVTX;

/// A FIFO of mode 0600 that was made here, under a name that nobody knows.
pub(super) struct Unnamed<'a> {
    folder: &'a OwnedFd,
    name: String,
    trace: Option<TraceId>,
    named: bool,
}

impl<'a> Unnamed<'a> {
    /// mknod(2) and open(2).
    ///
    /// # Errors
    /// Those of the two, and with which of them.
    pub(super) fn make(folder: &'a OwnedFd) -> Result<(Self, OwnedFd), (&'static str, Errno)> {
        let name = secret();
        let trace = announce(Trace::Unnamed { folder: folder.as_fd(), name: &name })
            .map_err(|error| ("having it removed later", error))?;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(folder, &name, FileType::Fifo, mode, 0)
            .map_err(|error| ("making it", error))?;
        let unnamed = Self { folder, name, trace, named: false };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(folder, &unnamed.name, flags, Mode::empty())
            .map_err(|error| ("opening it", error))?;
        Ok((unnamed, handle))
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// EEXIST where there is something of that name: it stays.
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

/// As [`remove`], for the host that made it, which has it open as `handle`: lets other hosts know first.
///
/// # Errors
/// As [`remove`].
pub(super) fn take_away(
    handle: &OwnedFd,
    folder: &OwnedFd,
    name: &OsStr,
) -> Result<Removed, Errno> {
    let ours = Identity::of_open(handle)?;
    if let (Ok(there), Ok(stat)) = (Identity::of_name(folder, name), rustix::fs::fstat(handle))
        && there == ours
    {
        let mode = Mode::from_raw_mode(stat.st_mode) | GIVEN_UP;
        // Where that is refused they warn, and nothing worse.
        let _ = rustix::fs::chmod(path_of(handle), mode);
    }
    remove(folder, name, ours)
}

/// Takes away `name` if it leads to what is `ours`, which must be open, and to nothing else.
///
/// In a folder where others may rename and remove what they like, only somebody who watches it and acts
/// on a name that exists for microseconds can make this hit something else: what they could just as well
/// have removed themselves.
///
/// # Errors
/// Those of rename(2) and unlink(2). Nothing was removed then.
fn remove(folder: &OwnedFd, name: &OsStr, ours: Identity) -> Result<Removed, Errno> {
    // What is another already is not even touched.
    if Identity::of_name(folder, name) != Ok(ours) {
        return Ok(Removed::NotThere);
    }
    // Nothing is called as nobody knows: there is nothing to be replaced.
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

/// renameat2(2) with RENAME_NOREPLACE; by link(2), which does not replace anything either, where the file
/// system does not know that.
fn rename(folder: &OwnedFd, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
            rustix::fs::unlinkat(folder, from, AtFlags::empty())
        }
        renamed => renamed,
    }
}

/// A name that nobody knows.
fn secret() -> String {
    format!(".pipehost-{}", unique())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;
    use std::fs;

    fn open(dir: &tempfile::TempDir) -> OwnedFd {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, dir.path(), flags, Mode::empty()).unwrap()
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
        let ours = Identity::of_open(&handle).unwrap();
        fs::rename(&x, dir.path().join("y")).unwrap();
        assert_eq!(remove(&folder, "x".as_ref(), ours), Ok(Removed::NotThere));
        fs::write(&x, "precious").unwrap();
        assert_eq!(remove(&folder, "x".as_ref(), ours), Ok(Removed::NotThere));
        assert_eq!(fs::read_to_string(&x).unwrap(), "precious");
        assert_eq!(remove(&folder, "y".as_ref(), ours), Ok(Removed::Yes));
        assert!(!dir.path().join("y").exists());
    }
}
