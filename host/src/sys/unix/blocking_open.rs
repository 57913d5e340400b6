//! A writer's open(2) of a FIFO, which blocks until there is a reader, on a thread that can be
//! interrupted.
//!
//! The thread blocks in open(2) as any writer does. A signal to that thread alone interrupts it when
//! the host no longer wants the end. Opening the reading side in this process would release it too, but
//! also every other process's writer that waits there.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::own::{self, FifoHandle};

/// The stack of the waiting thread in bytes. It calls open(2) and little else.
const STACK: usize = 128 * 1024;

/// How long dropping a [`BlockingOpen`] tries to interrupt open(2). It takes microseconds, but a file
/// system that is gone may keep a thread from ever seeing a signal.
const RELEASE: Duration = Duration::from_millis(100);

/// An open(2) under way on a thread of its own. Dropping it calls the open off, and blocks for 100 ms
/// at most.
#[derive(Debug)]
pub(in crate::sys) struct BlockingOpen {
    called_off: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BlockingOpen {
    /// Opens the FIFO of this handle for writing. The thread calls `done` with
    /// the result, unless the open is called off.
    ///
    /// # Errors
    /// Fails if no thread can be started.
    pub(in crate::sys) fn start(
        handle: FifoHandle,
        done: impl FnOnce(io::Result<OwnedFd>) + Send + 'static,
    ) -> io::Result<Self> {
        let signal = wake_signal()?;
        let called_off = Arc::new(AtomicBool::new(false));
        let whole = {
            let called_off = Arc::clone(&called_off);
            move || {
                unblock(signal);
                if let Some(opened) = open(&handle, &called_off) {
                    done(opened);
                }
            }
        };
        let thread = std::thread::Builder::new().name("fifo-writer".into()).stack_size(STACK);
        Ok(Self { called_off, thread: Some(thread.spawn(whole)?) })
    }
}

/// Opens the FIFO. Returns `None` if the open is called off.
fn open(handle: &FifoHandle, called_off: &AtomicBool) -> Option<io::Result<OwnedFd>> {
    loop {
        if called_off.load(Ordering::SeqCst) {
            return None;
        }
        match handle.open(OFlags::WRONLY) {
            Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
            outcome => return Some(outcome),
        }
    }
}

impl Drop for BlockingOpen {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.called_off.store(true, Ordering::SeqCst);
        let started = Instant::now();
        while !thread.is_finished() {
            if started.elapsed() > RELEASE {
                // Logged once: a guest can make it happen as often as it likes.
                static TOLD: Once = Once::new();
                TOLD.call_once(|| {
                    tracing::warn!(
                        "a thread that opens a FIFO cannot be released, and is left: its file system does \
                         not answer"
                    );
                });
                return;
            }
            if let Ok(signal) = wake_signal() {
                // SAFETY: the thread is not joined and not detached, so its id is valid even after it
                // has ended.
                unsafe { libc::pthread_kill(thread.as_pthread_t(), signal) };
            }
            // A signal that comes before the thread is inside open(2) is lost: send another.
            std::thread::sleep(Duration::from_micros(50));
        }
        let _ = thread.join();
    }
}

/// Lets `signal` reach this thread, whatever mask it was started with.
fn unblock(signal: libc::c_int) {
    // SAFETY: `sigemptyset` makes the set valid before it is used, and only this thread's mask changes.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

extern "C" fn interrupt(_signal: libc::c_int) {}

/// Returns the signal that interrupts open(2), and installs its empty handler. SA_RESTART is
/// not set, as open(2) must not be restarted.
fn wake_signal() -> io::Result<libc::c_int> {
    static INSTALLED: OnceLock<Result<libc::c_int, i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let signal = own::wake_signal();
        // SAFETY: a zeroed `sigaction` is a valid one with an empty mask and no flags, and the handler
        // does nothing, which is async-signal-safe.
        let failed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = interrupt as *const () as libc::sighandler_t;
            libc::sigaction(signal, &action, std::ptr::null_mut()) != 0
        };
        match failed {
            true => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
            false => Ok(signal),
        }
    });
    installed.map_err(io::Error::from_raw_os_error)
}
