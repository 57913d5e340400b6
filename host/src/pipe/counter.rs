//! What one end of a guest's pipes has counted, over all the times that it was open. Whoever looks at it takes no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::ErrorCode;
use super::changes::Changes;
use crate::limits::Budget;

#[derive(Debug)]
pub(super) struct Counter {
    pub(super) bytes: AtomicU64,
    /// Nanoseconds.
    pub(super) waited: AtomicU64,
    /// When the wait that goes on began: nanoseconds after `made`, or 0 if the guest does not wait.
    pub(super) waits_since: AtomicU64,
    pub(super) made: Instant,
    pub(super) budget: Option<Arc<Budget>>,
    /// How many meters count here: an end that is handed over has two for a moment.
    open: AtomicUsize,
    /// What has become of the end since it was opened last: [`FLOWS`], [`AT_END`], or [`FAILED`] and the place of its code in
    /// [`ErrorCode::ALL`].
    fate: AtomicU8,
    pub(super) changes: Changes,
}

const FLOWS: u8 = 0;
const AT_END: u8 = 1;
const FAILED: u8 = 2;

impl Counter {
    pub(super) fn new(budget: Option<Arc<Budget>>, changes: Changes) -> Self {
        let [bytes, waited, waits_since] = [const { AtomicU64::new(0) }; 3];
        let (open, fate) = (AtomicUsize::new(0), AtomicU8::new(FLOWS));
        Self { bytes, waited, waits_since, made: Instant::now(), budget, open, fate, changes }
    }

    /// Counts one more meter, the first of which opens the end.
    pub(super) fn opens(&self) {
        if self.open.fetch_add(1, Ordering::Relaxed) == 0 {
            self.fate.store(FLOWS, Ordering::Relaxed);
        }
        self.changes.note();
    }

    /// Counts one meter less, the last of which closes the end.
    pub(super) fn closes(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.changes.note();
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Notes that the reader has met the end of file.
    pub(super) fn meets_end(&self) {
        self.meets(AT_END);
    }

    /// Notes that the end has failed.
    pub(super) fn fails(&self, code: ErrorCode) {
        self.meets(FAILED + code.place());
    }

    fn meets(&self, fate: u8) {
        self.fate.store(fate, Ordering::Relaxed);
        self.changes.note();
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.fate.load(Ordering::Relaxed) == AT_END
    }

    pub(super) fn fault(&self) -> Option<ErrorCode> {
        self.fate.load(Ordering::Relaxed).checked_sub(FAILED).and_then(ErrorCode::at)
    }

    /// Returns for how long the guest has been waiting, if it does.
    pub(super) fn waiting(&self) -> Option<Duration> {
        let since = match self.waits_since.load(Ordering::Relaxed) {
            0 => return None,
            nanos => self.made + Duration::from_nanos(nanos),
        };
        Some(since.elapsed())
    }
}
