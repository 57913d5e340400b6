//! An open handle, and how the handles of this process become another's.

use std::any::Any;
use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, OwnedHandle};

use windows_sys::Win32::Foundation::HANDLE;

use super::calls::duplicate;

/// An open handle: of a file, a pipe or a device. Dropping it closes it.
///
/// See the example of [`pipe_pair`](super::pipe_pair).
#[derive(Debug)]
pub struct Handle {
    pub(super) file: OwnedHandle,
    pub(super) kind: Kind,
}

/// How a handle is read and written.
#[derive(Debug)]
pub(super) enum Kind {
    /// Each call waits until it is done. Nothing else is known of a handle that another process has
    /// opened.
    Waits,
    /// A pipe whose calls do not wait: FILE_FLAG_OVERLAPPED.
    Overlapped,
    /// The device that is always at its end, and drops what is written.
    Null,
    /// A connection of a named pipe, which this process has waited for: a `Connection` of `fifo`'s.
    Connected(Box<dyn Any + Send + Sync>),
}

impl Handle {
    /// Returns another handle of the same file.
    ///
    /// # Errors
    /// The system's.
    pub fn try_clone(&self) -> io::Result<Self> {
        let kind = match self.kind {
            Kind::Waits => Kind::Waits,
            Kind::Null => Kind::Null,
            Kind::Overlapped | Kind::Connected(_) => Kind::Overlapped,
        };
        Ok(Self { file: self.file.try_clone()?, kind })
    }

    /// Takes a pipe whose calls do not wait.
    pub(super) fn overlapped(file: OwnedHandle) -> Self {
        Self { file, kind: Kind::Overlapped }
    }

    /// Takes a handle of which nothing is known.
    pub(super) fn unknown(file: OwnedHandle) -> Self {
        Self { file, kind: Kind::Waits }
    }

    /// Returns whether calls on it do not wait.
    pub(super) fn is_overlapped(&self) -> bool {
        matches!(self.kind, Kind::Overlapped | Kind::Connected(_))
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.file.as_raw_handle()
    }
}

impl From<File> for Handle {
    fn from(file: File) -> Self {
        Self::unknown(file.into())
    }
}

impl From<Handle> for File {
    fn from(handle: Handle) -> Self {
        handle.file.into()
    }
}

impl Handle {
    /// Returns a handle of the same file that a native command can be given, with `access` if the
    /// system permits to take something away.
    ///
    /// # Errors
    /// Those of `DuplicateHandle`.
    pub(super) fn narrowed(file: BorrowedHandle<'_>, access: u32) -> io::Result<Self> {
        let copy =
            duplicate(file, Some(access), false).or_else(|_| duplicate(file, None, false))?;
        Ok(Self::overlapped(copy))
    }
}
