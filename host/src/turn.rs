//! How long a guest may keep its thread: one turn, whatever its streams are ready for.
//!
//! A guest that computes yields at the engine's pulse. What the host does for it, such as moving
//! bytes from a stream that is always ready to one that always has room, never enters the guest's
//! code, so it asks here.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// How long what the host does for a guest may go on before siblings, time limits and signals have
/// their turn. Some tens of the largest transfers, so that giving the turn back costs little.
const TURN: Duration = Duration::from_millis(2);

thread_local! {
    /// Since when the guest that is polled on this thread has had its turn.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Polls a guest, which has a turn of its own for that.
pub(crate) fn taken<R>(poll: impl FnOnce() -> R) -> R {
    struct Restore(Option<Instant>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SINCE.set(self.0);
        }
    }
    let _restore = Restore(SINCE.replace(Some(Instant::now())));
    poll()
}

/// Is pending, and wakes the task at once, where the turn is over. Outside of a guest's turn tokio
/// decides that, for the whole task.
pub(crate) fn poll_goes_on(cx: &mut Context<'_>) -> Poll<()> {
    match SINCE.get() {
        Some(since) if since.elapsed() > TURN => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Some(_) => Poll::Ready(()),
        None => {
            ready!(pin!(tokio::task::coop::consume_budget()).poll(cx));
            Poll::Ready(())
        }
    }
}

/// Gives the turn back where it is over. For every loop that awaits what may be ready for ever.
pub(crate) async fn goes_on() {
    poll_fn(poll_goes_on).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_and_another_begins() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        taken(|| {
            assert!(poll_goes_on(&mut cx).is_ready());
            while poll_goes_on(&mut cx).is_ready() {}
            // Another guest's turn, inside of this one's, is its own.
            taken(|| assert!(poll_goes_on(&mut cx).is_ready()));
            assert!(poll_goes_on(&mut cx).is_pending());
        });
        taken(|| assert!(poll_goes_on(&mut cx).is_ready()));
    }
}
