//! Runs a guest until it ends, or until the host ends it.

use std::time::Duration;

use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::outcome::Outcome;
use crate::setup::Setup;

/// How a run ended.
///
/// See the example of [`launch`](crate::launch).
#[derive(Debug)]
pub enum Ended<S> {
    /// The guest ended, by itself or by one of its limits.
    Guest(Outcome),
    /// The `stop` future ended the run, with this value.
    Stopped(S),
}

/// Runs `guest` to its end, or until `stop` resolves. Then the guest ends at its next yield, and what
/// its writers had accepted may go out for at most `grace`.
///
/// See the example of [`launch`](crate::launch).
///
/// # Errors
/// Those of [`Setup::run`].
pub async fn run_until<S>(
    mut setup: Setup,
    engine: &Engine,
    guest: &Guest,
    stop: impl Future<Output = S>,
    grace: Duration,
) -> Result<Ended<S>, GuestError> {
    setup.grace(grace);
    let pending_writes = setup.pending_writes();
    let stopped = tokio::select! {
        // `stop` is polled first, so that a guest that is always busy cannot delay it.
        biased;
        stopped = stop => stopped,
        ended = setup.run(engine, guest) => return Ok(Ended::Guest(ended?)),
    };
    let _ = tokio::time::timeout(grace, pending_writes.idle()).await;
    Ok(Ended::Stopped(stopped))
}
