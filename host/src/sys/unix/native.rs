//! Native commands: starts them on pipe ends, tells how they ended, and leaves none behind.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use super::super::own::{self, monitor};
use super::super::{MOST_OTHERS, NativeCommand, NativeEnd, Stop, Usage};
use rustix::process::{Pid, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A running native command. Dropping it kills the command, and reaps it in the background.
#[derive(Debug)]
pub(crate) struct Native {
    pid: Pid,
    /// True if the command leads a process group of its own.
    leads: bool,
    /// True if the command is a child of the monitor, not of this process.
    by_monitor: bool,
    /// Becomes readable when the command has ended: a pidfd, or what takes its place.
    pidfd: Option<AsyncFd<OwnedFd>>,
}

/// The commands that run or are not reaped yet. Only these may be sent a signal: the number of a reaped
/// command may already be another process's.
static LIVING: Mutex<Living> = Mutex::new(Living { commands: Vec::new(), leaving: false });

struct Living {
    commands: Vec<Known>,
    /// True if this process is about to end without tidying up. A command that starts now is killed at
    /// once.
    leaving: bool,
}

fn living() -> MutexGuard<'static, Living> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command that may be sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sys) struct Known {
    pub(in crate::sys) pid: Pid,
    /// True if the command leads a process group of its own. Signals then go to the whole group.
    pub(in crate::sys) leads: bool,
}

/// The process group of a command.
#[derive(Clone, Copy, Debug)]
pub(in crate::sys) enum Group {
    /// A new group, which the command leads.
    Own,
    /// The group of the process that starts it.
    Inherited,
    Of(Pid),
}

impl NativeCommand {
    /// Starts the command: fork(2) and execve(2).
    ///
    /// SIGPIPE gets its usual effect in the command, and SIGXFSZ the effect that it had in this process
    /// at first. Other signals are ignored or blocked as they are in this process. The command inherits
    /// the environment and the current folder. It gets the descriptors that it is given here, and those
    /// that this process inherited and was not told to grant.
    ///
    /// If this process has no terminal, the command leads a process group of its own, so that a signal
    /// also reaches the processes that the command starts. If there is a terminal, the command must
    /// stay in the group that the terminal lets read. It then gets what is typed there, such as Ctrl-C,
    /// directly from the terminal.
    ///
    /// Linux kills the command when the thread that started it ends, so also when this process is
    /// killed and can no longer tidy up. It does not kill processes that the command has started, nor a
    /// command that gained privileges by execve(2).
    ///
    /// Must be called inside a tokio runtime that outlives the command, and on a thread that outlives
    /// it.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied` and all others of execve(2) and fork(2).
    pub(crate) fn start(self) -> io::Result<Native> {
        if monitor::is_there() && monitor::is_sealed() {
            return self.start_by_monitor();
        }
        let leads = !has_terminal();
        count_on_sigchld();
        // A file system can make this take any time, so no lock is held meanwhile.
        let pid = self.spawn(if leads { Group::Own } else { Group::Inherited }, None)?;
        let leaving = {
            let mut living = living();
            living.commands.push(Known { pid, leads });
            living.leaving
        };
        let mut native = Native { pid, leads, by_monitor: false, pidfd: None };
        // From here on an early return kills the command. `std` does not wait for the child.
        if leaving {
            return Err(io::Error::other("this process is about to end"));
        }
        native.watch(own::ended(pid)?)?;
        Ok(native)
    }

    fn start_by_monitor(self) -> io::Result<Native> {
        let started = monitor::start(&self)?;
        let pid = Pid::from_raw(started.pid).ok_or(io::ErrorKind::InvalidData)?;
        let mut native = Native { pid, leads: started.leads, by_monitor: true, pidfd: None };
        native.watch(started.pidfd)?;
        Ok(native)
    }

    /// Starts the command in this process group: fork(2) and execve(2). `mask` replaces the thread's
    /// signal mask.
    ///
    /// # Errors
    /// Those of the two.
    pub(in crate::sys) fn spawn(
        self,
        group: Group,
        mask: Option<libc::sigset_t>,
    ) -> io::Result<Pid> {
        let mut command = Command::new(self.program);
        command.args(self.args).stdin(self.stdin).stdout(self.stdout).stderr(self.stderr);
        match group {
            Group::Own => drop(command.process_group(0)),
            Group::Inherited => {}
            Group::Of(group) => drop(command.process_group(group.as_raw_nonzero().get())),
        }
        let _reserved = match self.others.is_empty() {
            true => Vec::new(),
            false => give(&mut command, self.others)?,
        };
        die_with_parent(&mut command, mask);
        #[allow(clippy::let_unit_value, reason = "a guard on some systems")]
        let _forking = own::forking();
        let pid = i32::try_from(command.spawn()?.id()).unwrap_or(0);
        Pid::from_raw(pid).ok_or_else(|| io::Error::other("a process without a number"))
    }
}

/// Returns whether a terminal controls this process: tty(4). Looks once, before confinement forbids it.
pub(in crate::sys) fn has_terminal() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| std::fs::File::open("/dev/tty").is_ok())
}

/// Has the kernel kill `command` when the thread that starts it ends, where it can. Also restores the signal mask and the effect of SIGXFSZ.
fn die_with_parent(command: &mut Command, mask: Option<libc::sigset_t>) {
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    let tie = move || {
        // SAFETY: getppid(2) and sigprocmask(2) are async-signal-safe and touch no memory but the mask.
        unsafe {
            if let Some(mask) = &mask {
                libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut());
            }
            own::tie_to_parent()?;
            super::reset_file_size_signal();
            // The parent may have ended before the tie took effect.
            match libc::getppid() == parent {
                true => Ok(()),
                false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            }
        }
    };
    // SAFETY: between fork(2) and execve(2) only async-signal-safe functions are called, and nothing
    // is allocated.
    unsafe { command.pre_exec(tie) };
}

/// Makes SIGCHLD count if the parent process had it ignored: else the kernel would reap commands that
/// end, and their exit status would be lost. signal(7).
pub(in crate::sys) fn count_on_sigchld() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if super::is_ignored(libc::SIGCHLD) {
            // SAFETY: the default reaction to SIGCHLD, which is none, runs no code of this program.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        }
    });
}

/// Has `command` start with the descriptors `others` under their numbers. The returned descriptors must
/// live until then: they keep those numbers from the pipe by which `std` learns of a failed execve(2).
fn give(command: &mut Command, others: Vec<(RawFd, OwnedFd)>) -> io::Result<Vec<OwnedFd>> {
    if others.len() > MOST_OTHERS {
        return Err(io::Error::other("a command can be given 64 descriptors at most"));
    }
    let reserve = |(number, fd): &(RawFd, OwnedFd)| rustix::io::fcntl_dupfd_cloexec(fd, *number);
    let reserved = others.iter().map(reserve).collect::<Result<Vec<_>, _>>()?;
    let place = move || {
        // All are moved away first: a descriptor that is at a wanted number now may be wanted
        // elsewhere.
        let mut moved = [0; MOST_OTHERS];
        for (moved, (_, fd)) in moved.iter_mut().zip(&others) {
            *moved = 2;
            // execve(2) closes the duplicates that are in the way.
            while *moved < 3 || others.iter().any(|(number, _)| number == moved) {
                // SAFETY: fcntl(2) with an open descriptor is async-signal-safe and touches no memory.
                *moved = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, *moved + 1) };
                if *moved < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        for (moved, (number, _)) in moved.iter().zip(&others) {
            // SAFETY: dup2(2) is async-signal-safe. This is the new process, where no other code uses
            // the descriptor under this number.
            if unsafe { libc::dup2(*moved, *number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork(2) and execve(2) only async-signal-safe functions are called, and nothing is
    // allocated.
    unsafe { command.pre_exec(place) };
    Ok(reserved)
}

impl Native {
    /// Registers `pidfd` with tokio, which then tells when the command has ended.
    fn watch(&mut self, pidfd: OwnedFd) -> io::Result<()> {
        // SAFETY: the `AsyncFd` owns the descriptor until it is dropped, and nothing replaces it.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        self.pidfd = Some(pidfd.map_err(|refused| refused.into_parts().1)?);
        Ok(())
    }

    /// Asks the command to end, and its whole process group if it leads one: kill(2). Also sends
    /// SIGCONT, as a stopped process would not see the signal.
    pub(crate) fn stop(&self, stop: Stop) {
        self.send(stop.number().into());
        self.send(libc::SIGCONT);
    }

    /// Kills the command, and its whole process group if it leads one: SIGKILL.
    pub(crate) fn kill(&self) {
        self.send(libc::SIGKILL);
    }

    fn send(&self, signal: i32) {
        let Self { pid, leads, by_monitor, .. } = *self;
        match by_monitor {
            true => monitor::signal(pid.as_raw_nonzero().get(), signal),
            false => Known { pid, leads }.send_if_it_lives(signal),
        }
    }

    fn reap(&self) -> io::Result<Option<(NativeEnd, Usage)>> {
        match self.by_monitor {
            true => monitor::reap(self.pid.as_raw_nonzero().get()),
            false => reap(self.pid),
        }
    }

    /// Returns whether the command leads a process group of its own.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// Waits until the command has ended, reaps it, and returns how it ended and what it used:
    /// wait4(2). Cancel safe.
    ///
    /// # Errors
    /// Those of wait4(2).
    pub(crate) async fn wait(&mut self) -> io::Result<(NativeEnd, Usage)> {
        loop {
            if let Some(ended) = self.reap()? {
                return Ok(ended);
            }
            match &self.pidfd {
                Some(pidfd) => pidfd.readable().await?.clear_ready(),
                None => return Err(io::Error::other("the command has not been started")),
            }
        }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        if self.by_monitor {
            monitor::abandon(self.pid.as_raw_nonzero().get());
            return;
        }
        self.kill();
        // It may be reaped before, or just now. If not, it takes a moment to die.
        if !matches!(reap(self.pid), Ok(None)) {
            return;
        }
        let pid = self.pid;
        let reap = move || {
            while matches!(reap(pid), Ok(None)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        // If no thread can be started, the command stays a zombie until this process ends.
        let _ = std::thread::Builder::new().name("reaper".into()).stack_size(64 * 1024).spawn(reap);
    }
}

/// Reaps a child of this process, if it has ended.
fn reap(pid: Pid) -> io::Result<Option<(NativeEnd, Usage)>> {
    // The lock makes reaping and removing from the list one step for all threads.
    let mut living = living();
    if !living.commands.iter().any(|known| known.pid == pid) {
        return Err(io::Error::other("the command has been waited for before"));
    }
    let ended = wait_now(pid);
    if !matches!(ended, Ok(None)) {
        // On an error, other code has reaped it: this process must no longer use the number.
        living.commands.retain(|known| known.pid != pid);
    }
    ended
}

/// Asks whether a child has ended: wait4(2) with WNOHANG. Returns `Ok(None)` if it has not, or if a
/// signal interrupted the call.
///
/// # Errors
/// ECHILD if the child has been reaped.
pub(in crate::sys) fn wait_now(pid: Pid) -> io::Result<Option<(NativeEnd, Usage)>> {
    let mut status = 0;
    // SAFETY: zeroes are a valid `rusage`, which wait4(2) fills in, as it does `status`.
    let (reaped, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid.as_raw_nonzero().get(), &mut status, libc::WNOHANG, &mut usage), usage)
    };
    match reaped {
        0 => return Ok(None),
        -1 => {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        }
        _ => {}
    }
    let end = match libc::WIFEXITED(status) {
        true => NativeEnd::Exited((libc::WEXITSTATUS(status) & 0xff) as u8),
        false => NativeEnd::Signaled((libc::WTERMSIG(status) & 0x7f) as u8),
    };
    #[allow(clippy::unnecessary_cast, reason = "not of one size everywhere")]
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), (time.tv_usec.unsigned_abs() * 1000) as u32)
    };
    let usage = Usage {
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        memory: usage.ru_maxrss.unsigned_abs() * own::MEMORY_UNIT,
    };
    Ok(Some((end, usage)))
}

/// Kills all native commands that this process has started. Called when this process ends without
/// tidying up. The monitor kills the commands of guests when it ends.
pub(crate) fn kill_natives() {
    let mut living = living();
    living.leaving = true;
    for known in &living.commands {
        known.send(Signal::KILL);
    }
}

impl Known {
    fn send_if_it_lives(&self, number: i32) {
        let living = living();
        if let Some(signal) = Signal::from_named_raw(number)
            && living.commands.contains(self)
        {
            self.send(signal);
        }
    }

    /// Sends the signal. The caller must make sure that no other thread reaps the command meanwhile, so
    /// that its number is still its own. An error says that the process is gone, and is ignored.
    pub(in crate::sys) fn send(&self, signal: Signal) {
        let _ = match self.leads {
            true => rustix::process::kill_process_group(self.pid, signal),
            false => rustix::process::kill_process(self.pid, signal),
        };
    }
}

/// Returns the running commands that this process has started itself, as first arguments for kill(2).
#[cfg(feature = "sandbox")]
pub(in crate::sys) fn signalled() -> Vec<i32> {
    let number = |known: &Known| {
        let pid = known.pid.as_raw_nonzero().get();
        if known.leads { -pid } else { pid }
    };
    living().commands.iter().map(number).collect()
}
