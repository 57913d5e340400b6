//! What the kernel and tokio say of a descriptor's readiness.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::super::Direction;

/// Has tokio watch `fd`, by epoll(7).
pub(in super::super) fn register(
    fd: OwnedFd,
    direction: Direction,
) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // SAFETY: the `AsyncFd` owns the `OwnedFd`, which keeps the descriptor open and the same
    // until it is dropped; nothing takes it out or replaces it.
    unsafe { AsyncFd::register_with_interest(fd, interest(direction)) }
        .map_err(|refused| refused.into_parts())
}

/// Whether tokio has seen the other side close. It never forgets that again.
pub(super) fn is_closed(ready: Ready) -> bool {
    ready.is_read_closed() || ready.is_write_closed()
}

/// What is waited for.
pub(super) fn interest(direction: Direction) -> Interest {
    match direction {
        Direction::Read => Interest::READABLE,
        Direction::Write => Interest::WRITABLE,
    }
}

/// poll(2) without waiting.
pub(super) fn poll(fd: impl AsFd, direction: Direction) -> io::Result<PollFlags> {
    let interest = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    let fd = fd.as_fd();
    let mut fds = [PollFd::from_borrowed_fd(fd, interest)];
    restart(|| rustix::event::poll(&mut fds, Some(&Timespec::default())))?;
    Ok(fds[0].revents())
}

/// Whether the other side is gone, by what poll(2) says.
pub(super) fn hung_up(events: PollFlags) -> bool {
    events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Repeats a call that a signal interrupted.
pub(super) fn restart<T>(call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    Ok(rustix::io::retry_on_intr(call)?)
}
