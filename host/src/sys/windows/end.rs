//! An end that is read or written without ever blocking the thread.

use std::fmt;
use std::fs::File;
use std::future::pending;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::windows::io::{AsHandle as _, AsRawHandle as _};
use std::sync::Arc;

use bytes::Bytes;
use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_DISK, FILE_TYPE_PIPE, GetFileType};

use super::super::Direction;
use super::CapacityLease;
use super::channel::Channel;
use super::console;
use super::errors::{not_open, not_open_for_this};
use super::fifo::{Connection, Served};
use super::handle::{Handle, Kind};
use super::pump::{Input, Output};

/// How many bytes are read at once. Bounds how much memory one call of a guest makes the host allocate.
const AT_ONCE: usize = 128 * 1024;

/// The number by which a console is known as a terminal. A process has one console.
const CONSOLE: u64 = 1;

/// One end of a pipe, or what takes its place: a console or a file.
///
/// Reads and writes return [`io::ErrorKind::WouldBlock`] instead of waiting; [`End::ready`] waits.
/// Must be made inside a tokio runtime, and belongs to it.
///
/// In this example, a host makes a [`Reader`](crate::pipe::Reader) of a handle:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::Label;
/// use pipehost::pipes::{Direction, End, Journal, Reader, standard};
///
/// let end = End::shared(standard(0)?, Direction::Read)?;
/// let stdin = Reader::new(end, None, Label::Stdin, &Journal::new());
/// # Ok(())
/// # }
/// ```
pub struct End {
    way: Way,
    direction: Direction,
    pipe: bool,
    terminal: Option<u64>,
}

/// How an end is read or written.
enum Way {
    /// A pipe whose calls do not wait.
    Channel(
        Arc<Channel>,
        #[allow(dead_code, reason = "given back when it is dropped")] Option<Served>,
    ),
    /// A thread makes the calls.
    Input(Input),
    Output(Output),
    /// A file, or a device that never waits.
    Always(File),
}

impl End {
    /// Takes a handle that no other process shares.
    ///
    /// # Errors
    /// Fails if the system has too few resources.
    pub fn owned(handle: Handle, direction: Direction) -> io::Result<Self> {
        let Handle { file, kind } = handle;
        let way = match kind {
            Kind::Overlapped => Way::Channel(Arc::new(Channel::connected(file)?), None),
            Kind::Connected(connection) => match connection.downcast::<Connection>() {
                Ok(connection) => Way::Channel(connection.channel, Some(connection.served)),
                Err(_) => return Err(io::ErrorKind::Unsupported.into()),
            },
            Kind::Null => Way::Always(file.into()),
            Kind::Waits => {
                // SAFETY: the handle is open.
                let kind = unsafe { GetFileType(file.as_raw_handle()) };
                let (pipe, console) = (kind == FILE_TYPE_PIPE, console::is_console(&file));
                let way = match direction {
                    _ if kind == FILE_TYPE_DISK => Way::Always(file.into()),
                    Direction::Read => Way::Input(Input::new(file, console)),
                    Direction::Write => Way::Output(Output::new(file, console)),
                };
                return Ok(Self { way, direction, pipe, terminal: console.then_some(CONSOLE) });
            }
        };
        let pipe = matches!(way, Way::Channel(..));
        Ok(Self { way, direction, pipe, terminal: None })
    }

    /// Takes a handle that other processes may share.
    ///
    /// # Errors
    /// Those of [`End::owned`].
    pub fn shared(handle: Handle, direction: Direction) -> io::Result<Self> {
        Self::owned(handle, direction)
    }

    /// Makes an end of a connection of a named pipe.
    pub(super) fn served(channel: Arc<Channel>, served: Served, direction: Direction) -> Self {
        Self { way: Way::Channel(channel, Some(served)), direction, pipe: true, terminal: None }
    }

    /// Returns a handle of the same pipe or file for a native command. This end stays as it is.
    ///
    /// # Errors
    /// Those of `DuplicateHandle`. `Unsupported` for a named pipe without a peer.
    pub fn for_native(&self) -> io::Result<Handle> {
        let access = match self.direction {
            Direction::Read => GENERIC_READ,
            Direction::Write => GENERIC_WRITE,
        };
        match &self.way {
            Way::Channel(channel, _) => match channel.file() {
                Some(file) if channel.has_met()? => Handle::narrowed(file.as_handle(), access),
                _ => Err(io::ErrorKind::Unsupported.into()),
            },
            Way::Input(input) => input.for_native(),
            Way::Output(output) => output.for_native(),
            Way::Always(file) => Ok(file.try_clone()?.into()),
        }
    }

    /// Reads into `buf`. `Ok(0)` is the end of file, except for a named pipe to which no writer has
    /// come yet: [`End::hung_up`] tells them apart. Only a part of a large `buf` may be used.
    ///
    /// # Errors
    /// `WouldBlock` if there are no bytes yet; else those of `ReadFile`.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.way {
            Way::Channel(channel, _) => channel.read(buf),
            Way::Input(input) => input.read(buf),
            Way::Output(_) => Err(not_open()),
            Way::Always(file) => (&*file).read(buf).map_err(not_open_for_this),
        }
    }

    /// Reads up to `most` bytes as [`End::read`] does, and returns them.
    ///
    /// # Errors
    /// Those of [`End::read`].
    pub fn read_bytes(&self, most: usize) -> io::Result<Bytes> {
        let most = match self.available() {
            // The memory is that of the bytes that are there.
            Ok(waiting @ 1..) => most.min(usize::try_from(waiting).unwrap_or(AT_ONCE)),
            _ => most,
        };
        let mut buf = vec![0; most.min(AT_ONCE)];
        let n = self.read(&mut buf)?;
        buf.truncate(n);
        Ok(buf.into())
    }

    /// Writes a piece of `buf`. A pipe takes a piece of at most 64 KiB whole, even if it has no room for
    /// it: then the next write waits.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room yet, `BrokenPipe` if the reader is gone; else those of
    /// `WriteFile`.
    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.way {
            Way::Channel(channel, _) => channel.write(buf),
            Way::Input(_) => Err(not_open()),
            Way::Output(output) => output.write(buf),
            Way::Always(file) => (&*file).write(buf).map_err(not_open_for_this),
        }
    }

    /// Returns whether the system has all that was written: a write that found no room is under way.
    ///
    /// # Errors
    /// Those of the last write.
    pub fn has_settled(&self) -> io::Result<bool> {
        match &self.way {
            Way::Channel(channel, _) => channel.has_settled(),
            Way::Output(output) => output.has_settled(),
            Way::Input(_) | Way::Always(_) => Ok(true),
        }
    }

    /// Moves no bytes: Windows has no such call.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn splice_to(&self, _: &End, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until a read or write can get on: with bytes, room, the end of file or an error. Takes
    /// no bytes out and puts none in. Cancel safe.
    ///
    /// # Errors
    /// The system's.
    pub async fn ready(&self) -> io::Result<()> {
        match (&self.way, self.direction) {
            (Way::Channel(channel, _), Direction::Read) => channel.readable().await,
            (Way::Channel(channel, _), Direction::Write) => {
                channel.writable().await;
                Ok(())
            }
            (Way::Input(input), _) => {
                input.ready().await;
                Ok(())
            }
            (Way::Output(output), _) => {
                output.ready().await;
                Ok(())
            }
            (Way::Always(_), _) => Ok(()),
        }
    }

    /// Waits until something has happened since a read or write returned `WouldBlock`. Cancel safe.
    ///
    /// # Errors
    /// Those of [`End::ready`].
    pub async fn ready_after_would_block(&self) -> io::Result<()> {
        self.ready().await
    }

    /// Waits until the reader of this writing end is gone. Waits for ever if this is not a pipe, or if
    /// only a write can tell. Cancel safe.
    pub async fn reader_gone(&self) {
        match (&self.way, self.direction) {
            (Way::Channel(channel, _), Direction::Write) => channel.left().await,
            _ => pending().await,
        }
    }

    /// Returns whether this is the writing end of a pipe that no process can ever read.
    pub fn lacks_reader(&self) -> bool {
        match (&self.way, self.direction) {
            (Way::Channel(channel, _), Direction::Write) => channel.is_left(),
            _ => false,
        }
    }

    /// Returns whether a read or write can get on now.
    ///
    /// # Errors
    /// The system's.
    pub fn is_ready(&self) -> io::Result<bool> {
        match (&self.way, self.direction) {
            (Way::Channel(channel, _), Direction::Read) => channel.is_readable(),
            (Way::Channel(channel, _), Direction::Write) => {
                Ok(channel.has_settled().unwrap_or(true))
            }
            (Way::Input(input), _) => Ok(input.is_ready()),
            (Way::Output(output), _) => Ok(output.has_settled().unwrap_or(true)),
            (Way::Always(_), _) => Ok(true),
        }
    }

    /// Returns whether the other side has been there and is gone, and all is read. A named pipe to which
    /// no peer has come is not hung up.
    ///
    /// # Errors
    /// The system's.
    pub fn hung_up(&self) -> io::Result<bool> {
        match &self.way {
            Way::Channel(channel, _) => Ok(channel.is_left()),
            Way::Input(input) => Ok(input.has_ended()),
            Way::Output(_) => Ok(false),
            Way::Always(_) => Ok(true),
        }
    }

    /// Returns whether a read would return the end of file now. Takes no bytes out.
    ///
    /// # Errors
    /// The system's.
    pub fn is_at_end(&self) -> io::Result<bool> {
        match &self.way {
            Way::Channel(channel, _) => Ok(channel.is_left()),
            Way::Input(input) => Ok(input.has_ended()),
            Way::Output(_) => Ok(false),
            Way::Always(file) if super::is_file(file) => {
                Ok((&*file).stream_position()? >= file.metadata()?.len())
            }
            Way::Always(_) => Ok(true),
        }
    }

    /// Returns whether the first peer may not have come yet, as far as was known when this end was
    /// made.
    pub fn awaits_peer(&self) -> bool {
        false
    }

    /// Returns whether a writer holds the other side of this named pipe open now, even if it has written
    /// nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn has_writer(&self) -> io::Result<bool> {
        match &self.way {
            Way::Channel(channel, _) => Ok(channel.has_met()? && !channel.is_left()),
            _ => Ok(true),
        }
    }

    /// Returns how many bytes can be read now.
    ///
    /// # Errors
    /// `Unsupported` for an end that is written to: only its reader is told.
    pub fn available(&self) -> io::Result<u64> {
        match (&self.way, self.direction) {
            (Way::Channel(channel, _), Direction::Read) => match channel.has_met()? {
                true => Ok(channel.waiting()?.unwrap_or(0)),
                false => Ok(0),
            },
            (Way::Input(input), _) => Ok(input.available()),
            (Way::Always(file), Direction::Read) if super::is_file(file) => {
                Ok(file.metadata()?.len().saturating_sub((&*file).stream_position()?))
            }
            (Way::Always(_), Direction::Read) => Ok(0),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns how many bytes the pipe can hold.
    ///
    /// # Errors
    /// `Unsupported` if this is not a pipe, or if its other end alone may be asked.
    pub fn capacity(&self) -> io::Result<u64> {
        match &self.way {
            Way::Channel(channel, _) if channel.has_met()? => {
                channel.capacity(self.direction == Direction::Read)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Asks for another capacity in bytes.
    ///
    /// # Errors
    /// `Unsupported`: a pipe has the size with which it was made.
    pub fn set_capacity(&self, _: u64) -> io::Result<()> {
        let why = "Windows gives a pipe its capacity when it is made";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    /// Asks for a larger capacity. No pipe grows.
    pub fn grow(&mut self) {}

    /// Returns the lease of the room by which the pipe has grown. There is none.
    pub fn lease(&self) -> CapacityLease {
        CapacityLease::default()
    }

    /// Notes that this is an end of the same pipe as `other`.
    pub fn shares_growth_of(&mut self, _: &End) {}

    /// Returns whether this is a pipe, anonymous or named.
    pub fn is_pipe(&self) -> bool {
        self.pipe
    }

    /// Returns whether this was a console when it was opened.
    pub fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Returns the device's number, if this is a console.
    pub fn terminal(&self) -> Option<u64> {
        self.terminal
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Channel(..) => "a pipe",
            Way::Input(_) | Way::Output(_) => "by a thread",
            Way::Always(_) => "a file",
        };
        f.debug_struct("End")
            .field("way", &way)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}
