//! Bytes that a guest handed over and left behind: delivered after it has closed its end.

use tokio::runtime::Handle;
use tokio::sync::watch;

/// The deliveries under way for one guest.
///
/// What a writer accepted and the kernel had no room for yet (one write of bounded size for each
/// writer) outlives the writer here, so that neither a drop nor a trap loses it.
#[derive(Clone, Debug)]
pub struct Drains {
    runtime: Handle,
    under_way: watch::Sender<usize>,
}

impl Drains {
    /// None under way yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Self {
        Self { runtime: Handle::current(), under_way: watch::Sender::new(0) }
    }

    pub(super) fn spawn(&self, delivery: impl Future<Output = ()> + Send + 'static) {
        self.under_way.send_modify(|n| *n += 1);
        let finished = Finished(self.under_way.clone());
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

impl Default for Drains {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts a delivery as over, also when its task is dropped with its runtime.
struct Finished(watch::Sender<usize>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}
