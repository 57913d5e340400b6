//! A platform without support yet. Everything compiles, and every call to the system fails as
//! unsupported.
//!
//! A type that cannot be made has no value: its methods are never called, and have no body.

#![allow(missing_docs, clippy::missing_errors_doc, reason = "as those of the other platforms")]

use std::convert::Infallible;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use std::alloc::System as Allocator;

use super::{
    Direction, FifoError, FifoOptions, FifoWarning, FileInfo, FileKind, InheritError,
    NativeCommand, NativeEnd, PrivateError, Stop, SystemError, Usage,
};

/// No error has a name here.
pub(crate) const ERRORS: &[(SystemError, i32)] = &[];

/// The folder of caches, in the home folder.
pub(crate) const CACHES: &str = ".cache";

/// The least that POSIX permits.
pub(crate) const PIPE_BUF: usize = 512;

/// Windows needs it.
pub(crate) const NEEDS_UNWIND_INFO: bool = true;

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "pipehost makes no pipes on this system yet; it does on Linux",
    ))
}

/// An open file. Dropping it closes it.
#[derive(Debug)]
pub struct Handle(File);

impl Handle {
    /// Returns another handle of the same file.
    ///
    /// # Errors
    /// The system's.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl From<File> for Handle {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl From<Handle> for File {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

/// An end of a pipe. There are none here.
#[derive(Debug)]
pub struct End(Infallible);

impl End {
    pub fn owned(_: Handle, _: Direction) -> io::Result<Self> {
        unsupported()
    }

    pub fn shared(_: Handle, _: Direction) -> io::Result<Self> {
        unsupported()
    }

    pub fn for_native(&self) -> io::Result<Handle> {
        match self.0 {}
    }

    pub fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub fn read_bytes(&self, _: usize) -> io::Result<bytes::Bytes> {
        match self.0 {}
    }

    pub fn write(&self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub fn splice_to(&self, _: &End, _: usize) -> io::Result<usize> {
        match self.0 {}
    }

    pub async fn ready(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub async fn ready_after_would_block(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub async fn reader_gone(&self) {
        match self.0 {}
    }

    pub fn lacks_reader(&self) -> bool {
        match self.0 {}
    }

    pub fn is_ready(&self) -> io::Result<bool> {
        match self.0 {}
    }

    pub fn hung_up(&self) -> io::Result<bool> {
        match self.0 {}
    }

    pub fn is_at_end(&self) -> io::Result<bool> {
        match self.0 {}
    }

    pub fn awaits_peer(&self) -> bool {
        match self.0 {}
    }

    pub fn has_writer(&self) -> io::Result<bool> {
        match self.0 {}
    }

    pub fn available(&self) -> io::Result<u64> {
        match self.0 {}
    }

    pub fn capacity(&self) -> io::Result<u64> {
        match self.0 {}
    }

    pub fn set_capacity(&self, _: u64) -> io::Result<()> {
        match self.0 {}
    }

    pub fn grow(&mut self) {
        match self.0 {}
    }

    pub fn lease(&self) -> CapacityLease {
        match self.0 {}
    }

    pub fn is_pipe(&self) -> bool {
        match self.0 {}
    }

    pub fn shares_growth_of(&mut self, _: &End) {
        match self.0 {}
    }

    pub fn is_terminal(&self) -> bool {
        match self.0 {}
    }

    pub fn terminal(&self) -> Option<u64> {
        match self.0 {}
    }
}

/// The lease of a larger pipe. No pipe grows here.
#[derive(Clone, Debug, Default)]
pub struct CapacityLease(());

/// Both ends of a pipe between two stages.
#[derive(Debug)]
pub struct PipePair {
    /// The end to read from.
    pub reader: Handle,
    /// The end to write to.
    pub writer: Handle,
    /// The lease of a larger pipe.
    pub lease: CapacityLease,
}

/// A named pipe. There are none here.
#[derive(Debug)]
pub struct Fifo(Infallible);

impl Fifo {
    pub fn prepare(path: &Path, options: FifoOptions) -> Result<Self, FifoError> {
        Self::prepare_alone(path, options, &[])
    }

    pub fn prepare_alone(path: &Path, _: FifoOptions, _: &[Direction]) -> Result<Self, FifoError> {
        let path = path.into();
        unsupported().map_err(|error| FifoError::Io { path, doing: "looking at it", error })
    }

    pub fn private(name: &str, ways: &[Direction]) -> Result<Self, FifoError> {
        Self::prepare_alone(Path::new(name), FifoOptions::default(), ways)
    }

    pub fn on_warning(&self, _: impl Fn(&Path, FifoWarning) + Send + Sync + 'static) {
        match self.0 {}
    }

    pub fn path(&self) -> &Path {
        match self.0 {}
    }

    pub fn open_reader(&self) -> io::Result<End> {
        match self.0 {}
    }

    pub fn open_writer(&self) -> io::Result<Option<End>> {
        match self.0 {}
    }

    pub fn wait_for_reader(&self) -> io::Result<ReaderWait> {
        match self.0 {}
    }

    pub fn remove(&self) {
        match self.0 {}
    }

    pub fn say_if_missing(&self) {
        match self.0 {}
    }
}

/// Waits for a FIFO's reader. There are none here.
#[derive(Debug)]
pub struct ReaderWait(Infallible);

impl ReaderWait {
    pub fn done(&self) -> impl Future<Output = ()> + Send + use<> {
        match self.0 {}
        #[allow(unreachable_code, reason = "what names the type")]
        std::future::ready(())
    }

    pub fn take(&self) -> Option<io::Result<Handle>> {
        match self.0 {}
    }
}

/// Watches FIFOs. There are none here.
#[derive(Debug)]
pub(crate) struct FifoWatch;

impl FifoWatch {
    pub(crate) fn start() -> Self {
        Self
    }

    pub(crate) fn add(&self, fifo: &Arc<Fifo>) -> io::Result<()> {
        match fifo.0 {}
    }
}

/// A folder that is being read. There are none here.
#[derive(Debug)]
pub(crate) struct Folder(Infallible);

impl Folder {
    pub(crate) fn open(_: &File) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn next_entry(&mut self) -> io::Result<Option<(Vec<u8>, FileKind)>> {
        match self.0 {}
    }
}

/// A folder that only this user can use. There are none here.
#[derive(Debug)]
pub(crate) struct PrivateFolder(Infallible);

/// A file in a private folder.
#[derive(Debug)]
pub(crate) struct PrivateFile(Infallible);

/// A lock in a private folder.
#[derive(Debug)]
pub(crate) struct FolderLock<'a>(Infallible, std::marker::PhantomData<&'a ()>);

impl PrivateFolder {
    pub(crate) fn open(path: &Path) -> Result<Self, PrivateError> {
        let path = PathBuf::from(path);
        unsupported().map_err(|error| PrivateError::Io { path, error })
    }

    pub(crate) fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn file(&self, _: &str) -> Option<PrivateFile> {
        match self.0 {}
    }

    pub(crate) fn put(&self, _: &str, _: &[&[u8]]) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn try_lock(&self, _: &str) -> io::Result<Option<FolderLock<'_>>> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _: &str) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn files(&self) -> io::Result<Vec<FileInfo>> {
        match self.0 {}
    }
}

impl PrivateFile {
    pub(crate) fn file(&self) -> &File {
        match self.0 {}
    }

    pub(crate) fn mark_used(&self, _: Duration) {
        match self.0 {}
    }
}

/// A running native command. There are none here.
#[derive(Debug)]
pub struct Native(Infallible);

impl NativeCommand {
    pub fn start(self) -> io::Result<Native> {
        unsupported()
    }
}

impl Native {
    pub fn stop(&self, _: Stop) {
        match self.0 {}
    }

    pub fn kill(&self) {
        match self.0 {}
    }

    pub fn leads(&self) -> bool {
        match self.0 {}
    }

    pub async fn wait(&mut self) -> io::Result<(NativeEnd, Usage)> {
        match self.0 {}
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        match self.0 {}
    }
}

/// What a confined process keeps.
#[derive(Debug, Default)]
pub struct SandboxPolicy(());

/// A part of the sandbox that is missing.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// All parts.
    #[error("this system has no fences that pipehost knows: the engine alone bounds the guest")]
    All,
}

impl Missing {
    pub fn remedy(&self) -> Option<&'static str> {
        None
    }

    pub fn is_critical(&self) -> bool {
        true
    }
}

impl SandboxPolicy {
    pub fn fifo(&mut self, fifo: &Fifo, _: &[Direction]) -> io::Result<()> {
        match fifo.0 {}
    }

    pub fn stream(&mut self, _: &Handle, _: Direction) -> io::Result<()> {
        Ok(())
    }

    pub fn folder(&mut self, _: &Path, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub fn natives(&mut self) {}

    pub fn bound_files(&mut self) -> Vec<Missing> {
        Vec::new()
    }
}

pub fn confine(_: SandboxPolicy) -> Vec<Missing> {
    vec![Missing::All]
}

pub(crate) fn anonymous() -> io::Result<(End, End)> {
    unsupported()
}

pub fn pipe_pair(_: Option<u64>) -> io::Result<PipePair> {
    unsupported()
}

pub(crate) fn pipe_with_writers(
    _: Option<u64>,
    _: usize,
) -> io::Result<(Handle, Vec<Handle>, CapacityLease)> {
    unsupported()
}

pub fn null() -> io::Result<Handle> {
    unsupported()
}

pub fn standard(_: i32) -> io::Result<Handle> {
    unsupported()
}

pub(crate) fn demand_standard_output() -> io::Result<()> {
    Ok(())
}

pub(crate) fn retire_standard_input_and_output() -> io::Result<()> {
    unsupported()
}

pub(crate) fn inherited_number(_: &Path) -> Option<i32> {
    None
}

pub(crate) fn number_in_path(_: &str) -> Option<&str> {
    None
}

pub(crate) fn take_given(_: i32) -> io::Result<Handle> {
    unsupported()
}

pub(crate) fn take_inherited(number: i32) -> Result<(Handle, Vec<Direction>), InheritError> {
    Err(InheritError::NotInherited(number))
}

pub(crate) fn take_inherited_stream(number: i32, _: Direction) -> Result<Handle, InheritError> {
    Err(InheritError::NotInherited(number))
}

pub(crate) fn check_direction(number: i32, _: &Handle, _: Direction) -> Result<(), InheritError> {
    Err(InheritError::NotInherited(number))
}

pub(crate) fn open_input_file(path: &Path) -> io::Result<Handle> {
    File::open(path).map(Handle)
}

pub(crate) fn open_output_file(path: &Path) -> io::Result<Handle> {
    File::create(path).map(Handle)
}

pub(crate) fn memory_file(_: &str, _: u64) -> io::Result<Handle> {
    unsupported()
}

pub(crate) fn read_file(path: &Path, most: u64, _: Option<Instant>) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.len() > most {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => std::fs::read(path),
    }
}

pub(crate) fn read_small_file(path: &Path, most: u64) -> Option<Vec<u8>> {
    read_file(path, most, None).ok()
}

pub(crate) fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    unsupported()
}

pub(crate) fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<usize> {
    unsupported()
}

pub(crate) fn append(_: &File, _: &[u8]) -> io::Result<usize> {
    unsupported()
}

pub(crate) fn kind_of(file: &File) -> io::Result<FileKind> {
    let kind = file.metadata()?.file_type();
    Ok(match kind {
        kind if kind.is_file() => FileKind::Regular,
        kind if kind.is_dir() => FileKind::Folder,
        _ => FileKind::Unknown,
    })
}

pub(super) fn path_of(_: &File) -> String {
    String::new()
}

pub(crate) fn own_program() -> OsString {
    std::env::current_exe().map_or_else(|_| "pipehost".into(), OsString::from)
}

pub(crate) fn find_command(_: &OsStr) -> io::Result<()> {
    unsupported()
}

pub(crate) fn stop_requests() -> io::Result<impl Iterator<Item = Stop> + Send> {
    // No request comes: the process ends by the system's default.
    Ok(std::iter::empty())
}

pub fn start_monitor(_: Vec<Vec<OsString>>) -> io::Result<()> {
    Ok(())
}

pub fn end_monitor() {}

pub(crate) fn kill_natives() {}

pub fn expect_folders() {}

pub fn renounce_files() {}

pub(crate) fn ignore_file_size_signal() {}

pub(crate) fn address_space_limit() -> Option<u64> {
    None
}

pub(crate) fn file_size_limit() -> Option<u64> {
    None
}

pub(crate) fn descriptors_left() -> usize {
    usize::MAX
}

pub(crate) fn is_no_memory(error: &(dyn Error + 'static)) -> bool {
    let of_io = |error: &io::Error| error.kind() == io::ErrorKind::OutOfMemory;
    error.downcast_ref::<io::Error>().is_some_and(of_io)
}

pub(crate) fn thread_cpu_time() -> Duration {
    Duration::ZERO
}

pub(crate) fn prepare_messages() {}

pub(crate) fn write_message(message: &[u8]) {
    // An error cannot be reported anywhere else.
    let _ = io::Write::write_all(&mut io::stderr(), message);
}

pub(crate) fn bytes(text: &OsStr) -> &[u8] {
    text.as_encoded_bytes()
}

pub(crate) fn text(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}
