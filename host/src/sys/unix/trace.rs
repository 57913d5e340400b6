//! What this process has made on disk, as it tells a monitor, and what becomes of it.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use super::super::own::FifoHandle;

/// A file on disk, as this process announces it to the monitor: with the descriptor of its folder.
#[derive(Clone, Copy, Debug)]
pub(in crate::sys) enum Trace<'a> {
    /// A FIFO under a secret name, before it gets its own.
    Unnamed { folder: BorrowedFd<'a>, name: &'a str },
    /// A FIFO that this process made, with its handle.
    Made { folder: BorrowedFd<'a>, handle: &'a FifoHandle, name: &'a OsStr },
    /// A FIFO that this process found, and that stays.
    Found { folder: BorrowedFd<'a>, handle: &'a FifoHandle, name: &'a OsStr },
    /// A lock that this process holds as long as it lives. Once it is dead, another process may take
    /// it.
    Lock { folder: BorrowedFd<'a>, name: &'a str },
    /// A folder that this process makes for one FIFO, and that is empty without it.
    Place { folder: BorrowedFd<'a>, name: &'a str },
}

/// The result of removing a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sys) enum Removed {
    /// It is gone.
    Yes,
    /// Its name leads to another file, or to none. Nothing was changed.
    NotThere,
    /// Another file came under its name at the last moment, and now has this name: a third file took
    /// the first name meanwhile.
    Displaced(String),
}
