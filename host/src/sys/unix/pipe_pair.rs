//! Pipes that join two programs of a pipeline. The host keeps no end of them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::super::Holder;
use super::super::own::{self, Lease};

/// A pipe whose two ends are about to be given away. Both are blocking descriptors that are closed on
/// execve(2).
///
/// See the example of [`pipe_pair`].
#[derive(Debug)]
pub struct PipePair {
    /// The end to read from.
    pub reader: OwnedFd,
    /// The end to write to.
    pub writer: OwnedFd,
    /// Must be kept as long as the pipe is in use.
    pub lease: CapacityLease,
}

/// The part of this process's share for larger pipes that a pipe takes.
///
/// A part of a [`PipePair`]: see the example of [`pipe_pair`].
#[derive(Clone, Debug, Default)]
pub struct CapacityLease(
    #[allow(dead_code, reason = "given back when it is dropped")] pub(super) Option<Arc<Lease>>,
);

/// Makes a pipe that is closed on execve(2): pipe2(2), by `os_pipe`. With `capacity`, in bytes, asks the
/// kernel for that size and logs a refusal. Without it, the pipe may grow.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use std::fs::File;
/// use std::io::{Read, Write};
///
/// let pair = pipehost::pipes::pipe_pair(Some(1 << 16))?;
/// File::from(pair.writer).write_all(b"hello")?;
/// let mut text = String::new();
/// File::from(pair.reader).read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left.
pub fn pipe_pair(capacity: Option<u64>) -> io::Result<PipePair> {
    let (reader, writer) = own::pipe()?;
    let lease = sized(&reader, capacity);
    Ok(PipePair { reader, writer, lease })
}

/// Makes a pipe as [`pipe_pair`] does, with several writers, one or more. Each has flags of its own: two
/// programs that share a description would share O_NONBLOCK, too. Whoever has an end, it is the same.
///
/// # Errors
/// Those of [`pipe_pair`] and of opening a pipe anew.
pub(crate) fn pipe_with_writers(
    capacity: Option<u64>,
    _: Holder,
    writers: &[Holder],
) -> io::Result<(OwnedFd, Vec<OwnedFd>, CapacityLease)> {
    let (reader, writers) = own::pipe_of(writers.len())?;
    let lease = sized(&reader, capacity);
    Ok((reader, writers, lease))
}

/// Gives a new pipe its size.
fn sized(reader: &OwnedFd, capacity: Option<u64>) -> CapacityLease {
    let lease = match capacity {
        None => own::grow(reader),
        Some(bytes) => {
            if let Err(error) = own::set_capacity(reader, bytes) {
                tracing::warn!("a pipe's capacity of {bytes} bytes is refused: {error}");
            }
            None
        }
    };
    CapacityLease(lease.map(Arc::new))
}

/// Clears O_NONBLOCK. No other process may share the description.
pub(in crate::sys) fn blocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    if flags.contains(OFlags::NONBLOCK) {
        rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn writers_share_no_flags_and_all_have_to_go() {
        let (reader, writers, _lease) =
            pipe_with_writers(None, Holder::Native, &[Holder::Native; 2]).unwrap();
        let [writer, other] = writers.try_into().unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK));
        rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        assert!(!rustix::fs::fcntl_getfl(&other).unwrap().contains(OFlags::NONBLOCK));
        for (writer, text) in [(writer, "one "), (other, "two")] {
            std::fs::File::from(writer).write_all(text.as_bytes()).unwrap();
        }
        let mut all = String::new();
        std::fs::File::from(reader).read_to_string(&mut all).unwrap();
        assert_eq!(all, "one two");
    }
}
