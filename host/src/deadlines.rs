//! The deadlines of a run that must end, all in one place.
//!
//! A run that a signal or a time limit ends is over within 250 ms. These are the parts of that time:
//!
//! | | |
//! |---|---|
//! | the guest is dropped at its next yield | one pulse of the engine, 10 ms, and a turn of the host, 2 ms |
//! | bytes that its writers had accepted may go out | [`LAST_DELIVERY`] |
//! | a guest stage may deliver, a native one tidy up, before it is killed | [`STAGE_STOP`]; half of it more if the terminal has told a native one already |
//! | a pipeline ends without stages that have not | [`PIPELINE_STOP`] |
//! | a thread ends the process, whatever else happens | [`HARD_DEADLINE`] |
//! | a log and a page are written, where such a thread ends the process | [`LAST_WORDS`], which is more: a file that takes longer is left unfinished |
//! | removing FIFOs, a message on stderr, the monitor's end | some ms; 50 ms and 30 ms at most, if the other side does not answer |
//!
//! A stage in a process of its own has less time, as its parent process waits for it:
//! [`PART_LAST_DELIVERY`] and [`PART_HARD_DEADLINE`] are within [`STAGE_STOP`], after which it is
//! killed.

use std::time::Duration;

/// How long bytes that a guest handed over may take to be delivered after it was ended.
pub(crate) const LAST_DELIVERY: Duration = Duration::from_millis(100);

/// How long a stage may take to deliver what it had accepted, or to end after a signal, once the
/// pipeline ends.
pub(crate) const STAGE_STOP: Duration = Duration::from_millis(80);

/// How long stages that are told to end may take, before the pipeline ends without them.
pub(crate) const PIPELINE_STOP: Duration = Duration::from_millis(150);

/// How long a tidy end may take, after a signal or the time limit, before it is cut short.
pub(crate) const HARD_DEADLINE: Duration = Duration::from_millis(170);

/// How long the thread that ends the process may take for files of its messages and for the page about the run.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// [`LAST_DELIVERY`] for a stage in a process of its own.
pub(crate) const PART_LAST_DELIVERY: Duration = Duration::from_millis(30);

/// [`HARD_DEADLINE`] for a stage in a process of its own.
pub(crate) const PART_HARD_DEADLINE: Duration = Duration::from_millis(55);

// Each deadline must be shorter than the one that contains it.
const _: () = {
    assert!(PART_LAST_DELIVERY.as_millis() < PART_HARD_DEADLINE.as_millis());
    assert!(PART_HARD_DEADLINE.as_millis() < STAGE_STOP.as_millis());
    assert!(STAGE_STOP.as_millis() < PIPELINE_STOP.as_millis());
    assert!(LAST_DELIVERY.as_millis() < PIPELINE_STOP.as_millis());
    assert!(PIPELINE_STOP.as_millis() < HARD_DEADLINE.as_millis());
    assert!(HARD_DEADLINE.as_millis() < 250);
};

/// Resolves after `limit`, or never if there is none.
pub(crate) async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
