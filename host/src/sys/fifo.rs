//! How a named pipe is asked for, and why there is none.

use std::io;
use std::path::PathBuf;

/// What to do about a path. By default a missing FIFO is made, and removed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FifoOptions {
    /// Do not make it: a missing one is an error.
    pub existing: bool,
    /// Do not remove it at the end, even if it was made here.
    pub keep: bool,
    /// Use it even if it belongs to another user, or others may open it.
    pub insecure: bool,
}

/// A FIFO stands where a file was to be opened, at the end of all links. It was not opened: that alone would release
/// a peer that waits.
#[derive(Debug, thiserror::Error)]
#[error("it is a FIFO")]
pub struct IsAFifo(pub PathBuf);

/// Why a path cannot serve as a FIFO.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FifoError {
    /// Something else stands there. It is left alone.
    #[error("{}: is {found}, not a FIFO; name another path", .path.display())]
    NotAFifo {
        /// The path.
        path: PathBuf,
        /// What stands there, with its article.
        found: &'static str,
    },
    /// The FIFO was asked to exist, and does not.
    #[error("{}: no such FIFO; make it with mkfifo", .0.display())]
    Missing(PathBuf),
    /// The folder that it should stand in is missing.
    #[error("{}: its folder does not exist; make it first", .0.display())]
    NoFolder(PathBuf),
    /// It belongs to another user.
    #[error("{}: belongs to another user (uid {owner})", .path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Others may write to it, in a folder where anybody may make one.
    #[error("{}: others may write to it, in a folder that all may write to; type `chmod go-w {}`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// Another host uses it the same way.
    #[error("{}: another pipehost has it for {doing}; end that one", .path.display())]
    Busy {
        /// The path.
        path: PathBuf,
        /// What it does.
        doing: &'static str,
    },
    /// There is no folder for pipes without a path.
    #[error("there is no place for a pipe without a path: {0}")]
    NoPlace(String),
    /// What was checked could not be opened later.
    #[error("{}: /proc is not mounted, and a FIFO is opened by it; type `mount -t proc proc /proc`", .0.display())]
    NoProc(PathBuf),
    /// The system does not permit it.
    #[error("{}: {doing} is not permitted; check the folder's and the FIFO's mode", .path.display())]
    NotPermitted {
        /// The path.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
    },
    /// Anything else.
    #[error("{}: {doing} failed: {error}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

impl FifoError {
    /// Whether the reason is a lack of permission, rather than that the pipe cannot be made.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::NotOurs { .. } | Self::Exposed(_) | Self::NotPermitted { .. })
    }
}
