//! The numbers of WASI 0.1 for what goes wrong.

use rustix::io::Errno;

use crate::pipe::{ErrorCode, Fault};

pub(super) const AGAIN: i32 = 6;
pub(super) const MFILE: i32 = 33;
pub(super) const NOTDIR: i32 = 54;
pub(super) const NOTSUP: i32 = 58;
const DQUOT: i32 = 19;
pub(super) const IO: i32 = 29;
pub(super) const PERM: i32 = 63;
const PIPE: i32 = 64;
const TIMEDOUT: i32 = 73;

/// What a module is told.
pub(super) fn of(fault: Fault) -> i32 {
    if let Some(known) = fault.errno().and_then(of_system) {
        return known;
    }
    match fault.code {
        ErrorCode::BrokenPipe => PIPE,
        ErrorCode::TimedOut => TIMEDOUT,
        // As a write to a file beyond its owner's quota.
        ErrorCode::LimitExceeded => DQUOT,
        _ => IO,
    }
}

/// That of the same name.
fn of_system(errno: i32) -> Option<i32> {
    let known = [
        (Errno::ACCESS, 2),
        (Errno::BADF, 8),
        (Errno::CONNRESET, 15),
        (Errno::DQUOT, DQUOT),
        (Errno::FBIG, 22),
        (Errno::INVAL, 28),
        (Errno::IO, IO),
        (Errno::ISDIR, 31),
        (Errno::MFILE, MFILE),
        (Errno::NFILE, 41),
        (Errno::NODEV, 43),
        (Errno::NOMEM, 48),
        (Errno::NOSPC, 51),
        (Errno::NOTCONN, 53),
        (Errno::NXIO, 60),
        (Errno::PERM, PERM),
        (Errno::PIPE, PIPE),
        (Errno::ROFS, 69),
        (Errno::SPIPE, 70),
        (Errno::STALE, 72),
        (Errno::TIMEDOUT, TIMEDOUT),
    ];
    known.iter().find(|(it, _)| it.raw_os_error() == errno).map(|(_, wasi)| *wasi)
}
