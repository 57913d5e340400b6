//! The change from a guest that runs to the one that takes its place.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::guest::Guest;
use crate::outcome::GuestEnd;
use crate::pipe::{Event, Events, Journal, Phase};
use crate::swap::Swaps;

/// How often it is looked whether a guest that is to end waits for room in a pipe.
const STEP: Duration = Duration::from_millis(20);

/// How many times as long as it has otherwise a guest gets while it waits for room in a pipe.
const MOST_EXCUSED: u32 = 10;

/// Waits for the guest that takes the place of the one that runs, puts it into `successor`, and tells the other to end.
/// Goes on to stop it after a time.
pub(super) async fn hand_over(
    swaps: Option<&mut Swaps>,
    journal: &Journal,
    keeping: &AtomicBool,
    successor: &mut Option<Guest>,
) -> Infallible {
    let (Some(swaps), Some(handover)) = (swaps, journal.handover()) else {
        return std::future::pending().await;
    };
    *successor = Some(swaps.next().await);
    // What the guest closes from now on, it closes because it ends.
    keeping.store(true, Ordering::Relaxed);
    tracing::info!("the guest is told that its input has ended, as another takes its place");
    handover.enter(Phase::Told);
    let half = swaps.patience / 2;
    pass(half, journal).await;
    handover.enter(Phase::Cut);
    pass(half, journal).await;
    handover.enter(Phase::Stopped);
    std::future::pending().await
}

/// Waits for some time, without that in which the guest waits for room in a pipe: up to a bound, as it may only seem to
/// wait, or wait for a reader that never comes.
async fn pass(time: Duration, journal: &Journal) {
    let (mut left, mut excused) = (time, time.saturating_mul(MOST_EXCUSED));
    while !left.is_zero() {
        let step = left.min(STEP);
        tokio::time::sleep(step).await;
        match journal.waits_for_room() && !excused.is_zero() {
            true => excused = excused.saturating_sub(step),
            false => left -= step,
        }
    }
}

/// Returns whether a guest that was told of a successor ended for that reason or another of its own, and not for what has
/// happened on its pipes meanwhile: `before` is how many notes there were when it began. What a former life has
/// survived is no reason.
pub(super) fn is_own_end(end: &GuestEnd, journal: &Journal, before: usize) -> bool {
    let mut notes = journal.notes();
    let since = notes.split_off(before.min(notes.len()));
    matches!(end, GuestEnd::Trapped(trap) if trap.is_stop()) || end.is_own(&since)
}

/// Waits for the next guest; for ever if there will be none.
pub(super) async fn next_of(swaps: Option<&mut Swaps>) -> Guest {
    match swaps {
        Some(swaps) => swaps.next().await,
        None => std::future::pending().await,
    }
}

/// Reports a guest that did not end well when it was told of the next one.
pub(super) fn tell_of_old(end: &GuestEnd, swaps: Option<&Swaps>, events: &Events) {
    match end {
        GuestEnd::Exited(0) => {}
        GuestEnd::Exited(status) => {
            events.tell(&Event::EndedBadly(format!("exit status {status}")));
        }
        GuestEnd::Trapped(trap) if trap.is_stop() => {
            events.tell(&Event::Stopped(swaps.map(|it| it.patience).unwrap_or_default()));
        }
        GuestEnd::Trapped(trap) => {
            events.tell(&Event::EndedBadly(format!("trapped: {trap}")));
        }
    }
}
