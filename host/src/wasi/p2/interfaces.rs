//! `pipehost:pipes@0.2.0`, over `wasi:io/streams`.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Pollable};

use super::super::handles::interfaces_alike;
use super::super::{HasPipes, PipesCtxView, PipesView, SharedReader, SharedWriter};
use super::{Eof, InputStream, OutputStream};
use crate::pipe::{Child, ChildStream, Fault, PassedEnd, Reader, SpawnRequest, Writer, deferred};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/p2",
        world: "imports",
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "pipehost:pipes/types.pipe-reader": crate::pipe::Reader,
            "pipehost:pipes/types.pipe-writer": crate::pipe::Writer,
            "pipehost:pipes/spawn.child": crate::pipe::Child,
        },
        imports: { default: trappable },
        require_store_data_send: true,
        trappable_error_type: {
            "pipehost:pipes/types.error-code" => crate::pipe::Fault,
        },
    });
}

use bindings::pipehost::pipes::{anonymous, named, spawn, types};

/// Adds `pipehost:pipes@0.2.0` to `linker`.
///
/// # Errors
/// Where the linker has an instance of that name already.
pub(crate) fn add_to_linker<T: PipesView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasPipes>(linker, T::pipes)?;
    anonymous::add_to_linker::<T, HasPipes>(linker, T::pipes)?;
    named::add_to_linker::<T, HasPipes>(linker, T::pipes)?;
    spawn::add_to_linker::<T, HasPipes>(linker, T::pipes)
}

impl types::Host for PipesCtxView<'_> {
    fn convert_error_code(&mut self, fault: Fault) -> wasmtime::Result<types::ErrorCode> {
        Ok(fault.code.into())
    }

    fn pipe_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<Fault>().map(|fault| fault.code.into()))
    }
}

impl types::HostPipeReader for PipesCtxView<'_> {
    fn available(&mut self, this: Resource<Reader>) -> Result<u64, Fault> {
        self.reader(&this)?.available()
    }

    fn capacity(&mut self, this: Resource<Reader>) -> Result<u64, Fault> {
        self.reader(&this)?.capacity()
    }

    fn read_via_stream(
        &mut self,
        this: Resource<Reader>,
    ) -> wasmtime::Result<Resource<DynInputStream>> {
        let reader = SharedReader::new(self.table.delete(this)?);
        Ok(self.table.push(InputStream::boxed(reader))?)
    }

    fn drop(&mut self, this: Resource<Reader>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl types::HostPipeWriter for PipesCtxView<'_> {
    fn capacity(&mut self, this: Resource<Writer>) -> Result<u64, Fault> {
        self.writer(&this)?.capacity()
    }

    fn write_via_stream(
        &mut self,
        this: Resource<Writer>,
    ) -> wasmtime::Result<Resource<DynOutputStream>> {
        let writer = SharedWriter::new(self.table.delete(this)?);
        Ok(self.table.push(OutputStream::boxed(writer, Eof::Closed))?)
    }

    fn drop(&mut self, this: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl spawn::HostChild for PipesCtxView<'_> {
    fn status(&mut self, this: Resource<Child>) -> wasmtime::Result<Option<spawn::ChildStatus>> {
        Ok(self.child(&this)?.status().map(Into::into))
    }

    fn subscribe(&mut self, this: Resource<Child>) -> wasmtime::Result<Resource<DynPollable>> {
        wasmtime_wasi_io::poll::subscribe(self.table, this)
    }

    fn kill(&mut self, this: Resource<Child>) -> wasmtime::Result<()> {
        self.child(&this)?.kill();
        Ok(())
    }

    fn drop(&mut self, this: Resource<Child>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Child {
    async fn ready(&mut self) {
        deferred::settle();
        self.wait().await;
    }
}

interfaces_alike!();
