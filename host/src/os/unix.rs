//! Pipes on Unix: descriptors that never block the thread ([`End`]), named pipes ([`Fifo`]), and
//! the descriptors that this process was started with.

mod broker;
mod capacity;
mod confine;
mod end;
mod fifo;
mod fifo_watch;
mod flock;
mod folder;
mod helper;
mod joint;
mod memory;
mod names;
mod native;
mod private;
mod reader_wait;
mod runtime;
mod scratch;
mod sealed;
mod standard;
mod sweeper;

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, FdFlags};

pub use broker::start_broker;
#[cfg(test)]
pub(crate) use confine::breakout;
pub use confine::{Missing, Powers, confine, unblock_signals_of_ours};
pub use end::End;
pub use fifo::{Fifo, FifoError, FifoOptions};
pub use fifo_watch::FifoWatch;
pub use folder::Folder;
pub use joint::{Growth, Joint, another_writer, joint};
pub use memory::{Allocator, address_space_limit, file_size_limit, is_no_memory};
pub use native::{
    MOST_OTHERS, Native, NativeCommand, NativeEnd, Usage, descriptor_number, end_helpers,
    kill_natives, retire_standard_input_and_output, thread_cpu_time,
};
pub use private::{FileInfo, FolderLock, PrivateError, PrivateFile, PrivateFolder};
pub use reader_wait::ReaderWait;
pub use standard::{demand_standard_output, standard};
pub use sweeper::start_sweeper;

/// PIPE_BUF of pipe(7): a pipe that poll(2) calls writable has room for this much.
pub const PIPE_BUF: usize = 4096;

/// Which way bytes go through an end, seen from this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Bytes come out of it.
    Read,
    /// Bytes go into it.
    Write,
}

/// The name under which the kernel lets a descriptor of ours be opened anew, for whoever wants a path.
pub(super) fn proc_name(fd: impl AsFd) -> String {
    sealed::descriptor(fd.as_fd()).to_string_lossy().into_owned()
}

/// `open("/proc/self/fd/N", flags | O_CLOEXEC)`: another description of what `fd` stands for, which
/// may be an O_PATH descriptor. proc(5).
///
/// # Errors
/// Those of open(2), EINTR among them where the open blocks; ENOENT where /proc is not mounted.
fn reopen(fd: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::open(sealed::descriptor(fd.as_fd()), flags, Mode::empty())?)
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

/// What gives the end of file, and swallows what is written: /dev/null.
pub fn null() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(sealed::null_device(), flags, Mode::empty())?)
}

/// Opens a file to be read.
///
/// # Errors
/// Those of open(2); and for a FIFO, which is not opened: that alone would release a writer that
/// waits for its reader.
pub fn open_input_file(path: &Path) -> io::Result<OwnedFd> {
    let handle = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    refuse_fifo(&handle, path, "--stdin")?;
    joint::blocking(reopen(handle, OFlags::RDONLY | OFlags::NONBLOCK)?)
}

/// Reads a regular file of up to `most` bytes; `None` where it is anything else. Waits for nobody, but
/// for the file system.
pub fn read_small_file(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// Makes or empties a file to be written, with `option` named in the error for a FIFO.
///
/// # Errors
/// As [`open_input_file`].
pub fn open_output_file(path: &Path, option: &str) -> io::Result<OwnedFd> {
    match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(handle) => {
            refuse_fifo(&handle, path, option)?;
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK;
            joint::blocking(reopen(handle, flags)?)
        }
        Err(Errno::NOENT) => {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).custom_flags(NONBLOCK).open(path)?;
            // It may have come in between. Nothing is written to it then.
            refuse_fifo(&file, path, option)?;
            file.set_len(0)?;
            joint::blocking(file.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps open(2) itself from blocking, on a device or a FIFO that comes in between.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits() as i32;

fn refuse_fifo(fd: impl AsFd, path: &Path, option: &str) -> io::Result<()> {
    match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::Fifo => {
            Err(io::Error::other(format!("it is a FIFO: write {option} fifo:{}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Looks for a native command as execvp(3) does: by its path, or on PATH.
///
/// # Errors
/// `NotFound`; `PermissionDenied` where what was found cannot be executed.
pub fn find_command(program: &std::ffi::OsStr) -> io::Result<()> {
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

/// Whether whoever started this process had it ignore `signal`, as nohup(1) does.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: with no new action, sigaction(2) only fills in the old one, for which a zeroed
    // `sigaction` is a valid place.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

static FILE_SIZE_SIGNAL_IGNORED: AtomicBool = AtomicBool::new(false);

/// Makes a write beyond RLIMIT_FSIZE an error, EFBIG, as any other: SIGXFSZ would end this process, with all
/// guests in it. Native commands get the signal back. To be called first of all.
pub fn ignore_file_size_signal() {
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
        // SAFETY: the usual reaction runs no code of ours.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
    }
}

/// How long a line of ours may wait for whoever reads stderr.
const MESSAGE_PATIENCE: Duration = Duration::from_millis(50);

/// Writes a message of the host's to stderr, as far as that goes: nobody may read it, and the host
/// must end on time all the same. Blocks for at most 50 ms for each 4 KiB.
pub fn write_message(message: &[u8]) {
    let stderr = io::stderr();
    for piece in message.chunks(PIPE_BUF) {
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        let patience = Timespec::try_from(MESSAGE_PATIENCE).unwrap_or_default();
        // What poll(2) calls writable has room for PIPE_BUF bytes, so that write(2) does not wait.
        match rustix::event::poll(&mut fds, Some(&patience)) {
            Ok(ready) if ready > 0 => {}
            _ => return,
        }
        if rustix::io::retry_on_intr(|| rustix::io::write(&stderr, piece)).is_err() {
            return;
        }
    }
}

/// A file that is in memory alone: memfd_create(2).
///
/// # Errors
/// EMFILE and ENFILE where no descriptors are left.
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?)
}

/// Takes over descriptor `number`, whatever it is, which whoever started this process has given it.
///
/// # Errors
/// Where nothing was given under that number.
pub fn take_given(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: as in `take_inherited`.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    // SAFETY: as in `take_inherited`.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
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
