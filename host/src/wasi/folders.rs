//! `read-directory` of WASI 0.2 and 0.3, whose entries are read as they are asked for, and within what the host
//! holds for a guest. wasmtime-wasi's of 0.2 holds the whole folder for each stream, that of 0.3 a
//! thread.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureReader, Linker, Resource, ResourceType, StreamProducer, StreamReader,
    StreamResult,
};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;

use super::{PipesCtxView, PipesView};
use crate::engine_names::{FILES_0_2, FILES_0_3};
use crate::limits::{GuestQuotas, HeldBytes, Permit};
use crate::sys::{FileKind, Folder};

/// What the host holds for a folder that is being read, in bytes, and its descriptor.
const BUFFER: usize = 33 * 1024;

/// A folder that is being read.
struct Stream {
    folder: Folder,
    _held: (HeldBytes, Permit),
}

/// A stream over what `descriptor` stands for.
fn open(descriptor: &Descriptor, quotas: &GuestQuotas) -> Result<Stream, p2::ErrorCode> {
    let Descriptor::Dir(dir) = descriptor else {
        return Err(p2::ErrorCode::NotDirectory);
    };
    let refused = |_| p2::ErrorCode::InsufficientMemory;
    let held =
        (quotas.held_bytes(BUFFER).map_err(refused)?, quotas.descriptors(1).map_err(refused)?);
    Ok(Stream { folder: Folder::open(&dir.dir)?, _held: held })
}

/// Replaces `read-directory` in `linker`, which must have `wasi:filesystem` already: that of 0.3 where
/// `v0_3` says so.
///
/// # Errors
/// Where a name is taken and may not be shadowed: this sets `allow_shadowing`, and takes it back.
pub(crate) fn add_to_linker<T: PipesView + 'static>(
    linker: &mut Linker<T>,
    v0_3: bool,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut added = add_0_2(linker);
    if v0_3 && added.is_ok() {
        added = add_0_3(linker);
    }
    linker.allow_shadowing(false);
    added
}

fn add_0_2<T: PipesView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance(FILES_0_2)?;
    types.resource(
        "directory-entry-stream",
        ResourceType::host::<Stream>(),
        |mut store, rep| {
            let stream = Resource::<Stream>::new_own(rep);
            store.data_mut().pipes().table.delete(stream)?;
            Ok(())
        },
    )?;
    types.func_wrap(
        "[method]descriptor.read-directory",
        |mut store, (descriptor,): (Resource<Descriptor>,)| {
            let PipesCtxView { table, ctx } = store.data_mut().pipes();
            let stream = match open(table.get(&descriptor)?, ctx.quotas()) {
                Ok(stream) => Ok(table.push(stream)?),
                Err(code) => Err(code),
            };
            Ok((stream,))
        },
    )?;
    types.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store, (stream,): (Resource<Stream>,)| {
            let stream = store.data_mut().pipes().table.get_mut(&stream)?;
            let entry = match stream.folder.next_entry() {
                Ok(Some((name, kind))) => match String::from_utf8(name) {
                    Ok(name) => Ok(Some(p2::DirectoryEntry { type_: kind_0_2(kind), name })),
                    Err(_) => Err(p2::ErrorCode::IllegalByteSequence),
                },
                Ok(None) => Ok(None),
                Err(error) => Err(error.into()),
            };
            Ok((entry,))
        },
    )
}

fn add_0_3<T: PipesView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(FILES_0_3)?.func_wrap(
        "[method]descriptor.read-directory",
        |mut store, (descriptor,): (Resource<Descriptor>,)| {
            let PipesCtxView { table, ctx } = store.data_mut().pipes();
            let stream = open(table.get(&descriptor)?, ctx.quotas());
            let (outcome, told) = oneshot::channel();
            let entries = match stream {
                Ok(stream) => {
                    StreamReader::new(&mut store, Entries { stream, outcome: Some(outcome) })?
                }
                Err(code) => {
                    let _ = outcome.send(match code {
                        p2::ErrorCode::NotDirectory => p3::ErrorCode::NotDirectory,
                        p2::ErrorCode::InsufficientMemory => p3::ErrorCode::InsufficientMemory,
                        p2::ErrorCode::Access => p3::ErrorCode::Access,
                        _ => p3::ErrorCode::Io,
                    });
                    StreamReader::new(&mut store, std::iter::empty::<p3::DirectoryEntry>())?
                }
            };
            let ended = async move {
                wasmtime::error::Ok(match told.await {
                    Ok(code) => Err(code),
                    Err(_) => Ok(()),
                })
            };
            let ended: FutureReader<Result<(), p3::ErrorCode>> =
                FutureReader::new(&mut store, ended)?;
            Ok(((entries, ended),))
        },
    )
}

/// The entries of a folder as a stream, and where it is told why it has failed.
struct Entries {
    stream: Stream,
    outcome: Option<oneshot::Sender<p3::ErrorCode>>,
}

impl<D> StreamProducer<D> for Entries {
    type Item = p3::DirectoryEntry;
    type Buffer = Option<p3::DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let failed = match self.stream.folder.next_entry() {
            Ok(Some((name, kind))) => match String::from_utf8(name) {
                Ok(name) => {
                    let entry = p3::DirectoryEntry { type_: kind_0_3(kind), name };
                    destination.set_buffer(Some(entry));
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Err(_) => Some(p3::ErrorCode::IllegalByteSequence),
            },
            Ok(None) => None,
            Err(error) => Some(error.into()),
        };
        if let (Some(outcome), Some(code)) = (self.outcome.take(), failed) {
            // Nobody has to be interested.
            let _ = outcome.send(code);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

fn kind_0_2(kind: FileKind) -> p2::DescriptorType {
    match kind {
        FileKind::Regular => p2::DescriptorType::RegularFile,
        FileKind::Folder => p2::DescriptorType::Directory,
        FileKind::Link => p2::DescriptorType::SymbolicLink,
        FileKind::CharacterDevice => p2::DescriptorType::CharacterDevice,
        FileKind::BlockDevice => p2::DescriptorType::BlockDevice,
        FileKind::Fifo => p2::DescriptorType::Fifo,
        FileKind::Socket => p2::DescriptorType::Socket,
        FileKind::Unknown => p2::DescriptorType::Unknown,
    }
}

fn kind_0_3(kind: FileKind) -> p3::DescriptorType {
    match kind {
        FileKind::Regular => p3::DescriptorType::RegularFile,
        FileKind::Folder => p3::DescriptorType::Directory,
        FileKind::Link => p3::DescriptorType::SymbolicLink,
        FileKind::CharacterDevice => p3::DescriptorType::CharacterDevice,
        FileKind::BlockDevice => p3::DescriptorType::BlockDevice,
        FileKind::Fifo => p3::DescriptorType::Fifo,
        FileKind::Socket => p3::DescriptorType::Socket,
        FileKind::Unknown => p3::DescriptorType::Other(None),
    }
}
