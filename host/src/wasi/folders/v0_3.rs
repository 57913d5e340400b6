//! `read-directory` of `wasi:filesystem/types@0.3`.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureReader, Linker, Resource, StreamProducer, StreamReader, StreamResult,
};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p3::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::super::{PipesCtxView, PipesView};
use super::{OpenError, Stream, open};
use crate::engine_names::FILES_0_3;
use crate::sys::FileKind;

pub(super) fn add<T: PipesView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
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
                Err(error) => {
                    let _ = outcome.send(code(error));
                    StreamReader::new(&mut store, std::iter::empty::<DirectoryEntry>())?
                }
            };
            let ended = async move {
                wasmtime::error::Ok(match told.await {
                    Ok(code) => Err(code),
                    Err(_) => Ok(()),
                })
            };
            let ended: FutureReader<Result<(), ErrorCode>> = FutureReader::new(&mut store, ended)?;
            Ok(((entries, ended),))
        },
    )
}

fn code(error: OpenError) -> ErrorCode {
    match error {
        OpenError::NotAFolder => ErrorCode::NotDirectory,
        OpenError::Exceeded => ErrorCode::InsufficientMemory,
        OpenError::Io(error) => error.into(),
    }
}

/// The entries of a folder as a stream, and the sender of the error if that fails.
struct Entries {
    stream: Stream,
    outcome: Option<oneshot::Sender<ErrorCode>>,
}

impl<D> StreamProducer<D> for Entries {
    type Item = DirectoryEntry;
    type Buffer = Option<DirectoryEntry>;

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
                    let entry = DirectoryEntry { type_: type_of(kind), name };
                    destination.set_buffer(Some(entry));
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Err(_) => Some(ErrorCode::IllegalByteSequence),
            },
            Ok(None) => None,
            Err(error) => Some(error.into()),
        };
        if let (Some(outcome), Some(code)) = (self.outcome.take(), failed) {
            // The guest may have dropped the future.
            let _ = outcome.send(code);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

fn type_of(kind: FileKind) -> DescriptorType {
    match kind {
        FileKind::Regular => DescriptorType::RegularFile,
        FileKind::Folder => DescriptorType::Directory,
        FileKind::Link => DescriptorType::SymbolicLink,
        FileKind::CharacterDevice => DescriptorType::CharacterDevice,
        FileKind::BlockDevice => DescriptorType::BlockDevice,
        FileKind::Fifo => DescriptorType::Fifo,
        FileKind::Socket => DescriptorType::Socket,
        FileKind::Unknown => DescriptorType::Other(None),
    }
}
