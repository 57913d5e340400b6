//! Removing what was made on disk, when the process that made it may remove nothing any more, or is gone.
//!
//! Before a process confines itself it makes a copy of itself, by fork(2), that holds no descriptors but
//! the folders of what is to be removed and an end of a socket. Told a number, the copy removes what has
//! that number, and nothing else can be asked of it. When the other end of the socket is closed, in
//! whatever way that process has ended, it removes what is left and ends.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

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

/// Where they have to be closed one by one, descriptors above this are not.
const MOST_DESCRIPTORS: u32 = 1 << 16;

static SWEEPER: OnceLock<Sweeper> = OnceLock::new();

#[derive(Debug)]
struct Sweeper {
    /// `None` once it has been told that nothing more comes.
    socket: Mutex<Option<OwnedFd>>,
    pid: libc::pid_t,
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
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let mut keep: Vec<RawFd> = traces.iter().flat_map(Trace::fds).collect();
    keep.push(theirs.as_raw_fd());
    let names = traces.iter().map(|trace| trace.name().clone()).collect();
    // The copy has this thread alone, and no use for what signals mean to this process: what is typed at a
    // terminal, and what is sent to the whole job, are none of its concern. It stays in the session, and so
    // in what the scheduler takes for one job.
    let before = block_signals()?;
    // SAFETY: the copy takes no lock but malloc's, which the C library sees to.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        let outcome = keep_only(&mut keep).and_then(|()| sweep(&theirs, &traces));
        // SAFETY: ends this process at once, as its parent has things to tidy up that this is a copy of.
        unsafe { libc::_exit(i32::from(outcome.is_err())) }
    }
    let error = io::Error::last_os_error();
    // SAFETY: puts back the mask that this thread had.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    if forked < 0 {
        return Err(error);
    }
    SWEEPER.get_or_init(|| Sweeper { socket: Mutex::new(Some(ours)), pid: forked, names });
    Ok(())
}

/// Has the copy remove what is called `name`; `None` where there is no copy, or it does not know that.
/// Blocks until that is done.
pub(super) fn remove(name: &str) -> Option<Result<Removed, Errno>> {
    let sweeper = SWEEPER.get()?;
    let at = sweeper.names.iter().position(|known| known.as_bytes() == name.as_bytes())?;
    let socket = sweeper.socket.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Has the copy remove what is left, and end: for a process that is about to. Waits for that, some
/// milliseconds at the most.
pub(super) fn end() {
    if let Some(sweeper) = SWEEPER.get() {
        let socket = sweeper.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        if socket.is_some() {
            drop(socket);
            bury(sweeper.pid);
        }
    }
}

/// Reaps a copy of this process that is about to end, so that it is nobody else's to reap.
pub(super) fn bury(pid: libc::pid_t) {
    let asked = Instant::now();
    loop {
        // SAFETY: waits for a child of this process, and wants to know nothing of it.
        let reaped = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
        if reaped != 0 || asked.elapsed() > PATIENCE {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// How long a process that ends waits for a copy of itself to end.
const PATIENCE: Duration = Duration::from_millis(30);

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

/// For a copy of this process: closes all descriptors but these. The standard streams become /dev/null, so
/// that nobody waits for this process to close them.
pub(super) fn keep_only(keep: &mut Vec<RawFd>) -> io::Result<()> {
    keep.push(2);
    keep.sort_unstable();
    let from = keep.iter().map(|fd| fd.unsigned_abs() + 1);
    let to = keep[1..].iter().map(|fd| fd.unsigned_abs().saturating_sub(1));
    for (from, to) in from.zip(to.chain([u32::MAX])) {
        if from > to {
            continue;
        }
        // SAFETY: what is closed belongs to values of the parent's that are never touched here.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        if closed != 0 {
            // Before Linux 5.9, or where somebody else's filter does not know the call.
            for fd in from..=to.min(MOST_DESCRIPTORS) {
                // SAFETY: as above.
                unsafe { libc::close(fd.cast_signed()) };
            }
        }
    }
    // Now there is a descriptor to be had.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// A copy of a descriptor, for a trace.
pub(super) fn copy(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}
