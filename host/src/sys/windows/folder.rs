//! Reads a folder's entries one by one, and reads and writes files at an offset.

use std::fs::File;
use std::io;
use std::os::windows::fs::FileExt as _;
use std::os::windows::io::AsRawHandle as _;

use windows_sys::Win32::Foundation::ERROR_NO_MORE_FILES;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_ID_BOTH_DIR_INFO, FILE_LIST_DIRECTORY, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE, FileIdBothDirectoryInfo, FileIdBothDirectoryRestartInfo,
    GetFileInformationByHandleEx, ReOpenFile,
};

use super::super::FileKind;
use super::calls::{done, taken};

/// How many bytes of entries are read at once.
const ROOM: usize = 32 * 1024;

/// The rest of a folder's entries. Holds a handle and some 32 KiB of entries, however many there are.
#[derive(Debug)]
pub(crate) struct Folder {
    file: File,
    began: bool,
    /// What the last call has returned, aligned as its structures are.
    entries: Vec<u64>,
    /// Where the next entry begins there, in bytes.
    next: Option<usize>,
}

impl Folder {
    /// Begins with the first entry of `folder`, with a place of its own among the entries.
    ///
    /// # Errors
    /// Those of `ReOpenFile`.
    pub(crate) fn open(folder: &File) -> io::Result<Self> {
        let share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
        // SAFETY: the handle is open. What comes of it is this process's alone.
        let file = unsafe {
            taken(ReOpenFile(
                folder.as_raw_handle(),
                FILE_LIST_DIRECTORY,
                share,
                FILE_FLAG_BACKUP_SEMANTICS,
            ))?
        };
        Ok(Self { file: file.into(), began: false, entries: vec![0; ROOM / 8], next: None })
    }

    /// Returns the next entry's name and type, without `.` and `..`. Returns `None` at the end.
    ///
    /// # Errors
    /// Those of `GetFileInformationByHandleEx`.
    pub(crate) fn next_entry(&mut self) -> io::Result<Option<(Vec<u8>, FileKind)>> {
        loop {
            let at = match self.next.take() {
                Some(at) => at,
                None if self.fill()? => 0,
                None => return Ok(None),
            };
            let Some((name, attributes, next)) = self.entry(at) else { return Ok(None) };
            self.next = next;
            if name == "." || name == ".." {
                continue;
            }
            let kind = match attributes {
                it if it & FILE_ATTRIBUTE_REPARSE_POINT != 0 => FileKind::Link,
                it if it & FILE_ATTRIBUTE_DIRECTORY != 0 => FileKind::Folder,
                _ => FileKind::Regular,
            };
            return Ok(Some((name.into_bytes(), kind)));
        }
    }

    /// Reads more entries. Returns whether there are any.
    fn fill(&mut self) -> io::Result<bool> {
        let class = match std::mem::replace(&mut self.began, true) {
            false => FileIdBothDirectoryRestartInfo,
            true => FileIdBothDirectoryInfo,
        };
        let room = u32::try_from(size_of_val(&self.entries[..])).unwrap_or(0);
        let (file, to) = (self.file.as_raw_handle(), self.entries.as_mut_ptr().cast());
        // SAFETY: the memory is as long as is said, and aligned for the class's structure.
        match done(unsafe { GetFileInformationByHandleEx(file, class, to, room) }) {
            Err(error) if error.raw_os_error() == Some(ERROR_NO_MORE_FILES.cast_signed()) => {
                Ok(false)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(true),
        }
    }

    /// Returns the name and the attributes of the entry at this place, and where the next one is.
    fn entry(&self, at: usize) -> Option<(String, u32, Option<usize>)> {
        let room = size_of_val(&self.entries[..]);
        let name_at = at.checked_add(std::mem::offset_of!(FILE_ID_BOTH_DIR_INFO, FileName))?;
        if at + size_of::<FILE_ID_BOTH_DIR_INFO>() > room || !at.is_multiple_of(8) {
            return None;
        }
        // SAFETY: the structure lies within the memory, and is aligned.
        let entry = unsafe { &*self.entries.as_ptr().byte_add(at).cast::<FILE_ID_BOTH_DIR_INFO>() };
        let length = entry.FileNameLength as usize;
        if name_at.checked_add(length)? > room {
            return None;
        }
        // SAFETY: the name lies within the memory, at an even place.
        let name = unsafe {
            let from = self.entries.as_ptr().byte_add(name_at).cast::<u16>();
            std::slice::from_raw_parts(from, length / 2)
        };
        let next = match entry.NextEntryOffset as usize {
            0 => None,
            offset => Some(at.checked_add(offset)?),
        };
        Some((String::from_utf16_lossy(name), entry.FileAttributes, next))
    }
}

/// Reads at `offset`. Moves the handle's own place in the file, which nothing here uses.
///
/// # Errors
/// Those of `ReadFile`.
pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buf, offset)
}

/// Writes at `offset`. May write less than all.
///
/// # Errors
/// Those of `WriteFile`.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

/// Writes to the end of a file, wherever that is by then. May write less than all.
///
/// # Errors
/// Those of `WriteFile`.
pub(crate) fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    // This offset stands for the end: WriteFile.
    file.seek_write(bytes, u64::MAX)
}
