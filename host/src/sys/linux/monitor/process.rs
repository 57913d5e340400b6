//! The monitor as a process: fork(2) makes it, it keeps no descriptors of its parent, and it ends with
//! its parent.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{Shutdown, SocketFlags};
use rustix::process::{Pid, WaitOptions};

use super::messages::socket_pair;

/// The highest descriptor that is closed where descriptors have to be closed one by one.
const MOST_DESCRIPTORS: u32 = 1 << 16;

/// How long a process that ends waits for its monitor to end.
const PATIENCE: Duration = Duration::from_millis(30);

/// How long a reply may take. It takes microseconds, unless a file system does not answer, or a signal
/// has stopped the monitor.
const SILENCE: Duration = Duration::from_secs(30);

/// A copy of this process with work of its own, such as the monitor, as seen by the process that made it.
#[derive(Debug)]
pub(in super::super) struct Process {
    socket: OwnedFd,
    pid: Pid,
}

/// The process that made the monitor, as seen by the monitor.
pub(in super::super) struct Host {
    /// Its process group.
    pub(in super::super) group: Pid,
    /// The signals that it had blocked.
    pub(in super::super) mask: libc::sigset_t,
}

impl Process {
    /// Forks a copy of this process that has nothing open but its end of a socket and stderr, and runs
    /// `work` in it. The copy has only the thread that calls this, so where there are others, `work` must not take a lock
    /// that one of them may hold.
    ///
    /// # Errors
    /// Those of socketpair(2) and fork(2).
    pub(in super::super) fn start(
        work: impl FnOnce(&OwnedFd, &Host) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (ours, theirs) = socket_pair(SocketFlags::empty())?;
        set_socket_timeout(&ours, Timeout::Recv, Some(SILENCE))?;
        // The monitor ignores signals that are meant for this process: those typed at a terminal, and
        // those sent to the whole job. It stays in the session, and so in what the scheduler takes for
        // one job.
        let mask = block_signals()?;
        let group = rustix::process::getpgrp();
        // SAFETY: the copy takes no lock that another thread may hold: either there is none, or `work` takes none but
        // malloc's, which the C library makes safe after fork(2).
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let done = keep_only(&theirs).and_then(|()| work(&theirs, &Host { group, mask }));
            // SAFETY: ends the copy at once, without running destructors, as the values are the
            // parent's to tidy up.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        let error = io::Error::last_os_error();
        // SAFETY: puts back the mask that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) };
        // `Pid::from_raw` takes no negative numbers.
        let Some(pid) = Pid::from_raw(pid.max(0)) else { return Err(error) };
        // A signal to the whole group, as kill(1) sends with a negative number, then does not reach the
        // monitor. Done by the parent, as the copy may not have run yet when something is made. Fails
        // only if the copy is gone.
        let _ = rustix::process::setpgid(Some(pid), Some(pid));
        Ok(Self { socket: ours, pid })
    }

    /// Returns the connection. The copy ends when it is closed, if its work heeds that.
    #[cfg(feature = "cli")]
    pub(in super::super) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Closes the connection. Threads that wait for a reply get an error.
    pub(super) fn hang_up(&self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }

    /// Has the monitor end, and reaps it. For a process that is about to end itself. Blocks for 30 ms
    /// at most.
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

/// Blocks all signals on this thread, and returns the mask that it had.
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

/// Closes all descriptors but this one and 2. The standard streams become /dev/null, so that no peer
/// waits for this process to close them.
fn keep_only(socket: &OwnedFd) -> io::Result<()> {
    let kept = socket.as_raw_fd();
    // The socket has a number below 3 if standard streams were missing.
    for (from, to) in [(0, kept.min(2) - 1), (kept.min(2) + 1, kept.max(2) - 1)] {
        close_range(from, to);
    }
    close_range(kept.max(2) + 1, RawFd::MAX);
    // Now a descriptor is free.
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

/// Closes descriptors that belong to values of the parent, which this process never uses.
fn close_range(from: RawFd, to: RawFd) {
    if from > to {
        return;
    }
    // SAFETY: no code in this process uses the closed descriptors.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
    if closed != 0 {
        // Before Linux 5.9, or if another seccomp filter does not know the call.
        for fd in from..=to.min(MOST_DESCRIPTORS.cast_signed()) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}
