//! The paths of a file, which start from its folder.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::super::args::GuestOptions;
use crate::launch::{StreamFifo, StreamSpec};
use crate::sys;

/// Makes the paths of `options` start from `folder`.
pub(super) fn from_folder(mut options: GuestOptions, folder: &Path) -> GuestOptions {
    let outputs = [&mut options.stdout, &mut options.stderr].into_iter().flatten();
    let outputs = outputs.filter_map(|output| output.to.as_mut());
    for spec in options.stdin.iter_mut().chain(outputs) {
        match spec {
            StreamSpec::File(path) | StreamSpec::Append(path) => *path = from(folder, path),
            StreamSpec::Fifo(StreamFifo { path, .. }) => *path = pipe_at(folder, path),
            StreamSpec::Inherit | StreamSpec::Null => {}
        }
    }
    for path in options.fifo.iter_mut().filter_map(|fifo| fifo.path.as_mut()) {
        *path = pipe_at(folder, path);
    }
    for dir in &mut options.dir {
        dir.host = from(folder, &dir.host);
    }
    for child in &mut options.child {
        child.guest = guest_at(folder, &child.guest);
    }
    for exec in &mut options.exec {
        exec.program = command_at(folder, exec.program.as_ref()).to_string_lossy().into_owned();
    }
    options
}

/// Makes a path of the file start from `folder`. Leaves it unchanged if that is the current folder.
fn from(folder: &Path, path: &Path) -> PathBuf {
    match folder == Path::new(".") {
        true => path.into(),
        false => folder.join(path.strip_prefix(".").unwrap_or(path)),
    }
}

/// Makes a named pipe's path start from `folder`, where pipes are files.
fn pipe_at(folder: &Path, path: &Path) -> PathBuf {
    if sys::PIPES_ARE_FILES { from(folder, path) } else { path.into() }
}

/// Makes a command's path start from `folder`. A name without a slash stays, to be looked up on PATH.
pub(in crate::cli) fn command_at(folder: &Path, program: &OsStr) -> OsString {
    match program.to_string_lossy().contains(std::path::is_separator) {
        true => from(folder, program.as_ref()).into(),
        false => program.into(),
    }
}

/// Makes a guest's path start from `folder`. `@NAME` stays, as it is not a file.
pub(in crate::cli) fn guest_at(folder: &Path, guest: &Path) -> PathBuf {
    match guest.as_os_str().as_encoded_bytes().starts_with(b"@") {
        true => guest.into(),
        false => from(folder, guest),
    }
}
