//! Pipes on Windows: handles whose calls never block the thread ([`End`]), named pipes ([`Fifo`]), and
//! the handles that this process was started with.
//!
//! Each call that could wait is overlapped, or is made by a thread. It was run under wine, and never on
//! a real Windows.

mod calls;
mod channel;
mod confine;
mod console;
mod dialer;
mod drawing;
mod end;
mod errors;
mod fifo;
mod files;
mod folder;
mod handle;
mod inherited;
mod listing;
mod messages;
mod named_pipe;
mod native;
mod overlapped;
mod private;
mod process;
mod prompter;
mod pump;
mod security;
mod stop;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::windows::ffi::OsStringExt as _;
use std::time::Duration;

pub use std::alloc::System as Allocator;

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Threading::{GetCurrentThread, GetThreadTimes};

use super::Holder;
pub(crate) use super::without::FifoWatch;
#[cfg(feature = "cli")]
pub(crate) use super::without::{CodePool, Stamp, Workshop, stamp, start_compiler};

pub use confine::{
    Missing, SandboxPolicy, confine, end_monitor, expect_folders, renounce_files, start_monitor,
};
pub(crate) use drawing::{Drawing, is_terminal};
pub use end::End;
pub(crate) use errors::ERRORS;
pub use fifo::Fifo;
pub(crate) use fifo::ReaderWait;
pub use files::null;
pub(in crate::sys) use files::path_of;
pub(crate) use files::{
    FileId, file_id, kind_of, memory_file, open_input_file, open_log_file, open_output_file,
    read_file, read_own_file, read_small_file,
};
use files::{is_file, open_null};
pub(crate) use folder::{Folder, append, read_at, write_at};
pub use handle::Handle;
pub use inherited::standard;
pub(crate) use inherited::{
    check_direction, demand_standard_output, inherited_number, number_in_path,
    retire_standard_input_and_output, take_given, take_inherited, take_inherited_stream,
};
pub(crate) use listing::{LISTS_RUNS, Listed, Listing, listed, pid_namespace};
pub(crate) use messages::{prepare_messages, write_message, write_message_within};
pub(crate) use native::{Native, kill_natives};
pub(crate) use private::{FolderLock, PrivateFile, PrivateFolder};
pub(crate) use prompter::Prompter;
pub(crate) use stop::stop_requests;

/// The variable that names the folder of the user's own data on this machine.
pub(crate) const HOME: &str = "LOCALAPPDATA";

/// The folder of caches in it.
pub(crate) const CACHES: &str = "";

/// The folder of what programs remember in it.
pub(crate) const STATE: &str = "";

/// Whether a named pipe is a file in a folder.
pub(crate) const PIPES_ARE_FILES: bool = false;

/// How a missing named pipe comes to be.
pub(super) const MAKE_IT: &str = "start its server first";

/// The least that POSIX permits. A write to a pipe is never cut.
pub(crate) const PIPE_BUF: usize = 4096;

/// Windows unwinds through compiled code by tables that are registered with it.
pub(crate) const NEEDS_UNWIND_INFO: bool = true;

/// The lease of a larger pipe. No pipe grows here.
///
/// A part of a [`PipePair`]: see the example of [`pipe_pair`].
#[derive(Clone, Debug, Default)]
pub struct CapacityLease(());

/// A pipe whose two ends are about to be given away.
///
/// See the example of [`pipe_pair`].
#[derive(Debug)]
pub struct PipePair {
    /// The end to read from.
    pub reader: Handle,
    /// The end to write to.
    pub writer: Handle,
    /// Must be kept as long as the pipe is in use.
    pub lease: CapacityLease,
}

/// Makes a pipe whose ends this process, or one that it starts, reads and writes without waiting. It
/// has this `capacity` in bytes, or 64 KiB.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use pipehost::pipes::{Direction, End, pipe_pair};
///
/// let pair = pipe_pair(Some(1 << 16))?;
/// let reader = End::owned(pair.reader, Direction::Read)?;
/// let writer = End::owned(pair.writer, Direction::Write)?;
/// assert_eq!(writer.write(b"hello")?, 5);
/// let mut text = [0; 8];
/// assert_eq!(reader.read(&mut text)?, 5);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The system's.
pub fn pipe_pair(capacity: Option<u64>) -> io::Result<PipePair> {
    let (reader, writer) = named_pipe::pair(capacity, Holder::Guest, Holder::Guest)?;
    Ok(PipePair { reader, writer, lease: CapacityLease(()) })
}

/// Makes a pipe for these holders of its ends, with one or more writers, which share the end.
///
/// # Errors
/// Those of [`pipe_pair`].
pub(crate) fn pipe_with_writers(
    capacity: Option<u64>,
    reader: Holder,
    writers: &[Holder],
) -> io::Result<(Handle, Vec<Handle>, CapacityLease)> {
    // A native command can use any end. A guest's must not wait.
    let writer = match writers.contains(&Holder::Guest) {
        true => Holder::Guest,
        false => Holder::Native,
    };
    let (reader, first) = named_pipe::pair(capacity, reader, writer)?;
    let mut all = vec![first];
    for _ in 1..writers.len() {
        all.push(all[0].try_clone()?);
    }
    Ok((reader, all, CapacityLease(())))
}

/// Makes a pipe with both ends for this process.
///
/// # Errors
/// Those of [`pipe_pair`].
pub(crate) fn anonymous() -> io::Result<(End, End)> {
    use super::Direction;
    let PipePair { reader, writer, .. } = pipe_pair(None)?;
    Ok((End::owned(reader, Direction::Read)?, End::owned(writer, Direction::Write)?))
}

/// The path by which this process executes its own program again.
pub(crate) fn own_program() -> OsString {
    std::env::current_exe().map_or_else(|_| "pipehost".into(), OsString::from)
}

/// Looks for a native command: see `process`.
///
/// # Errors
/// `NotFound`, and `InvalidInput` for a batch file.
pub(crate) fn find_command(program: &OsStr) -> io::Result<()> {
    process::find(program).map(drop)
}

/// Returns an error where the engine does not keep a guest in the folders that it is granted. It does not
/// here: a name such as `C:x` within a path leads out of them.
///
/// # Errors
/// `Unsupported`, until an engine without that error is used.
pub(crate) fn allow_folders() -> io::Result<()> {
    let why = "no folder is granted on Windows: wasmtime 48.0.8 lets guests out of it (GHSA-f2pq-268w-886c)";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Returns whether the text before a `:` is a drive: `C`.
pub(crate) fn is_drive(before: &OsStr) -> bool {
    before.len() == 1 && before.as_encoded_bytes()[0].is_ascii_alphabetic()
}

/// Returns 16 hexadecimal digits that no other process can guess.
fn unique() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Does nothing: no signal ends this process.
pub(crate) fn ignore_file_size_signal() {}

/// Returns how many bytes of address space this process may have: as many as there are.
pub(crate) fn address_space_limit() -> Option<u64> {
    None
}

/// Returns how many bytes a file may have: as many as the disk permits.
pub(crate) fn file_size_limit() -> Option<u64> {
    None
}

/// Returns how many more handles guests can open. Memory ends before they do.
pub(crate) fn descriptors_left() -> usize {
    usize::MAX
}

/// Returns whether `error` says that there is no memory.
pub(crate) fn is_no_memory(error: &(dyn Error + 'static)) -> bool {
    let of_io = |error: &io::Error| error.kind() == io::ErrorKind::OutOfMemory;
    error.downcast_ref::<io::Error>().is_some_and(of_io)
}

/// Returns the processor time of this thread.
pub(crate) fn thread_cpu_time() -> Duration {
    let [mut made, mut gone, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: this thread's own handle, and a place for each answer.
    unsafe {
        let this = GetCurrentThread();
        GetThreadTimes(this, &raw mut made, &raw mut gone, &raw mut kernel, &raw mut user);
    }
    native::time(kernel) + native::time(user)
}

/// Returns the time on a clock that all processes of this system share: that of the day, as runs are not listed yet.
pub(crate) fn shared_clock() -> Duration {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// Returns the bytes of a text: UTF-8, with the same for halves of pairs that stand alone.
pub(crate) fn bytes(text: &OsStr) -> &[u8] {
    text.as_encoded_bytes()
}

/// Returns the text of these bytes. Halves of pairs come out as they went in.
pub(crate) fn text(bytes: Vec<u8>) -> OsString {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text.into(),
        Err(error) => error.into_bytes(),
    };
    let mut wide = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            Err(error) => error.valid_up_to(),
        };
        wide.extend(String::from_utf8_lossy(&rest[..valid]).encode_utf16());
        rest = &rest[valid..];
        match rest {
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, after @ ..] => {
                wide.push(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f));
                rest = after;
            }
            [_, after @ ..] => {
                wide.push(0xfffd);
                rest = after;
            }
            [] => {}
        }
    }
    OsString::from_wide(&wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for wide in [&[0x61, 0xe4, 0x20ac][..], &[0x61, 0xd83d, 0x62], &[0xde00]] {
            let given = OsString::from_wide(wide);
            assert_eq!(text(bytes(&given).to_vec()), given);
        }
    }
}
