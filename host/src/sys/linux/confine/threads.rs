//! Landlock confines the thread that asks for it, and those that it starts later: so every thread of
//! this process has to ask. A signal's handler asks for those that are doing something else.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Dir, Mode, OFlags};

use super::super::reader_wait::unblock;

/// How long a thread may take to answer. It takes microseconds, unless a file system that is gone
/// keeps it.
const PATIENCE: Duration = Duration::from_secs(2);

static RULESET: AtomicI32 = AtomicI32::new(-1);
static ANSWERS: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicI32 = AtomicI32::new(0);

/// landlock_restrict_self(2) on all threads.
///
/// # Errors
/// Those of the call on any of them; `TimedOut` where one does not answer.
pub(super) fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    RULESET.store(ruleset.as_raw_fd(), Ordering::SeqCst);
    let before = handle(ask_signal(), ask_here)?;
    let outcome = restrict_each();
    RULESET.store(-1, Ordering::SeqCst);
    // SAFETY: puts back the action that was in force.
    unsafe { libc::sigaction(ask_signal(), &before, std::ptr::null_mut()) };
    outcome
}

/// The signal by which a thread is asked. Whoever started this process may have left it blocked: see
/// [`unblock_signals_of_ours`].
fn ask_signal() -> libc::c_int {
    libc::SIGRTMIN() + 8
}

/// Lets signals reach this thread, and those that it starts, that threads of this process send each other.
/// To be called while there is one thread only.
pub fn unblock_signals_of_ours() {
    unblock(ask_signal());
}

fn restrict_each() -> io::Result<()> {
    // Opened before this thread may not do that any more.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut tasks = Dir::new(rustix::fs::open("/proc/self/task", flags, Mode::empty())?)?;
    restrict_this()?;
    // SAFETY: only asks for a number.
    let this = unsafe { libc::gettid() };
    let mut done = vec![this];
    loop {
        let mut new = false;
        // A thread that is not confined yet may start another meanwhile.
        for thread in threads(&mut tasks) {
            if !done.contains(&thread) {
                new = true;
                done.push(thread);
                restrict_other(thread)?;
            }
        }
        if !new {
            return Ok(());
        }
    }
}

fn threads(tasks: &mut Dir) -> Vec<i32> {
    tasks.rewind();
    tasks.flatten().filter_map(|task| task.file_name().to_str().ok()?.parse().ok()).collect()
}

/// Has another thread of this process confine itself.
fn restrict_other(thread: i32) -> io::Result<()> {
    let answers = ANSWERS.load(Ordering::SeqCst);
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: sends a signal, whose handler is installed, to a thread of this process.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, ask_signal()) };
    if sent != 0 {
        let error = io::Error::last_os_error();
        // It has ended.
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) };
    }
    let asked = Instant::now();
    while ANSWERS.load(Ordering::SeqCst) == answers {
        let ended = || !std::path::Path::new(&format!("/proc/self/task/{thread}")).exists();
        if asked.elapsed() > Duration::from_millis(1) && ended() {
            return Ok(());
        }
        if asked.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a thread does not answer"));
        }
        std::thread::yield_now();
    }
    match FAILED.load(Ordering::SeqCst) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// landlock_restrict_self(2) on this thread, without new privileges, which it demands.
fn restrict_this() -> io::Result<()> {
    let ruleset = RULESET.load(Ordering::SeqCst);
    // SAFETY: changes attributes of this thread, and touches no memory; async-signal-safe.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs on the other threads, in the middle of whatever they do.
extern "C" fn ask_here(_signal: libc::c_int) {
    // SAFETY: the address of this thread's errno, which whoever was interrupted still wants.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    if let Err(error) = restrict_this() {
        FAILED.store(error.raw_os_error().unwrap_or(libc::EIO), Ordering::SeqCst);
    }
    ANSWERS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Installs `handler`, and gives what was there. SA_RESTART: no call is to fail for it.
fn handle(signal: i32, handler: extern "C" fn(libc::c_int)) -> io::Result<libc::sigaction> {
    // SAFETY: a zeroed `sigaction` is a valid one; the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        match libc::sigaction(signal, &action, &mut before) {
            0 => Ok(before),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
