//! `wasi:io/streams` over pipe ends: the system call first, waiting only where it would block.

use std::mem;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{Pollable, StreamError, StreamResult};

use crate::pipe::{ErrorCode, Fault, PERMIT, Read};
use crate::wasi::{SharedReader, SharedWriter};

/// The most that one read gives, whatever the guest asks for: bounds what it can make the host
/// allocate.
const MAX_READ: usize = 1024 * 1024;

/// What a guest is told when the reader of its stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wasi) enum Eof {
    /// `closed`, which WASI 0.2's libraries turn into EPIPE.
    Closed,
    /// An error that holds EPIPE: WASI 0.1 takes its errno from it, and makes EIO of `closed`.
    Epipe,
}

/// An `input-stream` over a reader.
pub(in crate::wasi) struct InputStream {
    reader: SharedReader,
}

impl InputStream {
    pub(in crate::wasi) fn new(reader: SharedReader) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl wasmtime_wasi::p2::InputStream for InputStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buf = Vec::with_capacity(size.min(MAX_READ));
        match self.reader.lock().try_read_to_spare(&mut buf) {
            Ok(Read::Bytes(_)) => Ok(buf.into()),
            Ok(Read::Wait) => Ok(Bytes::new()),
            Ok(Read::End) => Err(StreamError::Closed),
            Err(fault) => Err(failed(fault)),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            self.ready().await;
            return Ok(Bytes::new());
        }
        loop {
            let bytes = self.read(size)?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
            self.ready().await;
        }
    }
}

#[async_trait]
impl Pollable for InputStream {
    async fn ready(&mut self) {
        self.reader.ready().await;
    }
}

/// An `output-stream` over a writer.
pub(in crate::wasi) struct OutputStream {
    writer: SharedWriter,
    eof: Eof,
    /// `flush` was called, and nothing since.
    flushing: bool,
}

impl OutputStream {
    pub(in crate::wasi) fn new(writer: SharedWriter, eof: Eof) -> Self {
        Self { writer, eof, flushing: false }
    }

    fn error(&self, fault: Fault) -> StreamError {
        match (fault.code, self.eof) {
            (ErrorCode::BrokenPipe, Eof::Closed) => StreamError::Closed,
            _ => failed(fault),
        }
    }
}

#[async_trait]
impl wasmtime_wasi::p2::OutputStream for OutputStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.flushing = false;
        match self.writer.accept(bytes) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StreamError::trap("write of more than check-write permitted")),
            Err(fault) => Err(self.error(fault)),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.flushing = true;
        let flushed = self.writer.try_flush();
        flushed.map(|_| ()).map_err(|fault| self.error(fault))
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.flushing = false;
        let permit = self.writer.permit();
        permit.map_err(|fault| self.error(fault))
    }

    /// `blocking-splice` waits for this: for room. And `blocking-flush`, right after a `flush`,
    /// which waits for what was accepted to be delivered and for no more: a pipe may stay full for
    /// as long as its reader likes.
    async fn write_ready(&mut self) -> StreamResult<usize> {
        if mem::take(&mut self.flushing) {
            let delivered = self.writer.delivered().await;
            return delivered.map(|()| PERMIT).map_err(|fault| self.error(fault));
        }
        loop {
            let permit = self.check_write()?;
            if permit > 0 {
                return Ok(permit);
            }
            self.ready().await;
        }
    }

    /// Straight from `bytes` into the kernel, in one piece where it fits PIPE_BUF.
    async fn blocking_write_and_flush(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        loop {
            let written = self.writer.try_write(&bytes);
            match written.map_err(|fault| self.error(fault))? {
                Some(n) => {
                    let _ = bytes.split_to(n);
                    if bytes.is_empty() {
                        return Ok(());
                    }
                }
                None => self.ready().await,
            }
        }
    }
}

#[async_trait]
impl Pollable for OutputStream {
    async fn ready(&mut self) {
        self.writer.ready().await;
    }
}

/// The error that a guest can ask `pipe-error-code` or `filesystem-error-code` about.
fn failed(fault: Fault) -> StreamError {
    let error = match fault.code {
        ErrorCode::BrokenPipe | ErrorCode::Io => {
            wasmtime::Error::new(std::io::Error::from(fault)).context(fault)
        }
        _ => wasmtime::Error::new(fault),
    };
    StreamError::LastOperationFailed(error)
}
