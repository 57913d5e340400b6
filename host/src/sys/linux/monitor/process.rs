//! The monitor as a process: made by fork(2), with nothing of its parent's open, and ended with it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{Shutdown, SocketFlags};
use rustix::process::{Pid, WaitOptions};

use super::messages::socket_pair;

/// Where they have to be closed one by one, descriptors above this are not.
const MOST_DESCRIPTORS: u32 = 1 << 16;

/// How long a process that ends waits for its monitor to end.
const PATIENCE: Duration = Duration::from_millis(30);

/// How long a reply may take. It takes microseconds, unless a file system does not answer, or somebody has stopped
/// the monitor.
const SILENCE: Duration = Duration::from_secs(30);

/// The monitor, as the process sees it that made it.
#[derive(Debug)]
pub(super) struct Process {
    socket: OwnedFd,
    pid: Pid,
}

/// The process that made the monitor, as that sees it.
pub(in super::super) struct Host {
    /// Its process group.
    pub(in super::super) group: Pid,
    /// The signals that it had blocked.
    pub(in super::super) mask: libc::sigset_t,
}

impl Process {
    /// Makes a copy of this process that has nothing open but its end of a socket and stderr, and does `work` with
    /// that. Only the thread that calls this is there in the copy, so `work` may take no lock that another may hold.
    ///
    /// # Errors
    /// Those of socketpair(2) and fork(2).
    pub(super) fn start(work: impl FnOnce(&OwnedFd, &Host) -> io::Result<()>) -> io::Result<Self> {
        let (ours, theirs) = socket_pair(SocketFlags::empty())?;
        set_socket_timeout(&ours, Timeout::Recv, Some(SILENCE))?;
        // What signals mean to this process is none of the monitor's concern: what is typed at a terminal, and what
        // is sent to the whole job. It stays in the session, and so in what the scheduler takes for one job.
        let mask = block_signals()?;
        let group = rustix::process::getpgrp();
        // SAFETY: the copy takes no lock but malloc's, which the C library sees to.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let done = keep_only(&theirs).and_then(|()| work(&theirs, &Host { group, mask }));
            // SAFETY: ends the copy at once, as its parent has things to tidy up that it is a copy of.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        let error = io::Error::last_os_error();
        // SAFETY: puts back the mask that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) };
        // Pid takes no negative numbers.
        let Some(pid) = Pid::from_raw(pid.max(0)) else { return Err(error) };
        // So that what kills the whole group, as kill(1) with a negative number does, leaves it. Done here, as the
        // copy may not have run yet when something is made. Fails only where it is gone.
        let _ = rustix::process::setpgid(Some(pid), Some(pid));
        Ok(Self { socket: ours, pid })
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Says that nothing more comes, also to threads that wait for a reply.
    pub(super) fn hang_up(&self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }

    /// Has it end, and reaps it: for a process that is about to end itself. Waits for 30 ms at the most.
    pub(super) fn end(&self) {
        self.hang_up();
        let asked = Instant::now();
        while let Ok(None) = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
            if asked.elapsed() > PATIENCE {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Blocks all signals on this thread, and gives the mask that it had.
fn block_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: `sigfillset` makes the set valid before it is used; only this thread's mask changes.
    unsafe {
        let (mut all, mut before) = std::mem::zeroed::<(libc::sigset_t, libc::sigset_t)>();
        libc::sigfillset(&mut all);
        match libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Closes all descriptors but this one and 2. The standard streams become /dev/null, so that nobody waits for this
/// process to close them.
fn keep_only(socket: &OwnedFd) -> io::Result<()> {
    let kept = socket.as_raw_fd();
    // Under 3 it is where standard streams were missing.
    for (from, to) in [(0, kept.min(2) - 1), (kept.min(2) + 1, kept.max(2) - 1)] {
        close_range(from, to);
    }
    close_range(kept.max(2) + 1, RawFd::MAX);
    // Now there is a descriptor to be had.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in (0..3).filter(|number| *number != kept) {
        match number {
            0 => rustix::stdio::dup2_stdin(&null)?,
            1 => rustix::stdio::dup2_stdout(&null)?,
            _ => rustix::stdio::dup2_stderr(&null)?,
        }
    }
    Ok(())
}

/// Closes descriptors that values of the parent's own, which are never touched here.
fn close_range(from: RawFd, to: RawFd) {
    if from > to {
        return;
    }
    // SAFETY: nothing in this process uses what is closed.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
    if closed != 0 {
        // Before Linux 5.9, or where somebody else's filter does not know the call.
        for fd in from..=to.min(MOST_DESCRIPTORS.cast_signed()) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}
