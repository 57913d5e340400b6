//! The code that runs in the monitor: answers requests until its socket closes, and then tidies up.

mod commands;
mod traces;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags};

use self::commands::Natives;
use self::traces::Known;
use super::super::Direction;
use super::super::unix::blocking_open::BlockingOpen;
use super::super::unix::{access, blocking};
use super::fifo_watch::{new_inotify, watch};
use super::monitor::{self, Commands, Host, Reply, Request, receive, send, socket_pair};
use super::reopen;

/// How many writers can wait for readers at once. Each takes a thread.
const MOST_WAITS: usize = 4096;

/// Forks the monitor. Must be called while this process has one thread, before it makes anything. A
/// second call does nothing. Guests may then start `commands`, and no others.
///
/// See the example of [`sandbox`](crate::sandbox).
///
/// # Errors
/// Those of socketpair(2) and fork(2).
pub fn start_monitor(commands: Commands) -> io::Result<()> {
    monitor::start_with(move |socket, host| serve(socket, host, commands))
}

/// Serves `socket` until it closes, and then tidies up.
///
/// # Errors
/// Those of poll(2).
fn serve(socket: &OwnedFd, host: &Host, commands: Commands) -> io::Result<()> {
    let mut monitor = Server {
        known: Vec::new(),
        natives: Natives::new(commands, host),
        waits: Vec::new(),
        sealed: false,
        watches: false,
    };
    let served = monitor.serve(socket);
    monitor.waits.clear();
    monitor.natives.kill_all();
    // In reverse order: files in a folder that was made are removed before the folder.
    monitor.known.iter().rev().for_each(Known::sweep);
    served
}

struct Server<'a> {
    known: Vec<Known>,
    natives: Natives<'a>,
    /// Writers that wait for a reader.
    waits: Vec<Wait>,
    /// True once the process is confined: nothing new is announced or permitted.
    sealed: bool,
    /// True once FIFOs are watched.
    watches: bool,
}

struct Wait {
    /// The process closes its side when it has the writer, or no longer wants it.
    socket: OwnedFd,
    _opening: BlockingOpen,
}

impl Server<'_> {
    fn serve(&mut self, socket: &OwnedFd) -> io::Result<()> {
        loop {
            let (asked, called_off) = {
                let of = |wait| PollFd::new(wait, PollFlags::empty());
                let mut fds = vec![PollFd::new(socket, PollFlags::IN)];
                fds.extend(self.waits.iter().map(|wait| of(&wait.socket)));
                let ended = self.natives.abandoned();
                fds.extend(ended.map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
                rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None))?;
                let happened = |fd: &PollFd<'_>| !fd.revents().is_empty();
                let called_off = fds[1..=self.waits.len()].iter().map(happened);
                (happened(&fds[0]), called_off.collect::<Vec<_>>())
            };
            let mut called_off = called_off.into_iter();
            self.waits.retain(|_| !called_off.next().unwrap_or(false));
            self.natives.reap_abandoned();
            if !asked {
                continue;
            }
            match receive::<Request>(socket)? {
                Some((request, fds)) => self.answer(socket, request, fds)?,
                None => return Ok(()),
            }
        }
    }

    fn reply(&self, socket: &OwnedFd, reply: &Reply, fd: Option<&OwnedFd>) -> io::Result<()> {
        let fds: Vec<_> = fd.into_iter().map(OwnedFd::as_fd).collect();
        Ok(send(socket, reply, &fds, SendFlags::empty())?)
    }

    /// Does what is asked, and replies if the request has a reply.
    fn answer(&mut self, socket: &OwnedFd, request: Request, fds: Vec<OwnedFd>) -> io::Result<()> {
        let answer = match request {
            Request::Announce { id, kind, name } => {
                if !self.sealed {
                    self.known.extend(Known::of(id, kind, name, fds));
                }
                return Ok(());
            }
            Request::Forget { id } => {
                self.known.retain(|known| known.id != id);
                return Ok(());
            }
            Request::Permit { id, read, write } => {
                for known in self.known.iter_mut().filter(|it| it.id == id && !self.sealed) {
                    known.may_read |= read;
                    known.may_write |= write;
                }
                return Ok(());
            }
            Request::Seal => {
                self.sealed = true;
                return Ok(());
            }
            Request::Watch => {
                self.watch(fds);
                return Ok(());
            }
            Request::Signal { pid, signal } => {
                self.natives.signal(pid, signal);
                return Ok(());
            }
            Request::Abandon { pid } => {
                self.natives.abandon(pid);
                return Ok(());
            }
            Request::Start { numbers } => {
                return match self.natives.start(numbers, fds) {
                    Ok((pid, leads, pidfd)) => {
                        let reply = Reply::Started { pid, leads };
                        Ok(send(socket, &reply, &[pidfd], SendFlags::empty())?)
                    }
                    Err(error) => self.reply(socket, &Reply::of_error(&error), None),
                };
            }
            Request::Remove { id } => self.remove(id).map(|reply| (reply, None)),
            Request::IsInPlace { id } => self
                .find(id)
                .and_then(Known::is_in_place)
                .map(|it| (Reply::IsInPlace(it), None))
                .map_err(io::Error::from),
            Request::Open { id, write } => {
                self.open(id, write).map(|fd| (Reply::Descriptor, Some(fd)))
            }
            Request::OpenWhenRead { id } => {
                self.open_when_read(id).map(|fd| (Reply::Descriptor, Some(fd)))
            }
            Request::Reopen => open_anew(fds).map(|fd| (Reply::Descriptor, Some(fd))),
            Request::Reap { pid } => self.natives.reap(pid).map(|ended| {
                (ended.map_or(Reply::Running, |ended| Reply::Ended(ended.into())), None)
            }),
        };
        let (reply, fd) = answer.unwrap_or_else(|error| (Reply::of_error(&error), None));
        self.reply(socket, &reply, fd.as_ref())
    }

    fn find(&self, id: u32) -> Result<&Known, Errno> {
        self.known.iter().find(|known| known.id == id).ok_or(Errno::ACCESS)
    }

    /// Removes a file, and forgets it.
    fn remove(&mut self, id: u32) -> io::Result<Reply> {
        let at = self.known.iter().position(|known| known.id == id).ok_or(Errno::ACCESS)?;
        Ok(Reply::Removed(self.known.remove(at).remove()?))
    }

    /// Watches the permitted FIFOs, once: a user has few such descriptors for all programs.
    fn watch(&mut self, fds: Vec<OwnedFd>) {
        let (Some(socket), false) = (fds.into_iter().next(), self.watches) else { return };
        self.watches = true;
        let inotify = new_inotify();
        if let Ok(inotify) = &inotify {
            let permitted = self.known.iter().filter(|known| known.may_read || known.may_write);
            for handle in permitted.filter_map(|known| known.handle().ok()) {
                // Fails for a FIFO that may only be written to. The process looks at it in the end.
                let _ = watch(inotify, handle);
            }
        }
        let (reply, fd) = match &inotify {
            Ok(fd) => (Reply::Descriptor, Some(fd.as_fd())),
            Err(error) => (Reply::of_error(error), None),
        };
        let fds: Vec<_> = fd.into_iter().collect();
        // Fails if the process no longer wants it.
        let _ = send(&socket, &reply, &fds, SendFlags::DONTWAIT);
    }

    fn open(&self, id: u32, write: bool) -> io::Result<OwnedFd> {
        let known = self.find(id)?;
        let (permitted, direction) = match write {
            true => (known.may_write, Direction::Write),
            false => (known.may_read, Direction::Read),
        };
        match permitted {
            true => known.handle()?.open(access(direction) | OFlags::NONBLOCK),
            false => Err(Errno::ACCESS.into()),
        }
    }

    fn open_when_read(&mut self, id: u32) -> io::Result<OwnedFd> {
        let known = self.find(id)?;
        if !known.may_write {
            return Err(Errno::ACCESS.into());
        }
        if self.waits.len() >= MOST_WAITS {
            return Err(Errno::AGAIN.into());
        }
        // The process polls its side and reads without blocking.
        let (ours, theirs) = socket_pair(SocketFlags::NONBLOCK)?;
        let to = ours.try_clone()?;
        let opening = BlockingOpen::start(known.handle()?.try_clone()?, move |opened| {
            let (reply, fd) = match &opened {
                Ok(fd) => (Reply::Descriptor, Some(fd.as_fd())),
                Err(error) => (Reply::of_error(error), None),
            };
            let fds: Vec<_> = fd.into_iter().collect();
            // Fails if the process no longer wants the writer.
            let _ = send(&to, &reply, &fds, SendFlags::DONTWAIT);
        })?;
        self.waits.push(Wait { socket: ours, _opening: opening });
        Ok(theirs)
    }
}

/// Opens a pipe or a terminal anew, with the access that the given descriptor has. The new description
/// blocks.
fn open_anew(fds: Vec<OwnedFd>) -> io::Result<OwnedFd> {
    let fd = fds.into_iter().next().ok_or(Errno::INVAL)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    if kind != FileType::Fifo && !rustix::termios::isatty(&fd) {
        return Err(Errno::ACCESS.into());
    }
    let access = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE;
    blocking(reopen(&fd, access | OFlags::NONBLOCK | OFlags::NOCTTY)?)
}
