//! What an operator grants.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::PipeName;
use crate::os::{Direction, Fifo, InheritError, take_inherited};

/// Which ends of a pipe a guest may open.
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

    /// Whether an end of that direction may be opened.
    pub fn permit(self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.read,
            Direction::Write => self.write,
        }
    }
}

/// What the last writer's close means to a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EofPolicy {
    /// The end of file.
    #[default]
    Close,
    /// Nothing: the reader waits for the next writer.
    Reopen,
}

/// A permission to open a pipe under a name. The pipe itself is part of it: there is no way to
/// name one that was not granted.
#[derive(Debug)]
pub struct Grant {
    pub(super) name: PipeName,
    pub(super) directions: Directions,
    pub(super) eof: EofPolicy,
    pub(super) capacity: Option<u64>,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    Fifo(Arc<Fifo>),
    /// Taken out when it is opened: it closes with the guest's handle and cannot be opened again.
    Descriptor(Option<OwnedFd>),
}

impl Grant {
    /// Grants both ends of a FIFO.
    pub fn fifo(name: PipeName, fifo: impl Into<Arc<Fifo>>) -> Self {
        Self {
            name,
            directions: Directions::BOTH,
            eof: EofPolicy::default(),
            capacity: None,
            source: Source::Fifo(fifo.into()),
        }
    }

    /// Grants the inherited descriptor `number`, as far as its access mode goes. Takes it over: it
    /// closes with the guest's handle, or with the grant.
    ///
    /// # Errors
    /// Where `number` was not inherited, or is no pipe, or `only` asks for a direction that it is
    /// not open for.
    pub fn descriptor(
        name: PipeName,
        number: i32,
        only: Option<Direction>,
    ) -> Result<Self, InheritError> {
        let (fd, open_for) = take_inherited(number)?;
        let directions = Directions {
            read: open_for.contains(&Direction::Read) && only != Some(Direction::Write),
            write: open_for.contains(&Direction::Write) && only != Some(Direction::Read),
        };
        match only {
            Some(Direction::Read) if !directions.read => {
                return Err(InheritError::WrongDirection(number, "reading"));
            }
            Some(Direction::Write) if !directions.write => {
                return Err(InheritError::WrongDirection(number, "writing"));
            }
            _ => {}
        }
        Ok(Self {
            name,
            directions,
            eof: EofPolicy::default(),
            capacity: None,
            source: Source::Descriptor(Some(fd)),
        })
    }

    /// Narrows what the guest may do; default is all that the pipe permits.
    pub fn directions(mut self, directions: Directions) -> Self {
        self.directions.read &= directions.read;
        self.directions.write &= directions.write;
        self
    }

    /// What the last writer's close means; default [`EofPolicy::Close`].
    pub fn eof(mut self, eof: EofPolicy) -> Self {
        self.eof = eof;
        self
    }

    /// Asks for a capacity in bytes whenever an end is opened. Where the kernel refuses it, the
    /// pipe keeps the capacity that it has, and a warning is logged.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }
}
