//! Pipes on Unix: descriptors that never block the thread ([`End`]), named pipes ([`Fifo`]), and
//! the descriptors that this process was started with.

#![cfg_attr(
    any(target_os = "macos", feature = "portable"),
    allow(dead_code, reason = "what a monitor and fences use")
)]

pub(in crate::sys) mod blocking_open;
mod drawing;
pub(in crate::sys) mod end;
mod errors;
mod fifo;
mod flock;
mod folder;
pub(in crate::sys) mod identity;
mod inherited;
mod listing;
mod memory;
mod messages;
pub(in crate::sys) mod names;
pub(in crate::sys) mod native;
mod own_file;
mod pipe_pair;
#[cfg(any(target_os = "macos", feature = "portable"))]
pub(in crate::sys) mod plain;
mod private;
mod prompter;
mod reader_wait;
pub(in crate::sys) mod runtime;
mod scratch;
mod standard;
mod stop;
pub(in crate::sys) mod trace;
mod warnings;
#[cfg(not(feature = "portable"))]
pub(in crate::sys) mod watched;

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::own::{self, FoundFile};
use super::{Direction, FileKind, IsAFifo};

pub(super) use super::own::path_of;
pub(crate) use super::own::{CACHES, FifoWatch, PIPE_BUF, STATE, append, memory_file, own_program};
#[cfg(feature = "cli")]
pub(crate) use super::own::{CodePool, Stamp, Workshop, stamp, start_compiler};
pub use super::own::{
    Missing, SandboxPolicy, confine, end_monitor, expect_folders, renounce_files, start_monitor,
};
pub(crate) use drawing::{Drawing, is_terminal};
pub use end::End;
pub(crate) use errors::ERRORS;
pub use fifo::Fifo;
pub(crate) use folder::{Folder, read_at, write_at};
pub(crate) use identity::{FileId, file_id};
pub(crate) use inherited::{
    check_direction, inherited_number, number_in_path, take_given, take_inherited,
    take_inherited_stream,
};
pub(crate) use listing::{LISTS_RUNS, Listed, Listing, listed, pid_namespace};
pub use memory::Allocator;
pub(crate) use memory::{address_space_limit, file_size_limit, is_no_memory};
pub(crate) use messages::{prepare_messages, write_message, write_message_within};
pub(crate) use native::{Native, kill_natives};
pub(crate) use own_file::read_own_file;
pub(in crate::sys) use pipe_pair::blocking;
pub(crate) use pipe_pair::pipe_with_writers;
pub use pipe_pair::{CapacityLease, PipePair, pipe_pair};
pub(crate) use private::{FolderLock, PrivateFile, PrivateFolder};
pub(crate) use prompter::Prompter;
pub(crate) use reader_wait::ReaderWait;
pub use standard::standard;
pub(crate) use standard::{demand_standard_output, retire_standard_input_and_output};
pub(crate) use stop::stop_requests;

/// The variable that names the user's home folder.
pub(crate) const HOME: &str = "HOME";

/// Whether a named pipe is a file in a folder.
pub(crate) const PIPES_ARE_FILES: bool = true;

/// How a missing FIFO comes to be.
pub(super) const MAKE_IT: &str = "make it with mkfifo";

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

/// An open descriptor. Dropping it closes it.
///
/// On Unix it is an [`OwnedFd`]. See the example of [`pipe_pair`].
pub type Handle = OwnedFd;

/// Returns the access mode of open(2) for this direction.
pub(in crate::sys) fn access(direction: Direction) -> OFlags {
    match direction {
        Direction::Read => OFlags::RDONLY,
        Direction::Write => OFlags::WRONLY,
    }
}

/// Makes a pipe: pipe(2). Both ends are close-on-exec and non-blocking. Setting
/// O_NONBLOCK is safe here, as no other process shares their descriptions yet.
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left.
pub(crate) fn anonymous() -> io::Result<(End, End)> {
    let (reader, writer) = own::pipe()?;
    Ok((End::owned(reader, Direction::Read)?, End::owned(writer, Direction::Write)?))
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

/// Opens a file for reading.
///
/// # Errors
/// Those of open(2). [`IsAFifo`] for a FIFO, which is not opened: opening it would already release a
/// writer that waits for its reader.
pub(crate) fn open_input_file(path: &Path) -> io::Result<OwnedFd> {
    let found = FoundFile::look(path)?;
    refuse_fifo(found.kind()?, path)?;
    blocking(found.open(OFlags::RDONLY | OFlags::NONBLOCK)?)
}

/// Reads a regular file of up to `most` bytes. Returns `None` for any other file. Blocks for the file
/// system only.
pub(crate) fn read_small_file(path: &Path, most: u64) -> Option<Vec<u8>> {
    // Opening a FIFO would already release a writer that waits for its reader.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// Opens a file for writing: makes it, or empties it, or with `appends` has all writes go to its end.
///
/// # Errors
/// Those of [`open_input_file`].
pub(crate) fn open_output_file(path: &Path, appends: bool) -> io::Result<OwnedFd> {
    let how = if appends { OFlags::APPEND } else { OFlags::TRUNC };
    match FoundFile::look(path) {
        Ok(found) => {
            refuse_fifo(found.kind()?, path)?;
            blocking(found.open(OFlags::WRONLY | OFlags::NONBLOCK | how)?)
        }
        Err(Errno::NOENT) => {
            let mut options = OpenOptions::new();
            options.write(true).append(appends).create(true).custom_flags(NONBLOCK);
            let file = options.open(path)?;
            // A FIFO may have been made in between. Nothing is written to it then.
            refuse_fifo(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode), path)?;
            if !appends {
                file.set_len(0)?;
            }
            blocking(file.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a file for the host's own texts, so that all writes go to its end if `append`. Makes it with mode 0600 if it is missing. Returns `None`
/// if it is no regular file: nothing is written to it then. Follows no link.
///
/// # Errors
/// Those of open(2).
pub(crate) fn open_log_file(path: &Path, append: bool) -> io::Result<Option<std::fs::File>> {
    // Looked at first: opening a FIFO would already release a reader that waits for its writer.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    // A guest with a folder may have put a link there.
    let flags = NONBLOCK | OFlags::NOFOLLOW.bits() as i32;
    options.write(true).append(append).create(true).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    Ok((kind_of(&file)? == FileKind::Regular).then_some(file))
}

/// Keeps open(2) from blocking on a device, or on a FIFO that was made in between.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits() as i32;

pub(in crate::sys) fn refuse_fifo(kind: FileType, path: &Path) -> io::Result<()> {
    match kind {
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

/// Returns an error where the engine does not keep a guest in the folders that it is granted.
///
/// # Errors
/// None.
pub(crate) fn allow_folders() -> io::Result<()> {
    Ok(())
}

/// Returns whether the text before a `:` is a drive. There are none.
pub(crate) fn is_drive(_: &OsStr) -> bool {
    false
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
/// host keeps for itself. Returns an estimate if they cannot be listed.
pub(crate) fn descriptors_left() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let open = std::fs::read_dir(own::DESCRIPTORS).map_or(USUALLY_OPEN, Iterator::count);
    limit.saturating_sub(open).saturating_sub(OWN.min(limit / 4))
}

/// About how many descriptors a host without guests has open.
const USUALLY_OPEN: usize = 32;
/// How many descriptors the host may need for itself while guests run.
const OWN: usize = 24;

/// Returns the processor time of this thread: CLOCK_THREAD_CPUTIME_ID of clock_gettime(2).
pub(crate) fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Returns the time on a clock that all processes of this system share, and that nobody sets: CLOCK_MONOTONIC of
/// clock_gettime(2).
pub(crate) fn shared_clock() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(time).unwrap_or_default()
}
