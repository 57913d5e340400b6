//! Takes the place of the fences around this process. There are none.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::super::super::{Direction, Fifo};

/// What a process keeps when it confines itself.
///
/// See the example of [`sandbox`](crate::sandbox).
#[derive(Debug, Default)]
pub struct SandboxPolicy(());

/// A part of the sandbox that [`confine`] could not set up.
///
/// See the example of [`sandbox`](crate::sandbox).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// All parts.
    #[error(
        "this system has neither Landlock nor seccomp, which Linux has: the engine alone bounds the guest"
    )]
    All,
}

impl Missing {
    /// Returns what the user can do. That is nothing here.
    pub fn remedy(&self) -> Option<&'static str> {
        None
    }

    /// Returns whether the sandbox is far weaker than it should be.
    pub fn is_critical(&self) -> bool {
        true
    }
}

impl SandboxPolicy {
    /// Keeps a FIFO.
    ///
    /// # Errors
    /// None.
    pub fn fifo(&mut self, _: &Fifo, _: &[Direction]) -> io::Result<()> {
        Ok(())
    }

    /// Keeps a standard stream.
    ///
    /// # Errors
    /// None.
    pub fn stream(&mut self, _: &OwnedFd, _: Direction) -> io::Result<()> {
        Ok(())
    }

    /// Keeps a folder.
    ///
    /// # Errors
    /// None.
    pub fn folder(&mut self, _: &Path, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// Keeps native commands that were started before.
    pub fn natives(&mut self) {}

    /// Bounds which files can be opened. [`confine`] says that nothing does.
    pub fn bound_files(&mut self) -> Vec<Missing> {
        Vec::new()
    }
}

/// Confines this process. Returns the parts that could not be set up: all.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn confine(_: SandboxPolicy) -> Vec<Missing> {
    vec![Missing::All]
}

/// Says that the guests of this process will have folders.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn expect_folders() {}

/// Forbids this thread to open files. Nothing does that here.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn renounce_files() {}
