//! Starting native commands from a process that has given up starting any.
//!
//! What a process confines itself to, its children are confined to as well, and a native command that
//! was granted is none that the operator distrusts. So a process that may have to start some makes a
//! broker first, by fork(2): a copy of itself that holds no descriptors but its end of a socket, and
//! does nothing but what is asked of it there: it starts the commands that it was told of at the start,
//! and sends those that it has started signals. What it starts is not its own child but its parent's
//! (CLONE_PARENT of clone(2)), so that waiting is as if it had not been there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt as _;
use std::sync::OnceLock;

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use rustix::process::{Pid, PidfdFlags};

use super::super::{MOST_OTHERS, NativeCommand};
use super::helper::{Helper, MOST_PASSED, Request, receive};

/// The text of the command, and its standard streams.
const FIRST: usize = 4;

/// What a request begins with: to start a command, to send one a signal.
const START: u8 = 1;
const SIGNAL: u8 = 2;

/// A command's text is no longer than what execve(2) takes: two million bytes on Linux.
const MOST_TEXT: u64 = 2 << 20;

static BROKER: OnceLock<Helper> = OnceLock::new();

/// What a broker may be asked to start: each a program and the arguments that it begins with.
pub(super) type Commands = Vec<Vec<OsString>>;

/// Makes the broker, for all commands that this process starts once it is confined, which must be among
/// `commands`. To be called while there is one thread only.
///
/// # Errors
/// Those of socketpair(2) and fork(2).
pub fn start_broker(commands: Commands) -> io::Result<()> {
    if BROKER.get().is_some() {
        return Ok(());
    }
    let parent = rustix::process::getpid();
    let broker = |socket: &OwnedFd| Broker { commands, parent, started: Vec::new() }.serve(socket);
    let helper = Helper::start(std::iter::empty(), broker)?;
    BROKER.get_or_init(|| helper);
    Ok(())
}

/// Whether commands are started by a broker.
pub(super) fn is_there() -> bool {
    BROKER.get().is_some()
}

/// Has the broker start `command`, whose number it gives. Blocks until that is done: about as long
/// as fork(2) and execve(2) take.
///
/// # Errors
/// Those of execve(2) and fork(2); `PermissionDenied` where it is none of the broker's commands;
/// `BrokenPipe` where the broker has gone.
pub(super) fn start(command: &NativeCommand, leads: bool) -> io::Result<i32> {
    if command.others.len() > MOST_OTHERS {
        return Err(io::Error::other("a command can be given 64 descriptors at most"));
    }
    let text = write_text(command, leads)?;
    let mut fds =
        vec![text.as_fd(), command.stdin.as_fd(), command.stdout.as_fd(), command.stderr.as_fd()];
    fds.extend(command.others.iter().map(|(_, fd)| fd.as_fd()));
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_PASSED))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let broker = BROKER.get().ok_or(io::ErrorKind::NotFound)?;
    let socket = broker.socket();
    match ask(&socket, &[START], &mut control)? {
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

/// Has the broker send a signal to a command that it has started, or to the group that this leads, if
/// there is such a one still. Waits where the broker starts a command just now, if it `may_wait`; whether
/// it has been asked.
pub(super) fn signal(pid: i32, leads: bool, signal: i32, may_wait: bool) -> bool {
    let Some(broker) = BROKER.get() else { return true };
    let socket = match may_wait {
        true => broker.socket(),
        false => match broker.try_socket() {
            Some(socket) => socket,
            None => return false,
        },
    };
    let pid = if leads { -pid } else { pid };
    let request = [&[SIGNAL][..], &pid.to_ne_bytes(), &signal.to_ne_bytes()].concat();
    // The error says that it is gone, which is as well.
    let _ = ask(&socket, &request, &mut SendAncillaryBuffer::default());
    true
}

/// Has the broker end: see [`Helper::end`]. One that is busy ends by itself, a little later.
pub(super) fn end() {
    if let Some(broker) = BROKER.get()
        && let Some(socket) = broker.try_socket()
    {
        broker.end(socket);
    }
}

/// Sends a request, and gives the two numbers of the answer.
fn ask(
    socket: &Option<OwnedFd>,
    request: &[u8],
    control: &mut SendAncillaryBuffer<'_, '_, '_>,
) -> io::Result<(i32, i32)> {
    let socket = socket.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
    rustix::net::sendmsg(socket, &[IoSlice::new(request)], control, SendFlags::NOSIGNAL)?;
    let mut answer = [0; 8];
    let mut parts = [IoSliceMut::new(&mut answer)];
    let mut control = RecvAncillaryBuffer::default();
    let got = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::empty())
    })?;
    if got.bytes != answer.len() {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let [a, b, c, d, e, f, g, h] = answer;
    Ok((i32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h])))
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
    let mut file = File::from(super::memory_file("command", text.len() as u64)?);
    file.write_all(&text)?;
    file.rewind()?;
    Ok(file)
}

/// The other side of [`write_text`].
fn read_text(file: File, fds: Vec<OwnedFd>) -> io::Result<(NativeCommand, bool)> {
    let malformed = || io::Error::from_raw_os_error(libc::EINVAL);
    // Anything else could keep whoever reads it waiting.
    if !file.metadata()?.is_file() {
        return Err(malformed());
    }
    let mut text = Vec::new();
    if file.take(MOST_TEXT + 1).read_to_end(&mut text)? as u64 > MOST_TEXT {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
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

/// What a broker knows.
struct Broker {
    commands: Commands,
    /// Whose children its commands are.
    parent: Pid,
    /// The commands that have been started, as long as they may run.
    started: Vec<(Pid, OwnedFd)>,
}

impl Broker {
    /// Its whole life: ends when its socket does.
    fn serve(&mut self, socket: &OwnedFd) -> io::Result<()> {
        loop {
            let mut request = [0; 9];
            let Some(Request { fds, is_whole, .. }) = receive(socket, &mut request)? else {
                return Ok(());
            };
            let answer = match request {
                [START, ..] if is_whole && fds.len() >= FIRST => self.start(fds),
                [SIGNAL, a, b, c, d, e, f, g, h] => {
                    let (pid, signal) = ([a, b, c, d], [e, f, g, h]);
                    self.signal(i32::from_ne_bytes(pid), i32::from_ne_bytes(signal))
                }
                _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            };
            let (pid, error) = match answer {
                Ok(answer) => answer,
                Err(error) => (0, error.raw_os_error().unwrap_or(libc::EIO)),
            };
            let answer = [pid.to_ne_bytes(), error.to_ne_bytes()].concat();
            rustix::net::send(socket, &answer, SendFlags::NOSIGNAL)?;
        }
    }

    /// Starts what is asked for: its number, and why it could not be executed, or 0.
    fn start(&mut self, mut fds: Vec<OwnedFd>) -> io::Result<(i32, i32)> {
        let text = File::from(fds.remove(0));
        let (command, leads) = read_text(text, fds)?;
        let words = std::iter::once(&command.program).chain(&command.args);
        let begins_as = |known: &&Vec<OsString>| {
            words.clone().take(known.len()).eq(known.iter()) && !known.is_empty()
        };
        if self.commands.iter().find(begins_as).is_none() {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        // It may have gone, and left the request behind.
        if rustix::process::getppid() != Some(self.parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let (mut command, reserved) = command.prepared(leads, self.parent)?;
        // Only now: the command's own numbers are taken.
        let (failure, report) = os_pipe::pipe()?;
        // SAFETY: this process has one thread; the new one executes a program, or ends.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone, libc::CLONE_PARENT | libc::SIGCHLD, 0, 0, 0, 0)
        };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let error = command.exec().raw_os_error().unwrap_or(libc::EIO);
                let _ = (&report).write_all(&error.to_ne_bytes());
                // SAFETY: as in [`Helper::start`].
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
                let pid = i32::try_from(pid).unwrap_or(0);
                if let Some(pid) = Pid::from_raw(pid).filter(|_| error == 0) {
                    self.started.retain(|(_, pidfd)| is_known(pidfd));
                    // Without one, it can be sent nothing; its parent's end kills it.
                    if let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                        self.started.push((pid, pidfd));
                    }
                }
                Ok((pid, error))
            }
        }
    }

    /// Sends a signal to a command, or to the group that it leads, if that has not been reaped: its number
    /// is nobody else's then.
    fn signal(&self, pid: i32, signal: i32) -> io::Result<(i32, i32)> {
        let is_it =
            |(known, _): &&(Pid, OwnedFd)| known.as_raw_nonzero().get() == pid.saturating_abs();
        match self.started.iter().find(is_it) {
            Some((_, pidfd)) if is_known(pidfd) => {
                // SAFETY: sends a signal, and touches no memory.
                match unsafe { libc::kill(pid, signal) } {
                    0 => Ok((0, 0)),
                    _ => Err(io::Error::last_os_error()),
                }
            }
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }
}

/// Whether a process has not been reaped: pidfd_send_signal(2) with no signal.
fn is_known(pidfd: &OwnedFd) -> bool {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: sends nothing, and only tells whether it could.
    let sent =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), 0, nothing, 0) };
    sent == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}
