//! Pipes on Unix: descriptors that never block the thread ([`End`]), named pipes ([`Fifo`]), and
//! the descriptors that this process was started with.

mod blocking_open;
mod capacity;
mod confine;
mod end;
mod errors;
mod fifo;
mod fifo_watch;
mod flock;
mod folder;
mod identity;
mod inherited;
mod memory;
mod messages;
mod monitor;
mod names;
mod native;
mod pipe_pair;
mod private;
mod reader_wait;
mod runtime;
mod scratch;
mod serving;
mod standard;
mod stop;

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use self::identity::Identity;
use super::{Direction, FileKind, IsAFifo, MOST_OTHERS, NativeCommand, NativeEnd, Usage};

#[cfg(test)]
pub(crate) use confine::breakout;
pub use confine::{Missing, SandboxPolicy, confine, expect_folders, renounce_files};
pub use end::End;
pub(crate) use errors::ERRORS;
pub use fifo::Fifo;
pub(crate) use fifo_watch::FifoWatch;
pub(crate) use folder::{Folder, append, read_at, write_at};
pub(crate) use inherited::{
    check_direction, inherited_number, number_in_path, take_given, take_inherited,
    take_inherited_stream,
};
pub use memory::Allocator;
pub(crate) use memory::{address_space_limit, file_size_limit, is_no_memory};
pub(crate) use messages::{prepare_messages, write_message};
pub use monitor::end_monitor;
pub(crate) use native::{Native, kill_natives, retire_standard_input_and_output, thread_cpu_time};
pub(crate) use pipe_pair::another_writer;
pub use pipe_pair::{CapacityLease, PipePair, pipe_pair};
pub(crate) use private::{FolderLock, PrivateFile, PrivateFolder};
pub(crate) use reader_wait::ReaderWait;
pub use serving::start_monitor;
pub(crate) use standard::demand_standard_output;
pub use standard::standard;
pub(crate) use stop::stop_requests;

/// The path by which this process executes its own program again. It works even if the file has been
/// removed.
pub(crate) fn own_program() -> OsString {
    "/proc/self/exe".into()
}

/// Tells wasmtime whether to register unwind information for compiled code with the system. Neither
/// wasmtime's backtraces nor loading the code need that here.
pub(crate) const NEEDS_UNWIND_INFO: bool = false;

/// Returns the type of an open file.
///
/// # Errors
/// Those of fstat(2).
pub(crate) fn kind_of(file: &std::fs::File) -> io::Result<FileKind> {
    Ok(kind(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode)))
}

fn kind(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Link,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => FileKind::Unknown,
    }
}

/// PIPE_BUF of pipe(7): a pipe that poll(2) calls writable has room for this many bytes.
pub(crate) const PIPE_BUF: usize = 4096;

/// An open descriptor. Dropping it closes it.
///
/// On Linux it is an [`OwnedFd`]. See the example of [`pipe_pair`].
pub type Handle = OwnedFd;

/// Returns the path under which the kernel lets a descriptor of this process be opened anew.
pub(super) fn path_of(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Returns the access mode of open(2) for this direction.
fn access(direction: Direction) -> OFlags {
    match direction {
        Direction::Read => OFlags::RDONLY,
        Direction::Write => OFlags::WRONLY,
    }
}

/// Opens a new description of the file behind `fd`, which may be an O_PATH descriptor:
/// `open("/proc/self/fd/N", flags | O_CLOEXEC)`. proc(5).
///
/// # Errors
/// Those of open(2), also EINTR if the open blocks; ENOENT if /proc is not mounted.
fn reopen(fd: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    // `fd` is borrowed: it must stay open during the call.
    Ok(rustix::fs::open(path_of(&fd), flags, Mode::empty())?)
}

/// Opens a new description of the FIFO behind `handle` (an O_PATH descriptor), and of no other file.
///
/// # Errors
/// Those of open(2).
fn open_same(handle: &OwnedFd, flags: OFlags) -> io::Result<OwnedFd> {
    let fd = reopen(handle, flags)?;
    match Identity::of_open(&fd)? == Identity::of_open(handle)? {
        true => Ok(fd),
        // Another file system is mounted at /proc.
        false => Err(io::Error::other("what was opened is not the FIFO that was checked")),
    }
}

/// Makes a pipe: pipe(2), by `os_pipe`. Both ends are close-on-exec and non-blocking. Setting
/// O_NONBLOCK is safe here, as no other process shares their descriptions yet.
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left.
pub(crate) fn anonymous() -> io::Result<(End, End)> {
    let (reader, writer) = os_pipe::pipe()?;
    Ok((End::owned(reader.into(), Direction::Read)?, End::owned(writer.into(), Direction::Write)?))
}

/// Returns a descriptor of /dev/null, which gives the end of file to readers and drops what is written.
/// Opens the file once.
///
/// See the example of [`Setup`](crate::Setup).
///
/// # Errors
/// `NotFound` if it does not exist; EMFILE if no descriptors are left.
pub fn null() -> io::Result<OwnedFd> {
    static NULL: OnceLock<OwnedFd> = OnceLock::new();
    let null = match NULL.get() {
        Some(null) => null,
        None => {
            let null = open_null(OFlags::RDWR)?;
            NULL.get_or_init(|| null)
        }
    };
    Ok(rustix::io::fcntl_dupfd_cloexec(null, 3)?)
}

/// Opens /dev/null. The error says how to make it if it does not exist.
fn open_null(access: OFlags) -> io::Result<OwnedFd> {
    match rustix::fs::open("/dev/null", access | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "/dev/null does not exist; make it: mknod -m 666 /dev/null c 1 3",
        )),
        opened => Ok(opened?),
    }
}

/// Returns whether descriptors can be opened anew: proc(5).
fn is_proc_mounted() -> bool {
    rustix::fs::access("/proc/self/fd", rustix::fs::Access::EXISTS).is_ok()
}

/// Opens a file for reading.
///
/// # Errors
/// Those of open(2). [`IsAFifo`] for a FIFO, which is not opened: opening it would already release a
/// writer that waits for its reader.
pub(crate) fn open_input_file(path: &Path) -> io::Result<OwnedFd> {
    let handle = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    refuse_fifo(&handle, path)?;
    pipe_pair::blocking(reopen(handle, OFlags::RDONLY | OFlags::NONBLOCK)?)
}

/// Reads a regular file of up to `most` bytes. Returns `None` for any other file. Blocks for the file
/// system only.
pub(crate) fn read_small_file(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// Opens a file for writing: makes it, or empties it.
///
/// # Errors
/// Those of [`open_input_file`].
pub(crate) fn open_output_file(path: &Path) -> io::Result<OwnedFd> {
    match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(handle) => {
            refuse_fifo(&handle, path)?;
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK;
            pipe_pair::blocking(reopen(handle, flags)?)
        }
        Err(Errno::NOENT) => {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).custom_flags(NONBLOCK).open(path)?;
            // A FIFO may have been made in between. Nothing is written to it then.
            refuse_fifo(&file, path)?;
            file.set_len(0)?;
            pipe_pair::blocking(file.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps open(2) from blocking on a device, or on a FIFO that was made in between.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits() as i32;

fn refuse_fifo(fd: impl AsFd, path: &Path) -> io::Result<()> {
    match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::Fifo => {
            // If links led to the FIFO, the user needs to know the path at their end.
            Err(io::Error::other(IsAFifo(path.canonicalize().unwrap_or_else(|_| path.into()))))
        }
        _ => Ok(()),
    }
}

/// Returns the bytes of a text, which need not be UTF-8.
pub(crate) fn bytes(text: &OsStr) -> &[u8] {
    text.as_bytes()
}

/// Returns the text of these bytes.
pub(crate) fn text(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// Reads a file of up to `most` bytes to its end. It may be a FIFO. Blocks until `deadline`, or,
/// without a deadline, until the last writer closes the file.
///
/// # Errors
/// `TimedOut` at the deadline; `FileTooLarge`; those of open(2) and read(2).
pub(crate) fn read_file(path: &Path, most: u64, deadline: Option<Instant>) -> io::Result<Vec<u8>> {
    let file = match inherited_number(path) {
        Some(number) if number < 3 => standard(number)?,
        Some(number) => take_inherited_stream(number, Direction::Read).map_err(io::Error::other)?,
        None => {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
            rustix::fs::open(path, flags, Mode::empty())?
        }
    };
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec::try_from(left).unwrap_or_default());
        let mut fds = [PollFd::new(&file, PollFlags::IN)];
        match rustix::event::poll(&mut fds, left.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match rustix::io::read(&file, &mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        if bytes.len() as u64 > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// Looks for a native command as execvp(3) does: by its path, or on PATH.
///
/// # Errors
/// `NotFound`; `PermissionDenied` if the file that was found cannot be executed.
pub(crate) fn find_command(program: &std::ffi::OsStr) -> io::Result<()> {
    let look = |path: &Path| {
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?;
        match path.is_dir() {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    };
    if program.as_encoded_bytes().contains(&b'/') {
        return look(Path::new(program));
    }
    if program.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let path = std::env::var_os("PATH").unwrap_or("/bin:/usr/bin".into());
    let mut outcome: io::Result<()> = Err(io::ErrorKind::NotFound.into());
    for folder in std::env::split_paths(&path) {
        match look(&folder.join(program)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => outcome = Err(error),
            Err(_) => {}
        }
    }
    outcome
}

/// Returns whether this process ignores `signal`, as after nohup(1).
fn is_ignored(signal: i32) -> bool {
    // SAFETY: with no new action, sigaction(2) only fills in the old one, for which a zeroed
    // `sigaction` is a valid place.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

static FILE_SIZE_SIGNAL_IGNORED: AtomicBool = AtomicBool::new(false);

/// Ignores SIGXFSZ, so that a write beyond RLIMIT_FSIZE fails with EFBIG: the signal would end this
/// process with all its guests. Native commands get the signal's effect back. Must be called before
/// anything else.
pub(crate) fn ignore_file_size_signal() {
    if !is_ignored(libc::SIGXFSZ) {
        // SAFETY: ignoring a signal runs no code.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        FILE_SIZE_SIGNAL_IGNORED.store(true, Ordering::SeqCst);
    }
}

/// Undoes [`ignore_file_size_signal`], in a process that is about to execute another program.
/// Async-signal-safe.
fn reset_file_size_signal() {
    if FILE_SIZE_SIGNAL_IGNORED.load(Ordering::SeqCst) {
        // SAFETY: the default reaction runs no code of this program.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
    }
}

/// Returns how many more descriptors guests can open: what RLIMIT_NOFILE leaves, less a few that the
/// host keeps for itself. Returns an estimate if /proc is not mounted.
pub(crate) fn descriptors_left() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let open = std::fs::read_dir("/proc/self/fd").map_or(USUALLY_OPEN, Iterator::count);
    limit.saturating_sub(open).saturating_sub(OWN.min(limit / 4))
}

/// About how many descriptors a host without guests has open.
const USUALLY_OPEN: usize = 32;
/// How many descriptors the host may need for itself while guests run.
const OWN: usize = 24;

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
