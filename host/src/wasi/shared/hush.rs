//! Keeps back what a guest says of a failure until it is known whether it must be shown.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::pipe::Since;

/// How many bytes of a guest's stderr are kept back while it is not yet known whether they must be
/// shown, and for how long: see [`Hush`]. A program's complaint about a broken stdout is a line or
/// two, just before it ends.
pub(super) const MOST_HELD: usize = 8 * 1024;
pub(super) const LONGEST_HELD: Duration = Duration::from_millis(250);

/// Output that comes later than this after a failure is not about the failure.
pub(super) const MOMENT: Duration = Duration::from_millis(250);

/// Keeps back what a guest writes to stderr right after its stdout's reader has left.
///
/// SIGPIPE ends a native program there, and the program says nothing. A guest gets an error. Many
/// guests complain of it, or panic, before they end. A little later it is known whether the guest
/// ends or goes on. Output that is longer, older or later than such a complaint is shown, and so
/// are lines about something else: see [`complaint`](super::complaint).
#[derive(Debug)]
pub(super) struct Hush {
    pub(super) stdout_broken: Since,
    /// Set if stdin's writer did not come in time.
    pub(super) stdin_late: Since,
    pub(super) state: Mutex<HushState>,
}

#[derive(Debug)]
pub(super) enum HushState {
    /// The first output after stdout broke will be held.
    Waiting,
    Holding(Vec<u8>),
    Over,
}

impl Hush {
    pub(super) fn state(&self) -> MutexGuard<'_, HushState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
