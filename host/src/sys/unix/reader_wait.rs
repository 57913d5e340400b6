//! Waits for a FIFO's first reader, without using any CPU.
//!
//! A non-blocking open for writing fails with ENXIO while no reader has the FIFO open, and no event
//! announces the reader that makes it succeed: epoll(7) has no descriptor to watch yet. inotify(7)
//! reports an open only once it is done, while a reader that comes first waits inside its open(2) for a
//! writer. So an open(2) blocks on a thread, of this process or of its monitor: see [`BlockingOpen`].

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::super::Direction;
use super::super::own::{FifoHandle, monitor};
use super::blocking_open::BlockingOpen;
use super::end::register;

/// A writer's open(2) of a FIFO, under way on a thread or in the monitor.
///
/// Dropping it calls the open off.
#[derive(Debug)]
pub(crate) struct ReaderWait(Place);

/// Where the open is under way.
#[derive(Debug)]
enum Place {
    Thread { opened: Opened, done: watch::Receiver<bool>, _thread: BlockingOpen },
    Monitor(Arc<AsyncFd<OwnedFd>>),
}

type Opened = Arc<Mutex<Option<io::Result<OwnedFd>>>>;

impl ReaderWait {
    /// Starts to wait for a reader of the FIFO of this handle, on a thread.
    ///
    /// # Errors
    /// Fails if no descriptor is left or no thread can be started.
    pub(super) fn on_thread(handle: FifoHandle) -> io::Result<Self> {
        let (announce, done) = watch::channel(false);
        let opened = Opened::default();
        let shared = Arc::clone(&opened);
        let thread = BlockingOpen::start(handle, move |result| {
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            // Fails if the `ReaderWait` is dropped already, which is fine.
            let _ = announce.send(true);
        })?;
        Ok(Self(Place::Thread { opened, done, _thread: thread }))
    }

    /// Has the monitor wait for a reader of one of its FIFOs.
    ///
    /// # Errors
    /// Those of [`monitor::open_when_read`].
    pub(super) fn in_monitor(id: monitor::TraceId) -> io::Result<Self> {
        let socket = monitor::open_when_read(id)?;
        let socket = register(socket, Direction::Read).map_err(|(_, error)| error)?;
        Ok(Self(Place::Monitor(Arc::new(socket))))
    }

    /// Returns a future that resolves when [`ReaderWait::take`] has something to return. Cancel safe.
    pub(crate) fn done(&self) -> impl Future<Output = ()> + Send + use<> {
        let place = match &self.0 {
            Place::Thread { done, .. } => Ok(done.clone()),
            Place::Monitor(socket) => Err(Arc::clone(socket)),
        };
        async move {
            // An error means that the thread, or the runtime, is gone: there is nothing left to wait
            // for.
            match place {
                Ok(mut done) => drop(done.wait_for(|done| *done).await),
                Err(socket) => drop(socket.readable().await),
            }
        }
    }

    /// Returns the opened descriptor or the error, once. Returns `None` while there is no reader yet.
    pub(crate) fn take(&self) -> Option<io::Result<OwnedFd>> {
        match &self.0 {
            Place::Thread { opened, .. } => {
                opened.lock().unwrap_or_else(PoisonError::into_inner).take()
            }
            Place::Monitor(socket) => match monitor::receive_descriptor(socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                opened => Some(opened),
            },
        }
    }
}
