//! Takes the place of a monitor. There is none: no process is ever confined, so it opens its FIFOs and
//! removes them by itself, and starts its commands.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::super::super::{Direction, NativeCommand, NativeEnd, Usage};
use super::super::trace::{Removed, Trace};

/// The number of a file that a monitor knows. There are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sys) enum TraceId {}

/// A command that a monitor has started. There are none.
#[derive(Debug)]
pub(in crate::sys) struct Started {
    pub(in crate::sys) pid: i32,
    pub(in crate::sys) leads: bool,
    pub(in crate::sys) pidfd: OwnedFd,
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Starts no monitor: this process does everything by itself.
///
/// See the example of [`sandbox`](crate::sandbox).
///
/// # Errors
/// None.
pub fn start_monitor(_: Vec<Vec<OsString>>) -> io::Result<()> {
    Ok(())
}

/// Ends no monitor.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn end_monitor() {}

pub(in crate::sys) fn is_there() -> bool {
    false
}

pub(in crate::sys) fn is_sealed() -> bool {
    false
}

pub(in crate::sys) fn announce(_: Trace<'_>) -> Result<Option<TraceId>, Errno> {
    Ok(None)
}

pub(in crate::sys) fn forget(id: TraceId) {
    match id {}
}

pub(in crate::sys) fn permit(id: TraceId, _: bool, _: bool) -> Result<(), Errno> {
    match id {}
}

pub(in crate::sys) fn remove(id: TraceId) -> Option<Result<Removed, Errno>> {
    match id {}
}

pub(in crate::sys) fn is_in_place(id: TraceId) -> bool {
    match id {}
}

pub(in crate::sys) fn open(id: TraceId, _: Direction) -> io::Result<OwnedFd> {
    match id {}
}

pub(in crate::sys) fn open_when_read(id: TraceId) -> io::Result<OwnedFd> {
    match id {}
}

pub(in crate::sys) fn receive_descriptor(_: &OwnedFd) -> io::Result<OwnedFd> {
    unsupported()
}

pub(in crate::sys) fn reopen(_: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    unsupported()
}

pub(in crate::sys) fn start(_: &NativeCommand) -> io::Result<Started> {
    unsupported()
}

pub(in crate::sys) fn signal(_: i32, _: i32) {}

pub(in crate::sys) fn abandon(_: i32) {}

pub(in crate::sys) fn reap(_: i32) -> io::Result<Option<(NativeEnd, Usage)>> {
    unsupported()
}
