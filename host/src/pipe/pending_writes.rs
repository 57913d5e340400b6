//! Bytes that a guest handed over and left behind: delivered after it has closed its end.

use tokio::runtime::Handle;
use tokio::sync::watch;

/// The deliveries under way for one guest.
///
/// What a writer accepted and the kernel had no room for yet (one write of bounded size for each
/// writer) outlives the writer here, so that neither a drop nor a trap loses it.
#[derive(Clone, Debug)]
pub struct PendingWrites {
    runtime: Handle,
    under_way: watch::Sender<usize>,
    /// Those of the guest's parent, of that one's parent, and so on: it may outlive this one, and
    /// waits for what its children leave behind.
    ancestors: Vec<watch::Sender<usize>>,
}

impl PendingWrites {
    /// None under way yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Self {
        let runtime = Handle::current();
        Self { runtime, under_way: watch::Sender::new(0), ancestors: Vec::new() }
    }

    /// Those of a child: none under way yet, and what will be counts as its parent's, too. A child
    /// does not wait for its parent's.
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

    /// Waits until everything is delivered, or has nobody left to be delivered to. That can take
    /// as long as the readers please. Cancel safe.
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

/// Counts a delivery as over, also when its task is dropped with its runtime.
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
