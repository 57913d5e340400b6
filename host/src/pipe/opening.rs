//! What readers and writers share when they are opened.

use std::future::pending;

use tokio::time::{Instant, sleep_until};

use super::{Event, Journal, Label};
use crate::sys::End;

/// Waits until `deadline`; without one, for ever.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Asks for a capacity. A refusal leaves a working pipe, so it is only reported. If no capacity is
/// asked for, the pipe may grow.
pub(super) fn set_capacity(end: &mut End, capacity: Option<u64>, label: &Label, journal: &Journal) {
    let Some(bytes) = capacity else { return end.grow() };
    if let Err(error) = end.set_capacity(bytes) {
        let had = end.capacity().unwrap_or(0);
        journal.events().tell(&Event::CapacityRefused { label: label.clone(), bytes, had, error });
    }
}
