//! How operations on pipes fail: the error codes of the WIT package.

use std::io;

use crate::limits::Exceeded;
use crate::sys::SystemError;

/// The cases of `error-code` in `pipehost:pipes/types`, which documents each.
///
/// See the examples of [`Pipes`](crate::Pipes) and of [`Writer`](crate::pipe::Writer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorCode {
    /// There is no such grant, or not in that direction.
    #[error("not permitted")]
    NotPermitted,
    /// The text is not a valid name.
    #[error("invalid name")]
    InvalidName,
    /// A limit of the operator or of the system is met.
    #[error("limit exceeded")]
    LimitExceeded,
    /// The reader is gone: EPIPE.
    #[error("broken pipe")]
    BrokenPipe,
    /// No peer came in time.
    #[error("timed out")]
    TimedOut,
    /// The end is open already.
    #[error("in use")]
    InUse,
    /// This end does not support the operation.
    #[error("unsupported")]
    Unsupported,
    /// Any other error of the system.
    #[error("input/output error")]
    Io,
}

impl ErrorCode {
    /// All codes.
    pub(super) const ALL: [Self; 8] = [
        Self::NotPermitted,
        Self::InvalidName,
        Self::LimitExceeded,
        Self::BrokenPipe,
        Self::TimedOut,
        Self::InUse,
        Self::Unsupported,
        Self::Io,
    ];

    /// Returns its place among all codes.
    pub(super) fn place(self) -> u8 {
        self as u8
    }

    /// Returns the code at this place.
    pub(super) fn at(place: u8) -> Option<Self> {
        Self::ALL.get(usize::from(place)).copied()
    }
}

/// A failed operation: the code that the guest gets, and the system's error, if there is one.
///
/// See the examples of [`Pipes`](crate::Pipes) and of [`Writer`](crate::pipe::Writer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code that the guest gets.
    pub code: ErrorCode,
    errno: Option<i32>,
}

impl std::error::Error for Fault {}

impl Fault {
    /// Returns whether the descriptor is not open for this operation: EBADF.
    pub(crate) fn is_not_open(self) -> bool {
        self.system() == Some(SystemError::BadHandle)
    }

    /// Returns the system's error, if pipehost has a name for it.
    pub(crate) fn system(self) -> Option<SystemError> {
        SystemError::of_number(self.errno?)
    }

    /// Returns whether the operator's limit is met, not the system's.
    pub(crate) fn is_of_operator(self) -> bool {
        self == Self::from(ErrorCode::LimitExceeded)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.errno) {
            (ErrorCode::Io | ErrorCode::LimitExceeded, Some(errno)) => {
                // Without the number in "No space left on device (os error 28)", which helps no user.
                let text = io::Error::from_raw_os_error(errno).to_string();
                f.write_str(text.split(" (os error").next().unwrap_or(&text))
            }
            (code, _) => code.fmt(f),
        }
    }
}

impl From<Exceeded> for ErrorCode {
    fn from(_: Exceeded) -> Self {
        Self::LimitExceeded
    }
}

impl From<Exceeded> for Fault {
    fn from(exceeded: Exceeded) -> Self {
        ErrorCode::from(exceeded).into()
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self { code, errno: None }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        (&error).into()
    }
}

impl From<&io::Error> for Fault {
    fn from(error: &io::Error) -> Self {
        let errno = error.raw_os_error();
        let code = if error.kind() == io::ErrorKind::BrokenPipe {
            ErrorCode::BrokenPipe
        } else {
            use SystemError::{Again, BadHandle, NoMemory, ProcessHandles, SystemHandles};
            match SystemError::of(error) {
                // No descriptors, memory or threads. A full pipe is not among these: its end returns
                // another kind of answer.
                Some(ProcessHandles | SystemHandles | NoMemory | Again) => ErrorCode::LimitExceeded,
                Some(BadHandle) => ErrorCode::Unsupported,
                _ if error.kind() == io::ErrorKind::Unsupported => ErrorCode::Unsupported,
                _ => ErrorCode::Io,
            }
        };
        Self { code, errno }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match (fault.errno, fault.code) {
            (Some(errno), _) => io::Error::from_raw_os_error(errno),
            (None, ErrorCode::BrokenPipe) => io::ErrorKind::BrokenPipe.into(),
            (None, ErrorCode::TimedOut) => io::ErrorKind::TimedOut.into(),
            // As for a write to a file beyond its owner's quota: a guest that knows only errnos gets
            // this one.
            (None, ErrorCode::LimitExceeded) => SystemError::Quota.into(),
            (None, code) => io::Error::other(code),
        }
    }
}
