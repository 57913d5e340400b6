//! The numbers of errors: GetLastError.

use std::io;

use windows_sys::Win32::Foundation as win;

use super::super::SystemError;

/// The errors that this program tells apart, and their numbers. Where there are several numbers, the
/// first is the one that is made.
pub(crate) const ERRORS: &[(SystemError, i32)] = &[
    (SystemError::Access, win::ERROR_ACCESS_DENIED.cast_signed()),
    (SystemError::Again, win::ERROR_NO_SYSTEM_RESOURCES.cast_signed()),
    (SystemError::BadHandle, win::ERROR_INVALID_HANDLE.cast_signed()),
    (SystemError::ConnectionReset, win::ERROR_NETNAME_DELETED.cast_signed()),
    (SystemError::Quota, win::ERROR_DISK_QUOTA_EXCEEDED.cast_signed()),
    (SystemError::FileTooLarge, win::ERROR_FILE_TOO_LARGE.cast_signed()),
    (SystemError::Invalid, win::ERROR_INVALID_PARAMETER.cast_signed()),
    (SystemError::Io, win::ERROR_IO_DEVICE.cast_signed()),
    (SystemError::IsFolder, win::ERROR_DIRECTORY_NOT_SUPPORTED.cast_signed()),
    (SystemError::ProcessHandles, win::ERROR_TOO_MANY_OPEN_FILES.cast_signed()),
    (SystemError::NoDevice, win::ERROR_DEV_NOT_EXIST.cast_signed()),
    (SystemError::NoMemory, win::ERROR_NOT_ENOUGH_MEMORY.cast_signed()),
    (SystemError::NoMemory, win::ERROR_OUTOFMEMORY.cast_signed()),
    (SystemError::NoMemory, win::ERROR_COMMITMENT_LIMIT.cast_signed()),
    (SystemError::NoSpace, win::ERROR_DISK_FULL.cast_signed()),
    (SystemError::NoSpace, win::ERROR_HANDLE_DISK_FULL.cast_signed()),
    (SystemError::NotConnected, win::ERROR_NOT_CONNECTED.cast_signed()),
    (SystemError::NotExecutable, win::ERROR_BAD_EXE_FORMAT.cast_signed()),
    (SystemError::NoSuchDevice, win::ERROR_BAD_UNIT.cast_signed()),
    (SystemError::NotPermitted, win::ERROR_PRIVILEGE_NOT_HELD.cast_signed()),
    (SystemError::BrokenPipe, win::ERROR_BROKEN_PIPE.cast_signed()),
    (SystemError::BrokenPipe, win::ERROR_NO_DATA.cast_signed()),
    (SystemError::BrokenPipe, win::ERROR_PIPE_NOT_CONNECTED.cast_signed()),
    (SystemError::ReadOnly, win::ERROR_WRITE_PROTECT.cast_signed()),
    (SystemError::NoSeek, win::ERROR_SEEK_ON_DEVICE.cast_signed()),
    (SystemError::Stale, win::ERROR_FILE_INVALID.cast_signed()),
    (SystemError::TimedOut, win::ERROR_SEM_TIMEOUT.cast_signed()),
];

/// Returns the error of a handle that is not open for this direction.
pub(super) fn not_open() -> io::Error {
    io::Error::from_raw_os_error(win::ERROR_INVALID_HANDLE.cast_signed())
}

/// Windows calls a handle that is not open for reading, or not for writing, one without permission.
pub(super) fn not_open_for_this(error: io::Error) -> io::Error {
    match error.raw_os_error() == Some(win::ERROR_ACCESS_DENIED.cast_signed()) {
        true => not_open(),
        false => error,
    }
}

/// Returns whether the error says that the peer has left.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let gone = [win::ERROR_BROKEN_PIPE, win::ERROR_NO_DATA, win::ERROR_PIPE_NOT_CONNECTED];
    error.raw_os_error().is_some_and(|number| gone.contains(&number.cast_unsigned()))
}

/// Gives all errors of a write to a peer that has left the same number.
pub(super) fn broken(error: io::Error) -> io::Error {
    match is_gone(&error) {
        true => io::Error::from_raw_os_error(win::ERROR_BROKEN_PIPE.cast_signed()),
        false => error,
    }
}

/// Returns the same error once more.
pub(super) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
