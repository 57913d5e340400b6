//! What a file of grants may say that nobody has named: it was found beside the guest, and may have come
//! with it.
//!
//! Whoever has put both there could put any file there. So such a file may grant what is in its own
//! folder, and nothing that is elsewhere; and no more of the machine than a guest has anyway.

use std::path::{Path, PathBuf};

use super::super::args::GuestOptions;
use super::super::named_files::folder_of;
use crate::launch::StreamSpec;
use crate::limits::{DEFAULT_MAX_CHILDREN, DEFAULT_MAX_MEMORY, DEFAULT_MAX_PIPES};

/// Returns the options, with the paths that were looked at. The error is the option that grants more,
/// and what that is.
pub(super) fn kept(
    mut options: GuestOptions,
    folder: &Path,
) -> Result<GuestOptions, (&'static str, String)> {
    let own = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let within = |option, path: &mut PathBuf| match resolved(path) {
        Some(real) if real.starts_with(&own) => {
            *path = real;
            Ok(())
        }
        _ => Err((option, format!("{} is not in its folder", path.display()))),
    };
    let refused = |option, what: &str| Err((option, what.to_owned()));
    let stream = |option, spec: &mut StreamSpec| match spec {
        StreamSpec::Inherit | StreamSpec::Null => Ok(()),
        StreamSpec::File(path) | StreamSpec::Append(path) => within(option, path),
        StreamSpec::Fifo(fifo) => within(option, &mut fifo.path),
    };
    if let Some(spec) = &mut options.stdin {
        stream("stdin", spec)?;
    }
    if let Some(spec) = options.stdout.as_mut().and_then(|it| it.to.as_mut()) {
        stream("stdout", spec)?;
    }
    if let Some(spec) = options.stderr.as_mut().and_then(|it| it.to.as_mut()) {
        stream("stderr", spec)?;
    }
    for fifo in &mut options.fifo {
        if let Some(path) = &mut fifo.path {
            within("fifo", path)?;
        }
    }
    for dir in &mut options.dir {
        within("dir", &mut dir.host)?;
        // It could put a link in the place of what another run of it is granted there.
        if !dir.read_only {
            return refused("dir", "a folder to write to");
        }
    }
    for child in &mut options.child {
        if !child.guest.as_os_str().as_encoded_bytes().starts_with(b"@") {
            within("child", &mut child.guest)?;
        }
    }
    if let Some(fd) = options.fd.first() {
        return Err(("fd", format!("descriptor {} is not in its folder", fd.number)));
    }
    if !options.exec.is_empty() {
        return refused("exec", "a native command has all of your rights");
    }
    if options.raw_terminal {
        return refused("raw-terminal", "the guest could do anything to the terminal");
    }
    let limits = &options.limits;
    for (option, is_more) in [
        ("max-memory", limits.max_memory.is_some_and(|it| it > DEFAULT_MAX_MEMORY)),
        ("max-pipes", limits.max_pipes.is_some_and(|it| it > DEFAULT_MAX_PIPES)),
        ("max-children", limits.max_children.is_some_and(|it| it > DEFAULT_MAX_CHILDREN)),
    ] {
        if is_more {
            return refused(option, "it is more than a guest has by default");
        }
    }
    Ok(options)
}

/// Returns the path without links. The last part of it may be missing; a link that leads to nothing is
/// not, and has no such path.
fn resolved(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    if path.symlink_metadata().is_ok() {
        return None;
    }
    let name = path.file_name()?;
    Some(folder_of(path).canonicalize().ok()?.join(name))
}
