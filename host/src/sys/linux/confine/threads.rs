//! Threads that a process starts before it confines itself.
//!
//! Landlock bounds the thread that asks for it, and the threads that this one starts later. A thread
//! that runs already must ask by itself. Otherwise a guest that has taken the process over could use it
//! to open files. pipehost's threads need no files: each gives them up as the first thing that it does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::thread::{Pid, gettid};

use super::landlock;

/// How long a thread that has been joined may still be listed.
const PATIENCE: Duration = Duration::from_millis(100);

/// True if the guests of this process will have folders.
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// The threads that have renounced files.
static RENOUNCED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Says that this process will confine itself, and that its guests will have folders. From now on
/// [`renounce_files`] has an effect. Must be called before any thread is started.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn expect_folders() {
    EXPECTED.store(true, Ordering::SeqCst);
}

/// Forbids this thread, and those that it starts, to open any file, if this process expects to grant
/// folders. For a thread that is started before this process confines itself.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn renounce_files() {
    // If that fails, the count of unbounded threads includes this one.
    if EXPECTED.load(Ordering::SeqCst) && landlock::renounce().is_ok() {
        RENOUNCED.lock().unwrap_or_else(PoisonError::into_inner).push(gettid());
    }
}

/// Counts the threads of this process, except this one, that can open files. Waits up to 100 ms for
/// threads that end.
///
/// # Errors
/// Those of open(2) and getdents64(2).
pub(super) fn unbounded() -> io::Result<usize> {
    let began = Instant::now();
    loop {
        let count = count()?;
        if count == 0 || began.elapsed() > PATIENCE {
            return Ok(count);
        }
        // A thread that is ending stays listed for a moment.
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn count() -> io::Result<usize> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let tasks = Dir::new(rustix::fs::open("/proc/self/task", flags, Mode::empty())?)?;
    let renounced = RENOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut count = 0;
    for task in tasks {
        let number = task?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
        let Some(thread) = number.and_then(Pid::from_raw) else { continue };
        count += usize::from(thread != gettid() && !renounced.contains(&thread));
    }
    Ok(count)
}
