//! `wasi:filesystem/types@0.3`: opening, and streams over files. wasmtime-wasi's streams outlive
//! all of the guest's handles if one is handed to another, so pipehost has streams of its own: each
//! is counted while it exists.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use wasmtime::component::{
    Accessor, Destination, FutureReader, Linker, Resource, ResourceType, Source, StreamConsumer,
    StreamProducer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptorWithStore, NewTimestamp, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};
use wasmtime_wasi::{FsPerms, WasiView};

use super::super::PipesView;
use super::{Opened, Special, WhenSpecial, bytes, descriptor, is_special};
use crate::engine_names::FILES_0_3;
use crate::limits::{HeldBytes, Permit};
use crate::sys::{self, FileKind};

/// How many bytes of a file are read or written at once.
const CHUNK: usize = 32 * 1024;

type TimesArgs = (Resource<Descriptor>, PathFlags, String, NewTimestamp, NewTimestamp);

type LinkArgs = (Resource<Descriptor>, PathFlags, String, Resource<Descriptor>, String);

type OpenArgs = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

/// How a stream ended.
type Outcome = FutureReader<Result<(), ErrorCode>>;

pub(super) fn add<T: PipesView + WasiView + 'static>(
    linker: &mut Linker<T>,
    opened: &Opened,
) -> wasmtime::Result<()> {
    let mut types = linker.instance(FILES_0_3)?;
    let of = opened.clone();
    types.resource("descriptor", ResourceType::host::<Descriptor>(), move |mut store, rep| {
        of.remove(rep);
        let descriptor = Resource::<Descriptor>::new_own(rep);
        store.data_mut().pipes().table.delete(descriptor)?;
        Ok(())
    })?;
    let of = opened.clone();
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        move |accessor: &Accessor<T>, args: OpenArgs| {
            let of = of.clone();
            Box::pin(async move {
                match open_at(accessor, &of, args).await {
                    Ok(file) => Ok((Ok(file),)),
                    Err(error) => Ok((Err(error.downcast()?),)),
                }
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.set-times-at",
        move |accessor: &Accessor<T>, (folder, links, path, accessed, modified): TimesArgs| {
            Box::pin(async move {
                let borrowed = || Resource::<Descriptor>::new_borrow(folder.rep());
                // wasmtime-wasi opens the file to set its times.
                if let Some(special) = special(accessor, borrowed(), links, &path).await {
                    tell(accessor, special, &path);
                    return Ok((Err(ErrorCode::Unsupported),));
                }
                let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                let set = HostDescriptorWithStore::<T>::set_times_at(
                    &files,
                    borrowed(),
                    links,
                    path,
                    accessed,
                    modified,
                );
                match set.await {
                    Ok(()) => Ok((Ok(()),)),
                    Err(error) => Ok((Err(error.downcast()?),)),
                }
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.link-at",
        move |accessor: &Accessor<T>, (folder, links, old, to, new): LinkArgs| {
            Box::pin(async move {
                let from = || Resource::<Descriptor>::new_borrow(folder.rep());
                let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                type Files = WasiFilesystem;
                let linked = <Files as HostDescriptorWithStore<T>>::link_at(
                    &files,
                    from(),
                    links,
                    old.clone(),
                    to,
                    new,
                );
                let code = match linked.await {
                    Ok(()) => return Ok((Ok(()),)),
                    Err(error) => error.downcast()?,
                };
                // Landlock checks first, and returns another error for a link to a folder.
                if matches!(code, ErrorCode::Io)
                    && let Ok(stat) =
                        <Files as HostDescriptorWithStore<T>>::stat_at(&files, from(), links, old)
                            .await
                    && matches!(stat.type_, DescriptorType::Directory)
                {
                    return Ok((Err(ErrorCode::NotPermitted),));
                }
                Ok((Err(code),))
            })
        },
    )?;
    let of = opened.clone();
    types.func_wrap(
        "[method]descriptor.read-via-stream",
        move |mut store, (file, offset): (Resource<Descriptor>, u64)| {
            let opened = of.file(store.data_mut(), &file, false)?;
            let (outcome, told) = oneshot::channel();
            let stream = match opened {
                Ok(file) => StreamReader::new(
                    &mut store,
                    FileSource { file, offset, reading: None, outcome: Some(outcome) },
                )?,
                Err(code) => {
                    // The future tells the guest.
                    let _ = outcome.send(code);
                    StreamReader::new(&mut store, std::iter::empty::<u8>())?
                }
            };
            Ok(((stream, future(&mut store, told)?),))
        },
    )?;
    let of = opened.clone();
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        move |mut store, args: (Resource<Descriptor>, StreamReader<u8>, u64)| {
            let (file, data, offset) = args;
            let opened = of.file(store.data_mut(), &file, true)?;
            Ok((write(&mut store, opened, data, Some(offset))?,))
        },
    )?;
    let of = opened.clone();
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        move |mut store, (file, data): (Resource<Descriptor>, StreamReader<u8>)| {
            let opened = of.file(store.data_mut(), &file, true)?;
            Ok((write(&mut store, opened, data, None)?,))
        },
    )
}

async fn open_at<T: PipesView + WasiView + 'static>(
    accessor: &Accessor<T>,
    opened: &Opened,
    (folder, path_flags, path, open_flags, flags): OpenArgs,
) -> FilesystemResult<Resource<Descriptor>> {
    let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
    let borrowed = || Resource::<Descriptor>::new_borrow(folder.rep());
    if let Some(special) = special(accessor, borrowed(), path_flags, &path).await {
        let has = |flag| open_flags.contains(flag);
        let (create, exclusive) = (has(OpenFlags::CREATE), has(OpenFlags::EXCLUSIVE));
        let (truncate, directory) = (has(OpenFlags::TRUNCATE), has(OpenFlags::DIRECTORY));
        match WhenSpecial::of(create, exclusive, truncate, directory) {
            WhenSpecial::Fails => {}
            WhenSpecial::NotDirectory => return Err(ErrorCode::NotDirectory.into()),
            WhenSpecial::Refused => {
                tell(accessor, special, &path);
                return Err(ErrorCode::Unsupported.into());
            }
        }
    }
    let held = accessor
        .with(|mut store| descriptor(store.get().pipes().ctx.quotas()))
        .map_err(|error| FilesystemError::from(ErrorCode::from(error)))?;
    let file = HostDescriptorWithStore::<T>::open_at(
        &files,
        borrowed(),
        path_flags,
        path.clone(),
        open_flags,
        flags,
    )
    .await?;
    let special = accessor.with(|mut store| {
        let table = store.get().pipes().table;
        let special = is_special(table.get(&file)?);
        if special.is_some() {
            table.delete(Resource::<Descriptor>::new_own(file.rep()))?;
        }
        wasmtime::error::Ok(special)
    });
    if let Some(special) = special.map_err(FilesystemError::trap)? {
        tell(accessor, special, &path);
        return Err(ErrorCode::Unsupported.into());
    }
    opened.add(&file, held);
    Ok(file)
}

/// Returns the special file at `path`, if there is one. It must not be opened.
async fn special<T: PipesView + WasiView + 'static>(
    accessor: &Accessor<T>,
    folder: Resource<Descriptor>,
    path_flags: PathFlags,
    path: &str,
) -> Option<Special> {
    let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
    let found = HostDescriptorWithStore::<T>::stat_at(&files, folder, path_flags, path.into());
    // Any other error is returned when the path is opened.
    Special::of(kind(&found.await.ok()?.type_))
}

fn tell<T: PipesView + 'static>(accessor: &Accessor<T>, special: Special, path: &str) {
    accessor.with(|mut store| special.tell(path, store.get().pipes().ctx.journal().events()));
}

fn kind(kind: &DescriptorType) -> FileKind {
    match kind {
        DescriptorType::Fifo => FileKind::Fifo,
        DescriptorType::Socket => FileKind::Socket,
        DescriptorType::CharacterDevice => FileKind::CharacterDevice,
        DescriptorType::BlockDevice => FileKind::BlockDevice,
        DescriptorType::Directory => FileKind::Folder,
        DescriptorType::SymbolicLink => FileKind::Link,
        DescriptorType::RegularFile => FileKind::Regular,
        DescriptorType::Other(_) => FileKind::Unknown,
    }
}

/// A file with a stream over it, and what the host holds for that.
struct OpenFile {
    file: Arc<std::fs::File>,
    /// What is held for it. A call under way on a thread holds it, too, after its stream is gone.
    held: Arc<(Option<Arc<Permit>>, HeldBytes)>,
}

impl Opened {
    /// Returns the file for one more stream.
    ///
    /// # Errors
    /// Traps if the handle is invalid.
    fn file<T: PipesView>(
        &self,
        data: &mut T,
        descriptor: &Resource<Descriptor>,
        writes: bool,
    ) -> wasmtime::Result<Result<OpenFile, ErrorCode>> {
        let pipes = data.pipes();
        let file = match pipes.table.get(descriptor)? {
            Descriptor::File(file) => file.clone(),
            Descriptor::Dir(_) if writes => return Ok(Err(ErrorCode::BadDescriptor)),
            Descriptor::Dir(_) => return Ok(Err(ErrorCode::IsDirectory)),
        };
        if writes && matches!(file.perms, FsPerms::ReadOnly) {
            return Ok(Err(ErrorCode::NotPermitted));
        }
        Ok(match bytes(pipes.ctx.quotas(), CHUNK) {
            Ok(buffer) => {
                let held = Arc::new((self.held(descriptor), buffer));
                Ok(OpenFile { file: file.file, held })
            }
            Err(error) => Err(error.into()),
        })
    }
}

/// Returns a future that resolves when the other half of `told` is dropped, or has sent an error.
fn future(
    store: impl AsContextMut,
    told: oneshot::Receiver<ErrorCode>,
) -> wasmtime::Result<Outcome> {
    FutureReader::new(store, async move {
        wasmtime::error::Ok(match told.await {
            Ok(code) => Err(code),
            Err(_) => Ok(()),
        })
    })
}

/// Writes the bytes of `data` to a file, from `offset` on, or at the file's end.
fn write(
    mut store: impl AsContextMut,
    opened: Result<OpenFile, ErrorCode>,
    mut data: StreamReader<u8>,
    offset: Option<u64>,
) -> wasmtime::Result<Outcome> {
    let (outcome, told) = oneshot::channel();
    match opened {
        Ok(file) => {
            let outcome = Some(outcome);
            data.pipe(&mut store, FileSink { file, offset, writing: None, outcome })?;
        }
        Err(code) => {
            data.close(&mut store)?;
            let _ = outcome.send(code);
        }
    }
    future(&mut store, told)
}

fn dropped(
    outcome: &mut Option<oneshot::Sender<ErrorCode>>,
    code: ErrorCode,
) -> Poll<wasmtime::Result<StreamResult>> {
    if let Some(outcome) = outcome.take() {
        // The guest may have dropped the future.
        let _ = outcome.send(code);
    }
    Poll::Ready(Ok(StreamResult::Dropped))
}

/// Reads a file, a chunk at a time, on a thread.
struct FileSource {
    file: OpenFile,
    offset: u64,
    /// The read under way. It goes on after the guest has cancelled its read.
    reading: Option<JoinHandle<io::Result<BytesMut>>>,
    outcome: Option<oneshot::Sender<ErrorCode>>,
}

impl<D> StreamProducer<D> for FileSource {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = &mut *self;
        // A file is always ready.
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let reading = this.reading.get_or_insert_with(|| {
            let (file, offset) = (Arc::clone(&this.file.file), this.offset);
            let held = Arc::clone(&this.file.held);
            spawn_blocking(move || {
                let _held = held;
                let mut chunk = BytesMut::zeroed(CHUNK);
                let n = sys::read_at(&file, &mut chunk, offset)?;
                chunk.truncate(n);
                Ok(chunk)
            })
        });
        let read = match Pin::new(reading).poll(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            read => ready!(read),
        };
        this.reading = None;
        match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(chunk) if chunk.is_empty() => Poll::Ready(Ok(StreamResult::Dropped)),
            Ok(chunk) => {
                // If something was read, the offset is at most i64::MAX.
                this.offset = this.offset.saturating_add(chunk.len() as u64);
                destination.set_buffer(chunk);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Err(error) => dropped(&mut this.outcome, error.into()),
        }
    }
}

/// Writes a file, a chunk at a time, on a thread.
struct FileSink {
    file: OpenFile,
    /// `None`: at the file's end, wherever that is.
    offset: Option<u64>,
    writing: Option<JoinHandle<io::Result<usize>>>,
    outcome: Option<oneshot::Sender<ErrorCode>>,
}

impl<D> StreamConsumer<D> for FileSink {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = &mut *self;
        let mut source = source.as_direct(store);
        if this.writing.is_none() && source.remaining().is_empty() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let writing = this.writing.get_or_insert_with(|| {
            let remaining = source.remaining();
            let chunk = remaining[..remaining.len().min(CHUNK)].to_vec();
            let (file, offset) = (Arc::clone(&this.file.file), this.offset);
            let held = Arc::clone(&this.file.held);
            spawn_blocking(move || {
                let _held = held;
                match offset {
                    Some(offset) => sys::write_at(&file, &chunk, offset),
                    None => sys::append(&file, &chunk),
                }
            })
        });
        // A write under way cannot be cancelled: its bytes may be in the file already.
        let written = ready!(Pin::new(writing).poll(cx));
        this.writing = None;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(n) => {
                source.mark_read(n);
                this.offset = this.offset.map(|offset| offset.saturating_add(n as u64));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Err(error) => dropped(&mut this.outcome, error.into()),
        }
    }
}
