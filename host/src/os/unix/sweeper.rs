//! Removing what was made on disk, when the process that made it may remove nothing any more, or is gone.
//!
//! Before a process confines itself it makes a copy of itself, by fork(2), that holds no descriptors but
//! the folders of what is to be removed and an end of a socket. Told a number, the copy removes what has
//! that number, and nothing else can be asked of it. When the other end of the socket is closed, in
//! whatever way that process has ended, it removes what is left and ends.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::helper::Helper;
use super::names::{self, Identity, Removed};

/// What is to be removed at the end.
#[derive(Debug)]
pub(super) enum Trace {
    /// A FIFO that was made here.
    Fifo {
        /// O_PATH.
        handle: OwnedFd,
        folder: OwnedFd,
        name: CString,
        /// What it is called while it is looked at: no other trace has this name.
        aside: CString,
        identity: Identity,
    },
    /// A lock that this process holds for as long as it lives: once it is dead, another may have it.
    Lock { folder: OwnedFd, name: CString },
    /// A folder that was made for one FIFO, and is empty without it.
    Place { folder: OwnedFd, name: CString },
}

/// What the copy answers where nothing failed; else it answers the number of the error.
const REMOVED: i32 = 0;
const NOT_THERE: i32 = -1;
const DISPLACED: i32 = -2;

static SWEEPER: OnceLock<Sweeper> = OnceLock::new();

#[derive(Debug)]
struct Sweeper {
    helper: Helper,
    /// What traces are called, in order.
    names: Vec<CString>,
}

impl Trace {
    /// What no other trace is called.
    fn name(&self) -> &CString {
        match self {
            Self::Fifo { aside: name, .. } | Self::Lock { name, .. } | Self::Place { name, .. } => {
                name
            }
        }
    }

    fn fds(&self) -> impl Iterator<Item = RawFd> {
        let (first, second) = match self {
            Self::Fifo { handle, folder, .. } => (folder, Some(handle)),
            Self::Lock { folder, .. } | Self::Place { folder, .. } => (folder, None),
        };
        std::iter::once(first.as_raw_fd()).chain(second.map(AsRawFd::as_raw_fd))
    }

    fn remove(&self) -> Result<Removed, Errno> {
        match self {
            Self::Fifo { handle, folder, name, aside, identity } => {
                let (name, aside) = (OsStr::from_bytes(name.as_bytes()), aside.to_string_lossy());
                names::take_away(handle, folder, name, &aside, *identity)
            }
            Self::Lock { folder, name } => {
                rustix::fs::unlinkat(folder, name, AtFlags::empty()).map(|()| Removed::Yes)
            }
            Self::Place { folder, name } => {
                rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR).map(|()| Removed::Yes)
            }
        }
    }
}

/// Makes the copy that removes `traces`, if there are any. To be called once, before this process
/// confines itself.
///
/// # Errors
/// Those of socketpair(2) and fork(2).
pub(super) fn start(traces: Vec<Trace>) -> io::Result<()> {
    if traces.is_empty() || SWEEPER.get().is_some() {
        return Ok(());
    }
    let names = traces.iter().map(|trace| trace.name().clone()).collect();
    // What signals mean to this process is none of the copy's concern: what is typed at a terminal, and what
    // is sent to the whole job. It stays in the session, and so in what the scheduler takes for one job.
    let before = block_signals()?;
    let keep = traces.iter().flat_map(Trace::fds);
    let helper = Helper::start(keep, |socket| sweep(socket, &traces));
    // SAFETY: puts back the mask that this thread had.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    let helper = helper?;
    SWEEPER.get_or_init(|| Sweeper { helper, names });
    Ok(())
}

/// Has the copy remove what is called `name`; `None` where there is no copy, or it does not know that.
/// Blocks until that is done.
pub(super) fn remove(name: &str) -> Option<Result<Removed, Errno>> {
    let sweeper = SWEEPER.get()?;
    let at = sweeper.names.iter().position(|known| known.as_bytes() == name.as_bytes())?;
    let socket = sweeper.helper.socket();
    let socket = socket.as_ref()?;
    let ask = || {
        let at = u32::try_from(at).map_err(|_| Errno::INVAL)?;
        // No SIGPIPE: this process ignores it.
        rustix::io::retry_on_intr(|| rustix::io::write(socket, &at.to_ne_bytes()))?;
        let mut answer = [0; 4];
        match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut answer))? {
            4 => Ok(i32::from_ne_bytes(answer)),
            _ => Err(Errno::PIPE),
        }
    };
    Some(match ask() {
        Ok(REMOVED) => Ok(Removed::Yes),
        Ok(NOT_THERE) => Ok(Removed::NotThere),
        Ok(DISPLACED) => Ok(Removed::Displaced(name.into())),
        Ok(error) => Err(Errno::from_raw_os_error(error)),
        Err(error) => Err(error),
    })
}

/// Has the copy remove what is left, and end: see [`Helper::end`]. Waits until it has removed what it was
/// asked to.
pub(super) fn end() {
    if let Some(Sweeper { helper, .. }) = SWEEPER.get() {
        helper.end(helper.socket());
    }
}

/// The copy's whole life.
fn sweep(socket: &OwnedFd, traces: &[Trace]) -> io::Result<()> {
    let mut gone = vec![false; traces.len()];
    loop {
        let mut asked = [0; 4];
        match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut asked)) {
            Ok(4) => {}
            _ => break,
        }
        let at = usize::try_from(u32::from_ne_bytes(asked)).unwrap_or(usize::MAX);
        let answer = match (traces.get(at), gone.get_mut(at)) {
            (Some(trace), Some(gone)) if !*gone => {
                *gone = true;
                match trace.remove() {
                    Ok(Removed::Yes) => REMOVED,
                    Ok(Removed::NotThere) | Err(Errno::NOENT) => NOT_THERE,
                    Ok(Removed::Displaced(_)) => DISPLACED,
                    Err(error) => error.raw_os_error(),
                }
            }
            _ => NOT_THERE,
        };
        rustix::io::write(socket, &answer.to_ne_bytes())?;
    }
    for (trace, gone) in traces.iter().zip(gone) {
        if !gone && !matches!(trace, Trace::Lock { .. }) {
            // Nobody is left who could be told.
            let _ = trace.remove();
        }
    }
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
