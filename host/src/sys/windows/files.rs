//! Files by their paths, and NUL.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{AsRawHandle as _, OwnedHandle};
use std::path::{Component, Path, PathBuf, Prefix};
use std::sync::mpsc;
use std::time::Instant;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_DELETE_ON_CLOSE, FILE_TYPE_CHAR, FILE_TYPE_DISK, FILE_TYPE_PIPE, GetFileType,
    GetFinalPathNameByHandleW, SECURITY_IDENTIFICATION,
};

use super::super::{FileKind, IsAFifo, OwnFile};
use super::handle::{Handle, Kind};
use super::unique;

/// Returns a handle of NUL, which gives the end of file to readers and drops what is written.
///
/// See the example of [`Setup`](crate::Setup).
///
/// # Errors
/// The system's.
pub fn null() -> io::Result<Handle> {
    Ok(Handle { file: open_null(true, true)?, kind: Kind::Null })
}

pub(super) fn open_null(read: bool, write: bool) -> io::Result<OwnedHandle> {
    Ok(File::options().read(read).write(write).open("NUL")?.into())
}

/// Opens a file for reading.
///
/// # Errors
/// The system's. [`IsAFifo`] for a named pipe.
pub(crate) fn open_input_file(path: &Path) -> io::Result<Handle> {
    open_stream(path, options().read(true))
}

/// Opens a file for writing: makes it, or empties it, or with `appends` has all writes go to its end.
///
/// # Errors
/// Those of [`open_input_file`].
pub(crate) fn open_output_file(path: &Path, appends: bool) -> io::Result<Handle> {
    let mut options = options();
    match appends {
        true => options.append(true),
        false => options.write(true).truncate(true),
    };
    open_stream(path, options.create(true))
}

/// Opens a file for the host's own texts, so that all writes go to its end if `append`. Makes it if it is missing. Returns `None` if it is no
/// regular file: nothing is written to it then.
///
/// # Errors
/// Those of CreateFileW.
pub(crate) fn open_log_file(path: &Path, append: bool) -> io::Result<Option<File>> {
    if is_pipe(path) || is_null(path) {
        return Ok(None);
    }
    let file = options().write(!append).append(append).create(true).open(path)?;
    Ok((kind_of(&file)? == FileKind::Regular).then_some(file))
}

/// How files are opened. What is opened may turn out to be a pipe: its server may then learn who this
/// process's user is, and no more.
fn options() -> OpenOptions {
    let mut options = File::options();
    options.security_qos_flags(SECURITY_IDENTIFICATION);
    options
}

fn open_stream(path: &Path, options: &OpenOptions) -> io::Result<Handle> {
    let refused = || io::Error::other(IsAFifo(path.into()));
    if is_pipe(path) {
        return Err(refused());
    }
    if is_null(path) {
        return null();
    }
    let file = options.open(path)?;
    match kind_of(&file)? {
        // There are more ways to write its path.
        FileKind::Fifo => Err(refused()),
        _ => Ok(file.into()),
    }
}

/// Returns whether a path is that of a named pipe, of this machine or of another. To open it would make this
/// process its client.
fn is_pipe(path: &Path) -> bool {
    let Some(Component::Prefix(prefix)) = path.components().next() else { return false };
    match prefix.kind() {
        Prefix::DeviceNS(name)
        | Prefix::Verbatim(name)
        | Prefix::UNC(_, name)
        | Prefix::VerbatimUNC(_, name) => name.eq_ignore_ascii_case("pipe"),
        _ => false,
    }
}

fn is_null(path: &Path) -> bool {
    path.as_os_str().eq_ignore_ascii_case("NUL")
}

/// Makes a file that vanishes with its last handle.
///
/// # Errors
/// The system's.
pub(crate) fn memory_file(name: &str, size: u64) -> io::Result<Handle> {
    let path = std::env::temp_dir().join(format!("pipehost-{}-{name}", unique()));
    let mut options = File::options();
    options.read(true).write(true).create_new(true).share_mode(0);
    let file = options.custom_flags(FILE_FLAG_DELETE_ON_CLOSE).open(path)?;
    file.set_len(size)?;
    Ok(file.into())
}

/// Reads a file of up to `most` bytes to its end, on a thread if there is a `deadline`.
///
/// # Errors
/// `TimedOut` at the deadline; `FileTooLarge`; the system's.
pub(crate) fn read_file(path: &Path, most: u64, deadline: Option<Instant>) -> io::Result<Vec<u8>> {
    let read = move |file: File| {
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > most {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(bytes),
        }
    };
    let Some(deadline) = deadline else { return read(options().read(true).open(path)?) };
    let (send, read_bytes) = mpsc::channel();
    let path = PathBuf::from(path);
    // If the deadline comes first, the thread ends with the process.
    std::thread::Builder::new().name("file".into()).spawn(move || {
        let _ = send.send(options().read(true).open(path).and_then(read));
    })?;
    let left = deadline.saturating_duration_since(Instant::now());
    read_bytes.recv_timeout(left).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads a regular file of up to `most` bytes. Returns `None` for any other file.
pub(crate) fn read_small_file(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = options().read(true).open(path).ok()?;
    if !is_file(&file) || file.metadata().ok()?.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

/// Answers that nobody looks whose the file at `path` is, if there is one.
///
/// # Errors
/// Those of opening it.
pub(crate) fn read_own_file(path: &Path, _most: u64) -> io::Result<OwnFile> {
    options().read(true).open(path)?;
    Ok(OwnFile::Doubtful("pipehost does not look on Windows who may write to it"))
}

/// Returns whether this is a file on a disk.
pub(super) fn is_file(file: &File) -> bool {
    // SAFETY: the handle is open.
    unsafe { GetFileType(file.as_raw_handle()) == FILE_TYPE_DISK }
}

/// Returns the type of an open file.
///
/// # Errors
/// The system's.
pub(crate) fn kind_of(file: &File) -> io::Result<FileKind> {
    // SAFETY: the handle is open.
    Ok(match unsafe { GetFileType(file.as_raw_handle()) } {
        FILE_TYPE_DISK if file.metadata()?.is_dir() => FileKind::Folder,
        FILE_TYPE_DISK => FileKind::Regular,
        FILE_TYPE_PIPE => FileKind::Fifo,
        FILE_TYPE_CHAR => FileKind::CharacterDevice,
        _ => FileKind::Unknown,
    })
}

/// What tells a regular file from all others at a moment: its path without links. A second name of the file (a hard
/// link) counts as another file.
pub(crate) type FileId = String;

/// Returns the identity of the regular file that a path leads to, by whatever links; nothing for another kind of file.
///
/// # Errors
/// Those of CreateFileW.
pub(crate) fn file_id(path: &Path) -> io::Result<Option<FileId>> {
    if is_pipe(path) {
        return Ok(None);
    }
    let file = options().read(true).open(path)?;
    Ok((kind_of(&file)? == FileKind::Regular).then(|| path_of(&file)))
}

/// Returns the path of an open file, without links in it; nothing if the system does not tell.
pub(in crate::sys) fn path_of(file: &File) -> String {
    let mut path = vec![0_u16; 1024];
    loop {
        let room = u32::try_from(path.len()).unwrap_or(u32::MAX);
        // SAFETY: the handle is open, and the memory is as long as is said.
        let length =
            unsafe { GetFinalPathNameByHandleW(file.as_raw_handle(), path.as_mut_ptr(), room, 0) }
                as usize;
        match length {
            0 => return String::new(),
            length if length < path.len() => return String::from_utf16_lossy(&path[..length]),
            length if length > 1 << 16 => return String::new(),
            length => path.resize(length + 1, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_pipe_is_no_file() {
        for path in [
            r"\\.\pipe\x",
            r"\\.\PIPE\x",
            "//./pipe/x",
            r"\\?\pipe\x",
            r"\\server\pipe\x",
            r"\\?\UNC\server\pipe\x",
        ] {
            let path = Path::new(path);
            for opened in
                [open_input_file(path), open_output_file(path, false), open_output_file(path, true)]
            {
                let error = opened.unwrap_err();
                assert!(error.get_ref().is_some_and(|error| error.is::<IsAFifo>()), "{error}");
            }
        }
    }
}
