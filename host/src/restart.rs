//! Whether, how often and when a guest that trapped is started again.

use std::time::Duration;

/// How often a guest is started again unless told otherwise.
pub(crate) const DEFAULT_MOST: u32 = 5;

/// How long the first restart waits. Each further one waits twice as long.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait. A guest that ran for longer than this before it trapped waits as at first.
const LONGEST: Duration = Duration::from_secs(10);

/// Starts a guest again after a trap, on the same open pipes.
///
/// What the guest had written is delivered first. A new life begins as the first did: the same arguments, and memory
/// that it has written nothing to. Its standard streams, and the ends of granted pipes that were open when it trapped,
/// stay open in between, and their peers see nothing of it. An end that the guest had closed itself is closed: it can
/// be opened again where it could be before, which a FIFO can and a descriptor cannot. The limits of the run hold for
/// all lives together: time, bytes, fuel. A trap that has a reason outside of the guest, as that its stdout's reader
/// left, ends the run, and so does one for want of fuel.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::pipes::null;
/// use pipehost::{Engine, Guest, Outcome, Pipes, Restart, Setup};
///
/// let engine = Engine::new()?;
/// let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\") unreachable))")?;
/// let pipes = Pipes::builder().events(|event| println!("{event}")).build();
/// let mut setup = Setup::between(pipes, null()?, null()?, null()?)?;
/// setup.restart(Restart::on_trap(1));
/// // After 100 ms, once, and then the trap is the outcome.
/// assert!(matches!(setup.run(&engine, &guest).await?, Outcome::Trapped(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// How often, at most.
    pub(crate) most: u32,
}

impl Restart {
    /// Restarts at most `most` times: after 100 ms, 200 ms and so on, up to 10 s.
    pub fn on_trap(most: u32) -> Self {
        Self { most }
    }
}

/// The restarts of one run.
#[derive(Debug)]
pub(crate) struct Restarts {
    most: u32,
    count: u32,
    wait: Duration,
}

impl Restarts {
    pub(crate) fn new(restart: Option<Restart>) -> Self {
        Self { most: restart.map_or(0, |restart| restart.most), count: 0, wait: FIRST }
    }

    /// Returns whether the guest may be started again.
    pub(crate) fn is_left(&self) -> bool {
        self.count < self.most
    }

    /// Counts a restart of a guest that lived for `life`, and returns its number, how many there may be, and how long
    /// to wait before it.
    pub(crate) fn next(&mut self, life: Duration) -> (u32, u32, Duration) {
        if life > LONGEST {
            self.wait = FIRST;
        }
        self.count += 1;
        let wait = self.wait;
        self.wait = (2 * wait).min(LONGEST);
        (self.count, self.most, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_restart_waits_longer_up_to_a_limit() {
        let mut restarts = Restarts::new(Some(Restart::on_trap(9)));
        let mut waits = Vec::new();
        while restarts.is_left() {
            waits.push(restarts.next(Duration::ZERO).2.as_millis());
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert!(!Restarts::new(None).is_left());
    }

    #[test]
    fn a_guest_that_lived_long_waits_as_at_first() {
        let mut restarts = Restarts::new(Some(Restart::on_trap(9)));
        restarts.next(Duration::ZERO);
        assert_eq!(restarts.next(LONGEST), (2, 9, 2 * FIRST));
        assert_eq!(restarts.next(LONGEST * 2), (3, 9, FIRST));
    }
}
