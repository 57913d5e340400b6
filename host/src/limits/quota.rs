//! A bounded amount, and the parts that are taken of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Limit, Reached};

/// A bounded amount: bytes, pipes, children, descriptors, fuel.
///
/// A quota may lie within another, its parent: what is taken of it is also taken of the parent. So a
/// child's memory lies within its family's, and a family's within its pipeline's. Cloning gives another
/// handle to the same quota.
#[derive(Clone, Debug)]
pub(crate) struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: u64,
    used: AtomicU64,
    peak: AtomicU64,
    /// The limit that the operator sees.
    limit: Limit,
    parent: Option<Quota>,
}

/// A quota has too little left. [`Reached`] names the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded;

impl Quota {
    /// Makes a quota of `most`, within `parent`.
    pub(crate) fn new(most: u64, limit: Limit, parent: Option<&Self>) -> Self {
        let (used, peak, parent) = (AtomicU64::new(0), AtomicU64::new(0), parent.cloned());
        Self(Arc::new(Inner { most, used, peak, limit, parent }))
    }

    /// Takes `amount` until the permit is dropped.
    ///
    /// # Errors
    /// Fails if this quota or one around it has less left. The outermost of those is noted in
    /// `reached`, and nothing is taken of any.
    pub(crate) fn take(&self, amount: u64, reached: &Reached) -> Result<Permit, Exceeded> {
        self.take_all(amount, reached)?;
        Ok(Permit { quota: self.clone(), amount })
    }

    /// Takes half of what is left, and at least one. Only for a quota without a parent.
    ///
    /// # Errors
    /// Fails if nothing is left.
    pub(crate) fn take_half(&self, reached: &Reached) -> Result<Permit, Exceeded> {
        let Inner { most, used, limit, parent, .. } = &*self.0;
        debug_assert!(parent.is_none());
        let half = |used: u64| most.saturating_sub(used).div_ceil(2);
        let taken = |used: u64| (half(used) > 0).then(|| used + half(used));
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(before) => Ok(Permit { quota: self.clone(), amount: half(before) }),
            Err(_) => {
                reached.note(limit.clone());
                Err(Exceeded)
            }
        }
    }

    fn take_all(&self, amount: u64, reached: &Reached) -> Result<(), Exceeded> {
        let Inner { most, used, peak, limit, parent } = &*self.0;
        if let Some(parent) = parent {
            parent.take_all(amount, reached)?;
        }
        let sum = |used: u64| used.checked_add(amount).filter(|sum| sum <= most);
        let Ok(before) = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum) else {
            reached.note(limit.clone());
            if let Some(parent) = parent {
                parent.give_back(amount);
            }
            return Err(Exceeded);
        };
        peak.fetch_max(before + amount, Ordering::Relaxed);
        Ok(())
    }

    /// Uses up to `amount` for good.
    pub(crate) fn spend(&self, amount: u64) {
        let Inner { most, used, parent, .. } = &*self.0;
        let spent = |used: u64| Some(used.saturating_add(amount).min(*most));
        let _ = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent);
        if let Some(parent) = parent {
            parent.spend(amount);
        }
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, amount: u64) {
        self.0.used.fetch_sub(amount, Ordering::Relaxed);
        if let Some(parent) = &self.0.parent {
            parent.give_back(amount);
        }
    }

    /// Returns how much is left of this quota, whatever its parent has left.
    pub(crate) fn left(&self) -> u64 {
        self.0.most.saturating_sub(self.0.used.load(Ordering::Relaxed))
    }

    /// Returns the whole amount.
    pub(crate) fn most(&self) -> u64 {
        self.0.most
    }

    /// Returns the most that was in use at once.
    pub(crate) fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// Returns the limit that the operator sees.
    pub(crate) fn limit(&self) -> &Limit {
        &self.0.limit
    }
}

/// An amount that is taken of a quota. Dropping this gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    quota: Quota,
    amount: u64,
}

impl Permit {
    /// Makes a permit for nothing yet.
    pub(crate) fn nothing(quota: &Quota) -> Self {
        Self { quota: quota.clone(), amount: 0 }
    }

    /// Returns the amount.
    pub(crate) fn amount(&self) -> u64 {
        self.amount
    }

    /// Takes `more` as well.
    ///
    /// # Errors
    /// Those of [`Quota::take`]. The permit then stays as it was.
    pub(crate) fn grow(&mut self, more: u64, reached: &Reached) -> Result<(), Exceeded> {
        self.quota.take_all(more, reached)?;
        self.amount += more;
        Ok(())
    }

    /// Uses up all but `rest` for good.
    pub(crate) fn spend_all_but(mut self, rest: u64) {
        self.amount = self.amount.min(rest);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.quota.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pipes(most: u64, parent: Option<&Quota>) -> Quota {
        Quota::new(most, Limit::MaxPipes(most as usize), parent)
    }

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let (quota, reached) = (pipes(1, None), Reached::default());
        let permit = quota.take(1, &reached).unwrap();
        assert!(reached.limits().is_empty());
        assert_eq!(quota.take(1, &reached).unwrap_err(), Exceeded);
        assert_eq!(reached.limits(), [Limit::MaxPipes(1)]);
        drop(permit);
        quota.take(1, &reached).unwrap();
    }

    #[test]
    fn what_is_spent_stays_spent() {
        let (outer, reached) = (pipes(10, None), Reached::default());
        let inner = pipes(8, Some(&outer));
        inner.take(5, &reached).unwrap().spend_all_but(2);
        assert_eq!((inner.left(), outer.left()), (5, 7));
        inner.spend(100);
        assert_eq!((inner.left(), outer.left()), (0, 0));
    }

    #[test]
    fn halves_come_to_an_end() {
        let (quota, reached) = (pipes(100, None), Reached::default());
        let mut sum = 0;
        while let Ok(half) = quota.take_half(&reached) {
            assert!(half.amount() > 0);
            sum += half.amount();
            half.spend_all_but(0);
        }
        assert_eq!((sum, reached.limits()), (100, vec![Limit::MaxPipes(100)]));
    }

    proptest! {
        /// However amounts are taken of two quotas within a third, each stays within its bounds, and
        /// their sum within the third's. What fits is given. What is refused takes nothing of either.
        #[test]
        fn sums_stay_within_all_bounds(
            outer in 0u64..100, first in 0u64..100, second in 0u64..100,
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0u64..30), 0..60),
        ) {
            let reached = Reached::default();
            let outer = pipes(outer, None);
            let quotas = [pipes(first, Some(&outer)), pipes(second, Some(&outer))];
            let mut held = [Vec::new(), Vec::new()];
            let sum = |permits: &Vec<Permit>| permits.iter().map(Permit::amount).sum::<u64>();
            for (of_second, gives_back, amount) in steps {
                let at = usize::from(of_second);
                if gives_back {
                    held[at].pop();
                    continue;
                }
                let [own, all] = [sum(&held[at]), sum(&held[0]) + sum(&held[1])];
                let fits = own + amount <= quotas[at].0.most && all + amount <= outer.0.most;
                let taken = quotas[at].take(amount, &reached);
                prop_assert_eq!(taken.is_ok(), fits);
                held[at].extend(taken.ok());
                for (quota, permits) in quotas.iter().zip(&held) {
                    prop_assert_eq!(quota.left(), quota.0.most - sum(permits));
                }
                prop_assert_eq!(outer.left(), outer.0.most - sum(&held[0]) - sum(&held[1]));
                prop_assert!(outer.peak() >= outer.0.most - outer.left());
            }
            drop(held);
            prop_assert_eq!(outer.left(), outer.0.most);
        }
    }
}
