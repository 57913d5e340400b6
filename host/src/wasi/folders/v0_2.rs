//! `read-directory` of `wasi:filesystem/types@0.2`.

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::super::{PipesCtxView, PipesView};
use super::{OpenError, Stream, open};
use crate::engine_names::FILES_0_2;
use crate::sys::FileKind;

pub(super) fn add<T: PipesView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
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
                Err(error) => Err(code(error)),
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
                    Ok(name) => Ok(Some(DirectoryEntry { type_: type_of(kind), name })),
                    Err(_) => Err(ErrorCode::IllegalByteSequence),
                },
                Ok(None) => Ok(None),
                Err(error) => Err(error.into()),
            };
            Ok((entry,))
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

fn type_of(kind: FileKind) -> DescriptorType {
    match kind {
        FileKind::Regular => DescriptorType::RegularFile,
        FileKind::Folder => DescriptorType::Directory,
        FileKind::Link => DescriptorType::SymbolicLink,
        FileKind::CharacterDevice => DescriptorType::CharacterDevice,
        FileKind::BlockDevice => DescriptorType::BlockDevice,
        FileKind::Fifo => DescriptorType::Fifo,
        FileKind::Socket => DescriptorType::Socket,
        FileKind::Unknown => DescriptorType::Unknown,
    }
}
