//! A guest's standard streams, over the same pipe ends and streams as `pipehost:pipes`, in every
//! version of WASI.

#[cfg(feature = "p3")]
mod v0_3;

use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::p2::{Eof, InputStream, OutputStream};
use super::{SharedReader, SharedWriter};
use crate::pipe::{Reader, Writer};

#[cfg(feature = "p3")]
pub(crate) use v0_3::{StdioCtxView, StdioView, add_to_linker};

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
