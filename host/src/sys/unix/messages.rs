//! Writes the host's own lines to stderr, without waiting for a slow reader of stderr.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::SendFlags;

use super::super::own::{self, reopen};

/// How long a message may wait for the reader of stderr.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many bytes are written at once to a terminal that poll(2) calls writable. Such a terminal has
/// room for some bytes, but no call says how many. A piece of this size blocks in practice only if the
/// terminal is all but full.
const PIECE: usize = 64;

static STDERR: OnceLock<Way> = OnceLock::new();

/// How stderr is written to without blocking.
#[derive(Debug)]
enum Way {
    /// A description of this process's own, with O_NONBLOCK. Other processes that share stderr keep
    /// theirs unchanged.
    Own(OwnedFd),
    /// MSG_DONTWAIT in each call.
    Socket,
    /// A file, or /dev/null: writing does not depend on a reader.
    Plain,
    /// RWF_NOWAIT in each call. Where that is not supported, small pieces after poll(2).
    Shared,
}

impl Way {
    fn of_stderr() -> Self {
        let stderr = io::stderr();
        let Ok(stat) = rustix::fs::fstat(&stderr) else { return Self::Plain };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => Self::Socket,
            FileType::Fifo | FileType::CharacterDevice => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                // This fails if the terminal or the pipe is another user's, and for pipes without /proc.
                reopen(&stderr, flags).map_or(Self::Shared, Self::Own)
            }
            _ => Self::Plain,
        }
    }

    /// Writes some of `bytes`. Returns EAGAIN if that would block.
    fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        let stderr = io::stderr();
        match self {
            Self::Own(fd) => rustix::io::write(fd, bytes),
            Self::Plain => rustix::io::write(&stderr, bytes),
            Self::Socket => rustix::net::send(&stderr, bytes, SendFlags::DONTWAIT | own::NO_SIGNAL),
            Self::Shared => {
                match own::write_nowait(&stderr, bytes) {
                    Err(Errno::OPNOTSUPP | Errno::SPIPE | Errno::INVAL) => {}
                    written => return written,
                }
                match self.is_writable(Duration::ZERO) {
                    true => rustix::io::write(&stderr, &bytes[..bytes.len().min(PIECE)]),
                    false => Err(Errno::AGAIN),
                }
            }
        }
    }

    /// Waits at most `patience` until stderr has some room. Returns whether it has.
    fn is_writable(&self, patience: Duration) -> bool {
        let stderr = io::stderr();
        let mut fds = [match self {
            Self::Own(fd) => PollFd::new(fd, PollFlags::OUT),
            _ => PollFd::new(&stderr, PollFlags::OUT),
        }];
        let patience = Timespec::try_from(patience).unwrap_or_default();
        rustix::event::poll(&mut fds, Some(&patience)).is_ok_and(|ready| ready > 0)
    }
}

/// Chooses how messages are written, while that is still permitted: see [`confine`](super::confine).
/// Opens one descriptor if stderr is a pipe or a terminal.
pub(crate) fn prepare_messages() {
    STDERR.get_or_init(Way::of_stderr);
}

/// Writes a message of the host to stderr, as much of it as possible. stderr may have no reader, and
/// the host must still end on time. Blocks for at most 50 ms.
pub(crate) fn write_message(message: &[u8]) {
    write_message_within(message, PATIENCE);
}

/// Writes as [`write_message`] does, waits for at most `patience`, and returns how many bytes need not be written any
/// more: those that are written, or all if stderr fails.
pub(crate) fn write_message_within(message: &[u8], patience: Duration) -> usize {
    let way = STDERR.get_or_init(Way::of_stderr);
    let deadline = Instant::now() + patience;
    let mut rest = message;
    while !rest.is_empty() {
        match retry_on_intr(|| way.write(rest)) {
            Ok(n) => rest = &rest[n..],
            Err(Errno::AGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() || !way.is_writable(left) {
                    return message.len() - rest.len();
                }
            }
            Err(_) => return message.len(),
        }
    }
    message.len()
}
