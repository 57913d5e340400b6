//! Loads and runs any bytes, with little time and memory. The replayed corpus and the fuzz target
//! `component` share this.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "the fuzz target uses it, too")]

use std::time::Duration;

use pipehost::{Engine, Guest, GuestError, GuestLimits, Outcome, Pipes, Setup, Stdio};
use tokio::runtime::Runtime;

/// The most bytes that are loaded: compiling takes time in proportion.
pub const MOST_BYTES: usize = 32 * 1024;

const MEMORY: u64 = 4 * 1024 * 1024;

/// How long a guest may run. The host gets [`PATIENCE`] to end it.
const TIME: Duration = Duration::from_millis(50);

/// How late a guest may be ended: far more than it takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// An engine, and a runtime to run guests in.
pub struct Host {
    engine: Engine,
    runtime: Runtime,
}

impl Host {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { engine: Engine::new().unwrap(), runtime }
    }

    /// Loads `bytes`, inspects the guest, and runs it. Returns whether it ran.
    ///
    /// # Panics
    /// Panics if the guest exceeded its memory or its time, or if an answer is not fit to be shown.
    pub fn try_run(&self, bytes: &[u8]) -> bool {
        if bytes.len() > MOST_BYTES {
            return false;
        }
        let guest = match Guest::from_bytes(&self.engine, bytes) {
            Ok(guest) => guest,
            Err(error) => {
                is_told(&error);
                return false;
            }
        };
        assert!(
            !guest.is_component() || guest.version().is_none_or(|_| !guest.exports().is_empty())
        );
        let _ = guest.imports();
        let started = std::time::Instant::now();
        let (outcome, peak) = self.runtime.block_on(async {
            // A peer at each standard stream that neither reads nor writes, and leaves at the end.
            let ours = Pipes::builder().build();
            let ((stdin, _to_stdin), (_from_stdout, stdout), (_from_stderr, stderr)) =
                (ours.create().unwrap(), ours.create().unwrap(), ours.create().unwrap());
            let mut limits = GuestLimits::default();
            (limits.max_pipes, limits.max_memory) = (Some(4), Some(MEMORY));
            let pipes = Pipes::builder().limits(limits).build();
            let setup = Setup::new(pipes, Stdio::new(stdin, stdout, stderr));
            let memory = setup.memory();
            let run = setup.run(&self.engine, &guest);
            let outcome = tokio::time::timeout(TIME, run).await;
            (outcome, memory.peak())
        });
        assert!(peak <= MEMORY, "{peak} bytes of memory");
        assert!(started.elapsed() < PATIENCE, "it was ended after {:?}", started.elapsed());
        match outcome {
            Ok(Err(error)) => {
                is_told(&error);
                false
            }
            Ok(Ok(Outcome::Failed { .. } | Outcome::NoPeer { .. })) => true,
            Ok(Ok(_)) | Err(_) => true,
        }
    }
}

fn is_told(error: &GuestError) {
    assert!(!error.to_string().trim().is_empty(), "it says what is wrong: {error:?}");
}
