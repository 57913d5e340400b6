//! Waiting for a FIFO's first reader, without using any CPU.
//!
//! A non-blocking open for writing fails with ENXIO while nobody reads, and nothing announces the
//! reader that makes it succeed: epoll(7) has no descriptor to watch yet, and inotify(7) reports an
//! open only once it is done, while a reader that comes first waits inside its open(2) for us.
//! So a thread does what any writer does, it blocks in open(2), and a signal to that thread
//! alone takes it out again when nobody wants the end any more. Opening the reading side
//! ourselves would release it too, but also every other process's writer that waits there.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::sync::watch;

use super::fifo::open_same;

/// The waiting thread calls open(2) and little else.
const STACK: usize = 128 * 1024;

/// How long [`ReaderWait`]'s drop tries to take the thread out of open(2). It takes microseconds,
/// but a file system that is gone may keep a thread from ever seeing a signal.
const RELEASE: Duration = Duration::from_millis(100);

/// A writer's open(2) of a FIFO, under way on a thread of its own.
///
/// Dropping it calls the open off.
#[derive(Debug)]
pub struct ReaderWait {
    shared: Arc<Shared>,
    done: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    called_off: AtomicBool,
    outcome: Mutex<Option<io::Result<OwnedFd>>>,
}

impl ReaderWait {
    /// Starts to wait for a reader of the FIFO that `handle` (an O_PATH descriptor) stands for.
    ///
    /// # Errors
    /// Where no descriptor or no thread is to be had.
    pub(super) fn start(handle: OwnedFd) -> io::Result<Self> {
        let signal = wake_signal()?;
        let shared =
            Arc::new(Shared { called_off: AtomicBool::new(false), outcome: Mutex::new(None) });
        let (announce, done) = watch::channel(false);
        let thread =
            std::thread::Builder::new().name("fifo-writer".into()).stack_size(STACK).spawn({
                let shared = Arc::clone(&shared);
                move || {
                    unblock(signal);
                    let outcome = shared.open(handle);
                    if let Some(outcome) = outcome {
                        *shared.outcome.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(outcome);
                    }
                    // Fails where nobody waits any more, which is as well.
                    let _ = announce.send(true);
                }
            })?;
        Ok(Self { shared, done, thread: Some(thread) })
    }

    /// A future that resolves when [`ReaderWait::take`] has something to give. Cancel safe.
    pub fn done(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut done = self.done.clone();
        async move {
            // An error means that the thread is gone, which is as done as can be.
            let _ = done.wait_for(|done| *done).await;
        }
    }

    /// The opened descriptor or why there is none, once; `None` while the reader is awaited.
    pub fn take(&self) -> Option<io::Result<OwnedFd>> {
        self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Shared {
    /// Opens the FIFO for writing, blocking; `None` when called off.
    fn open(&self, handle: OwnedFd) -> Option<io::Result<OwnedFd>> {
        loop {
            if self.called_off.load(Ordering::SeqCst) {
                return None;
            }
            match open_same(&handle, OFlags::WRONLY) {
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                outcome => return Some(outcome),
            }
        }
    }
}

impl Drop for ReaderWait {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.shared.called_off.store(true, Ordering::SeqCst);
        let started = Instant::now();
        while !thread.is_finished() {
            if started.elapsed() > RELEASE {
                // Once: a guest can make it happen as often as it likes.
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
                // SAFETY: the thread is not joined and not detached, so its id is valid even
                // after it has ended.
                unsafe { libc::pthread_kill(thread.as_pthread_t(), signal) };
            }
            // A signal that comes before the thread is inside open(2) is lost: send another.
            std::thread::sleep(Duration::from_micros(50));
        }
        let _ = thread.join();
    }
}

/// Lets `signal` reach this thread, whatever mask it was started with.
pub(super) fn unblock(signal: libc::c_int) {
    // SAFETY: `sigemptyset` makes the set valid before it is used, and only this thread's mask
    // changes.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

extern "C" fn interrupt(_signal: libc::c_int) {}

/// The signal that interrupts open(2), with its empty handler installed: a real-time signal, as
/// programs rarely use those, and without SA_RESTART, as the point is not to be restarted.
fn wake_signal() -> io::Result<libc::c_int> {
    static INSTALLED: OnceLock<Result<libc::c_int, i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let signal = libc::SIGRTMIN() + 7;
        // SAFETY: a zeroed `sigaction` is a valid one with an empty mask and no flags, and the
        // handler does nothing, which is async-signal-safe.
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
