//! The *monitor*: one process that keeps the powers which a confined process gives up.
//!
//! [`start_monitor`](super::start_monitor) forks it at the very start, while this process has one
//! thread. It does so only if something needs the monitor: FIFOs that are opened later or removed in
//! the end, or native commands that a guest may start. The monitor keeps the paths. This process sends
//! it requests over a socket. The monitor opens a granted FIFO and passes the descriptor back, removes
//! what this process made, and starts, signals and reaps granted commands. Once it has been told that
//! this process is confined ([`seal`]), it accepts nothing new: a guest that takes this process over
//! can ask for what was granted, and for nothing else.
//!
//! [`serving`](super::serving) is the code that runs in the monitor. When the socket closes, however
//! this process has ended, the monitor kills the commands, removes what is left of what was made, and
//! ends. A process without a monitor, such as an embedder's, does all of this by itself.

mod messages;
mod process;
mod words;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::io::Errno;
use rustix::net::SendFlags;

pub(super) use self::process::Process;
use super::super::unix::trace::{Removed, Trace};
use super::super::{Direction, NativeCommand, NativeEnd, Usage};

pub(in crate::sys) use self::messages::receive_descriptor;
pub(super) use self::messages::{Reply, Request, TraceKind, receive, send, socket_pair};
pub(super) use self::process::Host;
pub(super) use self::words::read_words;

/// The commands that guests may start: each a program and the first arguments that it must be given.
pub(super) type Commands = Vec<Vec<OsString>>;

static MONITOR: OnceLock<Monitor> = OnceLock::new();

#[derive(Debug)]
struct Monitor {
    process: Process,
    /// Held from a request until its reply has come. Requests without a reply do not wait for it.
    asking: Mutex<()>,
}

/// The number of a file that the monitor removes or looks for. This process chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sys) struct TraceId(u32);

/// Forks the monitor, which runs `work`. A second call does nothing.
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

/// Returns whether this process has a monitor.
pub(in crate::sys) fn is_there() -> bool {
    MONITOR.get().is_some()
}

/// Has the monitor remove `trace` in the end, or look for it if it stays. Must be called before the
/// file is made or gets its name. Returns `None` without a monitor. Never blocks.
///
/// # Errors
/// Fails if the monitor is gone or does not read, or if a descriptor cannot be passed.
pub(in crate::sys) fn announce(trace: Trace<'_>) -> Result<Option<TraceId>, Errno> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Some(monitor) = MONITOR.get() else { return Ok(None) };
    let (kind, folder, handle, name) = match trace {
        Trace::Unnamed { folder, name } => (TraceKind::Unnamed, folder, None, name.as_bytes()),
        Trace::Made { folder, handle, name } => {
            (TraceKind::Made, folder, Some(handle.as_fd()), name.as_bytes())
        }
        Trace::Found { folder, handle, name } => {
            (TraceKind::Found, folder, Some(handle.as_fd()), name.as_bytes())
        }
        Trace::Lock { folder, name } => (TraceKind::Lock, folder, None, name.as_bytes()),
        Trace::Place { folder, name } => (TraceKind::Place, folder, None, name.as_bytes()),
    };
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let fds: Vec<_> = std::iter::once(folder).chain(handle).collect();
    monitor.tell(&Request::Announce { id, kind, name: name.to_vec() }, &fds)?;
    Ok(Some(TraceId(id)))
}

/// Takes an announcement back, because the file is another process's or is gone. Never blocks.
pub(in crate::sys) fn forget(id: TraceId) {
    tell(&Request::Forget { id: id.0 });
}

/// Permits to open the FIFO `id` later, in these directions. Never blocks.
///
/// # Errors
/// Those of [`announce`].
pub(in crate::sys) fn permit(id: TraceId, read: bool, write: bool) -> Result<(), Errno> {
    let monitor = MONITOR.get().ok_or(Errno::PIPE)?;
    monitor.tell(&Request::Permit { id: id.0, read, write }, &[])
}

static SEALED: AtomicBool = AtomicBool::new(false);

/// Notes that this process is confined from now on, and tells the monitor, which then accepts no new
/// announcements or permissions.
pub(super) fn seal() {
    SEALED.store(true, Ordering::SeqCst);
    tell(&Request::Seal);
}

/// Returns whether this process is confined.
pub(in crate::sys) fn is_sealed() -> bool {
    SEALED.load(Ordering::SeqCst)
}

/// Has the monitor remove `id`. Returns `None` if the monitor is gone. Blocks until it is done.
pub(in crate::sys) fn remove(id: TraceId) -> Option<Result<Removed, Errno>> {
    match ask(&Request::Remove { id: id.0 }, &[]) {
        Ok((Reply::Removed(removed), _)) => Some(Ok(removed)),
        Ok((Reply::Error(number), _)) => Some(Err(Errno::from_raw_os_error(number))),
        // The monitor was killed. The caller may try to remove the file itself.
        _ => None,
    }
}

/// Returns whether the name of the FIFO `id` still leads to it. Returns true if the monitor is gone.
pub(in crate::sys) fn is_in_place(id: TraceId) -> bool {
    !matches!(ask(&Request::IsInPlace { id: id.0 }, &[]), Ok((Reply::IsInPlace(false), _)))
}

/// Has all permitted FIFOs watched, as far as they can be. The inotify(7) descriptor arrives at the
/// other end of `socket`, see [`receive_descriptor`]. Never blocks. The monitor does it once.
///
/// # Errors
/// Fails if the monitor is gone or does not read.
pub(super) fn watch(socket: &OwnedFd) -> Result<(), Errno> {
    let monitor = MONITOR.get().ok_or(Errno::PIPE)?;
    monitor.tell(&Request::Watch, &[socket.as_fd()])
}

/// Opens the FIFO `id`, with O_NONBLOCK. Blocks until the monitor replies.
///
/// # Errors
/// Those of open(2), also ENXIO for a writer without a reader; EACCES if it was not permitted.
pub(in crate::sys) fn open(id: TraceId, direction: Direction) -> io::Result<OwnedFd> {
    ask_for_descriptor(&Request::Open { id: id.0, write: direction == Direction::Write }, &[])
}

/// Begins to open the FIFO `id` for writing, which waits for a reader. Returns a socket on which the
/// descriptor arrives, see [`receive_descriptor`]. Closing the socket calls the open off.
///
/// # Errors
/// EAGAIN if the monitor has no thread for it; EACCES.
pub(in crate::sys) fn open_when_read(id: TraceId) -> io::Result<OwnedFd> {
    ask_for_descriptor(&Request::OpenWhenRead { id: id.0 }, &[])
}

/// Opens a pipe or a terminal anew, with the access that `fd` has. Returns a description of its own
/// that blocks.
///
/// # Errors
/// Those of open(2).
pub(in crate::sys) fn reopen(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    ask_for_descriptor(&Request::Reopen, &[fd])
}

/// A command that the monitor has started.
#[derive(Debug)]
pub(in crate::sys) struct Started {
    pub(in crate::sys) pid: i32,
    /// True if the command leads a process group.
    pub(in crate::sys) leads: bool,
    pub(in crate::sys) pidfd: OwnedFd,
}

/// Starts `command`. Blocks until it runs: about as long as fork(2) and execve(2) take.
///
/// # Errors
/// Those of execve(2) and fork(2); `PermissionDenied` if the command was not granted; `BrokenPipe` if
/// the monitor is gone.
pub(in crate::sys) fn start(command: &NativeCommand) -> io::Result<Started> {
    let words = words::write_words(command)?;
    let numbers = command.others.iter().map(|(number, _)| *number).collect();
    let mut fds =
        vec![words.as_fd(), command.stdin.as_fd(), command.stdout.as_fd(), command.stderr.as_fd()];
    fds.extend(command.others.iter().map(|(_, fd)| fd.as_fd()));
    match ask(&Request::Start { numbers }, &fds)? {
        (Reply::Started { pid, leads }, Some(pidfd)) => Ok(Started { pid, leads, pidfd }),
        // This process has no room for the pidfd.
        (Reply::Started { pid, .. }, None) => {
            abandon(pid);
            Err(Errno::MFILE.into())
        }
        (reply, _) => Err(reply.into_error()),
    }
}

/// Sends a signal to a command, or to the group that it leads. Never blocks.
pub(in crate::sys) fn signal(pid: i32, signal: i32) {
    tell(&Request::Signal { pid, signal });
}

/// Kills a command. The monitor reaps it, and its exit status is lost. Never blocks.
pub(in crate::sys) fn abandon(pid: i32) {
    tell(&Request::Abandon { pid });
}

/// Reaps a command, if it has ended.
///
/// # Errors
/// ECHILD if it is no command of the monitor's; `BrokenPipe` if the monitor is gone.
pub(in crate::sys) fn reap(pid: i32) -> io::Result<Option<(NativeEnd, Usage)>> {
    match ask(&Request::Reap { pid }, &[])? {
        (Reply::Running, _) => Ok(None),
        (Reply::Ended(ended), _) => Ok(Some(ended.into())),
        (reply, _) => Err(reply.into_error()),
    }
}

/// Ends the monitor, and waits for that, 30 ms at most. For a process that is about to end and has
/// removed what it had to remove.
///
/// See the example of [`sandbox`](crate::sandbox).
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
        // This process has no room for the descriptor.
        (Reply::Descriptor, None) => Err(Errno::MFILE.into()),
        (reply, _) => Err(reply.into_error()),
    }
}

impl Monitor {
    /// Sends a request that has no reply. Requests still in the socket when this process ends are read
    /// then.
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
                // A late reply must not be taken for the reply to another request.
                self.process.hang_up();
                Err(error)
            }
        }
    }
}
