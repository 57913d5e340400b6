//! One process that keeps the powers which a confined process gives up: the *monitor*.
//!
//! [`start_monitor`](super::start_monitor) forks it at the very start, while this process has one thread, and only where something needs it: FIFOs
//! to be opened later or removed in the end, native commands that a guest may start. It keeps the paths. Asked over a
//! socket, it opens a granted FIFO and passes the descriptor back, removes what was made here, and starts, signals and
//! reaps granted commands. Once it has been told that this process is confined ([`seal`]), it learns of nothing new:
//! who takes this process over can ask for what was granted, and for nothing else.
//!
//! What it does there is in [`serving`](super::serving). When the socket closes, however this process has ended, the monitor kills the commands, removes what is left of
//! what was made, and ends. A process without a monitor, as that of an embedder, does all of this by itself.

mod messages;
mod process;
mod words;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::io::Errno;
use rustix::net::SendFlags;

use self::process::Process;
use super::{Direction, NativeCommand, NativeEnd, Usage};

pub(super) use self::messages::{
    Removed, Reply, Request, TraceKind, receive, receive_descriptor, send, socket_pair,
};
pub(super) use self::process::Host;
pub(super) use self::words::read_words;

/// The commands that guests may start: each a program and the arguments that it begins with.
pub(super) type Commands = Vec<Vec<OsString>>;

static MONITOR: OnceLock<Monitor> = OnceLock::new();

#[derive(Debug)]
struct Monitor {
    process: Process,
    /// Held from a request until its reply has come. Requests without a reply do not wait for it.
    asking: Mutex<()>,
}

/// A thing on disk that the monitor removes, or looks for. Its number is this process's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceId(u32);

/// A thing on disk, as it is announced: with the descriptor of its folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trace<'a> {
    /// A FIFO under a name that nobody knows, before it gets its own.
    Unnamed { folder: BorrowedFd<'a>, name: &'a str },
    /// A FIFO that was made here, with its O_PATH descriptor.
    Made { folder: BorrowedFd<'a>, handle: BorrowedFd<'a>, name: &'a OsStr },
    /// A FIFO that was found, and stays.
    Found { folder: BorrowedFd<'a>, handle: BorrowedFd<'a>, name: &'a OsStr },
    /// A lock that this process holds for as long as it lives: once it is dead, another may have it.
    Lock { folder: BorrowedFd<'a>, name: &'a str },
    /// A folder that is made for one FIFO, and is empty without it.
    Place { folder: BorrowedFd<'a>, name: &'a str },
}

/// Forks the monitor, which does `work`. A second call does nothing.
///
/// # Errors
/// Those of socketpair(2) and fork(2).
pub(super) fn start_with(work: impl FnOnce(&OwnedFd, &Host) -> io::Result<()>) -> io::Result<()> {
    if MONITOR.get().is_none() {
        let process = Process::start(work)?;
        MONITOR.get_or_init(|| Monitor { process, asking: Mutex::default() });
    }
    Ok(())
}

/// Whether this process has a monitor.
pub(super) fn is_there() -> bool {
    MONITOR.get().is_some()
}

/// Has the monitor remove `trace` in the end, or look for it where it stays. To be called before it is made, or gets
/// its name. `None` where there is no monitor. Never waits.
///
/// # Errors
/// Where the monitor is gone, does not read, or a descriptor cannot be passed.
pub(super) fn announce(trace: Trace<'_>) -> Result<Option<TraceId>, Errno> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Some(monitor) = MONITOR.get() else { return Ok(None) };
    let (kind, folder, handle, name) = match trace {
        Trace::Unnamed { folder, name } => (TraceKind::Unnamed, folder, None, name.as_bytes()),
        Trace::Made { folder, handle, name } => {
            (TraceKind::Made, folder, Some(handle), name.as_bytes())
        }
        Trace::Found { folder, handle, name } => {
            (TraceKind::Found, folder, Some(handle), name.as_bytes())
        }
        Trace::Lock { folder, name } => (TraceKind::Lock, folder, None, name.as_bytes()),
        Trace::Place { folder, name } => (TraceKind::Place, folder, None, name.as_bytes()),
    };
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let fds: Vec<_> = std::iter::once(folder).chain(handle).collect();
    monitor.tell(&Request::Announce { id, kind, name: name.to_vec() }, &fds)?;
    Ok(Some(TraceId(id)))
}

/// Takes back what was announced: it is somebody else's, or is gone. Never waits.
pub(super) fn forget(id: TraceId) {
    tell(&Request::Forget { id: id.0 });
}

/// Lets the FIFO `id` be opened later, in these directions. Never waits.
///
/// # Errors
/// As those of [`announce`].
pub(super) fn permit(id: TraceId, read: bool, write: bool) -> Result<(), Errno> {
    let monitor = MONITOR.get().ok_or(Errno::PIPE)?;
    monitor.tell(&Request::Permit { id: id.0, read, write }, &[])
}

static SEALED: AtomicBool = AtomicBool::new(false);

/// Notes that this process is confined from now on, and tells the monitor: nothing new is announced or permitted any
/// more.
pub(super) fn seal() {
    SEALED.store(true, Ordering::SeqCst);
    tell(&Request::Seal);
}

/// Whether this process is confined.
pub(super) fn is_sealed() -> bool {
    SEALED.load(Ordering::SeqCst)
}

/// Has the monitor remove `id`; `None` where it cannot, as it is gone. Blocks until that is done.
pub(super) fn remove(id: TraceId) -> Option<Result<Removed, Errno>> {
    match ask(&Request::Remove { id: id.0 }, &[]) {
        Ok((Reply::Removed(removed), _)) => Some(Ok(removed)),
        Ok((Reply::Error(number), _)) => Some(Err(Errno::from_raw_os_error(number))),
        // The monitor was killed. This process may try by itself.
        _ => None,
    }
}

/// Whether the name of FIFO `id` still leads to it. Where the monitor is gone, it is taken to.
pub(super) fn is_in_place(id: TraceId) -> bool {
    !matches!(ask(&Request::IsInPlace { id: id.0 }, &[]), Ok((Reply::IsInPlace(false), _)))
}

/// Opens the FIFO `id`, with O_NONBLOCK.
///
/// # Errors
/// Those of open(2), ENXIO for a writer without a reader; EACCES where that is not permitted.
pub(super) fn open(id: TraceId, direction: Direction) -> io::Result<OwnedFd> {
    ask_for_descriptor(&Request::Open { id: id.0, write: direction == Direction::Write }, &[])
}

/// Begins to open the FIFO `id` for writing, which waits for a reader. What is returned is a socket: it gets the
/// descriptor, see [`receive_descriptor`]. Closing it calls the open off.
///
/// # Errors
/// EAGAIN where the monitor has no thread to wait on; EACCES.
pub(super) fn open_when_read(id: TraceId) -> io::Result<OwnedFd> {
    ask_for_descriptor(&Request::OpenWhenRead { id: id.0 }, &[])
}

/// Opens anew what `fd` stands for, a pipe or a terminal, with the access that it has: a description of its own that
/// blocks.
///
/// # Errors
/// Those of open(2).
pub(super) fn reopen(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ask_for_descriptor(&Request::Reopen, &[fd])
}

/// A command that the monitor has started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: i32,
    /// It leads a process group.
    pub(super) leads: bool,
    pub(super) pidfd: OwnedFd,
}

/// Starts `command`. Blocks until that is done: about as long as fork(2) and execve(2) take.
///
/// # Errors
/// Those of execve(2) and fork(2); `PermissionDenied` where it is none of the granted commands; `BrokenPipe` where
/// the monitor has gone.
pub(super) fn start(command: &NativeCommand) -> io::Result<Started> {
    let words = words::write_words(command)?;
    let numbers = command.others.iter().map(|(number, _)| *number).collect();
    let mut fds =
        vec![words.as_fd(), command.stdin.as_fd(), command.stdout.as_fd(), command.stderr.as_fd()];
    fds.extend(command.others.iter().map(|(_, fd)| fd.as_fd()));
    match ask(&Request::Start { numbers }, &fds)? {
        (Reply::Started { pid, leads }, Some(pidfd)) => Ok(Started { pid, leads, pidfd }),
        // This process has no room for it.
        (Reply::Started { pid, .. }, None) => {
            abandon(pid);
            Err(Errno::MFILE.into())
        }
        (reply, _) => Err(reply.into_error()),
    }
}

/// Sends a signal to a command, or to the group that it leads. Never waits.
pub(super) fn signal(pid: i32, signal: i32) {
    tell(&Request::Signal { pid, signal });
}

/// Kills a command whose end nobody wants to know. Never waits.
pub(super) fn abandon(pid: i32) {
    tell(&Request::Abandon { pid });
}

/// Reaps a command, if it has ended.
///
/// # Errors
/// ECHILD where it is none of the monitor's; `BrokenPipe` where the monitor has gone.
pub(super) fn reap(pid: i32) -> io::Result<Option<(NativeEnd, Usage)>> {
    match ask(&Request::Reap { pid }, &[])? {
        (Reply::Running, _) => Ok(None),
        (Reply::Ended(ended), _) => Ok(Some(ended.into())),
        (reply, _) => Err(reply.into_error()),
    }
}

/// Ends the monitor, and waits for that, 30 ms at the most: for a process that is about to end, and has removed what
/// it was to remove.
pub fn end_monitor() {
    if let Some(monitor) = MONITOR.get() {
        monitor.process.end();
    }
}

fn tell(request: &Request) {
    if let Some(monitor) = MONITOR.get() {
        // A monitor that is gone has removed and killed everything.
        let _ = monitor.tell(request, &[]);
    }
}

fn ask(request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<(Reply, Option<OwnedFd>)> {
    MONITOR.get().ok_or(io::ErrorKind::BrokenPipe)?.ask(request, fds)
}

fn ask_for_descriptor(request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    match ask(request, fds)? {
        (Reply::Descriptor, Some(fd)) => Ok(fd),
        // This process has no room for it.
        (Reply::Descriptor, None) => Err(Errno::MFILE.into()),
        (reply, _) => Err(reply.into_error()),
    }
}

impl Monitor {
    /// Sends a request that has no reply. What the monitor has not read when this process ends, it reads then.
    fn tell(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        send(self.process.socket(), request, fds, SendFlags::DONTWAIT)
    }

    /// Sends a request, and waits for the reply.
    fn ask(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<(Reply, Option<OwnedFd>)> {
        let _turn = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.process.socket();
        let answer = send(socket, request, fds, SendFlags::empty())
            .map_err(io::Error::from)
            .and_then(|()| receive::<Reply>(socket));
        match answer {
            Ok(Some((reply, fds))) => Ok((reply, fds.into_iter().next())),
            Ok(None) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => {
                // A reply that comes late must not be taken for that to another request.
                self.process.hang_up();
                Err(error)
            }
        }
    }
}
