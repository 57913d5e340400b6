//! Why a guest cannot be given what it is to have.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::names::{Label, PipeName};
use crate::pipe::DuplicateName;
use crate::sys::{Direction, FifoError, InheritError};

/// What was to be given.
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
    /// The standard stream of this number: 0, 1, else 2.
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

/// Why a guest cannot be given something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The plan contradicts itself.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A file or a folder cannot be opened.
    #[error("{what} {}: {error}", path.display())]
    File {
        /// What it was for.
        what: Given,
        /// The path.
        path: PathBuf,
        /// The system's answer; [`IsAFifo`](crate::sys::IsAFifo) inside where it is one.
        error: io::Error,
    },
    /// A FIFO cannot be had.
    #[error("{what} {error}")]
    Fifo {
        /// What it was for.
        what: Given,
        /// Why.
        error: FifoError,
    },
    /// An inherited descriptor cannot be had for a standard stream.
    #[error("{what}: descriptor {number}: {error}")]
    InheritedStream {
        /// The stream.
        what: Given,
        /// The descriptor's number.
        number: i32,
        /// Why.
        error: InheritError,
    },
    /// An inherited descriptor cannot be had for a pipe.
    #[error("{what} {name}: {error}")]
    InheritedPipe {
        /// Whether it was given by a path or by its number.
        what: Given,
        /// The pipe's name.
        name: PipeName,
        /// Why.
        error: InheritError,
    },
    /// A pipe that is open already was to be opened again whenever its writers have left.
    #[error("descriptor {number} is open already, and cannot be opened again")]
    Reopened {
        /// The descriptor's number.
        number: i32,
    },
    /// This process has too little of something.
    #[error("{what}: {error}")]
    Resources {
        /// What it was for.
        what: String,
        /// The system's answer.
        error: io::Error,
    },
}

/// How a plan contradicts itself.
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
        /// Which end of it.
        direction: Direction,
        /// What it is granted as.
        ends: [Label; 2],
    },
    /// Two things that may be started have the same name.
    #[error("what may be started as `{0}` is granted twice")]
    ChildTwice(PipeName),
}

impl From<DuplicateName> for LaunchError {
    fn from(DuplicateName(name): DuplicateName) -> Self {
        Conflict::PipeTwice(name).into()
    }
}

impl LaunchError {
    /// This process has too little for `what`.
    pub(super) fn resources(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Resources { what, error }
    }

    /// `path` cannot be opened.
    pub(super) fn file(what: Given, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { what, path, error }
    }
}
