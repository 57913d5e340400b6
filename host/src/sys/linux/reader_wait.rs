//! Waiting for a FIFO's first reader, without using any CPU.
//!
//! A non-blocking open for writing fails with ENXIO while nobody reads, and nothing announces the
//! reader that makes it succeed: epoll(7) has no descriptor to watch yet, and inotify(7) reports an
//! open only once it is done, while a reader that comes first waits inside its open(2) for us.
//! So an open(2) blocks on a thread, of this process or of its monitor: see [`BlockingOpen`].

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::blocking_open::BlockingOpen;
use super::end::register;
use super::{Direction, monitor};

/// A writer's open(2) of a FIFO, under way elsewhere.
///
/// Dropping it calls the open off.
#[derive(Debug)]
pub struct ReaderWait(Place);

/// Where the open is under way.
#[derive(Debug)]
enum Place {
    Thread { opened: Opened, done: watch::Receiver<bool>, _thread: BlockingOpen },
    Monitor(Arc<AsyncFd<OwnedFd>>),
}

type Opened = Arc<Mutex<Option<io::Result<OwnedFd>>>>;

impl ReaderWait {
    /// Starts to wait for a reader of the FIFO that `handle` (an O_PATH descriptor) stands for.
    ///
    /// # Errors
    /// Where no descriptor or no thread is to be had.
    pub(super) fn on_thread(handle: OwnedFd) -> io::Result<Self> {
        let (announce, done) = watch::channel(false);
        let opened = Opened::default();
        let shared = Arc::clone(&opened);
        let thread = BlockingOpen::start(handle, move |result| {
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            // Fails where nobody waits any more, which is as well.
            let _ = announce.send(true);
        })?;
        Ok(Self(Place::Thread { opened, done, _thread: thread }))
    }

    /// Has the monitor wait for a reader of one of its FIFOs.
    ///
    /// # Errors
    /// As those of [`monitor::open_when_read`].
    pub(super) fn in_monitor(id: monitor::TraceId) -> io::Result<Self> {
        let socket = monitor::open_when_read(id)?;
        let socket = register(socket, Direction::Read).map_err(|(_, error)| error)?;
        Ok(Self(Place::Monitor(Arc::new(socket))))
    }

    /// A future that resolves when [`ReaderWait::take`] has something to give. Cancel safe.
    pub fn done(&self) -> impl Future<Output = ()> + Send + use<> {
        let place = match &self.0 {
            Place::Thread { done, .. } => Ok(done.clone()),
            Place::Monitor(socket) => Err(Arc::clone(socket)),
        };
        async move {
            // An error means that the thread, or the runtime, is gone, which is as done as can be.
            match place {
                Ok(mut done) => drop(done.wait_for(|done| *done).await),
                Err(socket) => drop(socket.readable().await),
            }
        }
    }

    /// The opened descriptor or why there is none, once; `None` while the reader is awaited.
    pub fn take(&self) -> Option<io::Result<OwnedFd>> {
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
