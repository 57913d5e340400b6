//! Removing what was made on disk, when the process that made it may remove nothing any more, or is gone.
//!
//! Before a process makes anything it makes a copy of itself, by fork(2), that holds no descriptors but an end
//! of a socket. What is about to be made is announced to the copy first, with its folder's descriptor. Told a
//! name that was announced, the copy removes what has that name, and nothing else can be asked of it. When
//! the other end of the socket is closed, in whatever way that process has ended, it removes what is left and
//! ends. A process without such a copy, as that of an embedder, removes what it made by itself.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::helper::{Helper, Request, receive};
use super::names::{self, Identity, Removed};
use super::runtime;

/// What is announced, with its folder, and where it has one with its O_PATH descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trace<'a> {
    /// A FIFO under a name that nobody knows, before it gets its own.
    Unnamed { folder: BorrowedFd<'a>, name: &'a str },
    /// A FIFO that was made here.
    Fifo {
        folder: BorrowedFd<'a>,
        /// O_PATH.
        handle: BorrowedFd<'a>,
        name: &'a OsStr,
        /// What it is called while it is looked at: no other trace has this name.
        aside: &'a str,
    },
    /// A lock that this process holds for as long as it lives: once it is dead, another may have it.
    Lock { folder: BorrowedFd<'a>, name: &'a str },
    /// A folder that is made for one FIFO, and is empty without it.
    Place { folder: BorrowedFd<'a>, name: &'a str },
}

/// What the first byte of a message says that it is.
const UNNAMED: u8 = b'u';
const FIFO: u8 = b'f';
const LOCK: u8 = b'l';
const PLACE: u8 = b'p';
const REMOVE: u8 = b'r';
const FORGET: u8 = b'x';

/// What the copy answers where nothing failed; else it answers the number of the error.
const REMOVED: i32 = 0;
const NOT_THERE: i32 = -1;
const DISPLACED: i32 = -2;

/// The longest message: two names of files, and what is between them.
const MOST_BYTES: usize = 1024;

/// How long the kernel may take to give back the locks of a process that has closed its socket: it closes one
/// descriptor after another.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

static SWEEPER: OnceLock<Sweeper> = OnceLock::new();

#[derive(Debug)]
struct Sweeper {
    helper: Helper,
    /// What it may be told to remove.
    names: Mutex<Vec<String>>,
}

/// Makes the copy that removes what this process will make. To be called while this process has one thread,
/// before it makes anything; a second call does nothing.
///
/// # Errors
/// Those of socketpair(2) and fork(2).
pub fn start_sweeper() -> io::Result<()> {
    if SWEEPER.get().is_some() {
        return Ok(());
    }
    // What signals mean to this process is none of the copy's concern: what is typed at a terminal, and what
    // is sent to the whole job. It stays in the session, and so in what the scheduler takes for one job.
    let before = block_signals()?;
    let helper = Helper::start(std::iter::empty(), sweep);
    // SAFETY: puts back the mask that this thread had.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    let helper = helper?;
    // So that what kills the whole group, as kill(1) with a negative number does, leaves it. Done here, as the
    // copy may not have run yet when something is made.
    helper.leave_group();
    SWEEPER.get_or_init(|| Sweeper { helper, names: Mutex::default() });
    Ok(())
}

/// Has the copy remove `trace` in the end. To be called before it is made, or gets its name.
///
/// # Errors
/// Where the copy is gone, or a descriptor cannot be passed.
pub(super) fn announce(trace: Trace<'_>) -> Result<(), Errno> {
    let Some(sweeper) = SWEEPER.get() else { return Ok(()) };
    let (kind, folder, handle, name, aside) = match trace {
        Trace::Unnamed { folder, name } => (UNNAMED, folder, None, name.as_bytes(), ""),
        Trace::Fifo { folder, handle, name, aside } => {
            (FIFO, folder, Some(handle), name.as_bytes(), aside)
        }
        Trace::Lock { folder, name } => (LOCK, folder, None, name.as_bytes(), ""),
        Trace::Place { folder, name } => (PLACE, folder, None, name.as_bytes(), ""),
    };
    let id =
        if aside.is_empty() { String::from_utf8_lossy(name).into_owned() } else { aside.into() };
    let text = [&[kind][..], aside.as_bytes(), b"\0", name].concat();
    let fds: Vec<_> = std::iter::once(folder).chain(handle).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let socket = sweeper.helper.socket();
    let socket = socket.as_ref().ok_or(Errno::PIPE)?;
    // What the copy has not read yet when this process ends, it reads then. A copy that reads nothing at all
    // must not keep this process waiting.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[IoSlice::new(&text)], &mut control, flags)
    })?;
    sweeper.names.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    Ok(())
}

/// Takes back what was announced: it is somebody else's.
pub(super) fn forget(name: &str) {
    let Some(sweeper) = SWEEPER.get() else { return };
    let mut names = sweeper.names.lock().unwrap_or_else(PoisonError::into_inner);
    names.retain(|known| known != name);
    if let Some(socket) = sweeper.helper.socket().as_ref() {
        // Where that fails, the copy looks for it in vain.
        let text = [&[FORGET][..], name.as_bytes()].concat();
        let _ = rustix::net::send(socket, &text, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

/// Has the copy remove what is called `name`; `None` where there is no copy, or it does not know that.
/// Blocks until that is done.
pub(super) fn remove(name: &str) -> Option<Result<Removed, Errno>> {
    let sweeper = SWEEPER.get()?;
    {
        let mut names = sweeper.names.lock().unwrap_or_else(PoisonError::into_inner);
        let at = names.iter().position(|known| known == name)?;
        names.swap_remove(at);
    }
    let socket = sweeper.helper.socket();
    let socket = socket.as_ref()?;
    let ask = || {
        let text = [&[REMOVE][..], name.as_bytes()].concat();
        // No SIGPIPE: this process ignores it.
        rustix::io::retry_on_intr(|| rustix::io::write(socket, &text))?;
        let mut answer = [0; 4];
        match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut answer))? {
            4 => Ok(i32::from_ne_bytes(answer)),
            _ => Err(Errno::PIPE),
        }
    };
    match ask() {
        Ok(REMOVED) => Some(Ok(Removed::Yes)),
        Ok(NOT_THERE) => Some(Ok(Removed::NotThere)),
        Ok(DISPLACED) => Some(Ok(Removed::Displaced(name.into()))),
        Ok(error) => Some(Err(Errno::from_raw_os_error(error))),
        // The copy was killed. Whoever asks may try for itself.
        Err(_) => None,
    }
}

/// Has the copy remove what is left, and end: see [`Helper::end`]. Waits until it has removed what it was
/// asked to.
pub(super) fn end() {
    if let Some(Sweeper { helper, .. }) = SWEEPER.get() {
        helper.end(helper.socket());
    }
}

/// What the copy knows of.
struct Known {
    kind: u8,
    folder: OwnedFd,
    handle: Option<OwnedFd>,
    name: Vec<u8>,
    /// Of a FIFO.
    aside: String,
}

impl Known {
    fn of(text: &[u8], fds: Vec<OwnedFd>) -> Option<Self> {
        let (kind, text) = text.split_first()?;
        let at = text.iter().position(|byte| *byte == 0)?;
        let mut fds = fds.into_iter();
        Some(Self {
            kind: *kind,
            folder: fds.next()?,
            handle: fds.next(),
            name: text[at + 1..].to_vec(),
            aside: String::from_utf8_lossy(&text[..at]).into_owned(),
        })
    }

    /// Whether it is called so.
    fn is(&self, id: &[u8]) -> bool {
        let own = if self.aside.is_empty() { &self.name } else { self.aside.as_bytes() };
        own == id
    }

    fn remove(&self) -> Result<Removed, Errno> {
        let Self { kind, folder, name, aside, .. } = self;
        let name = OsStr::from_bytes(name);
        match (*kind, &self.handle) {
            (FIFO, Some(handle)) => {
                let identity = Identity::of_open(handle)?;
                names::take_away(handle, folder, name, aside, identity)
            }
            (UNNAMED | LOCK, _) => {
                rustix::fs::unlinkat(folder, name, AtFlags::empty()).map(|()| Removed::Yes)
            }
            (PLACE, _) => {
                rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR).map(|()| Removed::Yes)
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// Removes what the process that made it has left.
    fn sweep(&self) {
        // Nobody is left who could be told.
        match self.kind {
            LOCK => {
                // It is somebody's who lives, until the kernel has taken it back from who died.
                let began = Instant::now();
                let name = OsStr::from_bytes(&self.name);
                while !runtime::remove_unlocked(self.folder.as_fd(), name)
                    && began.elapsed() < LOCK_PATIENCE
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            _ => {
                let _ = self.remove();
            }
        }
    }
}

/// The copy's whole life.
fn sweep(socket: &OwnedFd) -> io::Result<()> {
    let mut known: Vec<Known> = Vec::new();
    let mut text = vec![0; MOST_BYTES];
    loop {
        let Ok(Some(Request { bytes, fds, is_whole })) = receive(socket, &mut text) else { break };
        let message = &text[..bytes];
        match message.split_first() {
            Some((&REMOVE, id)) => {
                let answer = match known.iter().position(|it| it.is(id)) {
                    Some(at) => match known.remove(at).remove() {
                        Ok(Removed::Yes) => REMOVED,
                        Ok(Removed::NotThere) | Err(Errno::NOENT) => NOT_THERE,
                        Ok(Removed::Displaced(_)) => DISPLACED,
                        Err(error) => error.raw_os_error(),
                    },
                    None => NOT_THERE,
                };
                rustix::io::write(socket, &answer.to_ne_bytes())?;
            }
            Some((&FORGET, id)) => known.retain(|it| !it.is(id)),
            _ if !is_whole => {}
            _ => known.extend(Known::of(message, fds)),
        }
    }
    // What stands in a folder that was made goes before the folder does.
    known.iter().rev().for_each(Known::sweep);
    Ok(())
}

/// Blocks all signals on this thread, and gives the mask that it had.
fn block_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: `sigfillset` makes the set valid before it is used; only this thread's mask changes.
    unsafe {
        let (mut all, mut before) = std::mem::zeroed::<(libc::sigset_t, libc::sigset_t)>();
        libc::sigfillset(&mut all);
        match libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}
