//! What one guest may use up of the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use crate::pipe::{Limit, Reached};

/// Memory unless told otherwise.
pub(crate) const DEFAULT_MAX_MEMORY: u64 = 256 * 1024 * 1024;

/// Handles of each kind that a guest may hold at once: bounds the host's tables of streams, pipes,
/// files, futures and tasks, against a guest that makes handles and drops none. It traps, or is told
/// `limit-exceeded` where that can be said.
pub(crate) const MAX_HANDLES: usize = 10_000;

/// Bytes that a guest may hand the host in one call: bounds what a call makes the host copy, against
/// a list or a string as large as the guest's memory. It traps.
pub(crate) const MAX_CALL_BYTES: usize = 64 * 1024 * 1024;

/// Core instances, tables and memories, each.
const MAX_PARTS: usize = 1_000;

/// Instances of core modules in one guest: each has globals and tables of functions beside what counts as
/// memory.
const MAX_INSTANCES: usize = 200;

/// What a table's element costs the host, about.
const TABLE_ELEMENT: usize = size_of::<usize>() * 2;

/// So many bytes of memory, for one guest or for several together.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    most: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    limit: Limit,
}

impl Memory {
    /// So many bytes; `limit` is what an operator knows them as.
    pub(crate) fn new(bytes: u64, limit: Limit) -> Self {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX);
        let (used, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Pool { most, used, peak, limit }))
    }

    /// As `--max-memory` gives them.
    pub(crate) fn of_guest(bytes: u64) -> Self {
        Self::new(bytes, Limit::MaxMemory(bytes))
    }

    /// The most that was in use at once, in bytes.
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed) as u64
    }

    fn spend(&self, bytes: usize) -> bool {
        let Pool { most, used, peak, limit: _ } = &*self.0;
        let sum = |used: usize| used.checked_add(bytes).filter(|sum| sum <= most);
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum) {
            Ok(before) => {
                peak.fetch_max(before + bytes, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    fn give_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Keeps the sum of a guest's memories and tables within a number of bytes, or several that all
/// count. Growing beyond one fails as memory.grow does, which the guest may survive. Dropping it
/// gives back what was spent.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    pools: Vec<Memory>,
    spent: usize,
    reached: Reached,
}

impl MemoryBudget {
    /// What is refused is noted in `reached`.
    pub(crate) fn within(pools: Vec<Memory>, reached: Reached) -> Self {
        Self { pools, spent: 0, reached }
    }

    fn spend(&mut self, bytes: usize) -> bool {
        for (at, pool) in self.pools.iter().enumerate() {
            if !pool.spend(bytes) {
                self.pools[..at].iter().for_each(|pool| pool.give_back(bytes));
                self.reached.note(pool.0.limit.clone());
                return false;
            }
        }
        self.spent += bytes;
        true
    }
}

impl Drop for MemoryBudget {
    fn drop(&mut self) {
        self.pools.iter().for_each(|pool| pool.give_back(self.spent));
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
        MAX_INSTANCES
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
        /// However two guests grow their memories and tables, the sum of what was permitted stays
        /// within what they share and what each has for itself, what fits is permitted, and what one
        /// leaves is there for the other.
        #[test]
        fn sums_stay_within_their_budgets(
            shared in 0u64..100_000,
            own in 0u64..100_000,
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0usize..20_000), 0..50),
        ) {
            let pools = [Memory::of_guest(shared), Memory::of_guest(own)];
            let reached = Reached::default();
            let parent = MemoryBudget::within(vec![pools[0].clone()], reached.clone());
            let child = MemoryBudget::within(pools.to_vec(), reached.clone());
            let mut budgets = [parent, child];
            let mut spent = [0u64; 2];
            for (of_child, table, by) in steps {
                let cost = (by * if table { TABLE_ELEMENT } else { 1 }) as u64;
                let who = usize::from(of_child);
                let granted = match table {
                    true => budgets[who].table_growing(7, 7 + by, None),
                    false => budgets[who].memory_growing(7, 7 + by, None),
                };
                let fits = spent[0] + spent[1] + cost <= shared
                    && (!of_child || spent[1] + cost <= own);
                prop_assert_eq!(granted.unwrap(), fits);
                prop_assert!(fits || !reached.limits().is_empty());
                spent[who] += if fits { cost } else { 0 };
                prop_assert!(pools[0].peak() >= spent[0] + spent[1]);
            }
            drop(budgets);
            prop_assert!(pools[0].spend(shared as usize) && pools[1].spend(own as usize));
        }
    }
}
