//! A guest's standard streams, over the same pipe ends and streams as `pipehost:pipes`, in every
//! version of WASI.

#[cfg(feature = "p3")]
mod v0_3;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::p2::{Eof, InputStream, OutputStream};
use super::{SharedReader, SharedWriter};
use crate::pipe::{Label, Pipes, Reader, Writer};
use crate::sys::{Direction, End, Handle};

#[cfg(feature = "p3")]
pub(crate) use v0_3::{StdioCtxView, StdioView, add_to_linker};

/// The standard streams of a guest.
///
/// [`Setup::between`](crate::Setup::between) makes them by itself. To keep a handle of them, or for
/// ends that the host has made:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::pipes::{Direction, End, Reader, Writer, null, standard};
/// use pipehost::{Label, Pipes, Setup, Stdio};
///
/// let pipes = Pipes::builder().build();
/// let stdio = Stdio::between(&pipes, null()?, standard(1)?, standard(2)?)?;
/// let setup = Setup::new(pipes, stdio);
///
/// let pipes = Pipes::builder().build();
/// let (writes, journal) = (pipes.pending_writes(), pipes.journal());
/// let writer = |label| {
///     let end = End::shared(null()?, Direction::Write)?;
///     std::io::Result::Ok(Writer::new(end, None, label, writes, journal))
/// };
/// let stdin = End::shared(null()?, Direction::Read)?;
/// let stdin = Reader::new(stdin, None, Label::Stdin, journal);
/// let stdio = Stdio::new(stdin, writer(Label::Stdout)?, writer(Label::Stderr)?);
/// let setup = Setup::new(pipes, stdio);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stdio {
    stdin: SharedReader,
    stdout: SharedWriter,
    stderr: SharedWriter,
    /// Whether a WASI 0.1 module has them, which learns of EPIPE as an errno.
    legacy: Arc<AtomicBool>,
}

impl Stdio {
    /// Makes standard streams over these ends.
    pub fn new(stdin: Reader, stdout: Writer, stderr: Writer) -> Self {
        Self::of(SharedReader::new(stdin), SharedWriter::new(stdout), SharedWriter::new(stderr))
    }

    /// Makes standard streams over these handles: pipes, files, or anything else that can be read and
    /// written. Other processes may share them; their flags stay as they are. Failures are noted in the
    /// journal of `pipes`, and the limits there hold. Must be called inside the tokio runtime that runs
    /// the guest.
    ///
    /// # Errors
    /// Fails if no descriptor is left.
    pub fn between(
        pipes: &Pipes,
        stdin: Handle,
        stdout: Handle,
        stderr: Handle,
    ) -> std::io::Result<Self> {
        let (writes, journal) = (pipes.pending_writes(), pipes.journal());
        let writer = |handle, label| {
            let end = End::shared(handle, Direction::Write)?;
            std::io::Result::Ok(Writer::new(end, None, label, writes, journal))
        };
        let stdin = End::shared(stdin, Direction::Read)?;
        Ok(Self::new(
            Reader::new(stdin, None, Label::Stdin, journal),
            writer(stdout, Label::Stdout)?,
            writer(stderr, Label::Stderr)?,
        ))
    }

    /// Makes standard streams over ends that other guests may use, too.
    pub(crate) fn of(stdin: SharedReader, stdout: SharedWriter, stderr: SharedWriter) -> Self {
        let stderr = stderr.hushed_by(&stdout, &stdin);
        Self { stdin, stdout: stdout.deferring(), stderr, legacy: Arc::default() }
    }

    /// Returns what the guest said on stderr when its stdout's reader had just left. SIGPIPE would
    /// have ended a native program before it said this, so it is kept back: up to 8 KiB, for 250
    /// ms, or until the returned value is dropped.
    pub(crate) fn hushed(&self) -> HushedStderr {
        HushedStderr(self.stderr.clone())
    }

    /// Readies the streams for the next life of the guest: ends what it had begun to write, and waits until what it
    /// had written is delivered, or has no reader left. Cancel safe.
    pub(crate) async fn begin_again(&self) {
        self.stderr.hush_again();
        for writer in [&self.stdout, &self.stderr] {
            writer.lock().end_output();
            // A failure is met by the guest again.
            let _ = writer.delivered().await;
        }
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

    /// Sets whether the guest that runs next is a WASI 0.1 module.
    pub(crate) fn are_of_module(&self, is_module: bool) {
        self.legacy.store(is_module, Ordering::Relaxed);
    }

    /// Returns the stream for `WasiCtxBuilder::stdin`, of a component or of a WASI 0.1 module.
    pub(crate) fn p2_stdin(&self) -> impl StdinStream + use<> {
        Stdin(self.stdin.clone())
    }

    /// Returns the stream for `WasiCtxBuilder::stdout`, as [`Stdio::p2_stdin`] does.
    pub(crate) fn p2_stdout(&self) -> impl StdoutStream + use<> {
        Stdout(self.stdout.clone(), Arc::clone(&self.legacy))
    }

    /// Returns the stream for `WasiCtxBuilder::stderr`, as [`Stdio::p2_stdout`] does.
    pub(crate) fn p2_stderr(&self) -> impl StdoutStream + use<> {
        Stdout(self.stderr.clone(), Arc::clone(&self.legacy))
    }
}

/// Holds what [`Stdio::hushed`] keeps back, and keeps stderr open. Dropping it shows what is kept
/// back.
#[derive(Debug)]
pub(crate) struct HushedStderr(SharedWriter);

impl HushedStderr {
    /// Drops what is kept back of the failure: the guest has ended like a program that SIGPIPE
    /// ends.
    pub(crate) fn discard(self) {
        self.0.discard();
    }
}

impl Drop for HushedStderr {
    /// Shows what is kept back. Never blocks: bytes for which stderr has no room are delivered like
    /// all that a guest leaves behind.
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

    /// Never called: `wasi:cli@0.3` is linked to pipehost's own streams, in `v0_3`.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }
}

/// Looks when it is asked for a stream whether a module asks.
struct Stdout(SharedWriter, Arc<AtomicBool>);

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }
}

impl StdoutStream for Stdout {
    fn p2_stream(&self) -> DynOutputStream {
        let eof = if self.1.load(Ordering::Relaxed) { Eof::Epipe } else { Eof::Closed };
        OutputStream::boxed(self.0.clone(), eof)
    }

    /// Never called: `wasi:cli@0.3` is linked to pipehost's own streams, in `v0_3`.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}
