//! Errors of the system, by names that all systems share.

use std::io;

/// An error of the system's that pipehost tells from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemError {
    /// Access is denied: EACCES.
    Access,
    /// There is none now, of threads or processes: EAGAIN.
    Again,
    /// Not open, or not for that: EBADF.
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
    /// No program: ENOEXEC.
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
    /// What the system calls by that number; `None` for all that is not told apart.
    pub fn of_number(number: i32) -> Option<Self> {
        let named = super::ERRORS.iter().find(|(_, known)| *known == number);
        named.map(|(error, _)| *error)
    }

    /// What `error` of the system's is.
    pub fn of(error: &io::Error) -> Option<Self> {
        Self::of_number(error.raw_os_error()?)
    }
}

impl From<SystemError> for io::Error {
    fn from(error: SystemError) -> Self {
        match super::ERRORS.iter().find(|(known, _)| *known == error) {
            Some((_, number)) => Self::from_raw_os_error(*number),
            // A system that has no such error.
            None => Self::other(format!("{error:?}")),
        }
    }
}
