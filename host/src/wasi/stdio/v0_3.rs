//! The standard streams of `wasi:cli@0.3`.

use wasmtime::component::{Access, FutureReader, HasData, Linker, StreamReader};
use wasmtime_wasi::p3::bindings::cli::{stderr, stdin, stdout, types::ErrorCode};

use super::super::p3;
use super::Stdio;
use crate::pipe::{self, Fault};

/// Gives access to the standard streams in a store's data.
pub(crate) trait StdioView: Send {
    /// Returns the guest's standard streams.
    fn stdio(&mut self) -> StdioCtxView<'_>;
}

/// What [`StdioView::stdio`] returns.
pub(crate) struct StdioCtxView<'a> {
    /// The guest's standard streams.
    pub ctx: &'a mut Stdio,
}

struct HasStdio;

impl HasData for HasStdio {
    type Data<'a> = StdioCtxView<'a>;
}

/// Adds the standard streams of `wasi:cli@0.3` to `linker`. Those of 0.2 come with the `WasiCtx`.
pub(crate) fn add_to_linker<T: StdioView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    stdin::add_to_linker::<T, HasStdio>(linker, T::stdio)?;
    stdout::add_to_linker::<T, HasStdio>(linker, T::stdio)?;
    stderr::add_to_linker::<T, HasStdio>(linker, T::stdio)
}

fn code(fault: Fault) -> ErrorCode {
    match fault.code {
        pipe::ErrorCode::BrokenPipe => ErrorCode::Pipe,
        _ => ErrorCode::Io,
    }
}

impl stdin::Host for StdioCtxView<'_> {}
impl stdout::Host for StdioCtxView<'_> {}
impl stderr::Host for StdioCtxView<'_> {}

impl<T: 'static> stdin::HostWithStore<T> for HasStdio {
    fn read_via_stream(
        mut store: Access<'_, T, Self>,
    ) -> wasmtime::Result<p3::ByteStream<ErrorCode>> {
        let reader = store.get().ctx.stdin.clone();
        p3::read_via_stream(&mut store, reader, code)
    }
}

impl<T: 'static> stdout::HostWithStore<T> for HasStdio {
    fn write_via_stream(
        mut store: Access<'_, T, Self>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        let writer = store.get().ctx.stdout.clone();
        p3::write_via_stream(&mut store, writer, data, code)
    }
}

impl<T: 'static> stderr::HostWithStore<T> for HasStdio {
    fn write_via_stream(
        mut store: Access<'_, T, Self>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        let writer = store.get().ctx.stderr.clone();
        p3::write_via_stream(&mut store, writer, data, code)
    }
}
