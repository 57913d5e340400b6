//! What any Unix can do in place of what only Linux has. macOS uses it, and so does Linux when it is
//! built with the feature `portable`, for tests.

mod calls;
mod commands;
mod confine;
mod handle;
pub(in crate::sys) mod monitor;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::super::own::make_fifo;
use super::identity::Identity;
use super::pipe_pair::blocking;
use super::runtime::{Place, scratch_file};

#[cfg(feature = "cli")]
pub(crate) use super::super::without::{CodePool, Stamp, Workshop, stamp, start_compiler};
pub(crate) use calls::append;
pub(in crate::sys) use calls::{Ahead, has_writer, read_nowait, reader_gone, splice, write_nowait};
pub(in crate::sys) use commands::{ended, forking, pipe, tie_to_parent};
pub use confine::{Missing, SandboxPolicy, confine, expect_folders, renounce_files};
pub(in crate::sys) use handle::{FifoHandle, FoundFile, opens_fifos, path_of, reopen};
pub use monitor::{end_monitor, start_monitor};

/// How a folder is opened whose entries are named later.
pub(in crate::sys) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A send to a socket without a reader may raise SIGPIPE, which Rust's runtime ignores.
pub(in crate::sys) const NO_SIGNAL: SendFlags = SendFlags::empty();

/// The folder with an entry for each descriptor of this process.
pub(in crate::sys) const DESCRIPTORS: &str = "/dev/fd";

/// The room by which a pipe has grown. No pipe grows.
#[derive(Debug)]
pub(in crate::sys) enum Lease {}

/// Makes a pipe larger. This is not known here.
pub(in crate::sys) fn grow(_: impl AsFd) -> Option<Lease> {
    None
}

/// Returns whether this is a pipe, anonymous or named: fstat(2).
pub(in crate::sys) fn is_pipe(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo
    })
}

/// Returns how many bytes a pipe can hold.
///
/// # Errors
/// `Unsupported`: no call tells.
pub(in crate::sys) fn capacity(_: impl AsFd) -> io::Result<u64> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not tell a pipe's capacity"))
}

/// Asks for another capacity.
///
/// # Errors
/// `Unsupported`: pipes have the size that the system gives them.
pub(in crate::sys) fn set_capacity(_: impl AsFd, _: u64) -> io::Result<()> {
    let why = "this system gives all pipes the same capacity";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Returns the signal that interrupts open(2). It is ignored by default, and programs rarely use it.
pub(in crate::sys) fn wake_signal() -> libc::c_int {
    libc::SIGURG
}

/// Returns whether the flags are those of a descriptor that is open for neither direction. There are
/// none here.
pub(in crate::sys) fn is_path_only(_: OFlags) -> bool {
    false
}

/// Returns whether a device is /dev/null.
pub(in crate::sys) fn is_null(stat: &Stat) -> bool {
    let null = rustix::fs::stat("/dev/null");
    null.is_ok_and(|null| Identity::device_number(&null) == Identity::device_number(stat))
}

/// Returns whether a file is known to lie on a file system that a server or another process answers for: none is here.
pub(in crate::sys) fn is_served(_: impl AsFd) -> bool {
    false
}

/// Makes a pipe with several writers, each with a description of its own: a FIFO in a private folder,
/// which both leave again.
///
/// # Errors
/// Those of open(2) and mkfifo(3); EMFILE and ENFILE if no descriptors are left.
pub(in crate::sys) fn pipe_of(writers: usize) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
    const NAME: &str = "pipe";
    if writers < 2 {
        let (reader, writer) = pipe()?;
        return Ok((reader, vec![writer]));
    }
    let place = Place::make().map_err(io::Error::other)?;
    let folder = place.folder()?;
    make_fifo(&folder, NAME, Mode::RUSR | Mode::WUSR)?;
    let open = |access: OFlags| {
        let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&folder, NAME, flags, Mode::empty())
    };
    let all = open(OFlags::RDONLY).and_then(|reader| {
        // With a reader, no open waits for one.
        let writers = (0..writers).map(|_| open(OFlags::WRONLY));
        Ok((reader, writers.collect::<Result<Vec<_>, Errno>>()?))
    });
    rustix::fs::unlinkat(&folder, NAME, rustix::fs::AtFlags::empty())?;
    let (reader, writers) = all?;
    Ok((blocking(reader)?, writers.into_iter().map(blocking).collect::<io::Result<_>>()?))
}

/// The path by which this process executes its own program again.
pub(crate) fn own_program() -> OsString {
    std::env::current_exe().map_or_else(|_| "pipehost".into(), OsString::from)
}

/// Makes a file of `size` bytes that has no name, all zero at first.
///
/// # Errors
/// Those of open(2) and ftruncate(2).
pub(crate) fn memory_file(_: &str, size: u64) -> io::Result<OwnedFd> {
    let file = scratch_file().map_err(io::Error::other)?;
    rustix::fs::ftruncate(&file, size)?;
    Ok(file)
}
