//! Named pipes. This process is the server: it has the name from the start, and serves one client after
//! the other. With the key `existing` it is the client of somebody else's server.
//!
//! A connection is never broken off: the server's end is closed, and the client still reads what is in
//! the pipe. Before that, another end of the same name waits for the next client.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_PIPE_BUSY};
use windows_sys::Win32::System::Pipes::WaitNamedPipeW;

use super::super::{Direction, FifoError, FifoOptions, FifoWarning};
use super::End;
use super::calls::{done, wide};
use super::channel::Channel;
use super::dialer::{Wanted, dial};
use super::handle::{Handle, Kind};
use super::named_pipe::{BadName, CAPACITY, Server, pipe_name, serve, unguessable};

/// The names that this process serves. To Windows, `X` and `x` are the same.
static SERVED: Mutex<Vec<OsString>> = Mutex::new(Vec::new());

fn served() -> MutexGuard<'static, Vec<OsString>> {
    SERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A named pipe that this process serves, or is a client of.
///
/// See the example of [`Grant`](crate::Grant).
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    line: Arc<Line>,
}

/// The connections of one name, one at a time.
#[derive(Debug)]
pub(super) struct Line {
    name: OsString,
    role: Role,
    reads: bool,
    writes: bool,
    current: Mutex<Option<Current>>,
    ended: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Server,
    /// Whether the server may be another user's.
    Client {
        insecure: bool,
    },
}

#[derive(Debug)]
struct Current {
    channel: Arc<Channel>,
    users: usize,
    /// Whether the next end gets another connection, whatever this one could still give.
    over: bool,
}

impl Current {
    fn new(channel: Arc<Channel>) -> Self {
        Self { channel, users: 0, over: false }
    }
}

impl Fifo {
    /// Makes the named pipe, and waits for clients from now on. With `existing`, looks for its server.
    ///
    /// # Errors
    /// See [`FifoError`].
    pub fn prepare(path: &Path, options: FifoOptions) -> Result<Self, FifoError> {
        Self::prepare_alone(path, options, &[])
    }

    /// Does the same as [`Fifo::prepare`], for these directions. A name has one server: another host is
    /// refused, whichever direction it wants.
    ///
    /// # Errors
    /// [`FifoError::Taken`] if another process has the name.
    pub fn prepare_alone(
        path: &Path,
        options: FifoOptions,
        ways: &[Direction],
    ) -> Result<Self, FifoError> {
        let bad = |BadName(found)| FifoError::NotAFifo { path: path.into(), found };
        let name = pipe_name(path).map_err(bad)?;
        let may = |way| ways.is_empty() || ways.contains(&way);
        let (reads, writes) = (may(Direction::Read), may(Direction::Write));
        // Two guests of one process can have a pipe between them.
        let is_own = served().iter().any(|it| it.eq_ignore_ascii_case(&name));
        let role = match options.existing || is_own {
            true => Role::Client { insecure: options.insecure },
            false => Role::Server,
        };
        let (current, ended) = (Mutex::default(), AtomicBool::new(false));
        let line = Arc::new(Line { name, role, reads, writes, current, ended });
        let fail = |doing, error: io::Error| match error.raw_os_error().map(i32::cast_unsigned) {
            Some(ERROR_ACCESS_DENIED | ERROR_PIPE_BUSY) if role == Role::Server => {
                FifoError::Taken(path.into())
            }
            Some(ERROR_FILE_NOT_FOUND) => FifoError::Missing(path.into()),
            _ => FifoError::Io { path: path.into(), doing, error },
        };
        match role {
            Role::Server => {
                // The flag for a first instance says the same without a race. wine does not know it.
                if line.find().is_ok() {
                    return Err(FifoError::Taken(path.into()));
                }
                let channel = line.listen(true).map_err(|error| fail("making it", error))?;
                *line.current() = Some(Current::new(channel));
                served().push(line.name.clone());
            }
            Role::Client { .. } => line.find().map_err(|error| fail("looking for it", error))?,
        }
        Ok(Self { path: path.into(), line })
    }

    /// Makes a named pipe with a name that nobody can guess.
    ///
    /// # Errors
    /// Those of [`Fifo::prepare`].
    pub fn private(name: &str, ways: &[Direction]) -> Result<Self, FifoError> {
        Self::prepare_alone(&unguessable(&format!("-{name}")), FifoOptions::default(), ways)
    }

    /// Would call `listener` with warnings. Nothing here warns: a name that is served cannot be taken
    /// away.
    pub fn on_warning(&self, _: impl Fn(&Path, FifoWarning) + Send + Sync + 'static) {}

    /// Returns the path of the named pipe.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the reading end. Never waits for a writer.
    ///
    /// # Errors
    /// The system's.
    pub fn open_reader(&self) -> io::Result<End> {
        let (channel, served) = self.line.open(Direction::Read)?;
        Ok(End::served(channel, served, Direction::Read))
    }

    /// Opens the writing end. Returns `None` while there is no peer.
    ///
    /// # Errors
    /// The system's.
    pub fn open_writer(&self) -> io::Result<Option<End>> {
        let (channel, served) = self.line.open(Direction::Write)?;
        match channel.has_met()? {
            true => Ok(Some(End::served(channel, served, Direction::Write))),
            false => {
                served.was_not_used();
                Ok(None)
            }
        }
    }

    /// Waits for a peer. [`End::owned`] makes an end of the handle that comes of it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn wait_for_reader(&self) -> io::Result<ReaderWait> {
        let (channel, served) = self.line.open(Direction::Write)?;
        Ok(ReaderWait { channel, served: Mutex::new(Some(served)) })
    }

    /// Gives up the name. Ends that are open stay. Only the first call does anything; drop calls this
    /// too.
    pub fn remove(&self) {
        if self.line.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.line.role == Role::Server {
            served().retain(|name| *name != self.line.name);
        }
        let gone = self.line.current().take();
        drop(gone);
    }

    /// Would warn if another process had taken the name away. None can.
    pub fn say_if_missing(&self) {}
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Line {
    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an end that waits for a client.
    fn listen(&self, first: bool) -> io::Result<Arc<Channel>> {
        let (duplex, only, overlapped, capacity) = (self.writes, false, true, CAPACITY);
        let server = Server { duplex, first, only, overlapped, capacity };
        let file = serve(&self.name, server)?;
        Ok(Arc::new(Channel::listening(file, !self.reads)?))
    }

    /// Looks whether the pipe has a server, without a connection.
    fn find(&self) -> io::Result<()> {
        let name = wide(&self.name)?;
        // SAFETY: the name ends with a zero.
        match done(unsafe { WaitNamedPipeW(name.as_ptr(), 1) }) {
            Err(error) if error.raw_os_error() == Some(ERROR_FILE_NOT_FOUND.cast_signed()) => {
                Err(error)
            }
            // It may serve somebody else just now.
            _ => Ok(()),
        }
    }

    /// Returns the connection for one more end.
    fn open(self: &Arc<Self>, way: Direction) -> io::Result<(Arc<Channel>, Served)> {
        let mut current = self.current();
        let fits = |it: &Current| match way {
            // What a client left behind before anybody looked is read. A client that left nothing behind
            // has only looked whether the pipe is there.
            Direction::Read => {
                !it.channel.ended.load(Ordering::Relaxed) && (it.users > 0 || !it.channel.is_left())
            }
            Direction::Write => !it.channel.is_left(),
        };
        if !current.as_ref().is_some_and(|it| !it.over && fits(it)) {
            // The old one is closed after the new one is there, so that the name stays taken.
            let channel = match self.role {
                Role::Server => self.listen(false)?,
                Role::Client { insecure } => {
                    let (reads, writes) = (self.reads, self.writes);
                    dial(&self.name, Wanted { reads, writes, insecure })?
                }
            };
            *current = Some(Current::new(channel));
        }
        let Some(current) = &mut *current else {
            return Err(io::ErrorKind::NotFound.into());
        };
        current.users += 1;
        let channel = Arc::clone(&current.channel);
        Ok((Arc::clone(&channel), Served { line: Arc::clone(self), channel, counts: true }))
    }

    /// Notes that an end is closed. After the last one, the next client gets another connection.
    fn close(&self, channel: &Arc<Channel>) {
        let mut current = self.current();
        let Some(now) = current.as_mut().filter(|it| Arc::ptr_eq(&it.channel, channel)) else {
            return;
        };
        now.users = now.users.saturating_sub(1);
        if now.users > 0 || (self.role == Role::Server && !matches!(channel.has_met(), Ok(true))) {
            return;
        }
        if self.ended.load(Ordering::SeqCst) || self.role != Role::Server {
            *current = None;
            return;
        }
        match self.listen(false) {
            Ok(channel) => *current = Some(Current::new(channel)),
            // The next open tries it again. Until then, the old one keeps the name from others.
            Err(_) => now.over = true,
        }
    }
}

/// Counts one end of a connection. Dropping it lets the next client come.
pub(super) struct Served {
    line: Arc<Line>,
    channel: Arc<Channel>,
    counts: bool,
}

impl Served {
    /// Gives it back as if it had never been: a peer that comes just now stays.
    fn was_not_used(mut self) {
        if let Some(current) = self.line.current().as_mut()
            && Arc::ptr_eq(&current.channel, &self.channel)
        {
            current.users = current.users.saturating_sub(1);
        }
        self.counts = false;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.counts {
            self.line.close(&self.channel);
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

/// A connection that a [`ReaderWait`] has waited for, on its way to an [`End`].
pub(super) struct Connection {
    pub(super) channel: Arc<Channel>,
    pub(super) served: Served,
}

/// Waits for a named pipe's peer. Dropping it calls the wait off.
#[derive(Debug)]
pub(crate) struct ReaderWait {
    channel: Arc<Channel>,
    served: Mutex<Option<Served>>,
}

impl ReaderWait {
    /// Returns a future that resolves when [`ReaderWait::take`] has something to return. Cancel safe.
    pub(crate) fn done(&self) -> impl Future<Output = ()> + Send + use<> {
        let channel = Arc::clone(&self.channel);
        async move { channel.met().await }
    }

    /// Returns the connection or the error, once. Returns `None` while there is no peer yet.
    pub(crate) fn take(&self) -> Option<io::Result<Handle>> {
        match self.channel.has_met() {
            Ok(false) => None,
            Err(error) => Some(Err(error)),
            Ok(true) => {
                let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).take()?;
                let file = self.channel.file()?.try_clone();
                let connection = Connection { channel: Arc::clone(&self.channel), served };
                let kind = Kind::Connected(Box::new(connection));
                Some(file.map(|file| Handle { file, kind }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Foundation::GENERIC_WRITE;

    use super::super::named_pipe::open;
    use super::*;

    /// Two guests of one process have a pipe between them, however they write its name.
    #[test]
    fn case_makes_no_other_name() {
        let path = unguessable("-name");
        let server = Fifo::prepare(&path, FifoOptions::default()).unwrap();
        assert_eq!(server.line.role, Role::Server);
        let other = PathBuf::from(path.to_str().unwrap().to_uppercase());
        let client = Fifo::prepare(&other, FifoOptions::default()).unwrap();
        assert_eq!(client.line.role, Role::Client { insecure: false });
    }

    /// A name that this process serves stays taken between two clients, and while nobody here uses it.
    #[test]
    fn between_clients_a_name_stays_taken() {
        let path = unguessable("-name");
        let fifo = Fifo::prepare(&path, FifoOptions::default()).unwrap();
        let name = pipe_name(&path).unwrap();
        for _ in 0..20 {
            let reader = fifo.open_reader().unwrap();
            let client = open(&name, GENERIC_WRITE, true).unwrap();
            fifo.line.find().unwrap();
            drop(client);
            drop(reader);
            fifo.line.find().unwrap();
        }
        fifo.remove();
        fifo.line.find().unwrap_err();
    }
}
