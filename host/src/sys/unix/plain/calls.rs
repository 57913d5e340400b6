//! System calls on bytes, without those that only Linux has.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::super::super::Direction;
use super::super::end::{poll, register};

/// How often a writer looks for its reader when the system offers no way to wait for that.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Set in an [`Ahead`] that holds a byte.
const HELD: u16 = 0x100;

/// A byte that was taken out of a pipe to learn whether it has a writer. The next read returns it.
#[derive(Debug, Default)]
pub(in crate::sys) struct Ahead(AtomicU16);

impl Ahead {
    /// Returns how many bytes there are.
    pub(in crate::sys) fn len(&self) -> usize {
        usize::from(self.0.load(Ordering::Relaxed) != 0)
    }

    /// Gives the byte to a read. Returns `None` if there is none.
    pub(in crate::sys) fn give(&self, buf: &mut [u8]) -> Option<usize> {
        let first = buf.first_mut()?;
        let [_, byte] = match self.0.swap(0, Ordering::Relaxed) {
            0 => return None,
            held => held.to_be_bytes(),
        };
        *first = byte;
        Some(1)
    }

    fn put(&self, byte: u8) {
        self.0.store(HELD | u16::from(byte), Ordering::Relaxed);
    }
}

/// Moves bytes between two pipes. This is not known here: the caller copies.
///
/// # Errors
/// `Unsupported`.
pub(in crate::sys) fn splice(_: impl AsFd, _: impl AsFd, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether a writer holds the other side of this FIFO open now. `own` says that the description
/// is this process's alone, and does not block: then a read tells, which may take a byte out.
///
/// # Errors
/// Those of read(2) and poll(2).
pub(in crate::sys) fn has_writer(fd: impl AsFd, own: bool, ahead: &Ahead) -> io::Result<bool> {
    if ahead.len() > 0 || rustix::io::ioctl_fionread(&fd)? > 0 {
        return Ok(true);
    }
    if !own {
        return Ok(!poll(&fd, Direction::Read)?.contains(PollFlags::HUP));
    }
    let mut byte = [0];
    match retry_on_intr(|| rustix::io::read(&fd, &mut byte)) {
        Ok(0) => Ok(false),
        Ok(_) => {
            ahead.put(byte[0]);
            Ok(true)
        }
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Reads without waiting, whatever the flags of the description. This is not known here.
///
/// # Errors
/// EOPNOTSUPP: the caller asks poll(2) first.
pub(in crate::sys) fn read_nowait(_: impl AsFd, _: &mut [u8]) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Writes without waiting, whatever the flags of the description. This is not known here.
///
/// # Errors
/// EOPNOTSUPP: the caller asks poll(2) first.
pub(in crate::sys) fn write_nowait(_: impl AsFd, _: &[u8]) -> Result<usize, Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Writes to the end of a file, wherever that is by then: write(2) with O_APPEND, which the description
/// has meanwhile. May write less than all.
///
/// # Errors
/// Those of write(2), except EINTR.
pub(crate) fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    static APPENDING: Mutex<()> = Mutex::new(());
    let _turn = APPENDING.lock().unwrap_or_else(PoisonError::into_inner);
    let flags = rustix::fs::fcntl_getfl(file)?;
    rustix::fs::fcntl_setfl(file, flags | OFlags::APPEND)?;
    let written = retry_on_intr(|| rustix::io::write(file, bytes));
    rustix::fs::fcntl_setfl(file, flags)?;
    Ok(written?)
}

/// Waits until the reader of a pipe has left, or something else has happened. Registers the pipe anew:
/// what this wait takes for old news, the writer may not know yet.
///
/// # Errors
/// Fails if the runtime is shutting down.
pub(in crate::sys) async fn reader_gone(fd: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let same = rustix::io::fcntl_dupfd_cloexec(fd.get_ref(), 3).map_err(io::Error::from);
    let anew = match same.and_then(|fd| register(fd, Direction::Write).map_err(|(_, error)| error))
    {
        Ok(anew) => anew,
        // No descriptor is left.
        Err(_) => {
            tokio::time::sleep(LOOK_AGAIN).await;
            return Ok(());
        }
    };
    loop {
        let mut ready = anew.ready(Interest::WRITABLE).await?;
        if poll(&anew, Direction::Write)?.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Ok(());
        }
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_comes_first() {
        let (reader, writer) = super::super::pipe().unwrap();
        let ahead = Ahead::default();
        rustix::io::write(&writer, b"\0").unwrap();
        assert!(has_writer(&reader, true, &ahead).unwrap());
        assert_eq!(ahead.len(), 0, "a look is enough");
        ahead.put(0);
        assert_eq!((ahead.len(), ahead.give(&mut [])), (1, None));
        let mut buf = [7; 2];
        assert_eq!((ahead.give(&mut buf), buf), (Some(1), [0, 7]));
        assert_eq!(ahead.give(&mut buf), None);
    }

    #[test]
    fn appending_finds_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "one ").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        assert_eq!(append(&file, b"two").unwrap(), 3);
        assert!(!rustix::fs::fcntl_getfl(&file).unwrap().contains(OFlags::APPEND));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one two");
    }
}
