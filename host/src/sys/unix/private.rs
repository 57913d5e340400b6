//! A folder that only its owner can look into or write to, for files that are trusted later.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::super::{FileInfo, PrivateError};
use super::flock::{self, Locked};
use super::identity::unique;

/// The bits of a mode that permit anything to users other than the owner.
const OTHERS: RawMode = 0o077;

/// The prefix of the name of a file that is still being written. 16 hexadecimal digits follow.
const UNFINISHED: &str = ".writing-";

/// A folder of mode 0700 that belongs to this process's user. It is held open, so that no other folder
/// can take its place.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
    fd: OwnedFd,
}

/// A regular file in a [`PrivateFolder`] that only this process's user can have written.
#[derive(Debug)]
pub(crate) struct PrivateFile(File);

/// A lock from [`PrivateFolder::try_lock`]. Dropping it removes its file and releases the lock.
#[derive(Debug)]
pub(crate) struct FolderLock<'a> {
    folder: &'a PrivateFolder,
    name: String,
    _fd: OwnedFd,
}

impl Drop for FolderLock<'_> {
    fn drop(&mut self) {
        // The file is removed while the lock is held, so it cannot be another process's lock.
        let _ = self.folder.remove(&self.name);
    }
}

impl PrivateFolder {
    /// Opens the folder at `path`. Makes it, and the folders that lead to it, with mode 0700 if it does
    /// not exist.
    ///
    /// # Errors
    /// See [`PrivateError`]. A folder that was found is not changed.
    pub(crate) fn open(path: &Path) -> Result<Self, PrivateError> {
        if let Some(found) = Self::find(path)? {
            return Ok(found);
        }
        let fail = |error: io::Error| PrivateError::Io { path: path.into(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        Self::find(path)?.ok_or_else(|| fail(Errno::NOENT.into()))
    }

    /// Opens the folder at `path`. Returns `None` if there is none.
    ///
    /// # Errors
    /// See [`PrivateError`].
    pub(super) fn find(path: &Path) -> Result<Option<Self>, PrivateError> {
        let fail = |error: io::Error| PrivateError::Io { path: path.into(), error };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(|error| fail(error.into()))?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(|error| fail(error.into()))?;
        if !is_ours(&stat) {
            return Err(PrivateError::NotOurs { path: path.into(), owner: stat.st_uid });
        }
        if stat.st_mode & OTHERS != 0 {
            return Err(PrivateError::Exposed(path.into()));
        }
        Ok(Some(Self { path: path.into(), fd }))
    }

    /// Returns whether `path` is a folder, not a link, that belongs to this user and that no other user
    /// may look into. Use it only to choose between paths: another folder may be there when it is
    /// opened later.
    pub(super) fn is_private(path: &Path) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::statat(rustix::fs::CWD, path, flags).is_ok_and(|stat| {
            let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            folder && is_ours(&stat) && stat.st_mode & OTHERS == 0
        })
    }

    /// Returns the path at which the folder was found.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file `name` for reading. Returns `None` if it does not exist or cannot be trusted: it
    /// must be a regular file of this user to which no other user has any access.
    pub(crate) fn file(&self, name: &str) -> Option<PrivateFile> {
        // O_NONBLOCK keeps this open from waiting if the file is a FIFO.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let trusted = regular && is_ours(&stat) && stat.st_mode & OTHERS == 0;
        trusted.then(|| PrivateFile(fd.into()))
    }

    /// Writes a file, whole or not at all. Replaces a file of that name: rename(2).
    ///
    /// # Errors
    /// Those of the system. Nothing is left behind then.
    pub(crate) fn put(&self, name: &str, pieces: &[&[u8]]) -> io::Result<()> {
        let scratch = format!("{UNFINISHED}{}", unique());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &scratch, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(fd);
        let written = pieces
            .iter()
            .try_for_each(|piece| file.write_all(piece))
            .and_then(|()| Ok(rustix::fs::renameat(&self.fd, &scratch, &self.fd, name)?));
        if written.is_err() {
            let _ = self.remove(&scratch);
        }
        written
    }

    /// Returns whether `name` is one that [`PrivateFolder::put`] uses before a file is whole.
    pub(crate) fn is_unfinished(name: &str) -> bool {
        name.strip_prefix(UNFINISHED).is_some_and(|unique| {
            unique.len() == 16 && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }

    /// Takes the lock `name`: a file that exists as long as the lock is held. Returns `None` if another
    /// process or thread holds it. Never waits. Uses flock(2), so the kernel releases the lock of a
    /// process that dies.
    ///
    /// # Errors
    /// Those of open(2) and flock(2).
    pub(crate) fn try_lock(&self, name: &str) -> io::Result<Option<FolderLock<'_>>> {
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
            match flock::lock(&self.fd, name, &fd)? {
                Locked::Yes => {
                    return Ok(Some(FolderLock { folder: self, name: name.into(), _fd: fd }));
                }
                Locked::Held => return Ok(None),
                Locked::Moved => {}
            }
        }
    }

    /// Removes the file `name`: unlink(2).
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Lists the regular files in the folder.
    ///
    /// # Errors
    /// Those of readdir(3).
    pub(crate) fn files(&self) -> io::Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let Ok(name) = entry?.file_name().to_str().map(str::to_owned) else { continue };
            let stat = match rustix::fs::statat(&self.fd, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Another process removed it.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                files.push(FileInfo {
                    unfinished: Self::is_unfinished(&name),
                    name,
                    bytes: u64::try_from(stat.st_size).unwrap_or(0),
                    used: modified(&stat),
                });
            }
        }
        Ok(files)
    }
}

impl AsFd for PrivateFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl PrivateFile {
    /// Returns the file, for reading.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Marks the file as used now, if the last mark is older than `after`: futimens(3).
    pub(crate) fn mark_used(&self, after: Duration) {
        let recent = rustix::fs::fstat(&self.0)
            .is_ok_and(|stat| modified(&stat).elapsed().is_ok_and(|age| age < after));
        if !recent {
            let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
            let times = Timestamps { last_access: now, last_modification: now };
            // On a read-only file system the file keeps its old mark.
            let _ = rustix::fs::futimens(&self.0, &times);
        }
    }
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

fn modified(stat: &Stat) -> SystemTime {
    let since = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}

#[cfg(test)]
mod tests {
    use super::super::super::own::make_fifo;
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> (tempfile::TempDir, PrivateFolder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::open(&dir.path().join("a/b")).unwrap();
        (dir, folder)
    }

    #[test]
    fn it_is_made_private() {
        let (_dir, folder) = folder();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }

    #[test]
    fn one_that_others_may_use_is_refused_and_left_alone() {
        let (_dir, folder) = folder();
        for mode in [0o770, 0o705, 0o710] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let refused = PrivateFolder::open(folder.path());
            assert!(matches!(refused, Err(PrivateError::Exposed(_))), "{refused:?}");
            let found = fs::metadata(folder.path()).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
    }

    #[test]
    fn a_link_to_a_folder_is_refused() {
        let (dir, folder) = folder();
        let link = dir.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(matches!(PrivateFolder::open(&link), Err(PrivateError::Io { .. })));
    }

    #[test]
    fn only_regular_files_that_others_cannot_write_are_trusted() {
        let (dir, folder) = folder();
        folder.put("good", &[b"a", b"b"]).unwrap();
        assert_eq!(io::read_to_string(folder.file("good").unwrap().file()).unwrap(), "ab");
        let exposed = folder.path().join("exposed");
        fs::write(&exposed, "x").unwrap();
        fs::set_permissions(&exposed, Permissions::from_mode(0o620)).unwrap();
        assert!(folder.file("exposed").is_none());
        symlink(folder.path().join("good"), folder.path().join("link")).unwrap();
        assert!(folder.file("link").is_none());
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(folder.file("folder").is_none());
        let fifo = folder.path().join("fifo");
        make_fifo(rustix::fs::CWD, fifo.to_str().unwrap(), Mode::RUSR).unwrap();
        assert!(folder.file("fifo").is_none());
        assert!(folder.file("missing").is_none());
        drop(dir);
    }

    #[test]
    fn a_put_that_fails_leaves_nothing() {
        let (_dir, folder) = folder();
        fs::create_dir(folder.path().join("taken")).unwrap();
        folder.put("taken", &[b"x"]).unwrap_err();
        assert_eq!(folder.files().unwrap(), []);
    }
}
