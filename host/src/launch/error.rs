//! Why a guest cannot be given what its plan grants.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::names::{Label, PipeName};
use crate::pipe::DuplicateName;
use crate::sys::{Direction, FifoError, InheritError};

/// A thing that a guest is given.
///
/// A part of a [`LaunchError`]: see the example of [`launch`](crate::launch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Its standard input.
    Stdin,
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// A pipe by its path.
    Pipe,
    /// A pipe by the number of an inherited descriptor.
    Descriptor,
    /// A folder.
    Folder,
}

impl Given {
    /// Returns the standard stream of this number: 0 is stdin, 1 is stdout, any other is stderr.
    pub fn stream(number: i32) -> Self {
        match number {
            0 => Self::Stdin,
            1 => Self::Stdout,
            _ => Self::Stderr,
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Pipe => "pipe",
            Self::Descriptor => "descriptor",
            Self::Folder => "folder",
        })
    }
}

/// Why a guest cannot be given a thing.
///
/// Returned by [`Opener::open`](super::Opener::open) and [`Opened::setup`](super::Opened::setup):
/// see the example of [`launch`](crate::launch).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The plan contradicts itself.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A file or a folder cannot be opened.
    #[error("{what} {}: {error}", path.display())]
    File {
        /// What the guest was to be given.
        what: Given,
        /// The path.
        path: PathBuf,
        /// The system's answer. Contains an [`IsAFifo`](crate::sys::IsAFifo) if the file is a FIFO.
        error: io::Error,
    },
    /// A FIFO cannot be used.
    #[error("{what} {error}")]
    Fifo {
        /// What the guest was to be given.
        what: Given,
        /// The reason.
        error: FifoError,
    },
    /// An inherited descriptor cannot be used for a standard stream.
    #[error("{what}: descriptor {number}: {error}")]
    InheritedStream {
        /// The stream.
        what: Given,
        /// The descriptor's number.
        number: i32,
        /// The reason.
        error: InheritError,
    },
    /// An inherited descriptor cannot be used for a pipe.
    #[error("{what} {name}: {error}")]
    InheritedPipe {
        /// Whether the plan gave it by a path or by its number.
        what: Given,
        /// The pipe's name.
        name: PipeName,
        /// The reason.
        error: InheritError,
    },
    /// The plan says that a pipe is opened again whenever its writers have left, but it is an open
    /// descriptor.
    #[error("descriptor {number} is open already, and cannot be opened again")]
    Reopened {
        /// The descriptor's number.
        number: i32,
    },
    /// The plan keeps the first bytes of a stream that is no regular file.
    #[error("{what} is no regular file, and the first bytes are kept of such a file only")]
    NoFile {
        /// The stream.
        what: Given,
    },
    /// This process has too few descriptors, threads or other resources.
    #[error("{what}: {error}")]
    Resources {
        /// What they were for.
        what: String,
        /// The system's answer.
        error: io::Error,
    },
}

/// How a plan contradicts itself.
///
/// Returned by [`GuestPlan::check`](super::GuestPlan::check): see the example of
/// [`GuestPlan`](super::GuestPlan).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A pipe has the name of a standard stream.
    #[error("`{0}` is the name of a standard stream")]
    StandardName(PipeName),
    /// Two pipes have the same name.
    #[error("the pipe name `{0}` is granted twice")]
    PipeTwice(PipeName),
    /// A descriptor is granted under two names.
    #[error("descriptor {0} is granted twice")]
    DescriptorTwice(i32),
    /// One end of a FIFO is granted under two names.
    #[error("{} is granted twice for {}, as {} and as {}", path.display(), direction.doing(), ends[0], ends[1])]
    EndTwice {
        /// The FIFO's path.
        path: PathBuf,
        /// The end's direction.
        direction: Direction,
        /// The two names.
        ends: [Label; 2],
    },
    /// Two children have the same name.
    #[error("what may be started as `{0}` is granted twice")]
    ChildTwice(PipeName),
}

impl From<DuplicateName> for LaunchError {
    fn from(DuplicateName(name): DuplicateName) -> Self {
        Conflict::PipeTwice(name).into()
    }
}

impl LaunchError {
    /// Returns a function that makes an error: this process has too few resources for `what`.
    pub(super) fn resources(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Resources { what, error }
    }

    /// Returns a function that makes an error: `path` cannot be opened.
    pub(super) fn file(what: Given, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { what, path, error }
    }
}
