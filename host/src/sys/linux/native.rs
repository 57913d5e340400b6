//! Native commands: started on pipe ends, told apart by how they end, never left behind.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use super::super::{MOST_OTHERS, NativeCommand, NativeEnd, Stop, Usage};
use super::monitor;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A running native command. Dropping it kills it, and reaps it in the background.
#[derive(Debug)]
pub struct Native {
    pid: Pid,
    /// It leads a process group of its own.
    leads: bool,
    /// It is the monitor's child, and not this process's.
    by_monitor: bool,
    /// Becomes readable when it has ended.
    pidfd: Option<AsyncFd<OwnedFd>>,
}

/// The commands that are running, or not reaped yet: only these may be sent a signal, as the number
/// of one that was reaped may be another process's already.
static LIVING: Mutex<Living> = Mutex::new(Living { commands: Vec::new(), leaving: false });

struct Living {
    commands: Vec<Known>,
    /// This process is about to end without tidying up: what starts now is killed at once.
    leaving: bool,
}

fn living() -> MutexGuard<'static, Living> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command that may be sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pid: Pid,
    /// It leads a process group of its own, which gets what it is sent.
    pub(super) leads: bool,
}

/// The process group of a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Group {
    /// Its own.
    Own,
    /// That of the process that starts it.
    Inherited,
    Of(Pid),
}

impl NativeCommand {
    /// fork(2) and execve(2): starts it. SIGPIPE has its usual effect on it, and SIGXFSZ the one that it had on
    /// this process at first; other signals are ignored or
    /// blocked as they are in this process.
    /// It inherits the environment and the folder; of descriptors, those that it is given here, and
    /// those that this process inherited without being told to grant them.
    ///
    /// Where this process has no terminal, the command leads a process group of its own, so that a
    /// signal reaches what it starts in turn. Where there is one, it must stay in the group that the
    /// terminal lets read, and gets what is typed there, Ctrl-C among it, by itself.
    ///
    /// The command is killed when the thread that starts it ends, so also when this process is killed and
    /// can tidy up no more. (What the command starts in turn, or gains privileges by execve(2), is not.)
    ///
    /// Must be called inside a tokio runtime, which is to outlive the command, on a thread that does.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied` and all others of execve(2) and fork(2).
    pub fn start(self) -> io::Result<Native> {
        if monitor::is_there() && monitor::is_sealed() {
            return self.start_by_monitor();
        }
        let leads = !has_terminal();
        count_on_sigchld();
        // This can take as long as a file system likes: nothing is locked meanwhile.
        let pid = self.spawn(if leads { Group::Own } else { Group::Inherited }, None)?;
        let leaving = {
            let mut living = living();
            living.commands.push(Known { pid, leads });
            living.leaving
        };
        let mut native = Native { pid, leads, by_monitor: false, pidfd: None };
        // From here on an early return kills it. Nothing of the child is waited for by `std`.
        if leaving {
            return Err(io::Error::other("this process is about to end"));
        }
        native.watch(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)?;
        Ok(native)
    }

    fn start_by_monitor(self) -> io::Result<Native> {
        let started = monitor::start(&self)?;
        let pid = Pid::from_raw(started.pid).ok_or(io::ErrorKind::InvalidData)?;
        let mut native = Native { pid, leads: started.leads, by_monitor: true, pidfd: None };
        native.watch(started.pidfd)?;
        Ok(native)
    }

    /// fork(2) and execve(2), in this group, and with this mask of signals in place of the thread's.
    ///
    /// # Errors
    /// Those of the two.
    pub(super) fn spawn(self, group: Group, mask: Option<libc::sigset_t>) -> io::Result<Pid> {
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
        let pid = i32::try_from(command.spawn()?.id()).unwrap_or(0);
        Pid::from_raw(pid).ok_or_else(|| io::Error::other("a process without a number"))
    }
}

/// Whether this process has a terminal that controls it: tty(4). Found once, as long as it may look.
pub(super) fn has_terminal() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| std::fs::File::open("/dev/tty").is_ok())
}

/// Has `command` be killed when the thread that starts it is gone: PR_SET_PDEATHSIG of prctl(2). Puts back what
/// signals mean to it.
fn die_with_parent(command: &mut Command, mask: Option<libc::sigset_t>) {
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    let tie = move || {
        // SAFETY: prctl(2), getppid(2) and sigprocmask(2) are async-signal-safe and touch no memory but the mask.
        unsafe {
            if let Some(mask) = &mask {
                libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut());
            }
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            super::reset_file_size_signal();
            // It may have gone before.
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

/// Whoever started this process may have SIGCHLD ignored: then the kernel reaps what has ended, and
/// nobody learns how. signal(7).
pub(super) fn count_on_sigchld() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if super::is_ignored(libc::SIGCHLD) {
            // SAFETY: the usual reaction to SIGCHLD, which is none, runs no code of ours.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        }
    });
}

/// Has `command` start with `others` under their numbers. What is returned must live until then: it
/// keeps the pipe by which `std` learns of a failed execve(2) from having one of the numbers.
fn give(command: &mut Command, others: Vec<(RawFd, OwnedFd)>) -> io::Result<Vec<OwnedFd>> {
    if others.len() > MOST_OTHERS {
        return Err(io::Error::other("a command can be given 64 descriptors at most"));
    }
    let reserve = |(number, fd): &(RawFd, OwnedFd)| rustix::io::fcntl_dupfd_cloexec(fd, *number);
    let reserved = others.iter().map(reserve).collect::<Result<Vec<_>, _>>()?;
    let place = move || {
        // Out of the way first: what is at one number now may be meant for another.
        let mut moved = [0; MOST_OTHERS];
        for (moved, (_, fd)) in moved.iter_mut().zip(&others) {
            *moved = 2;
            // What is in the way is closed by execve(2).
            while *moved < 3 || others.iter().any(|(number, _)| number == moved) {
                // SAFETY: fcntl(2) with an open descriptor is async-signal-safe and touches no memory.
                *moved = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, *moved + 1) };
                if *moved < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        for (moved, (number, _)) in moved.iter().zip(&others) {
            // SAFETY: dup2(2) is async-signal-safe; this is the new process, where nobody else uses
            // what is open under the number.
            if unsafe { libc::dup2(*moved, *number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork(2) and execve(2) only async-signal-safe functions are called, and nothing
    // is allocated.
    unsafe { command.pre_exec(place) };
    Ok(reserved)
}

impl Native {
    /// Has `pidfd` tell when it has ended.
    fn watch(&mut self, pidfd: OwnedFd) -> io::Result<()> {
        // SAFETY: the `AsyncFd` owns the descriptor until it is dropped, and nothing replaces it.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        self.pidfd = Some(pidfd.map_err(|refused| refused.into_parts().1)?);
        Ok(())
    }

    /// Asks the command to end, and what it started, where it leads a group: kill(2). One that is stopped goes on, as
    /// it would not see it.
    pub fn stop(&self, stop: Stop) {
        self.send(stop.number().into());
        self.send(libc::SIGCONT);
    }

    /// Ends them at once: SIGKILL.
    pub fn kill(&self) {
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

    /// Whether it leads a process group of its own.
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// wait4(2): waits until the command has ended, reaps it, and tells what it used. Cancel safe.
    ///
    /// # Errors
    /// Those of wait4(2).
    pub async fn wait(&mut self) -> io::Result<(NativeEnd, Usage)> {
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
        // Reaped before, or just now; else it takes a moment to die.
        if !matches!(reap(self.pid), Ok(None)) {
            return;
        }
        let pid = self.pid;
        let reap = move || {
            while matches!(reap(pid), Ok(None)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        // Without a thread to be had, it stays a zombie until this process ends.
        let _ = std::thread::Builder::new().name("reaper".into()).stack_size(64 * 1024).spawn(reap);
    }
}

/// Reaps a child of this process, if it has ended.
fn reap(pid: Pid) -> io::Result<Option<(NativeEnd, Usage)>> {
    // Reaping and forgetting are one step for all who look.
    let mut living = living();
    if !living.commands.iter().any(|known| known.pid == pid) {
        return Err(io::Error::other("the command has been waited for before"));
    }
    let ended = wait_now(pid);
    if !matches!(ended, Ok(None)) {
        // On an error, somebody else has reaped it: the number is no longer ours to use.
        living.commands.retain(|known| known.pid != pid);
    }
    ended
}

/// wait4(2) of a child; `Ok(None)` where it has not ended, or a signal came.
///
/// # Errors
/// ECHILD where it has been reaped.
pub(super) fn wait_now(pid: Pid) -> io::Result<Option<(NativeEnd, Usage)>> {
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
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), (time.tv_usec.unsigned_abs() * 1000) as u32)
    };
    let usage = Usage {
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        memory: usage.ru_maxrss.unsigned_abs() * 1024,
    };
    Ok(Some((end, usage)))
}

/// Kills all native commands that this process has started: for one that ends without tidying up. Its monitor kills
/// those of guests when it ends.
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

    /// To be called while nobody else can reap it: its number is its own then. The error says that it is gone, which
    /// is as well.
    pub(super) fn send(&self, signal: Signal) {
        let _ = match self.leads {
            true => rustix::process::kill_process_group(self.pid, signal),
            false => rustix::process::kill_process(self.pid, signal),
        };
    }
}

/// The commands that this process has started itself and that run: what kill(2) is to be asked for, by
/// its first argument.
#[cfg(feature = "sandbox")]
pub(super) fn signalled() -> Vec<i32> {
    let number = |known: &Known| {
        let pid = known.pid.as_raw_nonzero().get();
        if known.leads { -pid } else { pid }
    };
    living().commands.iter().map(number).collect()
}

/// The standard streams of this process, of which it has no more need: /dev/null takes their place, so
/// that whoever is on the other side sees them closed as soon as those are that they were given to.
///
/// # Errors
/// Those of open(2) and dup2(2).
pub(crate) fn retire_standard_input_and_output() -> io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// How much time this thread has had on a processor: CLOCK_THREAD_CPUTIME_ID of clock_gettime(2).
pub(crate) fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
