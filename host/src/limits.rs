//! What one guest may use up of the host.

use wasmtime::ResourceLimiter;

/// Memory unless told otherwise.
pub(crate) const DEFAULT_MAX_MEMORY: u64 = 256 * 1024 * 1024;

/// Handles of each kind that a guest may hold at once: bounds the host's tables of streams, pipes,
/// files, futures and tasks.
pub(crate) const MAX_HANDLES: usize = 10_000;

/// Bytes that a guest may hand the host in one call: bounds what a call makes the host copy.
pub(crate) const MAX_CALL_BYTES: usize = 64 * 1024 * 1024;

/// Core instances, tables and memories, each.
const MAX_PARTS: usize = 1_000;

/// What a table's element costs the host, about.
const TABLE_ELEMENT: usize = size_of::<usize>() * 2;

/// Keeps the sum of a guest's memories and tables within a number of bytes. Growing beyond it
/// fails as memory.grow does, which the guest may survive.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    left: usize,
}

impl MemoryBudget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { left: usize::try_from(bytes).unwrap_or(usize::MAX) }
    }

    fn spend(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl ResourceLimiter for MemoryBudget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.spend(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.spend(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT)))
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However a guest grows its memories and tables, the sum of what was permitted stays
        /// within the budget, and what fits is permitted.
        #[test]
        fn the_sum_stays_within_the_budget(
            budget in 0u64..100_000,
            steps in prop::collection::vec((any::<bool>(), 0usize..20_000), 0..50),
        ) {
            let mut limiter = MemoryBudget::new(budget);
            let mut spent = 0u64;
            for (table, by) in steps {
                let cost = (by * if table { TABLE_ELEMENT } else { 1 }) as u64;
                let granted = match table {
                    true => limiter.table_growing(7, 7 + by, None),
                    false => limiter.memory_growing(7, 7 + by, None),
                };
                let granted = granted.unwrap();
                prop_assert_eq!(granted, spent + cost <= budget);
                spent += if granted { cost } else { 0 };
            }
        }
    }
}
