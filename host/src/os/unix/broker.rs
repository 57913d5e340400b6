//! Starting native commands from a process that has given up starting any.
//!
//! What a process confines itself to, its children are confined to as well, and a native command that
//! was granted is none that the operator distrusts. So a process that may have to start some makes a
//! broker first, by fork(2): a copy of itself that holds no descriptors but its end of a socket, and
//! does nothing but what is asked of it there. What it starts is not its own child but its parent's
//! (CLONE_PARENT of clone(2)), so that waiting and signals are as if it had not been there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::native::{MOST_OTHERS, NativeCommand};

/// The text of the command, and its standard streams.
const FIRST: usize = 4;

static BROKER: OnceLock<Mutex<OwnedFd>> = OnceLock::new();

/// Makes the broker, for all commands that this process starts from now on. To be called while there
/// is one thread only.
///
/// # Errors
/// Those of socketpair(2) and fork(2).
pub fn start_broker() -> io::Result<()> {
    if BROKER.get().is_some() {
        return Ok(());
    }
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // SAFETY: with a single thread, no lock is held by anybody whom the copy does not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ours);
            serve(theirs)
        }
        _ => {
            BROKER.get_or_init(|| Mutex::new(ours));
            Ok(())
        }
    }
}

/// Whether commands are started by a broker.
pub(super) fn is_there() -> bool {
    BROKER.get().is_some()
}

/// Has the broker start `command`, whose number it gives. Blocks until that is done: about as long
/// as fork(2) and execve(2) take.
///
/// # Errors
/// Those of execve(2) and fork(2); `BrokenPipe` where the broker has gone.
pub(super) fn start(command: &NativeCommand, leads: bool) -> io::Result<i32> {
    let broker = BROKER.get().ok_or(io::ErrorKind::NotFound)?;
    let broker = broker.lock().unwrap_or_else(PoisonError::into_inner);
    if command.others.len() > MOST_OTHERS {
        return Err(io::Error::other("a command can be given 64 descriptors at most"));
    }
    let text = write_text(command, leads)?;
    let mut fds =
        vec![text.as_fd(), command.stdin.as_fd(), command.stdout.as_fd(), command.stderr.as_fd()];
    fds.extend(command.others.iter().map(|(_, fd)| fd.as_fd()));
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FIRST + MOST_OTHERS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(&*broker, &[IoSlice::new(&[1])], &mut control, SendFlags::NOSIGNAL)?;
    let mut answer = [0; 8];
    let mut parts = [IoSliceMut::new(&mut answer)];
    let mut control = RecvAncillaryBuffer::default();
    let got = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&*broker, &mut parts, &mut control, RecvFlags::empty())
    })?;
    if got.bytes != answer.len() {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let [a, b, c, d, e, f, g, h] = answer;
    match (i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h])) {
        (pid, 0) => Ok(pid),
        (pid, error) => {
            if pid > 0 {
                // It is ours to bury.
                // SAFETY: waits for a child of this process, and wants to know nothing of it.
                unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            }
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// What the command is, as a file in memory: it can be longer than a message.
fn write_text(command: &NativeCommand, leads: bool) -> io::Result<File> {
    let mut text = Vec::new();
    text.push(u8::from(leads));
    text.push(u8::try_from(command.others.len()).unwrap_or(0));
    for (number, _) in &command.others {
        text.extend_from_slice(&number.to_ne_bytes());
    }
    for word in std::iter::once(&command.program).chain(&command.args) {
        if word.as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a word with a NUL in it"));
        }
        text.extend_from_slice(word.as_bytes());
        text.push(0);
    }
    let mut file = File::from(super::memory_file("command")?);
    file.write_all(&text)?;
    file.rewind()?;
    Ok(file)
}

/// The other side of [`write_text`].
fn read_text(mut file: File, fds: Vec<OwnedFd>) -> io::Result<(NativeCommand, bool)> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let (&[leads, others], rest) = text.split_first_chunk().ok_or_else(malformed)?;
    let (numbers, words) =
        rest.split_at_checked(usize::from(others) * size_of::<RawFd>()).ok_or_else(malformed)?;
    let (numbers, _) = numbers.as_chunks();
    let mut fds = fds.into_iter();
    let (Some(stdin), Some(stdout), Some(stderr)) = (fds.next(), fds.next(), fds.next()) else {
        return Err(malformed());
    };
    let mut words = words.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned());
    let program = words.next().ok_or_else(malformed)?;
    let mut args: Vec<OsString> = words.collect();
    // Behind the last NUL.
    args.pop();
    let others = numbers.iter().map(|number| RawFd::from_ne_bytes(*number)).zip(fds).collect();
    Ok((NativeCommand { program, args, stdin, stdout, stderr, others }, leads != 0))
}

/// The broker's whole life: ends when its socket does.
fn serve(socket: OwnedFd) -> ! {
    let served = keep_only(&socket).and_then(|()| serve_all(socket));
    // SAFETY: ends this process at once, as its parent has things to tidy up that this is a copy of.
    unsafe { libc::_exit(i32::from(served.is_err())) }
}

/// Closes all but the socket; the standard streams become /dev/null, so that nobody waits for this
/// process to close them.
fn keep_only(socket: &OwnedFd) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    drop(null);
    let keep = socket.as_raw_fd().unsigned_abs();
    for (from, to) in [(3, keep.saturating_sub(1)), (keep + 1, u32::MAX)] {
        if from <= to {
            // SAFETY: what is closed belongs to values of the parent's that are never touched here.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
            if closed != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

fn serve_all(socket: OwnedFd) -> io::Result<()> {
    loop {
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FIRST + MOST_OTHERS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let got = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        if got.bytes == 0 {
            return Ok(());
        }
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        let whole = !got.flags.contains(ReturnFlags::CTRUNC) && fds.len() >= FIRST;
        let started = match whole {
            true => execute(fds),
            false => Err(io::ErrorKind::InvalidData.into()),
        };
        let (pid, error) = match started {
            Ok(started) => started,
            Err(error) => (0, error.raw_os_error().unwrap_or(libc::EIO)),
        };
        let answer = [pid.to_ne_bytes(), error.to_ne_bytes()].concat();
        rustix::net::send(&socket, &answer, SendFlags::NOSIGNAL)?;
    }
}

/// Starts what is asked for: its number, and why it could not be executed, or 0.
fn execute(mut fds: Vec<OwnedFd>) -> io::Result<(i32, i32)> {
    let text = File::from(fds.remove(0));
    let (command, leads) = read_text(text, fds)?;
    let (failure, report) = os_pipe::pipe()?;
    // What this starts has the same parent.
    let parent = rustix::process::getppid().ok_or(io::ErrorKind::BrokenPipe)?;
    let (mut command, reserved) = command.prepared(leads, parent)?;
    // SAFETY: this process has one thread; the new one executes a program, or ends.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_PARENT | libc::SIGCHLD, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let error = command.exec().raw_os_error().unwrap_or(libc::EIO);
            let _ = (&report).write_all(&error.to_ne_bytes());
            // SAFETY: as in `serve`.
            unsafe { libc::_exit(127) }
        }
        _ => {
            drop((report, command, reserved));
            let mut error = [0; 4];
            // The end of file says that it has been executed.
            let error = match (&failure).read_exact(&mut error) {
                Ok(()) => i32::from_ne_bytes(error),
                Err(_) => 0,
            };
            Ok((i32::try_from(pid).unwrap_or(0), error))
        }
    }
}
