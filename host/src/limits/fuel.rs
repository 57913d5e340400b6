//! Bounds how much a guest may compute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Store;

use super::{Exceeded, Limit, Quota, Reached};

/// What a guest may burn. Its children may burn the same amount once more, all together.
///
/// A child that starts gets half of what is left for children, so that others may start beside it. When
/// it ends by itself, it gives back what it has not burnt. If it is killed, the rest is lost. So a
/// guest cannot compute for ever by starting and killing children.
#[derive(Clone, Debug)]
pub(crate) struct Fuel {
    /// What is left, also for a guest that is started again.
    left: Arc<AtomicU64>,
    for_children: Quota,
    is_childs: bool,
}

impl Fuel {
    /// Makes fuel of this many units, of about one WebAssembly instruction each.
    pub(crate) fn new(units: u64) -> Self {
        let for_children = Quota::new(units, Limit::Fuel(units), None);
        Self { left: Arc::new(units.into()), for_children, is_childs: false }
    }

    /// Takes the fuel for a child that is about to run.
    ///
    /// # Errors
    /// Fails if none is left.
    pub(crate) fn of_child(&self, reached: &Reached) -> Result<Self, Exceeded> {
        let share = self.for_children.take_half(reached)?;
        let units = share.amount();
        share.spend_all_but(0);
        Ok(Self { left: Arc::new(units.into()), is_childs: true, ..self.clone() })
    }

    /// Fills a store with what is left. Its engine must meter fuel.
    pub(crate) fn fill<T>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        store.set_fuel(self.left.load(Ordering::Relaxed))
    }

    /// Takes back what a guest that has ended has not burnt.
    pub(crate) fn take_back<T>(&self, store: &Store<T>) {
        let left = store.get_fuel().unwrap_or(0);
        self.left.store(left, Ordering::Relaxed);
        if self.is_childs {
            self.for_children.give_back(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_never_have_more_than_there_was() {
        let (fuel, reached) = (Fuel::new(100), Reached::default());
        let mut sum = 0;
        while let Ok(child) = fuel.of_child(&reached) {
            let left = child.left.load(Ordering::Relaxed);
            sum += left;
            assert!(left > 0 && sum <= 100);
        }
        assert_eq!((sum, reached.limits()), (100, vec![Limit::Fuel(100)]));
    }
}
