//! Bounds the memory of a guest: wasmtime calls this before any memory grows.

use wasmtime::ResourceLimiter;

use super::{Permit, Quota, Reached};

/// The most memories, and the most tables, of one guest.
const MAX_PARTS: usize = 1_000;

/// The most instances of core modules in one guest. Each has globals and tables of functions besides
/// what counts as memory.
const MAX_INSTANCES: usize = 200;

/// About how many bytes a table's element costs the host.
const TABLE_ELEMENT: usize = size_of::<usize>() * 2;

/// The memory of a guest and its children. It can be asked about while they run and later.
///
/// Returned by [`Setup::memory`](crate::Setup::memory): see the example of [`Setup`](crate::Setup).
#[derive(Clone, Debug)]
pub struct MemoryUse(Quota);

impl MemoryUse {
    pub(crate) fn of(quota: &Quota) -> Self {
        Self(quota.clone())
    }

    /// Returns the most that was in use at once, in bytes: memories and tables.
    pub fn peak(&self) -> u64 {
        self.0.peak()
    }
}

/// Keeps the sum of a guest's memories and tables within a quota. Growing beyond it fails as
/// memory.grow does, which the guest may survive. Dropping it gives back what was taken.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    taken: Permit,
    reached: Reached,
}

impl MemoryBudget {
    /// Takes nothing yet. Notes in `reached` what is refused.
    pub(crate) fn within(quota: &Quota, reached: &Reached) -> Self {
        Self { taken: Permit::nothing(quota), reached: reached.clone() }
    }

    /// Takes what growing from `current` to `desired` units costs. Returns whether it may grow so.
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        bytes_a_unit: usize,
    ) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let bytes = desired.saturating_sub(current).saturating_mul(bytes_a_unit);
        self.taken.grow(bytes as u64, &self.reached).is_ok()
    }
}

impl ResourceLimiter for MemoryBudget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, TABLE_ELEMENT))
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
    use super::super::Limit;
    use super::*;

    #[test]
    fn tables_count_as_memory_does() {
        let (quota, reached) = (Quota::new(1000, Limit::MaxMemory(1000), None), Reached::default());
        let mut budget = MemoryBudget::within(&quota, &reached);
        assert!(budget.memory_growing(7, 707, None).unwrap());
        assert!(budget.table_growing(1, 1 + 300 / TABLE_ELEMENT, None).unwrap());
        assert!(!budget.table_growing(0, 1, None).unwrap());
        // More than the memory's own maximum is refused before it is counted, and meets no limit of the
        // host.
        assert!(!budget.memory_growing(0, 10, Some(9)).unwrap());
        assert!(!budget.memory_growing(0, 1000, None).unwrap());
        assert_eq!(reached.limits(), [Limit::MaxMemory(1000)]);
        drop(budget);
        assert_eq!(quota.left(), 1000);
    }
}
