//! `pipehost:pipes@0.3.0`, over `stream<u8>`.

mod streams;

use wasmtime::component::{Access, Accessor, FutureReader, Linker, Resource, StreamReader};

use super::handles::interfaces_alike;
use super::{HasPipes, PipesCtxView, PipesView, SharedReader, SharedWriter};
use crate::pipe::{Child, ChildStream, Fault, PassedEnd, Reader, SpawnRequest, Writer};

pub(super) use streams::{ByteStream, read_via_stream, write_via_stream};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/p3",
        world: "imports",
        with: {
            "pipehost:pipes/types.pipe-reader": crate::pipe::Reader,
            "pipehost:pipes/types.pipe-writer": crate::pipe::Writer,
            "pipehost:pipes/spawn.child": crate::pipe::Child,
        },
        imports: {
            "pipehost:pipes/types.[static]pipe-reader.read-via-stream": store | trappable,
            "pipehost:pipes/types.[static]pipe-writer.write-via-stream": store | trappable,
            "pipehost:pipes/spawn.[method]child.wait": async | store | trappable,
            default: trappable,
        },
        trappable_error_type: {
            "pipehost:pipes/types.error-code" => crate::pipe::Fault,
        },
    });
}

use bindings::pipehost::pipes::{anonymous, named, spawn, types};

/// Adds `pipehost:pipes@0.3.0` to `linker`, whose engine must have
/// `Config::wasm_component_model_async` enabled.
///
/// # Errors
/// Fails if the linker has an instance of that name already.
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
}

impl types::HostPipeReader for PipesCtxView<'_> {
    fn available(&mut self, this: Resource<Reader>) -> Result<u64, Fault> {
        self.reader(&this)?.available()
    }

    fn capacity(&mut self, this: Resource<Reader>) -> Result<u64, Fault> {
        self.reader(&this)?.capacity()
    }

    fn drop(&mut self, this: Resource<Reader>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl<T: 'static> types::HostPipeReaderWithStore<T> for HasPipes {
    fn read_via_stream(
        mut store: Access<'_, T, Self>,
        this: Resource<Reader>,
    ) -> wasmtime::Result<ByteStream<types::ErrorCode>> {
        let reader = SharedReader::new(store.get().table.delete(this)?);
        read_via_stream(&mut store, reader, |fault| fault.code.into())
    }
}

impl types::HostPipeWriter for PipesCtxView<'_> {
    fn capacity(&mut self, this: Resource<Writer>) -> Result<u64, Fault> {
        self.writer(&this)?.capacity()
    }

    fn drop(&mut self, this: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl<T: 'static> types::HostPipeWriterWithStore<T> for HasPipes {
    fn write_via_stream(
        mut store: Access<'_, T, Self>,
        this: Resource<Writer>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), types::ErrorCode>>> {
        let writer = SharedWriter::new(store.get().table.delete(this)?);
        write_via_stream(&mut store, writer, data, |fault| fault.code.into())
    }
}

impl spawn::HostChild for PipesCtxView<'_> {
    fn status(&mut self, this: Resource<Child>) -> wasmtime::Result<Option<spawn::ChildStatus>> {
        Ok(self.child(&this)?.status().map(Into::into))
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

impl<T: Send + 'static> spawn::HostChildWithStore<T> for HasPipes {
    async fn wait(
        accessor: &Accessor<T, Self>,
        this: Resource<Child>,
    ) -> wasmtime::Result<spawn::ChildStatus> {
        let waiting =
            accessor.with(|mut store| wasmtime::error::Ok(store.get().child(&this)?.wait()))?;
        Ok(waiting.await.into())
    }
}

interfaces_alike!();
