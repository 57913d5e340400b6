//! Records when a byte last moved on any of several pipes. `--idle-timeout` watches this.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The time of the last move on the pipes of a guest and its children, or of several guests. Cloning
/// gives another handle to the same record.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Pipes, pipes::Activity};
/// use std::time::Duration;
///
/// let activity = Activity::new();
/// let pipes = Pipes::builder().watched_by(activity.clone()).build();
/// // While the guest runs:
/// activity.silence(Duration::from_millis(20)).await;
/// println!("nothing has moved for 20 ms");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Activity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    /// Nanoseconds since `start`.
    last: AtomicU64,
}

impl Activity {
    /// Starts with no moves. Silence counts from now on.
    pub fn new() -> Self {
        Self(Arc::new(Inner { start: Instant::now(), last: AtomicU64::new(0) }))
    }

    /// Notes that a byte moves now.
    pub(crate) fn touch(&self) {
        let nanos = u64::try_from(self.0.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Several threads may do this. A late one must not turn time back.
        self.0.last.fetch_max(nanos, Ordering::Relaxed);
    }

    /// Waits until no byte has moved for `limit`. Cancel safe.
    pub async fn silence(&self, limit: Duration) {
        loop {
            let last = Duration::from_nanos(self.0.last.load(Ordering::Relaxed));
            let Some(until) = self.0.start.checked_add(last).and_then(|at| at.checked_add(limit))
            else {
                // Later than any clock can show.
                return std::future::pending().await;
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds however late this test is woken up.
    #[tokio::test]
    async fn silence_counts_from_the_last_move() {
        const LIMIT: Duration = Duration::from_millis(100);
        let activity = Activity::new();
        tokio::time::sleep(LIMIT).await;
        for _ in 0..3 {
            let moved = Instant::now();
            activity.clone().touch();
            activity.silence(LIMIT).await;
            assert!(moved.elapsed() >= LIMIT, "{:?}", moved.elapsed());
        }
        // A move while a task waits for the silence: the waiting begins anew.
        activity.touch();
        let mut silence = std::pin::pin!(activity.silence(LIMIT));
        std::future::poll_fn(|cx| std::task::Poll::Ready(silence.as_mut().poll(cx).is_ready()))
            .await;
        let moved = Instant::now();
        activity.touch();
        silence.await;
        assert!(moved.elapsed() >= LIMIT, "{:?}", moved.elapsed());
    }
}
