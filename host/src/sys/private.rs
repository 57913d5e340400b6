//! What is told of private folders.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// What [`PrivateFolder::files`](super::PrivateFolder::files) tells of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileInfo {
    /// Its name in the folder.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written, or marked as used.
    pub used: SystemTime,
    /// Whoever writes it has not finished, or has died over it.
    pub unfinished: bool,
}

/// Why a folder cannot be used as a private one.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It, or a file in it, belongs to somebody else.
    #[error("{} belongs to user {owner}, not to you", .path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Others may look into it or write to it.
    #[error("{}: others may use it; type `chmod 700 {}`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// The system's answer.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}
