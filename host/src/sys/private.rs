//! The types that private folders return.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// A file as [`PrivateFolder::files`](super::PrivateFolder::files) lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileInfo {
    /// Its name in the folder.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written, or marked as used.
    pub used: SystemTime,
    /// True if its writer has not finished, or has died before it finished.
    pub unfinished: bool,
}

/// Why a folder cannot be used as a private one.
///
/// A part of a [`CacheError`](crate::cache::CacheError): see the example of
/// [`Cache`](crate::cache::Cache).
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// The folder, or a file in it, belongs to another user.
    #[error("{} belongs to user {owner}, not to you", .path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// Other users may look into the folder or write to it.
    #[error("{}: others may use it; type `chmod 700 {}`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// The system refused.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
}
