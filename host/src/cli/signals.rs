//! Ends a run early on SIGINT, SIGTERM, SIGHUP and SIGQUIT. The first signal ends it tidily, the second
//! at once. A tidy end that takes too long, also after the time limit, is cut short.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::exit::Status;
use super::{listing, log, report, say};
use crate::deadlines::LAST_WORDS;
use crate::launch::Leftovers;
use crate::pipe::overlay;
use crate::sys::{self, Stop};

/// Watches the signals of this process on a thread of its own. It works whatever the guest or a file
/// system does to the main thread.
pub(crate) struct SignalWatch {
    first: watch::Receiver<Option<Stop>>,
}

impl SignalWatch {
    pub(crate) fn start(leftovers: Leftovers, patience: Duration) -> io::Result<Self> {
        let requests = sys::stop_requests()?;
        let (announce, first) = watch::channel(None);
        std::thread::Builder::new().name("signals".into()).stack_size(128 * 1024).spawn(
            move || {
                sys::renounce_files();
                let mut seen = None;
                for stop in requests {
                    match seen {
                        None => {
                            seen = Some(stop);
                            // Fails if the run is over already.
                            let _ = announce.send(Some(stop));
                            let leftovers = leftovers.clone();
                            let cut_short = move || {
                                std::thread::sleep(patience);
                                leave(&leftovers, Status::Signal(stop.number()), None);
                            };
                            // If no thread can be started, only a second signal cuts the run short.
                            let _ = std::thread::Builder::new().spawn(cut_short);
                        }
                        Some(first) => leave(&leftovers, Status::Signal(first.number()), None),
                    }
                }
            },
        )?;
        Ok(Self { first })
    }

    /// Waits for the first signal. Cancel safe.
    pub(crate) async fn received(&mut self) -> Stop {
        if let Ok(first) = self.first.wait_for(Option::is_some).await
            && let Some(stop) = *first
        {
            return stop;
        }
        // The thread is gone, so no signal can come.
        std::future::pending().await
    }
}

/// Ends the process `at` this time from now, from a thread of its own, if the main thread has not ended
/// it for its limit `timeout`: a single host call that computes or blocks keeps that from checking.
pub(crate) fn hard_deadline(
    timeout: Duration,
    at: Duration,
    leftovers: Leftovers,
) -> io::Result<()> {
    let hard_deadline = move || {
        sys::renounce_files();
        std::thread::sleep(at);
        leave(&leftovers, Status::TimedOut, Some(timeout));
    };
    std::thread::Builder::new()
        .name("hard_deadline".into())
        .stack_size(128 * 1024)
        .spawn(hard_deadline)?;
    Ok(())
}

/// Says what has ended a run. Says it only once, as the thread that cuts a run short may call this too.
pub(crate) fn say_stopped(stopped: Status, timeout: Option<Duration>) {
    // It is held until the line is written: whoever finds it said may end the process.
    static SAID: Mutex<bool> = Mutex::new(false);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut *said, true) {
        return;
    }
    match (stopped, timeout) {
        (Status::TimedOut, Some(limit)) => {
            say(&format!(
                "the run took longer than --timeout {}; give it more, or none",
                humantime::format_duration(limit)
            ));
        }
        (Status::Signal(number), _) => say(&format!("ended by signal {number}")),
        _ => {}
    }
}

fn leave(leftovers: &Leftovers, stopped: Status, timeout: Option<Duration>) -> ! {
    let code = stopped.code().into();
    // A log or a page may be on a file system that hangs, and then does so for another thread, too, which holds locks.
    let _ = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        std::thread::sleep(LAST_WORDS);
        std::process::exit(code);
    });
    leftovers.clean_up();
    overlay::remove();
    say_stopped(stopped, timeout);
    // Its file system may hang, too.
    listing::end_early(stopped);
    report::finish(stopped.code(), say);
    log::end();
    std::process::exit(code);
}
