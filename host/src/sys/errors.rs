//! Errors of the system, by names that all systems share.

use std::io;

/// An error of the system that pipehost handles apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemError {
    /// Access is denied: EACCES.
    Access,
    /// No more threads or processes are available now: EAGAIN.
    Again,
    /// The descriptor is not open, or not open for this operation: EBADF.
    BadHandle,
    /// ECONNRESET.
    ConnectionReset,
    /// Beyond the owner's quota: EDQUOT.
    Quota,
    /// EFBIG.
    FileTooLarge,
    /// EINVAL.
    Invalid,
    /// EIO.
    Io,
    /// EISDIR.
    IsFolder,
    /// This process has no descriptor left: EMFILE.
    ProcessHandles,
    /// The system has no descriptor left: ENFILE.
    SystemHandles,
    /// ENODEV.
    NoDevice,
    /// ENOMEM.
    NoMemory,
    /// ENOSPC.
    NoSpace,
    /// ENOTCONN.
    NotConnected,
    /// The file is not a program: ENOEXEC.
    NotExecutable,
    /// ENXIO.
    NoSuchDevice,
    /// EPERM.
    NotPermitted,
    /// EPIPE.
    BrokenPipe,
    /// EROFS.
    ReadOnly,
    /// ESPIPE.
    NoSeek,
    /// ESTALE.
    Stale,
    /// ETIMEDOUT.
    TimedOut,
}

impl SystemError {
    /// Returns the error of this number, or `None` if pipehost has no name for it.
    pub(crate) fn of_number(number: i32) -> Option<Self> {
        let named = super::ERRORS.iter().find(|(_, known)| *known == number);
        named.map(|(error, _)| *error)
    }

    /// Returns the system's error that `error` holds.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        Self::of_number(error.raw_os_error()?)
    }
}

impl From<SystemError> for io::Error {
    fn from(error: SystemError) -> Self {
        match super::ERRORS.iter().find(|(known, _)| *known == error) {
            Some((_, number)) => Self::from_raw_os_error(*number),
            // This system has no such error.
            None => Self::other(format!("{error:?}")),
        }
    }
}
