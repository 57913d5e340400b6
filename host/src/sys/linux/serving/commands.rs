//! The native commands of guests, which the monitor starts and reaps.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Signal;

use super::super::super::unix::native::{self, Group, Known};
use super::super::super::{NativeCommand, NativeEnd, Usage};
use super::super::ended;
use super::super::monitor::{Commands, Host, read_words};

/// The commands that may be started, and those that run.
pub(super) struct Natives<'a> {
    commands: Commands,
    host: &'a Host,
    running: Vec<Running>,
}

struct Running {
    /// Only this struct reaps it, so its number stays valid.
    known: Known,
    pidfd: OwnedFd,
    /// True if the host does not want to know how the command ends.
    abandoned: bool,
}

impl<'a> Natives<'a> {
    pub(super) fn new(commands: Commands, host: &'a Host) -> Self {
        native::count_on_sigchld();
        Self { commands, host, running: Vec::new() }
    }

    /// Starts a command. Returns its number, whether it leads a group, and its pidfd.
    ///
    /// # Errors
    /// Those of fork(2) and execve(2); EACCES if it was not granted.
    pub(super) fn start(
        &mut self,
        numbers: Vec<i32>,
        fds: Vec<OwnedFd>,
    ) -> io::Result<(i32, bool, BorrowedFd<'_>)> {
        let mut fds = fds.into_iter();
        // The kernel drops descriptors for which this process has no room.
        let lost = || io::Error::from_raw_os_error(libc::EMFILE);
        let mut next = || fds.next().ok_or_else(lost);
        let (words, stdin, stdout, stderr) = (next()?, next()?, next()?, next()?);
        let words = read_words(File::from(words))?;
        let begins_as =
            |known: &&Vec<OsString>| !known.is_empty() && words.starts_with(known.as_slice());
        if self.commands.iter().find(begins_as).is_none() {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        let mut words = words.into_iter();
        let (program, args) = (words.next().unwrap_or_default(), words.collect());
        if fds.len() != numbers.len() {
            return Err(lost());
        }
        let others: Vec<_> = numbers.into_iter().zip(fds).collect();
        let command = NativeCommand { program, args, stdin, stdout, stderr, others };
        let leads = !native::has_terminal();
        let group = if leads { Group::Own } else { Group::Of(self.host.group) };
        let pid = command.spawn(group, Some(self.host.mask))?;
        let pidfd = ended(pid).inspect_err(|_| {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        })?;
        self.running.push(Running { known: Known { pid, leads }, pidfd, abandoned: false });
        let at = self.running.len() - 1;
        Ok((pid.as_raw_nonzero().get(), leads, self.running[at].pidfd.as_fd()))
    }

    /// Sends a signal to a command that runs. Does nothing if there is no such command.
    pub(super) fn signal(&self, pid: i32, signal: i32) {
        if let (Some(running), Some(signal)) = (self.find(pid), Signal::from_named_raw(signal)) {
            running.known.send(signal);
        }
    }

    /// Kills a command, and reaps it once it has ended.
    pub(super) fn abandon(&mut self, pid: i32) {
        self.signal(pid, libc::SIGKILL);
        for running in &mut self.running {
            running.abandoned |= running.known.pid.as_raw_nonzero().get() == pid;
        }
    }

    /// Returns the pidfds of the abandoned commands. Each becomes readable when its command has ended.
    pub(super) fn abandoned(&self) -> impl Iterator<Item = &OwnedFd> {
        self.running.iter().filter(|running| running.abandoned).map(|running| &running.pidfd)
    }

    /// Reaps the abandoned commands that have ended.
    pub(super) fn reap_abandoned(&mut self) {
        self.running.retain(|running| {
            !running.abandoned || matches!(native::wait_now(running.known.pid), Ok(None))
        });
    }

    /// Reaps a command that has ended. Returns `None` if it still runs.
    ///
    /// # Errors
    /// ECHILD if it is none of these commands.
    pub(super) fn reap(&mut self, pid: i32) -> io::Result<Option<(NativeEnd, Usage)>> {
        let running = self.find(pid).ok_or(io::Error::from_raw_os_error(libc::ECHILD))?;
        let ended = native::wait_now(running.known.pid);
        if !matches!(ended, Ok(None)) {
            self.running.retain(|running| running.known.pid.as_raw_nonzero().get() != pid);
        }
        ended
    }

    /// Kills all commands that run. The system reaps them when this process has ended.
    pub(super) fn kill_all(&self) {
        self.running.iter().for_each(|running| running.known.send(Signal::KILL));
    }

    fn find(&self, pid: i32) -> Option<&Running> {
        self.running.iter().find(|running| running.known.pid.as_raw_nonzero().get() == pid)
    }
}
