//! Running a guest until it ends, or somebody else ends it.

use std::time::Duration;

use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::outcome::Outcome;
use crate::setup::Setup;

/// How a run ended.
#[derive(Debug)]
pub enum Ended<S> {
    /// By the guest, or by a limit of its own.
    Guest(Outcome),
    /// By what was asked to end it.
    Stopped(S),
}

/// Runs `guest` to its end, or until `stop` resolves. It is ended where it stands then, and what its writers had
/// accepted has `grace` to go out.
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
        // A guest that is always busy must not keep this from being looked at.
        biased;
        stopped = stop => stopped,
        ended = setup.run(engine, guest) => return Ok(Ended::Guest(ended?)),
    };
    let _ = tokio::time::timeout(grace, pending_writes.idle()).await;
    Ok(Ended::Stopped(stopped))
}
