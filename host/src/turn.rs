//! Bounds how long a guest may keep its thread: one turn, whatever its streams are ready for.
//!
//! A guest that computes yields at the engine's pulse. The host's work for it never enters the guest's
//! code, such as moving bytes from a stream that is always ready to one that always has room. So that
//! code calls this module.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// How long the host's work for a guest may go on before siblings, time limits and signals have their
/// turn. It takes some tens of the largest transfers, so giving the turn back costs little.
const TURN: Duration = Duration::from_millis(2);

thread_local! {
    /// When the turn of the guest that is polled on this thread began.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Polls a guest, which gets a turn of its own.
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

/// Returns pending, and wakes the task at once, if the turn is over. Outside a guest's turn tokio
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

/// Gives the turn back if it is over. For every loop that awaits something that may always be ready.
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
            // Another guest's turn, nested in this one, is its own.
            taken(|| assert!(poll_goes_on(&mut cx).is_ready()));
            assert!(poll_goes_on(&mut cx).is_pending());
        });
        taken(|| assert!(poll_goes_on(&mut cx).is_ready()));
    }
}
