//! The options for opening a named pipe, the errors, and the warnings.

use std::io;
use std::path::PathBuf;

/// How a path is opened as a FIFO. By default a missing FIFO is made, and removed at the end.
///
/// See the example of [`Grant`](crate::Grant).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FifoOptions {
    /// Do not make the FIFO: a missing one is an error.
    pub existing: bool,
    /// Do not remove the FIFO at the end, even if this process made it.
    pub keep: bool,
    /// Use the FIFO even if it belongs to another user, or other users may open it.
    pub insecure: bool,
}

/// The path of a file to open leads to this FIFO, at the end of all links. It was not opened: opening
/// it would release a peer that waits.
///
/// A part of a [`LaunchError`](crate::launch::LaunchError): see the example of
/// [`launch`](crate::launch).
#[derive(Debug, thiserror::Error)]
#[error("it is a FIFO")]
pub struct IsAFifo(pub PathBuf);

/// Why a path cannot be used as a FIFO.
///
/// Returned by [`Fifo::prepare`](super::Fifo::prepare): see the example of
/// [`Grant`](crate::Grant).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FifoError {
    /// The path leads to another kind of file. It was not changed.
    #[error("{}: is {found}, not a FIFO; name another path", .path.display())]
    NotAFifo {
        /// The path.
        path: PathBuf,
        /// The kind of the file, with its article.
        found: &'static str,
    },
    /// The FIFO does not exist, and the options forbid to make it.
    #[error("{}: no such FIFO; {}", .0.display(), super::platform::MAKE_IT)]
    Missing(PathBuf),
    /// The folder in which the FIFO should lie does not exist.
    #[error("{}: its folder does not exist; make it first", .0.display())]
    NoFolder(PathBuf),
    /// The FIFO belongs to another user.
    #[error("{}: belongs to another user (uid {owner})", .path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// Other users may write to the FIFO, and it lies in a folder where any user may make one.
    #[error("{}: others may write to it, in a folder that all may write to; type `chmod go-w {}`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// Another host uses the FIFO in the same direction.
    #[error("{}: another pipehost has it for {doing}; end that one", .path.display())]
    Busy {
        /// The path.
        path: PathBuf,
        /// What the other host does: "reading" or "writing".
        doing: &'static str,
    },
    /// Another process serves a named pipe of that name, on a system where a name has one server.
    #[error("{}: another process has a pipe of that name; end that one", .0.display())]
    Taken(PathBuf),
    /// There is no folder for pipes without a path.
    #[error("there is no place for a pipe without a path: {0}")]
    NoPlace(String),
    /// /proc is not mounted, so the checked FIFO could not be opened later.
    #[error("{}: /proc is not mounted, and a FIFO is opened by it; type `mount -t proc proc /proc`", .0.display())]
    NoProc(PathBuf),
    /// The system does not permit the operation.
    #[error("{}: {doing} is not permitted; check the folder's and the FIFO's mode", .path.display())]
    NotPermitted {
        /// The path.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
    },
    /// Any other error.
    #[error("{}: {doing} failed: {error}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

impl FifoError {
    /// Returns whether the reason is a lack of permission, rather than that the pipe cannot be made.
    pub fn is_permission(&self) -> bool {
        matches!(
            self,
            Self::NotOurs { .. } | Self::Exposed(_) | Self::NotPermitted { .. } | Self::Taken(_)
        )
    }
}

/// What a host learns about a FIFO while it has it, and that stops nothing.
///
/// A part of an [`Event`](crate::Event): see the example of [`Pipes`](crate::Pipes).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FifoWarning {
    /// Another process removed the FIFO from its path, or put another file there.
    #[error("somebody removed or replaced it; what is open goes on, and nobody new finds it")]
    Gone,
    /// Another process put a file at the path while the FIFO was being removed from it.
    #[error(
        "somebody replaced it at the last moment; what they put there is now {now} in the same folder"
    )]
    Displaced {
        /// The name that the file has now, in the same folder.
        now: String,
    },
    /// The FIFO could not be removed.
    #[error("cannot be removed: {0}")]
    NotRemoved(io::Error),
    /// The monitor is gone, and only it could remove the FIFO.
    #[error("stays, as somebody has killed the process that removes it")]
    Stays,
    /// Other hosts are not kept from using the FIFO in the same direction. The text is the reason.
    #[error("no lock against other hosts: {0}")]
    NotLocked(String),
}
