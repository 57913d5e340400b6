//! What takes long, or moves much: in a short form unless `PIPEHOST_LONG` is set. Then every figure of
//! docs/reliability.md is measured anew, and printed:
//!
//!     PIPEHOST_LONG=1 cargo test --test long -- --nocapture --test-threads 1
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod blocked;
mod graph;
mod load;
mod pattern;
mod runs;
mod soak;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Whether the long forms are asked for.
fn long() -> bool {
    std::env::var_os("PIPEHOST_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The one or the other form of a figure.
fn form<T>(short: T, long_form: T) -> T {
    if long() { long_form } else { short }
}

/// Held by the test that has the machine to itself: all of these measure.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A field of /proc/PID/status, in bytes: `VmRSS`, `VmHWM`, `RssAnon`.
fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.split(':').next() == Some(field))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What of a process's memory is its own. How much of its files is mapped in depends on what else the machine
/// has read.
const OWN: &str = "RssAnon";

/// The most that a process had resident of its own, until it ended by itself.
fn peak_of(running: &mut support::Running) -> u64 {
    let mut peak = 0;
    while !running.is_over() {
        peak = status_bytes(running.pid(), OWN).unwrap_or(0).max(peak);
        thread::sleep(Duration::from_millis(1));
    }
    peak
}

/// What was resident, over the time or the bytes that had passed.
#[derive(Clone, Debug, Default)]
struct Resident(Vec<(f64, u64)>);

impl Resident {
    /// Looks at process `pid`, if it still runs.
    fn look(&mut self, pid: u32, at: f64) {
        // What has ended has none.
        if let Some(bytes) = status_bytes(pid, OWN) {
            self.0.push((at, bytes));
        }
    }

    fn first(&self) -> u64 {
        self.0.first().map_or(0, |(_, bytes)| *bytes)
    }

    fn last(&self) -> u64 {
        self.0.last().map_or(0, |(_, bytes)| *bytes)
    }

    fn most(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// How much it has grown at most.
    fn growth(&self) -> u64 {
        self.most().saturating_sub(self.first())
    }
}

impl std::fmt::Display for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        write!(
            f,
            "resident {:.1} MiB at first, {:.1} at last, {:.1} at most",
            mib(self.first()),
            mib(self.last()),
            mib(self.most())
        )
    }
}

/// Lets time pass that is itself what is tested, and looks at the process all the while.
fn watch_for(time: Duration, every: Duration, mut look: impl FnMut(f64)) {
    let started = std::time::Instant::now();
    while started.elapsed() < time {
        look(started.elapsed().as_secs_f64());
        thread::sleep(every);
    }
    look(started.elapsed().as_secs_f64());
}
