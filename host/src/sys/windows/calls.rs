//! What the system's calls take and return.

use std::io;
use std::os::windows::io::{AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;
use windows_sys::core::BOOL;

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
