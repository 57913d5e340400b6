//! `wasi:io/streams` over pipe ends: the system call first, waiting only where it would block.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::LocalKey;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, Pollable, StreamError, StreamResult};

use crate::pipe::{ErrorCode, Fault, PERMIT, Read, deferred};
use crate::turn;
use crate::wasi::{SharedReader, SharedWriter};

/// What a guest is told when the reader of its stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wasi) enum Eof {
    /// `closed`, which WASI 0.2's libraries turn into EPIPE.
    Closed,
    /// An error that holds EPIPE: WASI 0.1 takes its errno from it, and makes EIO of `closed`.
    Epipe,
}

impl Eof {
    /// How a writer's failure is told.
    pub(super) fn of(self, fault: Fault) -> StreamError {
        match (fault.code, self) {
            (ErrorCode::BrokenPipe, Self::Closed) => StreamError::Closed,
            _ => failed(fault),
        }
    }
}

/// The ends behind our streams, by where a stream is in memory: a `dyn InputStream` may be somebody
/// else's, and cannot be asked.
pub(super) static READERS: Ends<SharedReader> = Ends::new(&LAST_READER);

/// As [`READERS`], and how their failures are told.
pub(super) static WRITERS: Ends<(SharedWriter, Eof)> = Ends::new(&LAST_WRITER);

thread_local! {
    static LAST_READER: Last<SharedReader> = const { RefCell::new((0, Weak::new())) };
    static LAST_WRITER: Last<(SharedWriter, Eof)> = const { RefCell::new((0, Weak::new())) };
}

/// What a thread has asked about last: most guests use one stream many times.
type Last<E> = RefCell<(usize, Weak<E>)>;

/// See [`READERS`]. What is in here lives in its box, and takes itself out when it is dropped: no
/// two streams have the same place.
pub(super) struct Ends<E: 'static> {
    by_place: Mutex<BTreeMap<usize, Arc<E>>>,
    last: &'static LocalKey<Last<E>>,
}

impl<E> Ends<E> {
    const fn new(last: &'static LocalKey<Last<E>>) -> Self {
        Self { by_place: Mutex::new(BTreeMap::new()), last }
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<E>>> {
        self.by_place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add<S>(&self, stream: &S, end: E) {
        self.ends().insert(place(stream), Arc::new(end));
    }

    fn remove<S>(&self, stream: &S) {
        let end = self.ends().remove(&place(stream));
        // Not under the lock: this may close it.
        drop(end);
    }

    /// The end behind `stream`, if that is one of ours.
    pub(super) fn behind<S: ?Sized>(&self, stream: &S) -> Option<Arc<E>> {
        let place = place(stream);
        self.last.with_borrow_mut(|last| {
            if last.0 == place
                // As long as the end is there, so is its stream, and nothing else is in that place.
                && let Some(end) = last.1.upgrade()
            {
                return Some(end);
            }
            let end = self.ends().get(&place).cloned()?;
            *last = (place, Arc::downgrade(&end));
            Some(end)
        })
    }
}

fn place<S: ?Sized>(stream: &S) -> usize {
    std::ptr::from_ref(stream).cast::<()>().addr()
}

/// An `input-stream` over a reader.
pub(in crate::wasi) struct InputStream {
    reader: SharedReader,
    /// The last read found nothing, so that the next one has to wait before it tries.
    dry: bool,
}

impl InputStream {
    pub(in crate::wasi) fn boxed(reader: SharedReader) -> DynInputStream {
        let stream = Box::new(Self { reader: reader.clone(), dry: false });
        READERS.add(&*stream, reader);
        stream
    }
}

impl Drop for InputStream {
    fn drop(&mut self) {
        deferred::settle();
        READERS.remove(self);
    }
}

#[async_trait]
impl wasmtime_wasi::p2::InputStream for InputStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let (read, bytes) = self.reader.lock().try_read_bytes(size).map_err(failed)?;
        self.dry = read == Read::Wait;
        match read {
            Read::Bytes(_) | Read::Wait => Ok(bytes),
            Read::End => Err(StreamError::Closed),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            self.ready().await;
            return Ok(Bytes::new());
        }
        loop {
            if self.dry {
                let ready = self.reader.ready_after_would_block();
                ready.await;
                turn::goes_on().await;
            }
            let bytes = self.read(size)?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
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
    pub(in crate::wasi) fn boxed(writer: SharedWriter, eof: Eof) -> DynOutputStream {
        let stream = Box::new(Self { writer: writer.clone(), eof, flushing: false });
        WRITERS.add(&*stream, (writer, eof));
        stream
    }

    fn error(&self, fault: Fault) -> StreamError {
        self.eof.of(fault)
    }
}

impl Drop for OutputStream {
    fn drop(&mut self) {
        // It may be the last handle, and closes the end then.
        deferred::settle();
        WRITERS.remove(self);
    }
}

#[async_trait]
impl wasmtime_wasi::p2::OutputStream for OutputStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.flushing = false;
        write(&self.writer, self.eof, &bytes)
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
            let written = self.writer.put(&bytes);
            match written.map_err(|fault| self.error(fault))? {
                Some(n) => {
                    let _ = bytes.split_to(n);
                    if bytes.is_empty() {
                        return Ok(());
                    }
                }
                None => {
                    let ready = self.writer.ready_after_would_block();
                    ready.await;
                    turn::goes_on().await;
                }
            }
        }
    }
}

/// Why a guest traps that writes without asking first.
pub(super) const TOO_LONG: &str = "write of more than check-write permitted";

/// What `write` does.
pub(super) fn write(writer: &SharedWriter, eof: Eof, bytes: &[u8]) -> StreamResult<()> {
    match writer.accept(bytes) {
        Ok(true) => Ok(()),
        Ok(false) => Err(StreamError::trap(TOO_LONG)),
        Err(fault) => Err(eof.of(fault)),
    }
}

#[async_trait]
impl Pollable for OutputStream {
    async fn ready(&mut self) {
        self.writer.ready().await;
    }
}

/// The error that a guest can ask `pipe-error-code` or `filesystem-error-code` about.
pub(super) fn failed(fault: Fault) -> StreamError {
    use ErrorCode::{BrokenPipe, Io, LimitExceeded};
    let has_errno = matches!(fault.code, BrokenPipe | LimitExceeded | Io) || fault.is_not_open();
    let error = match has_errno {
        true => wasmtime::Error::new(std::io::Error::from(fault)).context(fault),
        false => wasmtime::Error::new(fault),
    };
    StreamError::LastOperationFailed(error)
}
