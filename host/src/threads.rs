//! Threads where there may be none to be had, as under `ulimit -u`; and panics that must not leave their guest.
//! What tokio and wasmtime start for themselves panics where the system refuses.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::engine_names;
use crate::sys;

/// As long as a run lasts.
const FOR_GOOD: Duration = Duration::from_secs(365 * 24 * 3600);

/// A runtime for one thread. What once runs on its pool of threads stays there: see [`reserve`].
///
/// # Errors
/// Where descriptors are out.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().thread_keep_alive(FOR_GOOD).build()
}

/// Starts a thread for the calls on files of a guest, so that these find one. With one there, the runtime waits
/// where it can have no second. To be called inside a runtime.
///
/// # Errors
/// Where there is no thread.
pub(crate) fn reserve() -> io::Result<()> {
    // Whether there is one is asked first, as the runtime panics.
    std::thread::Builder::new().stack_size(STACK).spawn(|| {})?.join().map_err(|_| lack())?;
    quietly(|| tokio::task::spawn_blocking(|| {})).map_err(|_| lack())?;
    Ok(())
}

const STACK: usize = 64 * 1024;

fn lack() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, NO_THREAD)
}

/// What is said where no thread can be started.
const NO_THREAD: &str =
    "no thread can be started; raise `ulimit -u`, or the limit of the container";

/// Runs `work` on a thread of its own, and waits for what it gives.
///
/// # Errors
/// Where there is no thread, or `work` panicked.
pub(crate) async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, waiting) = oneshot::channel();
    let whole = move || {
        // Where nobody waits any more, the run is over.
        let _ = done.send(quietly(work));
    };
    let thread = std::thread::Builder::new().name("compile".into());
    let thread = thread.spawn(whole).map_err(|_| lack())?;
    let done = waiting.await;
    // It ends in some microseconds: no thread of ours is left that could open files.
    let _ = thread.join();
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(text)) => Err(io::Error::other(text)),
        Err(_) => Err(io::Error::other("its thread is gone")),
    }
}

/// Runs `work`, which may divide itself by rayon, with threads that live as long as that takes, and open no files.
///
/// # Errors
/// Where there are no threads. A panic is an error as in [`quietly`].
pub(crate) fn divided<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|at| format!("compile {at}"))
        .start_handler(|_| {
            // A panic is told by whoever waits for the work.
            std::mem::forget(Caught::here());
            sys::renounce_files();
        })
        .build()
        .map_err(|_| NO_THREAD)?;
    quietly(|| pool.install(work))
}

/// Runs `work`. A panic in it is an error that says what the panic said.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _caught = Caught::here();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text_of(&*panic))
}

/// Awaits `work`. A panic in it is an error that says what the panic said.
pub(crate) async fn quietly_await<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    let done = std::future::poll_fn(|cx| {
        let _caught = Caught::here();
        work.as_mut().poll(cx)
    });
    done.await.map_err(|panic| text_of(&*panic))
}

thread_local! {
    /// How many callers of this thread tell of a panic themselves.
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

/// Has a panic that is caught here say nothing by itself: its text becomes an error's. For the whole process.
pub(crate) fn hush_caught_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match CAUGHT.get() {
        0 => usual(panic),
        _ => tracing::info!("{panic}"),
    }));
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    // What tokio and rayon say where the system has no thread for them.
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
