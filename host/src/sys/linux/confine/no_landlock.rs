//! In place of Landlock, in a build without the feature `sandbox`.

use std::io;

use super::SandboxPolicy;

pub(super) const WANTED: i32 = 0;

pub(super) fn bound_this_thread(_: &SandboxPolicy) -> io::Result<Option<i32>> {
    Ok(None)
}

pub(super) fn renounce() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
