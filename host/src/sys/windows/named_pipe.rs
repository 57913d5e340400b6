//! Makes named pipes, and opens them. An anonymous pipe whose ends must not wait is a named one with a
//! name that nobody can guess.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::io::OwnedHandle;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, OPEN_EXISTING,
    PIPE_ACCESS_DUPLEX, PIPE_ACCESS_INBOUND, SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT,
};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE,
    PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
};

use super::super::Holder;
use super::calls::{taken, wide};
use super::handle::Handle;
use super::security;

/// The folder of all pipes of this machine.
const FOLDER: &str = r"\\.\pipe\";

/// How many characters a pipe's name may have with its folder.
const LONGEST: usize = 256;

/// How many bytes a pipe can hold by default, as on Linux.
pub(super) const CAPACITY: u32 = 64 * 1024;

/// The most bytes that a pipe can be asked to hold. The system takes them from memory that never leaves
/// the machine's RAM.
const MOST: u64 = 16 * 1024 * 1024;

/// What is wrong with the name of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadName(pub(super) &'static str);

/// Returns the name of the pipe for which `path` stands: `\\.\pipe\x`, or `x` alone.
///
/// # Errors
/// Refuses every other path: pipes of other machines, devices, other ways to write the same, and what
/// programs take for something else.
pub(super) fn pipe_name(path: &Path) -> Result<OsString, BadName> {
    let text = path.to_str().ok_or(BadName("no pipe: its name is no Unicode"))?;
    let plain = text.replace('/', r"\");
    let name = match plain.get(..FOLDER.len()) {
        Some(folder) if folder.eq_ignore_ascii_case(FOLDER) => &plain[FOLDER.len()..],
        _ if plain.starts_with(r"\\") => {
            return Err(BadName(r"not in \\.\pipe, where this machine's pipes are"));
        }
        _ => &*plain,
    };
    let is_odd = |it: char| it.is_control() || r#"\:*?"<>|"#.contains(it);
    if name.is_empty() || name.ends_with(['.', ' ']) || name.contains(is_odd) {
        return Err(BadName(r"a path or a pattern; a pipe is \\.\pipe\NAME"));
    }
    if is_device(name) {
        return Err(BadName("a device"));
    }
    match FOLDER.len() + name.encode_utf16().count() > LONGEST {
        true => Err(BadName("too long a name")),
        false => Ok(format!("{FOLDER}{name}").into()),
    }
}

/// Returns whether programs take the name for a device, wherever it stands.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let numbered = |it: &str| {
        let number = stem.strip_prefix(it).map(|rest| rest.chars().collect::<Vec<_>>());
        matches!(number.as_deref(), Some(['0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}']))
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&&*stem)
        || numbered("COM")
        || numbered("LPT")
}

/// Returns the path of a pipe whose name nobody can guess.
pub(super) fn unguessable(suffix: &str) -> PathBuf {
    format!("{FOLDER}pipehost-{}{}{suffix}", super::unique(), super::unique()).into()
}

/// What a server's end of a named pipe is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// Whether clients may read, too.
    pub(super) duplex: bool,
    /// Whether nobody may have the name yet.
    pub(super) first: bool,
    /// Whether there is no other end of that name, ever.
    pub(super) only: bool,
    pub(super) overlapped: bool,
    pub(super) capacity: u32,
}

/// Makes an end of a named pipe to which clients can come: of this machine, and of this user.
///
/// # Errors
/// Access is denied if somebody has the name.
pub(super) fn serve(name: &OsStr, server: Server) -> io::Result<OwnedHandle> {
    let name = wide(name)?;
    let attributes = security::for_pipe()?;
    let mut mode = if server.duplex { PIPE_ACCESS_DUPLEX } else { PIPE_ACCESS_INBOUND };
    if server.first {
        mode |= FILE_FLAG_FIRST_PIPE_INSTANCE;
    }
    if server.overlapped {
        mode |= FILE_FLAG_OVERLAPPED;
    }
    // SAFETY: the name ends with a zero, and the attributes live during the call.
    unsafe {
        taken(CreateNamedPipeW(
            name.as_ptr(),
            mode,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            if server.only { 1 } else { PIPE_UNLIMITED_INSTANCES },
            server.capacity,
            server.capacity,
            0,
            &raw const attributes,
        ))
    }
}

/// Opens the client's end of a named pipe. Its server may learn who the client is, and no more.
///
/// # Errors
/// `ERROR_PIPE_BUSY` if its server serves somebody else; those of `CreateFileW`.
pub(super) fn open(name: &OsStr, access: u32, overlapped: bool) -> io::Result<OwnedHandle> {
    let name = wide(name)?;
    let mut flags = SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    if overlapped {
        flags |= FILE_FLAG_OVERLAPPED;
    }
    // SAFETY: the name ends with a zero.
    unsafe {
        taken(CreateFileW(name.as_ptr(), access, 0, null(), OPEN_EXISTING, flags, null_mut()))
    }
}

/// Makes a pipe: the end to read from and the end to write to, each for its holder.
///
/// # Errors
/// The system's.
pub(super) fn pair(
    capacity: Option<u64>,
    reader: Holder,
    writer: Holder,
) -> io::Result<(Handle, Handle)> {
    pair_at(&unguessable(""), capacity, reader, writer)
}

fn pair_at(
    path: &Path,
    capacity: Option<u64>,
    reader: Holder,
    writer: Holder,
) -> io::Result<(Handle, Handle)> {
    if (reader, writer) == (Holder::Native, Holder::Native) {
        let (reader, writer) = os_pipe::pipe()?;
        let handle = |end: OwnedHandle| Handle::unknown(end);
        return Ok((handle(reader.into()), handle(writer.into())));
    }
    let capacity =
        capacity.map_or(CAPACITY, |bytes| u32::try_from(bytes.clamp(1, MOST)).unwrap_or(CAPACITY));
    let guest = |holder| holder == Holder::Guest;
    let server = Server {
        // A guest that writes reads nothing, and learns in this way that its reader has left.
        duplex: guest(writer),
        first: true,
        // All names can be listed. Nobody must come between the two calls that follow.
        only: true,
        overlapped: guest(reader),
        capacity,
    };
    let access = if guest(writer) { GENERIC_READ | GENERIC_WRITE } else { GENERIC_WRITE };
    let read = serve(path.as_os_str(), server)?;
    let write = open(path.as_os_str(), access, guest(writer))?;
    let handle = |file, guest| match guest {
        true => Handle::overlapped(file),
        false => Handle::unknown(file),
    };
    Ok((handle(read, guest(reader)), handle(write, guest(writer))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pipes_of_this_machine_have_names() {
        let name = |text: &str| pipe_name(Path::new(text));
        for text in ["x", r"\\.\pipe\x", "//./PIPE/x"] {
            assert_eq!(name(text).unwrap(), r"\\.\pipe\x", "{text}");
        }
        for text in [
            "",
            ".",
            "..",
            r"\\.\pipe\",
            r"\\server\pipe\x",
            r"\\?\pipe\x",
            r"\\.\pipe\a\b",
            r"\\.\COM1",
            r"C:\x",
            "a/b",
            "NUL",
            "nul.txt",
            "COM1",
            "x.",
            "x ",
            "x*",
            "x\0y",
        ] {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(name(&"x".repeat(300)).is_err());
    }

    #[test]
    fn nobody_else_serves_the_name_of_a_pair() {
        let path = unguessable("");
        let (_reader, _writer) = pair_at(&path, None, Holder::Guest, Holder::Guest).unwrap();
        let (duplex, overlapped, capacity) = (true, true, CAPACITY);
        let server = Server { duplex, first: false, only: false, overlapped, capacity };
        serve(path.as_os_str(), server).unwrap_err();
    }

    #[test]
    fn no_two_names_are_alike() {
        assert_ne!(unguessable(""), unguessable(""));
    }
}
