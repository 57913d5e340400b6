//! What only Linux has: descriptors that are opened anew through /proc, splice(2) and tee(2), pipes of
//! another size, inotify(7), pidfds, files in memory, and the fences around a process.

mod calls;
mod capacity;
mod commands;
#[cfg(feature = "cli")]
mod compiler;
mod confine;
mod fifo_watch;
mod handle;
pub(super) mod monitor;
mod serving;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags, Mode, OFlags, SealFlags, Stat};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::unix::blocking;

pub(crate) use calls::append;
pub(super) use calls::{Ahead, has_writer, pipe, read_nowait, reader_gone, splice, write_nowait};
pub(super) use capacity::{Lease, capacity, grow, is_pipe, set_capacity};
pub(super) use commands::{ended, forking, tie_to_parent};
#[cfg(feature = "cli")]
pub(crate) use compiler::{CodePool, Stamp, Workshop, stamp, start_compiler};
#[cfg(test)]
pub(crate) use confine::breakout;
pub use confine::{Missing, SandboxPolicy, confine, expect_folders, renounce_files};
pub(crate) use fifo_watch::FifoWatch;
pub(super) use handle::{FifoHandle, FoundFile, opens_fifos, path_of, reopen};
pub use monitor::end_monitor;
pub use serving::start_monitor;

/// PIPE_BUF of pipe(7): a pipe that poll(2) calls writable has room for this many bytes.
pub(crate) const PIPE_BUF: usize = 4096;

/// The folder of caches, in the home folder.
pub(crate) const CACHES: &str = ".cache";

/// The folder of what programs remember in it.
pub(crate) const STATE: &str = ".local/state";

/// How a folder is opened whose entries are named later.
pub(super) const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder with an entry for each descriptor of this process.
pub(super) const DESCRIPTORS: &str = "/proc/self/fd";

/// Keeps a call that sends to a socket without a reader from raising SIGPIPE.
pub(super) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// The unit of the most memory that getrusage(2) reports, in bytes.
pub(super) const MEMORY_UNIT: u64 = 1024;

/// File systems that a server or another process answers for, and so may not answer for: NFS, CIFS, its second version, SMB,
/// 9P, FUSE, AFS, Ceph, Coda and NCP, by statfs(2) and <linux/magic.h>.
const SERVED: [u32; 10] = [
    0x6969,
    0xff53_4d42,
    0xfe53_4d42,
    0x517b,
    0x0102_1997,
    0x6573_5546,
    0x5346_414f,
    0x00c3_6400,
    0x7375_7245,
    0x564c,
];

/// Returns whether a file lies on a file system that a server or another process answers for: fstatfs(2).
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers have 32 bits, and not the same type everywhere"
)]
pub(super) fn is_served(fd: impl AsFd) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|kind| SERVED.contains(&(kind.f_type as u32)))
}

/// Returns the signal that interrupts open(2): a real-time signal, as programs rarely use those.
pub(super) fn wake_signal() -> libc::c_int {
    libc::SIGRTMIN() + 7
}

/// Returns whether the flags are those of an O_PATH descriptor, which is open for neither direction.
pub(super) fn is_path_only(flags: OFlags) -> bool {
    flags.contains(OFlags::PATH)
}

/// Returns whether a descriptor is always ready, and must not be registered. Here epoll(7) refuses it.
pub(super) fn is_always_ready(_: &OwnedFd) -> bool {
    false
}

/// Returns whether a device is /dev/null.
pub(super) fn is_null(stat: &Stat) -> bool {
    stat.st_rdev == rustix::fs::makedev(1, 3)
}

/// Makes a FIFO: mknodat(2).
///
/// # Errors
/// Those of mknodat(2).
pub(super) fn make_fifo(folder: impl AsFd, name: &str, mode: Mode) -> Result<(), Errno> {
    rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0)
}

/// Opens another writer of the pipe that `writer` writes to. It has flags of its own: two programs that
/// share a description would share O_NONBLOCK, too.
///
/// # Errors
/// Those of open(2): EMFILE, and ENOENT if /proc is not mounted.
fn another_writer(writer: &OwnedFd) -> io::Result<OwnedFd> {
    blocking(reopen(writer, OFlags::WRONLY | OFlags::NONBLOCK)?)
}

/// Makes a pipe with several writers, each with a description of its own.
///
/// # Errors
/// Those of open(2); EMFILE and ENFILE if no descriptors are left.
pub(super) fn pipe_of(writers: usize) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
    let (reader, writer) = pipe()?;
    let mut all = vec![writer];
    for _ in 1..writers {
        all.push(another_writer(&all[0])?);
    }
    Ok((reader, all))
}

/// The path by which this process executes its own program again. It works even if the file has been
/// removed.
pub(crate) fn own_program() -> OsString {
    "/proc/self/exe".into()
}

/// Makes a file in memory of `size` bytes, all zero at first. Its size is sealed: memfd_create(2).
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left.
pub(crate) fn memory_file(name: &str, size: u64) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(name, flags)?;
    rustix::fs::ftruncate(&file, size)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}
