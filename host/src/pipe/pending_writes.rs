//! Delivers bytes that a guest handed over, after the guest has closed its end.

use tokio::runtime::Handle;
use tokio::sync::watch;

/// The deliveries under way for one guest.
///
/// Bytes that a writer accepted and for which the kernel had no room yet outlive the writer here:
/// one write of bounded size for each writer. Neither a drop nor a trap loses them.
///
/// The second example of [the crate](crate) waits for them.
#[derive(Clone, Debug)]
pub struct PendingWrites {
    runtime: Handle,
    under_way: watch::Sender<usize>,
    /// The counts of the guest's parent, of the parent's parent, and so on. A parent may outlive
    /// this guest, and waits for what its children leave behind.
    ancestors: Vec<watch::Sender<usize>>,
}

impl PendingWrites {
    /// Makes a record with no deliveries under way.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Self {
        let runtime = Handle::current();
        Self { runtime, under_way: watch::Sender::new(0), ancestors: Vec::new() }
    }

    /// Returns the record of a child, with no deliveries under way. The child's deliveries also
    /// count as its parent's. A child does not wait for its parent's deliveries.
    pub(super) fn of_child(&self) -> Self {
        let ancestors = self.ancestors.iter().chain([&self.under_way]).cloned().collect();
        Self { runtime: self.runtime.clone(), under_way: watch::Sender::new(0), ancestors }
    }

    pub(super) fn spawn(&self, delivery: impl Future<Output = ()> + Send + 'static) {
        let counts: Vec<_> = self.ancestors.iter().chain([&self.under_way]).cloned().collect();
        counts.iter().for_each(|count| count.send_modify(|n| *n += 1));
        let finished = Finished(counts);
        self.runtime.spawn(async move {
            let _finished = finished;
            delivery.await;
        });
    }

    /// Waits until all bytes are delivered, or have no reader left. Their readers decide how long
    /// that takes. Cancel safe.
    pub async fn idle(&self) {
        // Cannot fail: `self` keeps the sender.
        let _ = self.under_way.subscribe().wait_for(|n| *n == 0).await;
    }
}

impl Default for PendingWrites {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts a delivery as over, even if its task is dropped with its runtime.
struct Finished(Vec<watch::Sender<usize>>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.iter().for_each(|count| count.send_modify(|n| *n -= 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_parent_waits_for_its_children_and_they_do_not_for_it() {
        let parent = PendingWrites::new();
        let child = parent.of_child();
        let (let_go, held) = tokio::sync::oneshot::channel::<()>();
        parent.spawn(async { drop(held.await) });
        child.idle().await;
        let (let_child_go, held) = tokio::sync::oneshot::channel::<()>();
        child.of_child().spawn(async { drop(held.await) });
        drop(let_go);
        let mut idle = std::pin::pin!(parent.idle());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), &mut idle).await;
        assert!(waits.is_err());
        drop(let_child_go);
        idle.await;
        child.idle().await;
    }
}
