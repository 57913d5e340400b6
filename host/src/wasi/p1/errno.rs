//! The errno values of WASI 0.1.

use crate::pipe::{ErrorCode, Fault};
use crate::sys::SystemError;

pub(super) const AGAIN: i32 = 6;
pub(super) const MFILE: i32 = 33;
pub(super) const NOTDIR: i32 = 54;
pub(super) const NOTSUP: i32 = 58;
const DQUOT: i32 = 19;
pub(super) const IO: i32 = 29;
pub(super) const PERM: i32 = 63;
const PIPE: i32 = 64;
const TIMEDOUT: i32 = 73;

/// Returns the errno that a module gets for `fault`.
pub(super) fn of(fault: Fault) -> i32 {
    if let Some(known) = fault.system().and_then(of_system) {
        return known;
    }
    match fault.code {
        ErrorCode::BrokenPipe => PIPE,
        ErrorCode::TimedOut => TIMEDOUT,
        // The same as for a write to a file beyond its owner's quota.
        ErrorCode::LimitExceeded => DQUOT,
        _ => IO,
    }
}

/// Returns the errno of the same name.
fn of_system(error: SystemError) -> Option<i32> {
    Some(match error {
        SystemError::Access => 2,
        SystemError::BadHandle => 8,
        SystemError::ConnectionReset => 15,
        SystemError::Quota => DQUOT,
        SystemError::FileTooLarge => 22,
        SystemError::Invalid => 28,
        SystemError::Io => IO,
        SystemError::IsFolder => 31,
        SystemError::ProcessHandles => MFILE,
        SystemError::SystemHandles => 41,
        SystemError::NoDevice => 43,
        SystemError::NoMemory => 48,
        SystemError::NoSpace => 51,
        SystemError::NotConnected => 53,
        SystemError::NoSuchDevice => 60,
        SystemError::NotPermitted => PERM,
        SystemError::BrokenPipe => PIPE,
        SystemError::ReadOnly => 69,
        SystemError::NoSeek => 70,
        SystemError::Stale => 72,
        SystemError::TimedOut => TIMEDOUT,
        SystemError::Again | SystemError::NotExecutable => return None,
    })
}
