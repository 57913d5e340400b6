//! The pipes that an operator grants to a guest.

use std::sync::Arc;

use super::{ErrorCode, Fault, Frame, PipeName, Reader, Writer};
use crate::sys::{Direction, End, Fifo, Handle, InheritError, SandboxPolicy, take_inherited};

/// Which ends of a pipe a guest may open.
///
/// See the example of [`Grant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directions {
    /// The guest may open a reader.
    pub read: bool,
    /// The guest may open a writer.
    pub write: bool,
}

impl Directions {
    /// A reader and a writer.
    pub const BOTH: Self = Self { read: true, write: true };
    /// A reader only.
    pub const READ: Self = Self { read: true, write: false };
    /// A writer only.
    pub const WRITE: Self = Self { read: false, write: true };

    /// Lists the directions that may be opened.
    pub fn list(self) -> Vec<Direction> {
        let ways = [(self.read, Direction::Read), (self.write, Direction::Write)];
        ways.into_iter().filter_map(|(may, way)| may.then_some(way)).collect()
    }

    /// Returns whether an end of that direction may be opened.
    pub fn permit(self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.read,
            Direction::Write => self.write,
        }
    }
}

/// What a reader sees when the last writer closes the pipe.
///
/// See the example of [`Grant`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EofPolicy {
    /// The end of file.
    #[default]
    Close,
    /// Nothing: the reader waits for the next writer.
    Reopen,
}

/// A permission to open a pipe under a name. It holds the pipe itself: a guest cannot name a pipe that
/// was not granted.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Directions, EofPolicy, Fifo, FifoOptions, Grant, Pipes};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("requests");
/// // Made if it is missing, and removed when it is dropped.
/// let fifo = Fifo::prepare(&path, FifoOptions::default())?;
/// let requests = Grant::fifo("requests".parse()?, fifo)
///     .directions(Directions::READ)
///     .eof(EofPolicy::Reopen);
/// let pair = pipehost::pipes::pipe_pair(None)?;
/// let replies = Grant::joined("replies".parse()?, None, Some(pair.writer));
/// let pipes = Pipes::builder().grant(requests)?.grant(replies)?.build();
/// assert_eq!(pipes.list().count(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Grant {
    pub(super) name: PipeName,
    pub(super) directions: Directions,
    pub(super) eof: EofPolicy,
    pub(super) capacity: Option<u64>,
    pub(super) frame: Option<Frame>,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    Fifo(Arc<Fifo>),
    Descriptor(Descriptor),
    Joined(Joined),
    Passed(Box<Passed>),
}

/// An inherited descriptor. Each of its directions can be opened once. It closes with the last handle,
/// as nothing is left to be permitted then.
#[derive(Debug)]
pub(super) struct Descriptor {
    fd: Option<Handle>,
    unopened: Directions,
}

impl Descriptor {
    pub(super) fn open(&mut self, direction: Direction) -> Result<End, Fault> {
        let spent = match direction {
            Direction::Read => &mut self.unopened.read,
            Direction::Write => &mut self.unopened.write,
        };
        if !std::mem::take(spent) {
            return Err(ErrorCode::NotPermitted.into());
        }
        let fd = match (self.unopened.read || self.unopened.write, &self.fd) {
            (true, Some(fd)) => Some(fd.try_clone()?),
            _ => self.fd.take(),
        };
        Ok(End::shared(fd.ok_or(ErrorCode::NotPermitted)?, direction)?)
    }
}

/// Ends of anonymous pipes that no other process holds. Each can be opened once.
#[derive(Debug)]
pub(super) struct Joined {
    reader: Option<Handle>,
    writer: Option<Handle>,
}

impl Joined {
    pub(super) fn open(&mut self, direction: Direction) -> Result<End, Fault> {
        let end = match direction {
            Direction::Read => self.reader.take(),
            Direction::Write => self.writer.take(),
        };
        Ok(End::owned(end.ok_or(ErrorCode::NotPermitted)?, direction)?)
    }
}

/// Open ends that another guest has given away. Each can be opened once.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) reader: Option<Reader>,
    pub(super) writer: Option<Writer>,
}

impl Grant {
    /// Grants both ends of a FIFO.
    pub fn fifo(name: PipeName, fifo: impl Into<Arc<Fifo>>) -> Self {
        Self {
            name,
            directions: Directions::BOTH,
            eof: EofPolicy::default(),
            capacity: None,
            frame: None,
            source: Source::Fifo(fifo.into()),
        }
    }

    /// Grants the inherited descriptor `number`: the directions `asked` for, or all that its access
    /// mode permits. Takes it over: it closes with the guest's last handle, or with the grant.
    ///
    /// # Errors
    /// Fails if `number` was not inherited, is not a pipe, or is not open for the directions.
    pub fn descriptor(
        name: PipeName,
        number: i32,
        asked: Option<Directions>,
    ) -> Result<Self, InheritError> {
        let (fd, open_for) = take_inherited(number)?;
        let open = Directions {
            read: open_for.contains(&Direction::Read),
            write: open_for.contains(&Direction::Write),
        };
        let directions = asked.unwrap_or(open);
        if directions.read && !open.read {
            return Err(InheritError::WrongDirection(number, "reading"));
        }
        if directions.write && !open.write {
            return Err(InheritError::WrongDirection(number, "writing"));
        }
        Ok(Self {
            name,
            directions,
            eof: EofPolicy::default(),
            capacity: None,
            frame: None,
            source: Source::Descriptor(Descriptor { fd: Some(fd), unopened: directions }),
        })
    }

    /// Grants ends of anonymous pipes, which may be two different pipes: the guest reads one and writes
    /// to the other under this name. No other process may hold these ends. Each can be opened once, and
    /// closes with the guest's handle, or with the grant.
    pub fn joined(name: PipeName, reader: Option<Handle>, writer: Option<Handle>) -> Self {
        Self {
            name,
            directions: Directions { read: reader.is_some(), write: writer.is_some() },
            eof: EofPolicy::default(),
            capacity: None,
            frame: None,
            source: Source::Joined(Joined { reader, writer }),
        }
    }

    /// Grants open ends that another guest has given away, which may be of two different pipes. Each
    /// can be opened once, and closes with the guest's handle, or with the grant.
    pub(crate) fn passed(name: PipeName, reader: Option<Reader>, writer: Option<Writer>) -> Self {
        Self {
            name,
            directions: Directions { read: reader.is_some(), write: writer.is_some() },
            eof: EofPolicy::default(),
            capacity: None,
            frame: None,
            source: Source::Passed(Box::new(Passed { reader, writer })),
        }
    }

    /// Adds to `policy` what is needed to open the ends later.
    ///
    /// # Errors
    /// Fails if no descriptors are left.
    pub fn keep(&self, policy: &mut SandboxPolicy) -> std::io::Result<()> {
        let directions = [Direction::Read, Direction::Write];
        let permitted = directions.into_iter().filter(|it| self.directions.permit(*it));
        match &self.source {
            Source::Fifo(fifo) => policy.fifo(fifo, &permitted.collect::<Vec<_>>()),
            Source::Descriptor(Descriptor { fd: Some(fd), .. }) => {
                permitted.into_iter().try_for_each(|direction| policy.stream(fd, direction))
            }
            // These are open already.
            Source::Descriptor(_) | Source::Joined(_) | Source::Passed(_) => Ok(()),
        }
    }

    /// Narrows the directions that the guest may open; default is all that the pipe permits.
    pub fn directions(mut self, directions: Directions) -> Self {
        self.directions.read &= directions.read;
        self.directions.write &= directions.write;
        self
    }

    /// Sets what a reader sees when the last writer closes the pipe; default [`EofPolicy::Close`].
    pub fn eof(mut self, eof: EofPolicy) -> Self {
        self.eof = eof;
        self
    }

    /// Asks for a capacity in bytes whenever an end is opened. If the kernel refuses, the pipe keeps
    /// its capacity, and a warning is logged.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// Lets the guest's writer pass whole records only. Default: any bytes.
    ///
    /// See the example of [`Frame`].
    pub fn frame(mut self, frame: Frame) -> Self {
        self.frame = Some(frame);
        self
    }
}
