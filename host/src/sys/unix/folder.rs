//! Reads a folder's entries one by one, and reads and writes files at an offset.

use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::retry_on_intr;

use super::super::FileKind;

/// The rest of a folder's entries. Holds a descriptor and the result of the last getdents64(2), some 32
/// KiB, however many entries there are.
#[derive(Debug)]
pub(crate) struct Folder(Dir);

impl Folder {
    /// Begins with the first entry of `folder`, with a description of its own.
    ///
    /// # Errors
    /// Those of openat(2).
    pub(crate) fn open(folder: &File) -> io::Result<Self> {
        Ok(Self(Dir::read_from(folder)?))
    }

    /// Returns the next entry's name and type, without `.` and `..`. Returns `None` at the end.
    ///
    /// # Errors
    /// Those of getdents64(2), and of fstatat(2) if getdents64(2) does not tell the type.
    pub(crate) fn next_entry(&mut self) -> io::Result<Option<(Vec<u8>, FileKind)>> {
        while let Some(entry) = self.0.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let stat = statat(self.0.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            return Ok(Some((name.to_bytes().to_vec(), super::kind(kind))));
        }
        Ok(None)
    }
}

/// Reads at `offset`: pread(2).
///
/// # Errors
/// Those of pread(2), except EINTR.
pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::pread(file, &mut *buf, offset))?)
}

/// Writes at `offset`: pwrite(2). May write less than all.
///
/// # Errors
/// Those of pwrite(2), except EINTR.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))?)
}
