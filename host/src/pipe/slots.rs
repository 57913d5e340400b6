//! How many pipes one guest may have open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ErrorCode;

/// Room for a bounded number of pipes.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    free: Arc<AtomicUsize>,
}

/// One pipe's room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    free: Arc<AtomicUsize>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(count)) }
    }

    /// # Errors
    /// `limit-exceeded` where none is free.
    pub(super) fn take(&self) -> Result<Slot, ErrorCode> {
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1))
            .map_err(|_| ErrorCode::LimitExceeded)?;
        Ok(Slot { free: Arc::clone(&self.free) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_slot_is_free_again() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        assert_eq!(slots.take().unwrap_err(), ErrorCode::LimitExceeded);
        drop(slot);
        slots.take().unwrap();
    }
}
