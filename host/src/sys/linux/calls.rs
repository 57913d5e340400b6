//! System calls on bytes that only Linux has.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use rustix::pipe::SpliceFlags;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// The offset that makes preadv2(2) and pwritev2(2) use, and move, the file's own position.
const AT_CURSOR: u64 = u64::MAX;

/// Bytes that were taken out of a pipe to learn whether it has a writer. tee(2) takes none out.
#[derive(Debug, Default)]
pub(in crate::sys) struct Ahead(());

impl Ahead {
    /// Returns how many bytes there are.
    #[inline]
    pub(in crate::sys) fn len(&self) -> usize {
        0
    }

    /// Gives the bytes to a read.
    #[inline]
    pub(in crate::sys) fn give(&self, _: &mut [u8]) -> Option<usize> {
        None
    }
}

/// Makes a pipe: pipe2(2) with O_CLOEXEC, by `os_pipe`.
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left.
pub(in crate::sys) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = os_pipe::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Moves up to `most` bytes from a pipe into another without copying them or waiting: splice(2).
///
/// # Errors
/// `Unsupported` if the kernel cannot splice between these two; else those of splice(2).
pub(in crate::sys) fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    // Between two pipes, this flag decides whether the call waits. O_NONBLOCK does not count.
    let flags = SpliceFlags::NONBLOCK;
    let moved = retry_on_intr(|| rustix::pipe::splice(&from, None, &to, None, most, flags));
    moved.map_err(|error| match error {
        Errno::INVAL | Errno::NOSYS | Errno::PERM => io::ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

/// Returns whether a writer holds the other side of this FIFO open now. Takes no bytes out: tee(2)
/// copies a byte, if there is one, into a scratch pipe.
///
/// # Errors
/// Those of tee(2) and pipe(2).
pub(in crate::sys) fn has_writer(fd: impl AsFd, _own: bool, _: &Ahead) -> io::Result<bool> {
    let (_scrap_reader, scrap) = pipe()?;
    match retry_on_intr(|| rustix::pipe::tee(&fd, &scrap, 1, SpliceFlags::NONBLOCK)) {
        Ok(copied) => Ok(copied > 0),
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Reads without waiting, whatever the flags of the description: RWF_NOWAIT.
///
/// # Errors
/// EOPNOTSUPP if the flag is unknown for this kind of descriptor; else those of preadv2(2).
pub(in crate::sys) fn read_nowait(fd: impl AsFd, buf: &mut [u8]) -> Result<usize, Errno> {
    rustix::io::preadv2(fd, &mut [IoSliceMut::new(buf)], AT_CURSOR, ReadWriteFlags::NOWAIT)
}

/// Writes without waiting, whatever the flags of the description: RWF_NOWAIT.
///
/// # Errors
/// EOPNOTSUPP if the flag is unknown for this kind of descriptor; else those of pwritev2(2).
pub(in crate::sys) fn write_nowait(fd: impl AsFd, buf: &[u8]) -> Result<usize, Errno> {
    rustix::io::pwritev2(fd, &[IoSlice::new(buf)], AT_CURSOR, ReadWriteFlags::NOWAIT)
}

/// Writes to the end of a file, wherever that is by then: pwritev2(2) with RWF_APPEND. May write less
/// than all.
///
/// # Errors
/// Those of pwritev2(2), except EINTR.
pub(crate) fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    let (bytes, flags) = (&[IoSlice::new(bytes)], ReadWriteFlags::APPEND);
    Ok(retry_on_intr(|| rustix::io::pwritev2(file, bytes, 0, flags))?)
}

/// Waits until something has happened that may be the reader's leaving. epoll(7) reports that as an
/// error, which comes by itself.
///
/// # Errors
/// Fails if the runtime is shutting down.
pub(in crate::sys) async fn reader_gone(fd: &AsyncFd<OwnedFd>) -> io::Result<()> {
    fd.ready(Interest::ERROR).await?.clear_ready_matching(Ready::ERROR);
    Ok(())
}
