//! A descriptor that is read or written without ever blocking the thread.

mod poll;
mod readiness;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::SpliceFlags;
use tokio::io::unix::AsyncFd;

use super::capacity::{Lease, grow};
use super::pipe_pair::{CapacityLease, blocking};
use super::{Direction, PIPE_BUF, access, monitor, reopen, scratch};
pub(super) use poll::register;
use poll::{hung_up, interest, poll, restart};

/// The offset that makes preadv2(2) and pwritev2(2) use, and move, the file's own position.
const AT_CURSOR: u64 = u64::MAX;

/// One end of a pipe, or what stands in its place: a terminal, a socket, a file.
///
/// Reads and writes answer [`io::ErrorKind::WouldBlock`] instead of waiting; [`End::ready`] waits.
/// Must be made inside a tokio runtime, and belongs to it.
pub struct End {
    fd: Waitable,
    calls: Calls,
    direction: Direction,
    /// The first peer of a named pipe may be yet to come: 0 bytes are no end of file until then.
    awaits_peer: bool,
    /// It is a pipe, anonymous or named.
    pipe: bool,
    /// The device, if it is a terminal.
    terminal: Option<u64>,
    /// It was made larger than it was.
    grown: Option<Arc<Lease>>,
    /// RWF_NOWAIT turned out to be unknown for this kind of descriptor: poll(2) comes first then.
    unflagged: AtomicBool,
}

enum Waitable {
    Polled(AsyncFd<OwnedFd>),
    /// epoll(7) refuses what is always ready: regular files, /dev/null.
    Always(OwnedFd),
}

/// What keeps a call from blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    /// O_NONBLOCK, on a description that is ours alone; or nothing has to, as for a file.
    Plain,
    /// RWF_NOWAIT in each call: the description is shared with other processes, and O_NONBLOCK
    /// on it would change their reads and writes too.
    Flagged,
    /// MSG_DONTWAIT in each call, for the same reason.
    Socket,
}

impl End {
    /// Takes a descriptor whose description nobody shares, and sets O_NONBLOCK on it.
    pub fn owned(fd: OwnedFd, direction: Direction) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        if !flags.contains(OFlags::NONBLOCK) {
            rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        }
        Self::new(fd, Calls::Plain, direction)
    }

    /// Takes a descriptor whose description others may share; leaves its flags alone.
    ///
    /// Pipes and terminals are opened anew by their name under /proc, which gives a description
    /// of our own. Where that is refused (the pipe was made by another user), each call carries
    /// the flag.
    pub fn shared(fd: OwnedFd, direction: Direction) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind == FileType::Socket {
            return Self::new(fd, Calls::Socket, direction);
        }
        let pipe = kind == FileType::Fifo;
        // Open for both, it may be the very peer that keeps the pipe from its end.
        let both = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE == OFlags::RDWR;
        if (pipe && !both) || rustix::termios::isatty(&fd) {
            let flags = access(direction) | OFlags::NONBLOCK | OFlags::NOCTTY;
            if let Ok(own) = reopen(fd.as_fd(), flags) {
                let mut end = Self::new(own, Calls::Plain, direction)?;
                // What `fd` has seen of peers, the new description has not. Asked after it was
                // opened, so that whoever leaves in between is known to one of the two.
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
        let pipe = rustix::pipe::fcntl_getpipe_size(file).is_ok();
        let terminal = match !pipe && rustix::termios::isatty(file) {
            true => Some(rustix::fs::fstat(file)?.st_rdev),
            false => None,
        };
        let unflagged = AtomicBool::new(false);
        let awaits_peer = false;
        Ok(Self { fd, calls, direction, awaits_peer, pipe, terminal, grown: None, unflagged })
    }

    /// What a native command can be given in place of this end: a descriptor of the same pipe or file
    /// that blocks, as such programs expect. This end stays as it is.
    ///
    /// # Errors
    /// Those of open(2) and dup(2); `BrokenPipe` for a pipe that nobody reads any more.
    pub fn for_native(&self) -> io::Result<OwnedFd> {
        let copy = || Ok(rustix::io::fcntl_dupfd_cloexec(self, 3)?);
        if self.calls != Calls::Plain || matches!(self.fd, Waitable::Always(_)) {
            return copy();
        }
        // A description of its own, whose opening waits for nobody.
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
            Err(error) => Err(error),
        }
    }

    /// read(2) into `buf`. `Ok(0)` is the end of file, but for a FIFO that no writer has opened
    /// yet: [`End::hung_up`] tells them apart. Of a large `buf` only a part may be used.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there to be read yet; else those of read(2).
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

    /// As [`End::read`], appending up to `most` bytes to `buf`.
    pub fn read_onto(&self, buf: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        scratch::with(most, |scratch| {
            let n = self.read_into(scratch)?;
            buf.extend_from_slice(&scratch[..n]);
            Ok(n)
        })
    }

    fn read_into(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.attempt(|| match self.calls {
            Calls::Plain => restart(|| rustix::io::read(self, &mut *buf)),
            Calls::Socket => {
                restart(|| rustix::net::recv(self, &mut *buf, RecvFlags::DONTWAIT).map(|(n, _)| n))
            }
            Calls::Flagged => self.flagged(|flags| {
                rustix::io::preadv2(self, &mut [IoSliceMut::new(buf)], AT_CURSOR, flags)
            }),
        })
    }

    /// write(2) of `buf`, as much of it as there is room for. At most PIPE_BUF bytes go into a
    /// pipe in one piece or not at all.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room yet, `BrokenPipe` where the reader is gone; else those
    /// of write(2).
    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.attempt(|| match self.calls {
            Calls::Plain => restart(|| rustix::io::write(self, buf)),
            Calls::Socket => {
                restart(|| rustix::net::send(self, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL))
            }
            Calls::Flagged => self.flagged(|flags| {
                // Without the flag, only what a writable pipe surely has room for cannot block.
                let most = match flags.is_empty() {
                    true => buf.len().min(PIPE_BUF),
                    false => buf.len(),
                };
                rustix::io::pwritev2(self, &[IoSlice::new(&buf[..most])], AT_CURSOR, flags)
            }),
        })
    }

    /// splice(2): moves up to `most` bytes from this pipe into the pipe `to`, without copying them.
    /// `Ok(0)` as for [`End::read`].
    ///
    /// # Errors
    /// `Unsupported` where that cannot be done with these two: one is no pipe, or both are the same.
    /// `WouldBlock` where nothing is there to be read or there is no room; `BrokenPipe` where the
    /// reader is gone, which Linux says even if nothing is left to be moved.
    pub fn splice_to(&self, to: &End, most: usize) -> io::Result<usize> {
        if !(self.pipe && to.pipe) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // For two pipes the flag decides whether it waits, and O_NONBLOCK does not count.
        let flags = SpliceFlags::NONBLOCK;
        restart(|| rustix::pipe::splice(self, None, to, None, most, flags)).map_err(|error| {
            let refused = [Errno::INVAL, Errno::NOSYS, Errno::PERM].map(Errno::raw_os_error);
            match error.raw_os_error().is_some_and(|number| refused.contains(&number)) {
                true => io::ErrorKind::Unsupported.into(),
                false => error,
            }
        })
    }

    /// Makes a call that does not wait. Where it would have to, tokio forgets that the descriptor
    /// was ready, so that [`End::ready_after_would_block`] waits for what comes after the call.
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
            // What tokio remembers may be out of date: the kernel knows.
            Some(call) => call(),
            None => tried,
        }
    }

    /// Makes a call with RWF_NOWAIT; where that is unknown, makes it without, after poll(2) said
    /// that it will not wait.
    fn flagged(
        &self,
        mut call: impl FnMut(ReadWriteFlags) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.unflagged.load(Ordering::Relaxed) {
            match restart(|| call(ReadWriteFlags::NOWAIT)) {
                Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                    self.unflagged.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        if !self.is_ready()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        restart(|| call(ReadWriteFlags::empty()))
    }

    /// Whether the first peer may be yet to come, as far as is known from before this end was
    /// made.
    pub fn awaits_peer(&self) -> bool {
        self.awaits_peer
    }

    /// Whether a writer holds the other side of this FIFO open now, though it may have written
    /// nothing. Takes nothing out: tee(2) copies a byte, if there is one, into a pipe of no use.
    pub fn has_writer(&self) -> io::Result<bool> {
        let (_scrap_reader, scrap) = os_pipe::pipe()?;
        match restart(|| rustix::pipe::tee(self, &scrap, 1, SpliceFlags::NONBLOCK)) {
            Ok(copied) => Ok(copied > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// How many bytes can be read now: FIONREAD.
    pub fn available(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(self)?)
    }

    /// How many bytes the pipe holds: F_GETPIPE_SZ.
    ///
    /// # Errors
    /// EBADF where this is no pipe.
    pub fn capacity(&self) -> io::Result<u64> {
        Ok(rustix::pipe::fcntl_getpipe_size(self)? as u64)
    }

    /// Asks for another capacity in bytes: F_SETPIPE_SZ. The kernel rounds up to a power of two
    /// of pages.
    ///
    /// # Errors
    /// EPERM above the user's limits (pipe(7), /proc/sys/fs/pipe-*), EBUSY where more than that
    /// waits in the pipe.
    pub fn set_capacity(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        rustix::pipe::fcntl_setpipe_size(self, bytes)?;
        Ok(())
    }

    /// Asks for a larger capacity where the pipe has the default one, as far as the kernel and this
    /// process's share permit. What refuses is not told: the pipe works as it is.
    pub fn grow(&mut self) {
        self.grown = self.grown.take().or_else(|| grow(&*self).map(Arc::new));
    }

    /// What its pipe has grown by, to be kept while somebody else uses that.
    pub fn lease(&self) -> CapacityLease {
        CapacityLease(self.grown.clone())
    }

    /// Whether it is a pipe, anonymous or named.
    pub fn is_pipe(&self) -> bool {
        self.pipe
    }

    /// Says that this is an end of the same pipe as `other`: what that has grown by is not given back
    /// before this is closed, too.
    pub fn shares_growth_of(&mut self, other: &End) {
        self.grown = other.grown.clone();
    }

    /// Whether this was a terminal when it was opened: isatty(3).
    pub fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// The device's number, if it is a terminal.
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
