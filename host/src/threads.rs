//! Starts threads where the system may refuse them, as under `ulimit -u`, and catches panics that must
//! not reach beyond their guest. tokio and wasmtime panic if the system refuses them a thread.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(feature = "cli")]
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;
#[cfg(feature = "cli")]
use std::time::Instant;

use futures::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::engine_names;
use crate::sys;

/// A time longer than any run.
const FOR_GOOD: Duration = Duration::from_secs(365 * 24 * 3600);

/// Makes a runtime for one thread. Threads of its pool stay once they run: see [`reserve`].
///
/// # Errors
/// Fails if no descriptors are left.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().thread_keep_alive(FOR_GOOD).build()
}

/// Starts a thread for a guest's calls on files, so that they find one. If no second thread can be
/// started later, the runtime waits for this one. Must be called inside a runtime.
///
/// # Errors
/// Fails if no thread can be started.
pub(crate) fn reserve() -> io::Result<()> {
    // A thread is tried first, as the runtime would panic.
    std::thread::Builder::new().stack_size(STACK).spawn(|| {})?.join().map_err(|_| lack())?;
    quietly(|| tokio::task::spawn_blocking(|| {})).map_err(|_| lack())?;
    Ok(())
}

const STACK: usize = 64 * 1024;

fn lack() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, NO_THREAD)
}

/// The message if no thread can be started.
const NO_THREAD: &str =
    "no thread can be started; raise `ulimit -u`, or the limit of the container";

/// Runs `work` on a thread of its own, and waits for its result.
///
/// # Errors
/// Fails if no thread can be started, or if `work` panicked.
pub(crate) async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, waiting) = oneshot::channel();
    let span = tracing::Span::current();
    let whole = move || {
        // Fails if the future was dropped: the run is over then.
        let _ = done.send(span.in_scope(|| quietly(work)));
    };
    let thread = std::thread::Builder::new().name("compile".into());
    let thread = thread.spawn(whole).map_err(|_| lack())?;
    let done = waiting.await;
    // The thread ends in some microseconds. After that, no thread is left that could open files.
    let _ = thread.join();
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(text)) => Err(io::Error::other(text)),
        Err(_) => Err(io::Error::other("its thread is gone")),
    }
}

/// Runs `work`, which may divide itself by rayon. Its threads live only as long as that takes, and open
/// no files.
///
/// # Errors
/// Fails if no threads can be started. A panic is an error as in [`quietly`].
pub(crate) fn divided<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|at| format!("compile {at}"))
        .start_handler(|_| {
            // The thread that waits for the work reports a panic.
            std::mem::forget(Caught::here());
            sys::renounce_files();
        })
        .build()
        .map_err(|_| NO_THREAD)?;
    quietly(|| pool.install(work))
}

/// Runs `work`. Turns a panic in it into an error with the panic's text.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _caught = Caught::here();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text_of(&*panic))
}

/// Awaits `work`. Turns a panic in it into an error with the panic's text.
pub(crate) async fn quietly_await<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    let done = std::future::poll_fn(|cx| {
        let _caught = Caught::here();
        work.as_mut().poll(cx)
    });
    done.await.map_err(|panic| text_of(&*panic))
}

thread_local! {
    /// How many callers on this thread report a panic themselves.
    static CAUGHT: Cell<u32> = const { Cell::new(0) };
}

struct Caught;

impl Caught {
    fn here() -> Self {
        CAUGHT.set(CAUGHT.get() + 1);
        Self
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        CAUGHT.set(CAUGHT.get().saturating_sub(1));
    }
}

/// Keeps caught panics from printing anything: their text becomes an error's text. For the whole
/// process.
pub(crate) fn hush_caught_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match CAUGHT.get() {
        0 => usual(panic),
        _ => tracing::info!("{panic}"),
    }));
}

/// Locks `mutex`, if that is free within `patience`. Blocks for no longer.
#[cfg(feature = "cli")]
pub(crate) fn lock_within<T>(mutex: &Mutex<T>, patience: Duration) -> Option<MutexGuard<'_, T>> {
    let deadline = Instant::now() + patience;
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    // The texts of tokio and rayon if the system has no thread for them.
    match engine_names::NO_THREAD.iter().any(|known| text.contains(known)) {
        true => NO_THREAD.into(),
        false => format!("the host panicked, which is a bug of pipehost's: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(quietly(|| 7), Ok(7));
        let text = quietly(|| -> u8 { panic!("as a bug would") }).unwrap_err();
        assert!(text.contains("a bug of pipehost's: as a bug would"), "{text}");
        let text = quietly(|| -> u8 { panic!("OS can't spawn worker thread: 11") }).unwrap_err();
        assert_eq!(text, NO_THREAD);
        assert_eq!(CAUGHT.get(), 0);
    }

    #[tokio::test]
    async fn a_panic_while_waiting_is_an_error() {
        assert_eq!(quietly_await(async { 7 }).await, Ok(7));
        let late = async {
            tokio::task::yield_now().await;
            panic!("as a bug would")
        };
        let text = quietly_await::<()>(late).await.unwrap_err();
        assert!(text.contains("as a bug would"), "{text}");
        assert_eq!(elsewhere(|| 7).await.unwrap(), 7);
        assert!(elsewhere(|| -> u8 { panic!("no") }).await.is_err());
    }
}
