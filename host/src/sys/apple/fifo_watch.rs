//! Notices that another process has removed or replaced a FIFO that is in use, without polling.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, VnodeEvents, kevent, kqueue};
use tokio::io::unix::AsyncFd;

use super::super::unix::end::register;
use super::super::unix::watched::Watched;
use super::super::{Direction, Fifo};

/// How many events are read at once.
const EVENTS: usize = 16;

/// Warns of FIFOs that vanish while they are in use: EVFILT_VNODE of kqueue(2), on their folders, as
/// watching a FIFO would mean to open it. Warns once for each, see [`Fifo::say_if_missing`].
#[derive(Debug)]
pub(crate) struct FifoWatch(Option<Arc<State>>);

#[derive(Debug)]
struct State {
    queue: AsyncFd<OwnedFd>,
    fifos: Watched,
    /// The folders, which stay open as long as the queue.
    folders: Mutex<Vec<OwnedFd>>,
}

impl FifoWatch {
    /// Starts to watch, as a task of this tokio runtime. Watches nothing if no descriptors are left:
    /// [`Fifo::remove`] still looks.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn start() -> Self {
        let made = kqueue().map_err(io::Error::from);
        let queue = match made
            .and_then(|queue| register(queue, Direction::Read).map_err(|(_, error)| error))
        {
            Ok(queue) => queue,
            Err(error) => {
                tracing::debug!("the FIFOs cannot be watched: {error}");
                return Self(None);
            }
        };
        let state = Arc::new(State { queue, fifos: Watched::default(), folders: Mutex::default() });
        let watch = Self(Some(Arc::clone(&state)));
        tokio::spawn(async move {
            // The task ends with the runtime.
            while let Ok(mut ready) = state.queue.readable().await {
                let mut events = [MaybeUninit::<Event>::uninit(); EVENTS];
                // SAFETY: no descriptors are added.
                let happened =
                    unsafe { kevent(&state.queue, &[], &mut events, Some(Duration::ZERO)) };
                match happened.map(|(events, _)| events.len()) {
                    Ok(0) => ready.clear_ready(),
                    Ok(_) => state.fifos.say_missing(),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return,
                }
            }
        });
        watch
    }

    /// Watches this FIFO too.
    ///
    /// # Errors
    /// Those of kevent(2).
    pub(crate) fn add(&self, fifo: &Arc<Fifo>) -> io::Result<()> {
        let Some(state) = &self.0 else { return Ok(()) };
        let folder = fifo.handle().folder().try_clone()?;
        let flags = VnodeEvents::WRITE | VnodeEvents::RENAME | VnodeEvents::DELETE;
        let filter = EventFilter::Vnode { vnode: folder.as_raw_fd(), flags };
        let event = Event::new(filter, EventFlags::ADD | EventFlags::CLEAR, std::ptr::null_mut());
        let none: &mut [Event] = &mut [];
        // SAFETY: the folder stays open as long as the queue, by which it is dropped.
        unsafe { kevent(&state.queue, &[event], none, Some(Duration::ZERO)) }?;
        state.folders.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        state.fifos.add(fifo);
        Ok(())
    }
}
