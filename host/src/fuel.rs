//! How much a guest may compute: `--fuel`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Store;

use crate::pipe::Limit;

/// What a guest may burn, and its children together once more.
///
/// A child that starts gets half of what is left for children, so that others may start beside it.
/// When it ends by itself, it gives back what it has not burnt; where it is killed, that is lost, so
/// that starting and killing children is no way to compute for ever.
#[derive(Clone, Debug)]
pub(crate) struct Fuel {
    units: u64,
    for_children: Arc<AtomicU64>,
    is_childs: bool,
    /// As the operator gave it.
    limit: u64,
}

impl Fuel {
    pub(crate) fn new(units: u64) -> Self {
        Self {
            units,
            for_children: Arc::new(AtomicU64::new(units)),
            is_childs: false,
            limit: units,
        }
    }

    /// For a child that is about to run.
    ///
    /// # Errors
    /// Where none is left.
    pub(crate) fn of_child(&self) -> Result<Self, Limit> {
        let half = |left: u64| left - left.div_ceil(2);
        let left = self
            .for_children
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left > 0).then_some(half(left))
            })
            .map_err(|_| Limit::Fuel(self.limit))?;
        Ok(Self { units: left - half(left), is_childs: true, ..self.clone() })
    }

    /// Fills a store, which must be of a metering engine.
    pub(crate) fn fill<T>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        store.set_fuel(self.units)
    }

    /// Takes back what a guest that has ended has not burnt.
    pub(crate) fn take_back<T>(&self, store: &Store<T>) {
        if self.is_childs {
            let rest = store.get_fuel().unwrap_or(0);
            self.for_children.fetch_add(rest, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_never_have_more_than_there_was() {
        let fuel = Fuel::new(100);
        let mut sum = 0;
        while let Ok(child) = fuel.of_child() {
            sum += child.units;
            assert!(child.units > 0 && sum <= 100);
        }
        assert_eq!(sum, 100);
        assert_eq!(fuel.of_child().unwrap_err(), Limit::Fuel(100));
        assert_eq!(fuel.of_child().unwrap_err().to_string(), "--fuel 100");
    }
}
