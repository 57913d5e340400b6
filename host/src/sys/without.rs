//! Takes the place of what a system does not have: fences around this process, a process that compiles for this one,
//! and a watch on FIFOs.

use std::io;
use std::path::Path;

use super::{Direction, Fifo, Handle, Missing};

/// What a process keeps when it confines itself.
///
/// See the example of [`sandbox`](crate::sandbox).
#[derive(Debug, Default)]
pub struct SandboxPolicy(());

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
    pub fn stream(&mut self, _: &Handle, _: Direction) -> io::Result<()> {
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

    /// Bounds which files can be opened. [`confine`](super::confine) says that nothing does.
    pub fn bound_files(&mut self) -> Vec<Missing> {
        Vec::new()
    }
}

/// Says that the guests of this process will have folders.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn expect_folders() {}

/// Forbids this thread to open files. Nothing does that here.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn renounce_files() {}

/// Watches nothing: [`Fifo::remove`] still looks whether a FIFO is in its place, and nobody can take a
/// name away that Windows serves.
#[cfg(not(target_os = "macos"))]
#[derive(Debug)]
pub(crate) struct FifoWatch(());

#[cfg(not(target_os = "macos"))]
impl FifoWatch {
    /// Starts nothing.
    pub(crate) fn start() -> Self {
        Self(())
    }

    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub(crate) fn add(&self, _: &std::sync::Arc<Fifo>) -> io::Result<()> {
        Ok(())
    }
}

/// Code of another process. There is none.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(crate) enum CodePool {}

#[cfg(feature = "cli")]
impl CodePool {
    /// Never called.
    pub(crate) fn load<C>(&self, _: &wasmtime::Engine, _: usize, _: usize) -> wasmtime::Result<C> {
        match *self {}
    }
}

#[cfg(feature = "cli")]
impl wasmtime::CustomCodeMemory for CodePool {
    fn required_alignment(&self) -> usize {
        match *self {}
    }

    fn publish_executable(&self, _: *const u8, _: usize) -> wasmtime::Result<()> {
        match *self {}
    }

    fn unpublish_executable(&self, _: *const u8, _: usize) -> wasmtime::Result<()> {
        match *self {}
    }
}

/// What a process that compiles has. There is none.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub(crate) enum Workshop {}

#[cfg(feature = "cli")]
impl Workshop {
    /// How many slots there are.
    pub(crate) const SLOTS: usize = 0;

    /// Never called.
    pub(crate) fn room(&self) -> usize {
        match *self {}
    }

    /// Never called.
    pub(crate) fn put(&self, _: usize, _: &[u8]) -> io::Result<()> {
        match *self {}
    }

    /// Never called.
    pub(crate) fn tell(&self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }

    /// Never called.
    pub(crate) fn listen(&self, _: impl Fn(usize) + Send + 'static) -> io::Result<()> {
        match *self {}
    }
}

/// Starts nothing.
///
/// # Errors
/// Always: `Unsupported`.
#[cfg(feature = "cli")]
pub(crate) fn start_compiler(
    _: impl FnOnce(&Workshop) -> io::Result<()>,
) -> io::Result<(std::sync::Arc<CodePool>, Handle)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What tells one version of a file from the next.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(());

/// Looks at no file.
#[cfg(feature = "cli")]
pub(crate) fn stamp(_: &Path) -> Option<Stamp> {
    None
}
