//! Says in messages from which pipe end they come, and when it opens and ends.

use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::Span;

use super::Label;
use crate::sys::Direction;

/// How many openings of one guest's ends are told of: a guest can open its pipes without end.
const MOST_TOLD: usize = 256;

/// Returns the span of messages about an end.
pub(super) fn end_span(label: &Label, direction: Option<Direction>) -> Span {
    // All messages have it, whatever their level.
    match direction {
        Some(way) => tracing::error_span!("pipe", pipe = %label, direction = way.doing()),
        None => tracing::error_span!("pipe", pipe = %label),
    }
}

/// Tells of one end that it opens, and that it is done.
#[derive(Debug)]
pub(super) struct Told(Span);

impl Told {
    /// Tells that the end opens, unless `count` says that enough has been told of its guest.
    pub(super) fn opens(label: &Label, direction: Direction, count: &AtomicUsize) -> Option<Self> {
        if !tracing::enabled!(tracing::Level::DEBUG)
            || count.fetch_add(1, Ordering::Relaxed) >= MOST_TOLD
        {
            return None;
        }
        let span = end_span(label, Some(direction));
        span.in_scope(|| tracing::debug!("opened for {}", direction.doing()));
        Some(Self(span))
    }

    /// Tells that the end is closed, or is another guest's from now on.
    pub(super) fn ends(self, bytes: u64) {
        self.0.in_scope(|| tracing::debug!("done, after {bytes} bytes in all"));
    }
}
