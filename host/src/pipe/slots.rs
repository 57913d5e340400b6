//! How many pipes one guest may have open, and how many several guests together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ErrorCode;
use super::reached::{Limit, Reached};

/// Room for a bounded number of pipes.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    free: Arc<AtomicUsize>,
    limit: Limit,
    within: Option<TotalPipes>,
}

/// Room for a bounded number of pipes, which several guests share: see
/// [`PipesBuilder::within`](super::PipesBuilder::within). Cloning gives another handle to the same.
#[derive(Clone, Debug)]
pub struct TotalPipes(Box<Slots>);

/// One pipe's room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    free: Arc<AtomicUsize>,
    _within: Option<Box<Slot>>,
}

impl TotalPipes {
    /// So many, counted as for a single guest.
    pub fn new(count: usize) -> Self {
        let free = Arc::new(AtomicUsize::new(count));
        Self(Box::new(Slots { free, limit: Limit::MaxTotalPipes(count), within: None }))
    }
}

impl Slots {
    pub(super) fn new(count: usize, within: Option<TotalPipes>) -> Self {
        let free = Arc::new(AtomicUsize::new(count));
        Self { free, limit: Limit::MaxPipes(count), within }
    }

    /// # Errors
    /// `limit-exceeded` where none is free, which is noted.
    pub(super) fn take(&self, reached: &Reached) -> Result<Slot, ErrorCode> {
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1))
            .map_err(|_| {
                reached.note(self.limit.clone());
                ErrorCode::LimitExceeded
            })?;
        // From here on it is given back, also where the other has none.
        let mut slot = Slot { free: Arc::clone(&self.free), _within: None };
        if let Some(TotalPipes(within)) = &self.within {
            slot._within = Some(Box::new(within.take(reached)?));
        }
        Ok(slot)
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
        let (slots, reached) = (Slots::new(1, None), Reached::default());
        let slot = slots.take(&reached).unwrap();
        assert!(reached.limits().is_empty());
        assert_eq!(slots.take(&reached).unwrap_err(), ErrorCode::LimitExceeded);
        assert_eq!(reached.limits(), [Limit::MaxPipes(1)]);
        drop(slot);
        slots.take(&reached).unwrap();
    }

    #[test]
    fn what_several_share_bounds_their_sum() {
        let (total, reached) = (TotalPipes::new(3), Reached::default());
        let [one, two] = [(); 2].map(|()| Slots::new(2, Some(total.clone())));
        let held = [&one, &one, &two].map(|slots| slots.take(&reached).unwrap());
        // A refusal by one of the two takes nothing of the other.
        for _ in 0..5 {
            assert_eq!(two.take(&reached).unwrap_err(), ErrorCode::LimitExceeded);
        }
        assert_eq!(reached.limits(), [Limit::MaxTotalPipes(3)]);
        drop(held);
        let _held = [&two, &two, &one].map(|slots| slots.take(&reached).unwrap());
    }
}
