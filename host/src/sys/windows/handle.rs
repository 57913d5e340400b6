//! An open handle, and how the handles of this process become another's.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::core::BOOL;

use super::channel::Channel;
use super::fifo::Served;

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
    /// A connection of a named pipe, which this process has waited for.
    Connected(Arc<Channel>, Served),
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
            Kind::Overlapped | Kind::Connected(..) => Kind::Overlapped,
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
        matches!(self.kind, Kind::Overlapped | Kind::Connected(..))
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

/// Returns the error of the last call, if `answer` says that it failed.
pub(super) fn done(answer: BOOL) -> io::Result<()> {
    match answer {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes over a handle that a call has returned.
///
/// # Safety
/// The handle is the caller's alone, or is one of the two values that say that the call failed.
pub(super) unsafe fn taken(handle: HANDLE) -> io::Result<OwnedHandle> {
    match handle.is_null() || handle == INVALID_HANDLE_VALUE {
        true => Err(io::Error::last_os_error()),
        // SAFETY: the caller says that nobody else closes it.
        false => Ok(unsafe { OwnedHandle::from_raw_handle(handle) }),
    }
}

/// Returns another handle of the same file, with this `access` or, for `None`, the same. Another
/// process that this one starts gets it if it is `inheritable`.
///
/// # Errors
/// Those of `DuplicateHandle`.
pub(super) fn duplicate(
    handle: BorrowedHandle<'_>,
    access: Option<u32>,
    inheritable: bool,
) -> io::Result<OwnedHandle> {
    let mut copy = null_mut();
    let options = if access.is_none() { DUPLICATE_SAME_ACCESS } else { 0 };
    // SAFETY: both processes are this one, the handle is open, and `copy` is a place for another.
    unsafe {
        let this = GetCurrentProcess();
        done(DuplicateHandle(
            this,
            handle.as_raw_handle(),
            this,
            &raw mut copy,
            access.unwrap_or(0),
            inheritable.into(),
            options,
        ))?;
        taken(copy)
    }
}

/// Returns a text as the system takes it: UTF-16 and a zero.
///
/// # Errors
/// `InvalidInput` for a text with a zero in it.
pub(super) fn wide(text: &std::ffi::OsStr) -> io::Result<Vec<u16>> {
    use std::os::windows::ffi::OsStrExt as _;
    let mut wide: Vec<u16> = text.encode_wide().collect();
    match wide.contains(&0) {
        true => Err(io::Error::new(io::ErrorKind::InvalidInput, "there is a NUL in it")),
        false => {
            wide.push(0);
            Ok(wide)
        }
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
