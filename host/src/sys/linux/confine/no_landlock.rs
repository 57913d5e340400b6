//! Takes the place of Landlock in a build without the feature `sandbox`.

use std::io;

use super::SandboxPolicy;

pub(super) const WANTED: i32 = 0;

pub(super) fn version() -> Option<i32> {
    None
}

pub(super) fn bound_this_thread(_: &SandboxPolicy, _: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn renounce() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
