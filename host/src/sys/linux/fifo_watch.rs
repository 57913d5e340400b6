//! Notices that another process has removed or replaced a FIFO that is in use, without polling.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::super::unix::end::register;
use super::super::{Direction, Fifo};
use super::path_of;

/// The size of the buffer for events, in bytes. Events that do not fit are read next.
const EVENTS: usize = 1024;

/// Warns of FIFOs that vanish while they are in use: inotify(7). Warns once for each, see
/// [`Fifo::say_if_missing`].
#[derive(Debug)]
pub(crate) struct FifoWatch {
    inotify: Arc<AsyncFd<OwnedFd>>,
    fifos: Arc<Mutex<Vec<Weak<Fifo>>>>,
}

impl FifoWatch {
    /// Starts to watch, as a task of this tokio runtime.
    ///
    /// # Errors
    /// EMFILE if the user has too many such watches already. [`Fifo::remove`] still looks.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn start() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let inotify = Arc::new(register(fd, Direction::Read).map_err(|(_, error)| error)?);
        let fifos = Arc::<Mutex<Vec<Weak<Fifo>>>>::default();
        let (events, watched) = (Arc::clone(&inotify), Arc::clone(&fifos));
        tokio::spawn(async move {
            // The task ends with the runtime.
            while let Ok(mut ready) = events.readable().await {
                let mut buf = [MaybeUninit::<u8>::uninit(); EVENTS];
                match rustix::io::read(&*events, &mut buf) {
                    Ok(_) => {}
                    Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(_) => return,
                }
                let fifos: Vec<_> = {
                    let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
                    watched.iter().filter_map(Weak::upgrade).collect()
                };
                for fifo in fifos {
                    if fifo.is_in_use() {
                        fifo.say_if_missing();
                    }
                }
            }
        });
        Ok(Self { inotify, fifos })
    }

    /// Watches this FIFO too.
    ///
    /// # Errors
    /// Those of inotify_add_watch(2).
    pub(crate) fn add(&self, fifo: &Arc<Fifo>) -> io::Result<()> {
        // Watched by its name under /proc, as the path may lead elsewhere by now. Removing a name
        // changes the number of links, which is an attribute.
        let events = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
        inotify::add_watch(&*self.inotify, path_of(fifo.handle()), events)?;
        let mut fifos = self.fifos.lock().unwrap_or_else(PoisonError::into_inner);
        fifos.push(Arc::downgrade(fifo));
        Ok(())
    }
}
