//! Keeping back what a guest says of a failure until it is known whether it is to be shown.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::pipe::Since;

/// How much of what a guest says on stderr is kept back while it is not yet known whether it is to
/// be shown, and for how long, see [`Hush`]. What a program says of a broken stdout is a line or
/// two, just before it ends.
pub(super) const MOST_HELD: usize = 8 * 1024;
pub(super) const LONGEST_HELD: Duration = Duration::from_millis(250);

/// What is said later than that after a failure is not about it.
pub(super) const MOMENT: Duration = Duration::from_millis(250);

/// Keeps back what a guest says on stderr right after its stdout's reader has left.
///
/// A native program is ended by SIGPIPE there and says nothing. A guest gets an error, and many
/// complain of it, or panic, before they end. Whether that is the end or the guest goes on is known
/// a little later: what is more, older or later than such a complaint is shown, and so are lines that are
/// about something else, see [`complaint`](super::complaint).
#[derive(Debug)]
pub(super) struct Hush {
    pub(super) stdout_broken: Since,
    /// Its writer did not come in time.
    pub(super) stdin_late: Since,
    pub(super) state: Mutex<HushState>,
}

#[derive(Debug)]
pub(super) enum HushState {
    /// The first thing said after stdout broke will be held.
    Waiting,
    Holding(Vec<u8>),
    Over,
}

impl Hush {
    pub(super) fn state(&self) -> MutexGuard<'_, HushState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
