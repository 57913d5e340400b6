//! Bounds what each end of a guest's pipes may move: how many bytes in all, and how many a second.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Limit, Quota, Reached};
use crate::names::Label;
use crate::sys::{Direction, PIPE_BUF};

/// How much of its rate an end that has been silent may catch up on at once. It is longer than a timer
/// may be late, so that the rate is reached, and too short to be noticed.
const BURST: Duration = Duration::from_millis(100);

/// What each end of a guest's pipes may move. Unlimited by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndLimits {
    pub(crate) max_bytes: Option<u64>,
    /// Bytes a second.
    pub(crate) rate: Option<NonZeroU64>,
}

/// How much an end may move now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// Up to this many bytes. At least one, unless none was asked for.
    Bytes(usize),
    /// Nothing yet, because of the rate.
    Later,
    /// Nothing any more.
    Spent,
}

/// What one end may move in all, however often it is opened. An end that is given to a child takes its
/// budget along.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: Option<Quota>,
    bucket: Option<Mutex<Bucket>>,
    reached: Reached,
}

impl EndLimits {
    /// Makes a budget for an end. Returns `None` for an unlimited end, which then costs nothing.
    pub(crate) fn budget(
        self,
        label: &Label,
        direction: Direction,
        reached: &Reached,
    ) -> Option<Arc<Budget>> {
        if self == Self::default() {
            return None;
        }
        let limit = |bytes| Limit::MaxBytes { label: label.clone(), direction, bytes };
        Some(Arc::new(Budget {
            bytes: self.max_bytes.map(|bytes| Quota::new(bytes, limit(bytes), None)),
            bucket: self.rate.map(|rate| Mutex::new(Bucket::new(rate, Instant::now()))),
            reached: reached.clone(),
        }))
    }
}

impl Budget {
    fn bucket(&self) -> Option<MutexGuard<'_, Bucket>> {
        Some(self.bucket.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn left(&self) -> usize {
        let left = self.bytes.as_ref().map_or(u64::MAX, Quota::left);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Returns how many bytes may move in all.
    pub(crate) fn max_bytes(&self) -> Option<u64> {
        self.bytes.as_ref().map(Quota::most)
    }

    /// Returns how many of `want` bytes may move now.
    pub(crate) fn allow(&self, want: usize) -> Allowance {
        if want == 0 {
            return Allowance::Bytes(0);
        }
        let want = match self.left() {
            0 => return Allowance::Spent,
            left => left.min(want),
        };
        match self.bucket().map_or(want, |bucket| bucket.allow(want, Instant::now())) {
            0 => Allowance::Later,
            n => Allowance::Bytes(n),
        }
    }

    /// Returns how many of `most` bytes a guest may be told that it can write. Returns all of them if
    /// nothing is left: then the write fails, and a write that never comes is no failure.
    pub(crate) fn permit(&self, most: usize) -> usize {
        match self.left() {
            0 => most,
            left => left.min(most),
        }
    }

    /// Counts bytes that have moved.
    pub(crate) fn spend(&self, bytes: usize) {
        if let Some(quota) = &self.bytes {
            quota.spend(bytes as u64);
        }
        if let Some(mut bucket) = self.bucket() {
            bucket.spend(bytes, Instant::now());
        }
    }

    /// Returns until when the rate makes the end wait, if it does.
    pub(crate) fn later(&self) -> Option<Instant> {
        self.bucket()?.later(Instant::now())
    }

    /// Returns whether no bytes are left.
    pub(crate) fn is_spent(&self) -> bool {
        self.left() == 0
    }

    /// Notes that the guest tried to move more bytes than are permitted.
    pub(crate) fn exceeded(&self) {
        if let Some(quota) = &self.bytes {
            self.reached.note(quota.limit().clone());
        }
    }
}

/// A token bucket, kept as the time until which the moved bytes are paid for. One move may run into
/// debt, so that small writes stay whole. The next move has to wait until that is paid.
#[derive(Debug)]
struct Bucket {
    rate: NonZeroU64,
    paid: Instant,
}

impl Bucket {
    /// Makes an empty bucket: it never lets more pass than the rate permits plus one debt.
    fn new(rate: NonZeroU64, now: Instant) -> Self {
        Self { rate, paid: now }
    }

    fn later(&self, now: Instant) -> Option<Instant> {
        Some(self.paid).filter(|paid| *paid > now)
    }

    fn allow(&self, want: usize, now: Instant) -> usize {
        if self.later(now).is_some() {
            return 0;
        }
        // A write of up to PIPE_BUF bytes must stay whole, so that other writers' bytes do not mix with
        // it.
        if want <= PIPE_BUF {
            return want;
        }
        let credit = now.duration_since(self.paid).min(BURST);
        let bytes = u128::from(self.rate.get()) * credit.as_nanos() / 1_000_000_000;
        let tenth = usize::try_from(self.rate.get() / 10).unwrap_or(usize::MAX);
        let least = tenth.clamp(1, PIPE_BUF);
        want.min(usize::try_from(bytes).unwrap_or(usize::MAX).max(least))
    }

    fn spend(&mut self, bytes: usize, now: Instant) {
        let from = now.checked_sub(BURST).map_or(self.paid, |earliest| self.paid.max(earliest));
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // A time beyond the clock's range means never.
        self.paid = from.checked_add(cost).unwrap_or(from + Duration::from_secs(86400 * 365));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget(max_bytes: Option<u64>, rate: Option<u64>) -> Arc<Budget> {
        let limits = EndLimits { max_bytes, rate: rate.and_then(NonZeroU64::new) };
        limits.budget(&Label::Pipe("x".into()), Direction::Read, &Reached::default()).unwrap()
    }

    #[test]
    fn what_is_not_bounded_has_no_budget() {
        let none = EndLimits::default();
        assert!(
            none.budget(&Label::Pipe("x".into()), Direction::Read, &Reached::default()).is_none()
        );
    }

    #[test]
    fn the_last_byte_is_permitted_and_no_other() {
        let budget = budget(Some(10), None);
        assert_eq!(budget.allow(7), Allowance::Bytes(7));
        budget.spend(7);
        assert_eq!((budget.allow(7), budget.permit(7)), (Allowance::Bytes(3), 3));
        budget.spend(3);
        assert_eq!(budget.allow(1), Allowance::Spent);
        assert_eq!(budget.allow(0), Allowance::Bytes(0));
        assert_eq!(budget.permit(7), 7);
        assert!(budget.is_spent() && budget.reached.limits().is_empty());
        budget.exceeded();
        budget.exceeded();
        assert_eq!(budget.reached.limits().len(), 1);
    }

    proptest! {
        /// However an end asks, exactly its bytes pass, if it asks for enough.
        #[test]
        fn exactly_the_bytes_pass(
            most in 0u64..100_000,
            asks in prop::collection::vec(1usize..20_000, 0..50),
        ) {
            let budget = budget(Some(most), None);
            let mut passed = 0u64;
            for &ask in &asks {
                match budget.allow(ask) {
                    Allowance::Bytes(n) => {
                        prop_assert!(n > 0 && n <= ask);
                        budget.spend(n);
                        passed += n as u64;
                    }
                    Allowance::Spent => prop_assert_eq!(passed, most),
                    Allowance::Later => prop_assert!(false, "there is no rate"),
                }
            }
            let asked: u64 = asks.iter().map(|ask| *ask as u64).sum();
            prop_assert_eq!(passed, asked.min(most));
        }

        /// In no span of time does more pass than the rate permits, plus the burst and one piece that
        /// is let through whole. An end that always asks gets no less, except for what a late timer
        /// costs.
        #[test]
        fn the_rate_is_kept(
            rate in 1u64..200_000_000,
            asks in prop::collection::vec((1usize..2_000_000, 0u64..300_000), 1..200),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(NonZeroU64::new(rate).unwrap(), start);
            let mut now = start;
            let mut moves = Vec::new();
            for (want, late_micros) in asks {
                let n = bucket.allow(want, now);
                if n > 0 {
                    prop_assert!(n <= want && bucket.later(now).is_none());
                    bucket.spend(n, now);
                    moves.push((now, n as f64));
                }
                // A waiting end is woken up at that time, or a little later.
                now = bucket.later(now).unwrap_or(now) + Duration::from_micros(late_micros);
            }
            let burst = rate as f64 * BURST.as_secs_f64();
            for first in 0..moves.len() {
                let mut sum = 0.0;
                for (at, n) in &moves[first..] {
                    let span = at.duration_since(moves[first].0).as_secs_f64();
                    // All but the burst was paid for before the last piece, which may be a debt.
                    prop_assert!(sum <= rate as f64 * span + burst + PIPE_BUF as f64 + 1.0);
                    sum += n;
                }
            }
        }

        /// A reader that asks for much whenever it may gets its rate to 5% in five seconds, with timers
        /// as late as they are.
        #[test]
        fn the_rate_is_reached(
            rate in 2_000u64..200_000_000,
            late in prop::collection::vec(0u64..20_000, 20),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(NonZeroU64::new(rate).unwrap(), start);
            let (mut now, mut passed) = (start, 0);
            for late in late.iter().cycle() {
                let n = bucket.allow(1 << 30, now);
                bucket.spend(n, now);
                passed += n;
                now = bucket.later(now).unwrap_or(now) + Duration::from_micros(late + 1);
                if now.duration_since(start) > Duration::from_secs(5) {
                    break;
                }
            }
            let ratio = passed as f64 / (rate as f64 * 5.0);
            prop_assert!((0.95..1.05).contains(&ratio), "{ratio}");
        }
    }
}
