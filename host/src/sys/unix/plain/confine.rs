//! Takes the place of the fences around this process. There are none.

pub use super::super::super::without::{SandboxPolicy, expect_folders, renounce_files};

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

/// Confines this process. Returns the parts that could not be set up: all.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn confine(_: SandboxPolicy) -> Vec<Missing> {
    vec![Missing::All]
}
