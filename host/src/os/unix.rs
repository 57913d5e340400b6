//! Pipes on Unix: descriptors that never block the thread ([`End`]), named pipes ([`Fifo`]), and
//! the descriptors that this process was started with.

mod end;
mod fifo;
mod reader_wait;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::FdFlags;

pub use end::End;
pub use fifo::{Fifo, FifoError, FifoOptions};
pub use reader_wait::ReaderWait;

/// Which way bytes go through an end, seen from this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Bytes come out of it.
    Read,
    /// Bytes go into it.
    Write,
}

/// `open("/proc/self/fd/N", flags | O_CLOEXEC)`: another description of what `fd` stands for, which
/// may be an O_PATH descriptor. proc(5).
///
/// # Errors
/// Those of open(2), EINTR among them where the open blocks; ENOENT where /proc is not mounted.
fn reopen(fd: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let name = fifo::proc_name(fd);
    Ok(rustix::fs::open(name, flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// pipe(2), by `os_pipe`: both ends close-on-exec, and non-blocking, which is safe here because
/// nobody shares their descriptions yet.
///
/// # Errors
/// EMFILE and ENFILE where no descriptors are left.
pub fn anonymous() -> io::Result<(End, End)> {
    let (reader, writer) = os_pipe::pipe()?;
    Ok((End::owned(reader.into(), Direction::Read)?, End::owned(writer.into(), Direction::Write)?))
}

/// One of the standard descriptors 0 to 2, which this process shares with whoever started it.
pub fn standard(fd: RawFd) -> io::Result<End> {
    match fd {
        0 => inherited(io::stdin().as_fd(), Direction::Read),
        1 => inherited(io::stdout().as_fd(), Direction::Write),
        _ => inherited(io::stderr().as_fd(), Direction::Write),
    }
}

/// An end over a copy of a descriptor that others share; its flags are left as they are.
fn inherited(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<End> {
    End::shared(rustix::io::fcntl_dupfd_cloexec(fd, 3)?, direction)
}

/// An end that gives the end of file, or swallows what is written: /dev/null.
pub fn null_end(direction: Direction) -> io::Result<End> {
    let file = OpenOptions::new()
        .read(direction == Direction::Read)
        .write(direction == Direction::Write)
        .open("/dev/null")?;
    End::shared(file.into(), direction)
}

/// Opens a file to be read. O_NONBLOCK keeps a FIFO among the arguments from blocking the open.
pub fn open_input_file(path: &Path) -> io::Result<End> {
    let file =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    refuse_fifo(&file, path, "--stdin")?;
    End::shared(file.into(), Direction::Read)
}

/// Makes or empties a file to be written, with `option` named in the error for a FIFO.
pub fn open_output_file(path: &Path, option: &str) -> io::Result<End> {
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path);
    let file = match opened {
        // What open(2) says of a FIFO that nobody reads.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Err(fifo_where_file(path, option));
        }
        opened => opened?,
    };
    refuse_fifo(&file, path, option)?;
    End::shared(file.into(), Direction::Write)
}

fn refuse_fifo(file: &File, path: &Path, option: &str) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
        return Err(fifo_where_file(path, option));
    }
    Ok(())
}

fn fifo_where_file(path: &Path, option: &str) -> io::Error {
    io::Error::other(format!("it is a FIFO: write {option} fifo:{}", path.display()))
}

/// Why a descriptor number cannot be granted.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// Nothing was inherited under that number.
    #[error("descriptor {0} was not inherited: open it in the shell, as in `{0}< FIFO`")]
    NotInherited(RawFd),
    /// It is no pipe.
    #[error("descriptor {0} is not a pipe")]
    NotAPipe(RawFd),
    /// Its access mode does not permit the direction asked for.
    #[error("descriptor {0} is not open for {1}")]
    WrongDirection(RawFd, &'static str),
}

/// Takes over descriptor `number`, which this process must have inherited, and tells which ways it
/// is open.
///
/// A descriptor that survived execve(2) cannot be close-on-exec, and all that pipehost opens is:
/// that tells an inherited number from one of our own.
pub fn take_inherited(number: RawFd) -> Result<(OwnedFd, Vec<Direction>), InheritError> {
    if number < 3 {
        return Err(InheritError::NotInherited(number));
    }
    // SAFETY: the number is only asked about until fcntl(F_GETFD) has shown that it is open and
    // was inherited; from then on nobody else in this process can own it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    match rustix::io::fcntl_getfd(fd) {
        Ok(flags) if !flags.contains(FdFlags::CLOEXEC) => {}
        _ => return Err(InheritError::NotInherited(number)),
    }
    let stat = rustix::fs::fstat(fd).map_err(|_| InheritError::NotInherited(number))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Err(InheritError::NotAPipe(number));
    }
    let flags = rustix::fs::fcntl_getfl(fd).map_err(|_| InheritError::NotInherited(number))?;
    let directions = match flags & OFlags::ACCMODE {
        OFlags::RDONLY => vec![Direction::Read],
        OFlags::WRONLY => vec![Direction::Write],
        _ => vec![Direction::Read, Direction::Write],
    };
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)
        .map_err(|_| InheritError::NotInherited(number))?;
    // SAFETY: as above; and close-on-exec now marks it as ours, so it is taken once only.
    Ok((unsafe { OwnedFd::from_raw_fd(number) }, directions))
}
