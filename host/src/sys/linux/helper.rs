//! Copies of this process, made by fork(2) before it confines itself, that do one thing for it which it may not
//! do any more. Each holds nothing but what it needs for that and an end of a socket, by which it is asked,
//! and lives as long as the other end is open.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketFlags,
    SocketType,
};

/// Where they have to be closed one by one, descriptors above this are not.
const MOST_DESCRIPTORS: u32 = 1 << 16;

/// So many descriptors can be passed to a copy at once.
pub(super) const MOST_PASSED: usize = 4 + super::super::MOST_OTHERS;

/// How long a process that ends waits for a copy of itself to end.
const PATIENCE: Duration = Duration::from_millis(30);

/// A copy, as the process sees it that made it.
#[derive(Debug)]
pub(super) struct Helper {
    /// `None` once it has been told that nothing more comes.
    socket: Mutex<Option<OwnedFd>>,
    pid: libc::pid_t,
}

impl Helper {
    /// Makes a copy that has nothing open but `keep` and its end of the socket, and does `work` with that. Only
    /// the thread that calls this is there in the copy, so `work` may take no lock that another may hold.
    ///
    /// # Errors
    /// Those of socketpair(2) and fork(2).
    pub(super) fn start(
        keep: impl Iterator<Item = RawFd>,
        work: impl FnOnce(&OwnedFd) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mut keep: Vec<RawFd> = keep.chain([theirs.as_raw_fd(), 2]).collect();
        // SAFETY: the copy takes no lock but malloc's, which the C library sees to.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let done = keep_only(&mut keep).and_then(|()| work(&theirs));
                // SAFETY: ends the copy at once, as its parent has things to tidy up that it is a copy of.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
            pid => Ok(Self { socket: Mutex::new(Some(ours)), pid }),
        }
    }

    /// Gives the copy a process group of its own; setpgid(2). Fails only where the copy is gone.
    pub(super) fn leave_group(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid);
        let _ = rustix::process::setpgid(pid, pid);
    }

    /// What it is asked by, for as long as nobody else is to ask. Waits for whoever does.
    pub(super) fn socket(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Helper::socket`], without waiting.
    pub(super) fn try_socket(&self) -> Option<MutexGuard<'_, Option<OwnedFd>>> {
        match self.socket.try_lock() {
            Ok(socket) => Some(socket),
            Err(TryLockError::Poisoned(socket)) => Some(socket.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Has it end, and reaps it, so that it is nobody else's to reap: for a process that is about to end
    /// itself. Waits for 30 ms at the most.
    pub(super) fn end(&self, mut socket: MutexGuard<'_, Option<OwnedFd>>) {
        if socket.take().is_none() {
            return;
        }
        let asked = Instant::now();
        loop {
            // SAFETY: waits for a child of this process, and wants to know nothing of it.
            let reaped = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG) };
            if reaped != 0 || asked.elapsed() > PATIENCE {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// What a copy is asked.
pub(super) struct Request {
    /// How many bytes of the buffer it is.
    pub(super) bytes: usize,
    pub(super) fds: Vec<OwnedFd>,
    /// Whether all descriptors that were passed have come.
    pub(super) is_whole: bool,
}

/// recvmsg(2): waits for what the copy is asked next; `None` once nobody is left who could.
///
/// # Errors
/// Those of recvmsg(2).
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<Request>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_PASSED))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let got = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    if got.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let is_whole = !got.flags.contains(ReturnFlags::CTRUNC);
    Ok(Some(Request { bytes: got.bytes, fds, is_whole }))
}

/// Closes all descriptors but these, 2 among them. The standard streams become /dev/null, so that nobody waits
/// for this process to close them.
fn keep_only(keep: &mut [RawFd]) -> io::Result<()> {
    keep.sort_unstable();
    let from = keep.iter().map(|fd| fd.unsigned_abs() + 1);
    let to = keep[1..].iter().map(|fd| fd.unsigned_abs().saturating_sub(1));
    for (from, to) in from.zip(to.chain([u32::MAX])) {
        if from > to {
            continue;
        }
        // SAFETY: what is closed belongs to values of the parent's that are never touched here.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        if closed != 0 {
            // Before Linux 5.9, or where somebody else's filter does not know the call.
            for fd in from..=to.min(MOST_DESCRIPTORS) {
                // SAFETY: as above.
                unsafe { libc::close(fd.cast_signed()) };
            }
        }
    }
    // Now there is a descriptor to be had.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
