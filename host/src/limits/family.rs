//! Counts what one guest and all of its children have left of their limits.

use super::guest::{DEFAULT_MAX_CHILDREN, DEFAULT_MAX_MEMORY, DEFAULT_MAX_PIPES};
use super::{Exceeded, Fuel, GuestLimits, Limit, Permit, Quota, Reached, Totals};

/// How many bytes the host holds for a guest and its children in all: bytes read from files and folders
/// that they have not taken yet, bytes on their way to files, and arguments of children.
const MOST_HELD_BYTES: usize = 16 * 1024 * 1024;

/// What a guest and all of its children have left, and which limits they have met. Cloning gives
/// another handle to the same quotas.
#[derive(Clone, Debug)]
pub(crate) struct GuestQuotas {
    memory: Quota,
    pipes: Quota,
    children: Quota,
    held_bytes: Quota,
    descriptors: Quota,
    fuel: Option<Fuel>,
    reached: Reached,
}

/// Bytes that the host holds for a guest.
#[derive(Debug)]
pub(crate) struct HeldBytes {
    permit: Permit,
    reached: Reached,
}

impl GuestQuotas {
    /// Makes the quotas that `limits` permits, within `totals` if the guest shares those, with
    /// `descriptors` descriptors of this process.
    pub(crate) fn new(limits: &GuestLimits, totals: Option<&Totals>, descriptors: usize) -> Self {
        let memory = limits.max_memory.unwrap_or(DEFAULT_MAX_MEMORY);
        let pipes = limits.max_pipes.unwrap_or(DEFAULT_MAX_PIPES);
        let children = limits.max_children.unwrap_or(DEFAULT_MAX_CHILDREN);
        let quota = |most: usize, limit, parent| Quota::new(most as u64, limit, parent);
        Self {
            memory: Quota::new(memory, Limit::MaxMemory(memory), totals.map(|it| &it.memory)),
            pipes: quota(pipes, Limit::MaxPipes(pipes), totals.map(|it| &it.pipes)),
            children: quota(children, Limit::MaxChildren(children), totals.map(|it| &it.children)),
            held_bytes: quota(MOST_HELD_BYTES, Limit::HeldBytes(MOST_HELD_BYTES), None),
            descriptors: quota(descriptors, Limit::Descriptors(descriptors), None),
            fuel: limits.fuel.map(Fuel::new),
            reached: Reached::default(),
        }
    }

    /// Makes the quotas of a child of the family: the same, except for its share of the fuel and at
    /// most `max_memory` bytes.
    ///
    /// # Errors
    /// Fails if no fuel is left.
    pub(crate) fn of_child(&self, max_memory: Option<u64>) -> Result<Self, Exceeded> {
        let fuel = self.fuel.as_ref().map(|fuel| fuel.of_child(&self.reached)).transpose()?;
        let within = |most| Quota::new(most, Limit::MaxMemory(most), Some(&self.memory));
        let memory = max_memory.map_or_else(|| self.memory.clone(), within);
        Ok(Self { memory, fuel, ..self.clone() })
    }

    /// Returns the quota of memory, in bytes.
    pub(crate) fn memory(&self) -> &Quota {
        &self.memory
    }

    /// Returns the fuel, if it is limited.
    pub(crate) fn fuel(&self) -> Option<&Fuel> {
        self.fuel.as_ref()
    }

    /// Returns the limits that the family has met.
    pub(crate) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Takes room for one more pipe.
    ///
    /// # Errors
    /// Fails if there is none.
    pub(crate) fn pipe(&self) -> Result<Permit, Exceeded> {
        self.pipes.take(1, &self.reached)
    }

    /// Takes room for one more child.
    ///
    /// # Errors
    /// Fails if there is none.
    pub(crate) fn child(&self) -> Result<Permit, Exceeded> {
        self.children.take(1, &self.reached)
    }

    /// Takes `count` of this process's descriptors.
    ///
    /// # Errors
    /// Fails if fewer are left.
    pub(crate) fn descriptors(&self, count: usize) -> Result<Permit, Exceeded> {
        self.descriptors.take(count as u64, &self.reached)
    }

    /// Takes `count` of the bytes that the host may hold.
    ///
    /// # Errors
    /// Fails if fewer are left.
    pub(crate) fn held_bytes(&self, count: usize) -> Result<HeldBytes, Exceeded> {
        let permit = self.held_bytes.take(count as u64, &self.reached)?;
        Ok(HeldBytes { permit, reached: self.reached.clone() })
    }
}

impl HeldBytes {
    /// Raises the number of held bytes to `count`, if it is lower.
    ///
    /// # Errors
    /// Fails if too few bytes are left. The held bytes stay held.
    pub(crate) fn raise_to(&mut self, count: usize) -> Result<(), Exceeded> {
        match (count as u64).checked_sub(self.permit.amount()) {
            Some(missing) => self.permit.grow(missing, &self.reached),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(totals: Option<&Totals>) -> GuestQuotas {
        let limits = GuestLimits { max_pipes: Some(2), ..GuestLimits::default() };
        GuestQuotas::new(&limits, totals, 3)
    }

    #[test]
    fn what_several_guests_share_bounds_their_sum() {
        let totals = Totals::new(1 << 30, 3, 64);
        let [one, two] = [quotas(Some(&totals)), quotas(Some(&totals))];
        let held = [&one, &one, &two].map(|quotas| quotas.pipe().unwrap());
        // A refusal by one of the two quotas takes nothing of the other.
        for _ in 0..5 {
            assert_eq!(two.pipe().unwrap_err(), Exceeded);
        }
        assert_eq!(two.reached().limits(), [Limit::MaxTotalPipes(3)]);
        assert!(one.reached().limits().is_empty());
        drop(held);
        let _held = [&two, &two, &one].map(|quotas| quotas.pipe().unwrap());
    }

    #[test]
    fn a_childs_memory_is_its_familys_too() {
        let family = quotas(None);
        let child = family.of_child(Some(100)).unwrap();
        let reached = Reached::default();
        let held = child.memory().take(100, &reached).unwrap();
        assert_eq!(family.memory().left(), DEFAULT_MAX_MEMORY - 100);
        assert!(child.memory().take(1, &reached).is_err());
        assert_eq!(reached.limits(), [Limit::MaxMemory(100)]);
        drop(held);
        assert_eq!(family.memory().left(), DEFAULT_MAX_MEMORY);
    }

    #[test]
    fn held_bytes_grow_as_far_as_there_are_some() {
        let quotas = quotas(None);
        let mut held = quotas.held_bytes(2).unwrap();
        held.raise_to(MOST_HELD_BYTES).unwrap();
        held.raise_to(1).unwrap();
        assert!(held.raise_to(MOST_HELD_BYTES + 1).is_err() && quotas.held_bytes(1).is_err());
        drop(held);
        assert!(quotas.held_bytes(MOST_HELD_BYTES).is_ok());
        let two = quotas.descriptors(2).unwrap();
        assert!(quotas.descriptors(2).is_err());
        drop(two);
        assert!(quotas.descriptors(3).is_ok());
    }
}
