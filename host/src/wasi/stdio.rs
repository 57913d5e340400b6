//! A guest's standard streams, over the same pipe ends and streams as `pipehost:pipes`, in every
//! version of WASI.

use wasmtime::component::{Access, FutureReader, HasData, Linker, StreamReader};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi::p3::bindings::cli::{stderr, stdin, stdout, types::ErrorCode};

use super::p2::{Eof, InputStream, OutputStream};
use super::{SharedReader, SharedWriter, p3};
use crate::pipe::{self, Fault, Reader, Writer};

/// What a guest reads and writes as its standard streams.
#[derive(Clone, Debug)]
pub struct Stdio {
    stdin: SharedReader,
    stdout: SharedWriter,
    stderr: SharedWriter,
}

impl Stdio {
    /// Standard streams over these ends.
    pub fn new(stdin: Reader, stdout: Writer, stderr: Writer) -> Self {
        Self::of(SharedReader::new(stdin), SharedWriter::new(stdout), SharedWriter::new(stderr))
    }

    /// Standard streams over ends that others may use, too.
    pub(crate) fn of(stdin: SharedReader, stdout: SharedWriter, stderr: SharedWriter) -> Self {
        let stderr = stderr.hushed_by(&stdout, &stdin);
        Self { stdin, stdout, stderr }
    }

    /// What the guest said on stderr when its stdout's reader had just left. A native program would
    /// have been ended by SIGPIPE and not have said it, so it is kept back: up to 8 KiB, for
    /// 250 ms, or until what this returns is dropped.
    pub fn hushed(&self) -> HushedStderr {
        HushedStderr(self.stderr.clone())
    }

    pub(crate) fn stdin(&self) -> &SharedReader {
        &self.stdin
    }

    pub(crate) fn stdout(&self) -> &SharedWriter {
        &self.stdout
    }

    pub(crate) fn stderr(&self) -> &SharedWriter {
        &self.stderr
    }

    /// For `WasiCtxBuilder::stdin`, of a component or (`legacy`) of a WASI 0.1 module.
    pub(crate) fn p2_stdin(&self) -> impl StdinStream + use<> {
        Stdin(self.stdin.clone())
    }

    /// For `WasiCtxBuilder::stdout`. A WASI 0.1 module is `legacy`: it learns of EPIPE as an errno.
    pub(crate) fn p2_stdout(&self, legacy: bool) -> impl StdoutStream + use<> {
        Stdout(self.stdout.clone(), legacy)
    }

    /// For `WasiCtxBuilder::stderr`, as [`Stdio::p2_stdout`].
    pub(crate) fn p2_stderr(&self, legacy: bool) -> impl StdoutStream + use<> {
        Stdout(self.stderr.clone(), legacy)
    }
}

/// See [`Stdio::hushed`]. Keeps stderr open; dropping it shows what is kept back.
#[derive(Debug)]
pub struct HushedStderr(SharedWriter);

impl HushedStderr {
    /// Forgets what is kept back of the failure: the guest has ended as one that SIGPIPE ends.
    pub fn discard(self) {
        self.0.discard();
    }
}

impl Drop for HushedStderr {
    /// Never blocks: what stderr has no room for is delivered as all that a guest leaves behind.
    fn drop(&mut self) {
        self.0.release();
    }
}

struct Stdin(SharedReader);

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        self.0.lock().is_terminal()
    }
}

impl StdinStream for Stdin {
    fn p2_stream(&self) -> DynInputStream {
        InputStream::boxed(self.0.clone())
    }

    /// Never called: `wasi:cli@0.3` is linked to our own streams, below.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }
}

struct Stdout(SharedWriter, bool);

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl StdoutStream for Stdout {
    fn p2_stream(&self) -> DynOutputStream {
        let eof = if self.1 { Eof::Epipe } else { Eof::Closed };
        OutputStream::boxed(self.0.clone(), eof)
    }

    /// Never called: `wasi:cli@0.3` is linked to our own streams, below.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

/// Gives access to the standard streams in a store's data.
pub(crate) trait StdioView: Send {
    /// The guest's standard streams.
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
