//! Notices that another process has removed or replaced a FIFO that is in use, without polling.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use tokio::io::unix::AsyncFd;

use super::super::unix::end::register;
use super::super::unix::watched::Watched;
use super::super::{Direction, Fifo};
use super::{monitor, path_of};

/// The size of the buffer for events, in bytes. Events that do not fit are read next.
const EVENTS: usize = 1024;

/// How long a process has to run until its FIFOs are watched. The kernel takes some 8 ms to end a watch,
/// which a run of a few milliseconds would notice. What has happened before the watch is noticed with it.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// Warns of FIFOs that vanish while they are in use: inotify(7). Warns once for each, see
/// [`Fifo::say_if_missing`].
#[derive(Debug, Default)]
pub(crate) struct FifoWatch(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Set once the first look is over.
    inotify: OnceLock<AsyncFd<OwnedFd>>,
    fifos: Watched,
}

impl FifoWatch {
    /// Starts to watch, as a task of this tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub(crate) fn start() -> Self {
        let watch = Self::default();
        let state = Arc::clone(&watch.0);
        // A confined process makes no sockets.
        let sockets = monitor::is_there().then(|| monitor::socket_pair(SocketFlags::NONBLOCK));
        // The task ends with the runtime.
        tokio::spawn(async move {
            tokio::time::sleep(FIRST_LOOK).await;
            let made = begin(&state.fifos, sockets).await;
            let made = made.map(|inotify| state.inotify.get_or_init(|| inotify));
            state.fifos.say_missing();
            match made {
                Ok(inotify) => look(&state.fifos, inotify).await,
                Err(error) => tracing::debug!("the FIFOs cannot be watched: {error}"),
            }
        });
        watch
    }

    /// Watches this FIFO too.
    ///
    /// # Errors
    /// Those of inotify_add_watch(2). [`Fifo::remove`] still looks.
    pub(crate) fn add(&self, fifo: &Arc<Fifo>) -> io::Result<()> {
        self.0.fifos.add(fifo);
        match self.0.inotify.get() {
            Some(inotify) => watch(inotify, fifo.handle()),
            None => Ok(()),
        }
    }
}

/// Watches the FIFOs that there are. A confined process has the monitor do it, as inotify_add_watch(2)
/// takes a path, and waits for it without blocking the thread.
///
/// # Errors
/// EMFILE if the user has too many such watches already.
async fn begin(
    fifos: &Watched,
    sockets: Option<Result<(OwnedFd, OwnedFd), Errno>>,
) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = match (monitor::is_sealed(), sockets) {
        (true, Some(sockets)) => {
            let (ours, theirs) = sockets?;
            monitor::watch(&theirs)?;
            drop(theirs);
            let ours = register(ours, Direction::Read).map_err(|(_, error)| error)?;
            let _ = ours.readable().await?;
            monitor::receive_descriptor(ours.get_ref())?
        }
        (true, None) => return Err(io::ErrorKind::Unsupported.into()),
        (false, _) => {
            let fd = new_inotify()?;
            for fifo in fifos.all() {
                // It is a FIFO that this process may only write to.
                if let Err(error) = watch(&fd, fifo.handle()) {
                    tracing::debug!("{}: cannot be watched: {error}", fifo.path().display());
                }
            }
            fd
        }
    };
    register(fd, Direction::Read).map_err(|(_, error)| error)
}

/// Looks at all FIFOs whenever something has happened to one.
async fn look(fifos: &Watched, inotify: &AsyncFd<OwnedFd>) {
    while let Ok(mut ready) = inotify.readable().await {
        let mut buf = [MaybeUninit::<u8>::uninit(); EVENTS];
        match rustix::io::read(inotify, &mut buf) {
            Ok(_) => {}
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        fifos.say_missing();
    }
}

/// Makes an inotify(7) descriptor that watches nothing yet.
pub(super) fn new_inotify() -> io::Result<OwnedFd> {
    Ok(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

/// Has `inotify` watch the FIFO of this O_PATH descriptor.
pub(super) fn watch(inotify: impl AsFd, handle: impl AsFd) -> io::Result<()> {
    // Watched by its name under /proc, as the path may lead elsewhere by now. Removing a name
    // changes the number of links, which is an attribute.
    let events = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
    inotify::add_watch(inotify, path_of(handle), events)?;
    Ok(())
}
