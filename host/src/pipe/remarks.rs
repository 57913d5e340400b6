//! What is told of a guest and its children while they run: bounded, as they can make it happen without end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many warnings about one family of guests are told.
const MOST_WARNINGS: usize = 32;

/// So many further lines, for whoever wants to know more.
const MOST_DETAILS: usize = 1024;

/// Tells of one family of guests. Cloning gives another handle to the same bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remarks(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    warnings: AtomicUsize,
    details: AtomicUsize,
}

impl Remarks {
    /// A warning, unless there were many.
    pub(crate) fn warn(&self, text: impl fmt::Display) {
        if self.0.warnings.fetch_add(1, Ordering::Relaxed) < MOST_WARNINGS {
            tracing::warn!("{text}");
        }
    }

    /// What is told with `-v`, unless there was much.
    pub(crate) fn detail(&self, text: impl fmt::Display) {
        if self.0.details.fetch_add(1, Ordering::Relaxed) < MOST_DETAILS {
            tracing::info!("{text}");
        }
    }

    /// Tells how much was left out. To be called once, when the family has come to its end.
    pub(crate) fn sum_up(&self) {
        let left_out =
            |count: &AtomicUsize, most| count.load(Ordering::Relaxed).saturating_sub(most);
        let warnings = left_out(&self.0.warnings, MOST_WARNINGS);
        if warnings > 0 {
            tracing::warn!(
                "{warnings} more warnings about the guest and its children were left out"
            );
        }
        let details = left_out(&self.0.details, MOST_DETAILS);
        if details > 0 {
            tracing::info!("{details} more lines about the guest and its children were left out");
        }
    }
}
