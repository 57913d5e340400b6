//! `wasi:filesystem/types@0.2`: opening, and streams over files.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor as _, NewTimestamp, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, FsResult, InputStream, OutputStream, Pollable, StreamError,
    StreamResult,
};
use wasmtime_wasi::{WasiView, async_trait};

use super::super::PipesView;
use super::{MOST_AT_ONCE, Opened, Special, WhenSpecial, bytes, descriptor, is_special};
use crate::engine_names::FILES_0_2;
use crate::limits::{GuestQuotas, HeldBytes, Permit};
use crate::sys::{FileKind, SystemError};

type TimesArgs = (Resource<Descriptor>, PathFlags, String, NewTimestamp, NewTimestamp);

type LinkArgs = (Resource<Descriptor>, PathFlags, String, Resource<Descriptor>, String);

type OpenArgs = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

pub(super) fn add<T: PipesView + WasiView + 'static>(
    linker: &mut Linker<T>,
    opened: &Opened,
) -> wasmtime::Result<()> {
    let mut types = linker.instance(FILES_0_2)?;
    let of = opened.clone();
    types.resource("descriptor", ResourceType::host::<Descriptor>(), move |mut store, rep| {
        of.remove(rep);
        let descriptor = Resource::<Descriptor>::new_own(rep);
        store.data_mut().pipes().table.delete(descriptor)?;
        Ok(())
    })?;
    let of = opened.clone();
    types.func_wrap_async("[method]descriptor.open-at", move |mut store, args: OpenArgs| {
        let of = of.clone();
        Box::new(async move {
            let opened = open_at(store.data_mut(), &of, args).await;
            Ok((told(opened)?,))
        })
    })?;
    types.func_wrap_async(
        "[method]descriptor.set-times-at",
        move |mut store, (folder, links, path, accessed, modified): TimesArgs| {
            Box::new(async move {
                let data = store.data_mut();
                let borrowed = || Resource::<Descriptor>::new_borrow(folder.rep());
                // wasmtime-wasi opens the file to set its times.
                if let Some(special) = special(data, borrowed(), links, &path).await {
                    special.tell(&path, data.pipes().ctx.journal().events());
                    return Ok((Err(ErrorCode::Unsupported),));
                }
                let mut files = data.filesystem();
                let set = files.set_times_at(borrowed(), links, path, accessed, modified).await;
                Ok((told(set)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.link-at",
        move |mut store, (folder, links, old, to, new): LinkArgs| {
            Box::new(async move {
                let data = store.data_mut();
                let from = || Resource::<Descriptor>::new_borrow(folder.rep());
                let mut files = data.filesystem();
                let linked = told(files.link_at(from(), links, old.clone(), to, new).await)?;
                // Landlock checks first, and returns another error for a link to a folder.
                if matches!(linked, Err(ErrorCode::Io))
                    && let Ok(stat) = files.stat_at(from(), links, old).await
                    && matches!(stat.type_, DescriptorType::Directory)
                {
                    return Ok((Err(ErrorCode::NotPermitted),));
                }
                Ok((linked,))
            })
        },
    )?;
    let of = opened.clone();
    types.func_wrap(
        "[method]descriptor.read-via-stream",
        move |mut store, (file, offset): (Resource<Descriptor>, u64)| {
            let (data, held) = (store.data_mut(), of.held(&file));
            let stream = data.filesystem().read_via_stream(file, offset);
            let stream = stream.and_then(|stream| {
                let quotas = data.pipes().ctx.quotas().clone();
                let table = data.pipes().table;
                let inner = table.delete(stream)?;
                let stream = FileInput { inner, quotas, held: None, kept: 0, _file: held };
                Ok(table.push::<DynInputStream>(Box::new(stream))?)
            });
            Ok((told(stream)?,))
        },
    )?;
    let of = opened.clone();
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        move |mut store, (file, offset): (Resource<Descriptor>, u64)| {
            let (data, held) = (store.data_mut(), of.held(&file));
            let stream = data.filesystem().write_via_stream(file, offset);
            Ok((told(counted(data, stream, held))?,))
        },
    )?;
    let of = opened.clone();
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        move |mut store, (file,): (Resource<Descriptor>,)| {
            let (data, held) = (store.data_mut(), of.held(&file));
            let stream = data.filesystem().append_via_stream(file);
            Ok((told(counted(data, stream, held))?,))
        },
    )
}

async fn open_at<T: PipesView + WasiView>(
    data: &mut T,
    opened: &Opened,
    (folder, path_flags, path, open_flags, flags): OpenArgs,
) -> FsResult<Resource<Descriptor>> {
    let borrowed = || Resource::<Descriptor>::new_borrow(folder.rep());
    if let Some(special) = special(data, borrowed(), path_flags, &path).await {
        let has = |flag| open_flags.contains(flag);
        let (create, exclusive) = (has(OpenFlags::CREATE), has(OpenFlags::EXCLUSIVE));
        let (truncate, directory) = (has(OpenFlags::TRUNCATE), has(OpenFlags::DIRECTORY));
        match WhenSpecial::of(create, exclusive, truncate, directory) {
            WhenSpecial::Fails => {}
            WhenSpecial::NotDirectory => return Err(ErrorCode::NotDirectory.into()),
            WhenSpecial::Refused => {
                special.tell(&path, data.pipes().ctx.journal().events());
                return Err(ErrorCode::Unsupported.into());
            }
        }
    }
    let held = descriptor(data.pipes().ctx.quotas())?;
    let file =
        data.filesystem().open_at(borrowed(), path_flags, path.clone(), open_flags, flags).await?;
    let special = is_special(data.pipes().table.get(&file)?);
    if let Some(special) = special {
        data.pipes().table.delete(file)?;
        special.tell(&path, data.pipes().ctx.journal().events());
        return Err(ErrorCode::Unsupported.into());
    }
    opened.add(&file, held);
    Ok(file)
}

/// Returns the special file at `path`, if there is one. It must not be opened.
async fn special<T: WasiView>(
    data: &mut T,
    folder: Resource<Descriptor>,
    path_flags: PathFlags,
    path: &str,
) -> Option<Special> {
    let found = data.filesystem().stat_at(folder, path_flags, path.into()).await;
    // Any other error is returned when the path is opened.
    Special::of(kind(found.ok()?.type_))
}

fn kind(kind: DescriptorType) -> FileKind {
    match kind {
        DescriptorType::Fifo => FileKind::Fifo,
        DescriptorType::Socket => FileKind::Socket,
        DescriptorType::CharacterDevice => FileKind::CharacterDevice,
        DescriptorType::BlockDevice => FileKind::BlockDevice,
        DescriptorType::Directory => FileKind::Folder,
        DescriptorType::SymbolicLink => FileKind::Link,
        DescriptorType::RegularFile => FileKind::Regular,
        DescriptorType::Unknown => FileKind::Unknown,
    }
}

/// Wraps a stream that writes to a file, so that it stays within what the host may hold.
fn counted<T: PipesView>(
    data: &mut T,
    stream: FsResult<Resource<DynOutputStream>>,
    held: Option<Arc<Permit>>,
) -> FsResult<Resource<DynOutputStream>> {
    let quotas = data.pipes().ctx.quotas().clone();
    let table = data.pipes().table;
    let inner = table.delete(stream?)?;
    let stream = FileOutput { inner, quotas, under_way: None, _file: held };
    Ok(table.push::<DynOutputStream>(Box::new(stream))?)
}

fn told<R>(done: FsResult<R>) -> wasmtime::Result<Result<R, ErrorCode>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

fn refused(error: std::io::Error) -> StreamError {
    StreamError::LastOperationFailed(error.into())
}

/// How many bytes wasmtime-wasi reads if a guest waits for a stream before it has begun to read.
const READ_AHEAD: usize = 4096;

/// An `input-stream` over a file. wasmtime-wasi's stream reads as much as it is asked for, on a
/// thread, and keeps what the guest does not take. Only a wrapper can bound how much it keeps.
struct FileInput {
    inner: DynInputStream,
    quotas: GuestQuotas,
    /// What is held for the stream, if it may keep any bytes.
    held: Option<HeldBytes>,
    /// The most bytes that the stream keeps, or is about to keep.
    kept: usize,
    _file: Option<Arc<Permit>>,
}

impl FileInput {
    /// Takes room for a read of `size` bytes, which the next call may begin.
    fn reads(&mut self, size: usize) -> std::io::Result<()> {
        let size = size.min(MOST_AT_ONCE);
        match &mut self.held {
            Some(held) => held.raise_to(size).map_err(|_| SystemError::NoMemory)?,
            None => self.held = Some(bytes(&self.quotas, size)?),
        }
        self.kept = self.kept.max(size);
        Ok(())
    }

    /// Gives room back, once `size` bytes have been asked for.
    fn took(&mut self, size: usize, read: StreamResult<Bytes>) -> StreamResult<Bytes> {
        self.kept = match &read {
            // These bytes are yet to come.
            Ok(bytes) if bytes.is_empty() => self.kept,
            Ok(bytes) if bytes.len() == size => self.kept.saturating_sub(size),
            // A shorter read has returned all there was.
            Ok(_) | Err(_) => 0,
        };
        if self.kept == 0 {
            self.held = None;
        }
        read
    }
}

#[async_trait]
impl InputStream for FileInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.reads(size).map_err(refused)?;
        let read = self.inner.read(size);
        self.took(size, read)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.reads(size).map_err(refused)?;
        let read = self.inner.blocking_read(size).await;
        self.took(size, read)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for FileInput {
    async fn ready(&mut self) {
        // If there is no room, the read that follows fails.
        if self.reads(READ_AHEAD).is_ok() {
            self.inner.ready().await;
        }
    }
}

/// An `output-stream` over a file. wasmtime-wasi's stream keeps written bytes until a thread has
/// written them to the file.
struct FileOutput {
    inner: DynOutputStream,
    quotas: GuestQuotas,
    under_way: Option<HeldBytes>,
    _file: Option<Arc<Permit>>,
}

#[async_trait]
impl OutputStream for FileOutput {
    fn write(&mut self, contents: Bytes) -> StreamResult<()> {
        self.under_way = Some(bytes(&self.quotas, contents.len()).map_err(refused)?);
        self.inner.write(contents)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let permit = self.inner.check_write();
        if !matches!(permit, Ok(0)) {
            self.under_way = None;
        }
        permit
    }

    async fn blocking_write_and_flush(&mut self, contents: Bytes) -> StreamResult<()> {
        let _held = bytes(&self.quotas, contents.len()).map_err(refused)?;
        let written = self.inner.blocking_write_and_flush(contents).await;
        self.under_way = None;
        written
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for FileOutput {
    async fn ready(&mut self) {
        self.inner.ready().await;
        self.under_way = None;
    }
}
