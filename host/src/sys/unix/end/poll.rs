//! Asks the kernel and tokio whether a descriptor is ready.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::super::super::{Direction, own};

/// Makes tokio watch `fd`, by epoll(7) or kqueue(2). Fails with EPERM if it is always ready.
pub(in crate::sys) fn register(
    fd: OwnedFd,
    direction: Direction,
) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    if own::is_always_ready(&fd) {
        return Err((fd, Errno::PERM.into()));
    }
    // SAFETY: the `AsyncFd` owns the `OwnedFd`, which keeps the descriptor open and the same
    // until it is dropped; nothing takes it out or replaces it.
    unsafe { AsyncFd::register_with_interest(fd, interest(direction)) }
        .map_err(|refused| refused.into_parts())
}

/// Returns whether tokio has seen the other side close. tokio never forgets that.
pub(super) fn is_closed(ready: Ready) -> bool {
    ready.is_read_closed() || ready.is_write_closed()
}

/// Returns the event for which tokio waits.
pub(super) fn interest(direction: Direction) -> Interest {
    match direction {
        Direction::Read => Interest::READABLE,
        Direction::Write => Interest::WRITABLE,
    }
}

/// Returns the events of `fd` now: poll(2) without waiting.
pub(in crate::sys) fn poll(fd: impl AsFd, direction: Direction) -> io::Result<PollFlags> {
    let interest = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    let fd = fd.as_fd();
    let mut fds = [PollFd::from_borrowed_fd(fd, interest)];
    restart(|| rustix::event::poll(&mut fds, Some(&Timespec::default())))?;
    Ok(fds[0].revents())
}

/// Returns whether the events of poll(2) say that the other side is gone.
pub(super) fn hung_up(events: PollFlags) -> bool {
    events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Repeats a call that a signal interrupted.
pub(in crate::sys) fn restart<T>(call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    Ok(rustix::io::retry_on_intr(call)?)
}
