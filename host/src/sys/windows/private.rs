//! A folder that only its owner can write to, for files that are trusted later.

use std::fs::{File, FileTimes};
use std::io::{self, Write as _};
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::windows::io::AsHandle as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_DELETE_PENDING, ERROR_SHARING_VIOLATION,
    GENERIC_READ,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateDirectoryW, FILE_ATTRIBUTE_REPARSE_POINT, FILE_EXECUTE, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_DELETE_ON_CLOSE, FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE, FILE_WRITE_ATTRIBUTES,
};

use super::super::{FileInfo, PrivateError};
use super::calls::{done, wide};
use super::security::{self, Ownership};

/// The prefix of the name of a file that is still being written. 16 hexadecimal digits follow.
const UNFINISHED: &str = ".writing-";

/// A folder that belongs to this process's user, or to who may do anything. It is held open, so that
/// no other folder can take its place.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
    _held: File,
}

/// A regular file in a [`PrivateFolder`] that only this process's user can have written.
#[derive(Debug)]
pub(crate) struct PrivateFile(File);

/// A lock from [`PrivateFolder::try_lock`]. Dropping it removes its file and releases the lock, and so
/// does the system when this process ends.
#[derive(Debug)]
pub(crate) struct FolderLock<'a> {
    _file: File,
    _folder: &'a PrivateFolder,
}

impl PrivateFolder {
    /// Opens the folder at `path`. Makes it, and the folders that lead to it, if it does not exist.
    /// Follows no link at its end.
    ///
    /// # Errors
    /// See [`PrivateError`]. A folder that was found is not changed.
    pub(crate) fn open(path: &Path) -> Result<Self, PrivateError> {
        let fail = |error: io::Error| PrivateError::Io { path: path.into(), error };
        let open = || {
            let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
            let share = FILE_SHARE_READ | FILE_SHARE_WRITE;
            File::options().read(true).share_mode(share).custom_flags(flags).open(path)
        };
        let held = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(fail)?;
                open()
            }
            opened => opened,
        };
        let held = held.map_err(fail)?;
        let metadata = held.metadata().map_err(fail)?;
        if is_link(&metadata) || !metadata.is_dir() {
            return Err(fail(io::Error::other("it is no folder")));
        }
        match security::ownership(held.as_handle()).map_err(fail)? {
            Ownership { stranger: Some(owner), .. } => {
                Err(PrivateError::NotOurs { path: path.into(), owner })
            }
            Ownership { exposed: true, .. } => Err(PrivateError::Exposed(path.into())),
            Ownership { .. } => Ok(Self { path: path.into(), _held: held }),
        }
    }

    /// Returns the path at which the folder was found.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file `name` for reading. Returns `None` if it does not exist or cannot be trusted: it
    /// must be a regular file, not a link, of this user, that nobody else may change.
    pub(crate) fn file(&self, name: &str) -> Option<PrivateFile> {
        let open = |access| {
            let mut options = File::options();
            options.access_mode(access).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE);
            options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(self.path.join(name))
        };
        let file = open(GENERIC_READ | FILE_EXECUTE | FILE_WRITE_ATTRIBUTES)
            .or_else(|_| open(GENERIC_READ))
            .ok()?;
        let metadata = file.metadata().ok()?;
        let found = security::ownership(file.as_handle()).ok()?;
        let trusted = metadata.is_file()
            && !is_link(&metadata)
            && found == Ownership { stranger: None, exposed: false };
        trusted.then_some(PrivateFile(file))
    }

    /// Writes a file, whole or not at all. Replaces a file of that name.
    ///
    /// # Errors
    /// Those of the system. Nothing is left behind then.
    pub(crate) fn put(&self, name: &str, pieces: &[&[u8]]) -> io::Result<()> {
        let scratch = self.path.join(format!("{UNFINISHED}{}", super::unique()));
        let mut file = File::options().write(true).create_new(true).open(&scratch)?;
        let written = pieces.iter().try_for_each(|piece| file.write_all(piece));
        drop(file);
        let placed = written.and_then(|()| std::fs::rename(&scratch, self.path.join(name)));
        if placed.is_err() {
            let _ = std::fs::remove_file(&scratch);
        }
        placed
    }

    /// Returns whether `name` is one that [`PrivateFolder::put`] uses before a file is whole.
    fn is_unfinished(name: &str) -> bool {
        name.strip_prefix(UNFINISHED).is_some_and(|unique| {
            unique.len() == 16 && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }

    /// Takes the lock `name`: a file that is open for one process or thread, and exists as long as it is
    /// open. Returns `None` if another holds it. Never waits.
    ///
    /// # Errors
    /// Those of `CreateFileW`.
    pub(crate) fn try_lock(&self, name: &str) -> io::Result<Option<FolderLock<'_>>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).share_mode(0);
        options.custom_flags(FILE_FLAG_DELETE_ON_CLOSE | FILE_FLAG_OPEN_REPARSE_POINT);
        match options.open(self.path.join(name)) {
            Ok(file) => Ok(Some(FolderLock { _file: file, _folder: self })),
            Err(error) => match error.raw_os_error().map(i32::cast_unsigned) {
                // The last two: its holder is just removing it.
                Some(ERROR_SHARING_VIOLATION | ERROR_DELETE_PENDING | ERROR_ACCESS_DENIED) => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    /// Lists the regular files in the folder.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn files(&self) -> io::Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Another process may have removed it.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && !is_link(&metadata) {
                files.push(FileInfo {
                    unfinished: Self::is_unfinished(&name),
                    name,
                    bytes: metadata.len(),
                    used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        Ok(files)
    }
}

impl PrivateFile {
    /// Returns the file, for reading.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Marks the file as used now, if the last mark is older than `after`.
    pub(crate) fn mark_used(&self, after: Duration) {
        let modified = self.0.metadata().and_then(|it| it.modified());
        let recent = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < after));
        if !recent {
            // Where that is not permitted, the file keeps its old mark.
            let _ = self.0.set_times(FileTimes::new().set_modified(SystemTime::now()));
        }
    }
}

/// Makes a folder that only this user may use, and the folders that lead to it.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    let name = wide(path.as_os_str())?;
    let attributes = security::for_folder()?;
    // SAFETY: the path ends with a zero, and the attributes live during the call.
    match done(unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) }) {
        // Another process was faster. What it made is checked.
        Err(error) if error.raw_os_error() == Some(ERROR_ALREADY_EXISTS.cast_signed()) => Ok(()),
        made => made,
    }
}

fn is_link(metadata: &std::fs::Metadata) -> bool {
    metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0
}
