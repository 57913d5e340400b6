//! A descriptor that is read or written without ever blocking the thread.

mod poll;
mod readiness;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::unix::AsyncFd;

use super::super::Direction;
use super::super::own::{self, Lease, PIPE_BUF, monitor, reopen};
use super::identity::Identity;
use super::pipe_pair::{CapacityLease, blocking};
use super::{access, scratch};
use poll::{hung_up, interest};
pub(in crate::sys) use poll::{poll, register, restart};

/// One end of a pipe, or what takes its place: a terminal, a socket or a file.
///
/// Reads and writes return [`io::ErrorKind::WouldBlock`] instead of waiting; [`End::ready`] waits.
/// Must be made inside a tokio runtime, and belongs to it.
///
/// In this example, a host makes a [`Reader`](crate::pipe::Reader) of a descriptor:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::Label;
/// use pipehost::pipes::{Direction, End, Journal, Reader, standard};
///
/// // Other processes may share the description of stdin.
/// let end = End::shared(standard(0)?, Direction::Read)?;
/// let stdin = Reader::new(end, None, Label::Stdin, &Journal::new());
/// # Ok(())
/// # }
/// ```
pub struct End {
    fd: Waitable,
    calls: Calls,
    direction: Direction,
    /// Whether the first peer of a named pipe may not have come yet. Until it has, 0 bytes are not
    /// the end of file.
    awaits_peer: bool,
    /// Whether it is a pipe, anonymous or named.
    pipe: bool,
    /// The device's number, if it is a terminal.
    terminal: Option<u64>,
    /// The lease of the room by which the pipe was made larger.
    grown: Option<Arc<Lease>>,
    /// Bytes that were read to learn whether there is a writer.
    ahead: own::Ahead,
    /// Whether another process got the description, which is then no longer this process's alone.
    given: AtomicBool,
    /// Whether RWF_NOWAIT turned out to be unknown for this kind of descriptor. If so, poll(2)
    /// comes before each call.
    unflagged: AtomicBool,
}

enum Waitable {
    Polled(AsyncFd<OwnedFd>),
    /// epoll(7) refuses descriptors that are always ready: regular files, /dev/null.
    Always(OwnedFd),
}

/// How a call is kept from blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    /// By O_NONBLOCK, on a description that only this process has. A file needs nothing.
    Plain,
    /// By RWF_NOWAIT in each call, or by poll(2) before it: the description is shared with other
    /// processes, and O_NONBLOCK on it would change their reads and writes, too.
    Flagged,
    /// By MSG_DONTWAIT in each call, for the same reason.
    Socket,
}

impl End {
    /// Takes a descriptor whose description no other process shares, and sets O_NONBLOCK on it.
    pub fn owned(fd: OwnedFd, direction: Direction) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        if !flags.contains(OFlags::NONBLOCK) {
            rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        }
        Self::new(fd, Calls::Plain, direction)
    }

    /// Takes a descriptor whose description other processes may share. Leaves its flags alone.
    ///
    /// Opens pipes and terminals again, which gives a description of this process's own: by their name
    /// under /proc on Linux, only terminals elsewhere. If that is refused (another user made the pipe),
    /// each call carries the flag.
    pub fn shared(fd: OwnedFd, direction: Direction) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind == FileType::Socket {
            return Self::new(fd, Calls::Socket, direction);
        }
        let pipe = kind == FileType::Fifo;
        // A descriptor open for both may itself be the peer that keeps the pipe from its end.
        let both = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE == OFlags::RDWR;
        if (pipe && !both) || rustix::termios::isatty(&fd) {
            let flags = access(direction) | OFlags::NONBLOCK | OFlags::NOCTTY;
            if let Ok(own) = reopen(fd.as_fd(), flags) {
                let mut end = Self::new(own, Calls::Plain, direction)?;
                // The new description does not know which peers `fd` has seen. `fd` is asked after
                // the new one was opened, so that one of the two knows of a peer that leaves in
                // between.
                end.awaits_peer = pipe && !hung_up(poll(&fd, direction)?);
                return Ok(end);
            }
        }
        let mut end = Self::new(fd, Calls::Flagged, direction)?;
        end.awaits_peer = pipe;
        Ok(end)
    }

    fn new(fd: OwnedFd, calls: Calls, direction: Direction) -> io::Result<Self> {
        let (fd, calls) = match register(fd, direction) {
            Ok(fd) => (Waitable::Polled(fd), calls),
            Err((fd, error)) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                (Waitable::Always(fd), Calls::Plain)
            }
            Err((_, error)) => return Err(error),
        };
        let file = match &fd {
            Waitable::Polled(fd) => fd.get_ref(),
            Waitable::Always(fd) => fd,
        };
        let pipe = own::is_pipe(file);
        let terminal = match !pipe && rustix::termios::isatty(file) {
            true => Some(Identity::device_number(&rustix::fs::fstat(file)?)),
            false => None,
        };
        Ok(Self {
            fd,
            calls,
            direction,
            awaits_peer: false,
            pipe,
            terminal,
            grown: None,
            ahead: own::Ahead::default(),
            given: AtomicBool::new(false),
            unflagged: AtomicBool::new(false),
        })
    }

    /// Returns a descriptor of the same pipe or file for a native command. The descriptor blocks,
    /// as such programs expect. This end stays as it is.
    ///
    /// # Errors
    /// Those of open(2) and dup(2); `BrokenPipe` for a pipe that has no reader any more.
    /// `Unsupported` if bytes were taken out that the program would miss.
    pub fn for_native(&self) -> io::Result<OwnedFd> {
        let copy = || Ok(rustix::io::fcntl_dupfd_cloexec(self, 3)?);
        if self.ahead.len() > 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if self.calls() != Calls::Plain || matches!(self.fd, Waitable::Always(_)) {
            return copy();
        }
        // A description of its own. Opening it waits for no peer.
        let opened = match monitor::is_sealed() {
            true => monitor::reopen(self.as_fd()),
            false => {
                let flags = access(self.direction) | OFlags::NONBLOCK | OFlags::NOCTTY;
                reopen(self, flags).and_then(blocking)
            }
        };
        match opened {
            Ok(fd) => Ok(fd),
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            // The system opens nothing anew, so the two share a description.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.given.store(true, Ordering::Relaxed);
                blocking(copy()?)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns how a call is kept from blocking now.
    fn calls(&self) -> Calls {
        match self.given.load(Ordering::Relaxed) {
            true => Calls::Flagged,
            false => self.calls,
        }
    }

    /// Reads into `buf`: read(2). `Ok(0)` is the end of file, except for a FIFO that no writer has
    /// opened yet: [`End::hung_up`] tells them apart. Only a part of a large `buf` may be used.
    ///
    /// # Errors
    /// `WouldBlock` if there are no bytes yet; else those of read(2).
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if scratch::is_fast(buf) {
            return self.read_into(buf);
        }
        scratch::with(buf.len(), |scratch| {
            let n = self.read_into(scratch)?;
            buf[..n].copy_from_slice(&scratch[..n]);
            Ok(n)
        })
    }

    /// Reads up to `most` bytes as [`End::read`] does, and returns them. They may take up more memory
    /// than they have bytes, so they should be dropped soon.
    pub fn read_bytes(&self, most: usize) -> io::Result<Bytes> {
        scratch::lend(most, |scratch| self.read_into(scratch))
    }

    fn read_into(&self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(n) = self.ahead.give(buf) {
            return Ok(n);
        }
        self.attempt(|| match self.calls() {
            Calls::Plain => restart(|| rustix::io::read(self, &mut *buf)),
            Calls::Socket => {
                restart(|| rustix::net::recv(self, &mut *buf, RecvFlags::DONTWAIT).map(|(n, _)| n))
            }
            Calls::Flagged => self.flagged(|flagged| match flagged {
                true => own::read_nowait(self, buf),
                false => rustix::io::read(self, &mut *buf),
            }),
        })
    }

    /// Writes as much of `buf` as there is room for: write(2). At most PIPE_BUF bytes go into a
    /// pipe in one piece or not at all.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room yet, `BrokenPipe` if the reader is gone; else those of
    /// write(2).
    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.attempt(|| match self.calls() {
            Calls::Plain => restart(|| rustix::io::write(self, buf)),
            Calls::Socket => {
                restart(|| rustix::net::send(self, buf, SendFlags::DONTWAIT | own::NO_SIGNAL))
            }
            Calls::Flagged => self.flagged(|flagged| match flagged {
                true => own::write_nowait(self, buf),
                // Without the flag, only bytes for which a writable pipe surely has room cannot
                // block.
                false => rustix::io::write(self, &buf[..buf.len().min(PIPE_BUF)]),
            }),
        })
    }

    /// Returns whether the system has all that was written. It has: a write takes what there is room for.
    ///
    /// # Errors
    /// None.
    pub fn has_settled(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Moves up to `most` bytes from this pipe into the pipe `to` without copying them: splice(2), which Linux has.
    /// `Ok(0)` means the same as for [`End::read`].
    ///
    /// # Errors
    /// `Unsupported` if the kernel cannot splice between these two: it has no splice(2), one is not a
    /// pipe, or both are the same. `WouldBlock` if there are no bytes or no room. `BrokenPipe` if the reader is gone,
    /// which Linux returns even if there are no bytes to move.
    pub fn splice_to(&self, to: &End, most: usize) -> io::Result<usize> {
        if !(self.pipe && to.pipe) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        own::splice(self, to, most)
    }

    /// Makes a call that does not wait. If it would have to, tokio forgets that the descriptor was
    /// ready, so that [`End::ready_after_would_block`] waits for what comes after the call.
    fn attempt<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Waitable::Polled(fd) = &self.fd else {
            return call();
        };
        let mut call = Some(call);
        let tried = fd.try_io(interest(self.direction), |_| match call.take() {
            Some(call) => call(),
            None => Err(io::ErrorKind::WouldBlock.into()),
        });
        match call {
            // tokio holds the descriptor for not ready, which may be out of date: ask the kernel.
            Some(call) => call(),
            None => tried,
        }
    }

    /// Makes a call with RWF_NOWAIT. If the flag is unknown, makes the call without it, after
    /// poll(2) has said that it will not wait.
    fn flagged(
        &self,
        mut call: impl FnMut(bool) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.unflagged.load(Ordering::Relaxed) {
            match restart(|| call(true)) {
                Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                    self.unflagged.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        if !self.is_ready()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        restart(|| call(false))
    }

    /// Returns whether the first peer may not have come yet, as far as was known when this end was
    /// made.
    pub fn awaits_peer(&self) -> bool {
        self.awaits_peer
    }

    /// Returns whether a writer holds the other side of this FIFO open now, even if it has written
    /// nothing. Takes no bytes out that the next read does not return.
    pub fn has_writer(&self) -> io::Result<bool> {
        own::has_writer(self, self.calls() == Calls::Plain, &self.ahead)
    }

    /// Returns how many bytes can be read now: FIONREAD.
    pub fn available(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(self)? + self.ahead.len() as u64)
    }

    /// Returns how many bytes the pipe can hold: F_GETPIPE_SZ.
    ///
    /// # Errors
    /// EBADF if this is not a pipe. `Unsupported` on a system that does not tell.
    pub fn capacity(&self) -> io::Result<u64> {
        own::capacity(self)
    }

    /// Asks for another capacity in bytes: F_SETPIPE_SZ. The kernel rounds up to a power of two
    /// of pages.
    ///
    /// # Errors
    /// EPERM above the user's limits (pipe(7), /proc/sys/fs/pipe-*), EBUSY if more bytes than that
    /// wait in the pipe. `Unsupported` on a system where pipes have one size.
    pub fn set_capacity(&self, bytes: u64) -> io::Result<()> {
        own::set_capacity(self, bytes)
    }

    /// Asks for a larger capacity if the pipe has the default one, as far as the kernel and this
    /// process's share permit. Ignores a refusal: the pipe works as it is.
    pub fn grow(&mut self) {
        self.grown = self.grown.take().or_else(|| own::grow(&*self).map(Arc::new));
    }

    /// Returns the lease of the room by which the pipe has grown. It must be kept while another
    /// process uses that room.
    pub fn lease(&self) -> CapacityLease {
        CapacityLease(self.grown.clone())
    }

    /// Returns whether this is a pipe, anonymous or named.
    pub fn is_pipe(&self) -> bool {
        self.pipe
    }

    /// Notes that this is an end of the same pipe as `other`. The room by which `other` has grown
    /// is not given back before this end is closed, too.
    pub fn shares_growth_of(&mut self, other: &End) {
        self.grown = other.grown.clone();
    }

    /// Returns whether this was a terminal when it was opened: isatty(3).
    pub fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Returns the device's number, if this is a terminal.
    pub fn terminal(&self) -> Option<u64> {
        self.terminal
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Waitable::Polled(fd) => fd.get_ref().as_fd(),
            Waitable::Always(fd) => fd.as_fd(),
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("fd", &self.as_fd())
            .field("calls", &self.calls)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}
