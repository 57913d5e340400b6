//! Ends that several handles of a guest may use: each `get-stdout` gives another handle to the one
//! stdout.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::pipe::{Fault, Reader, Writer};

/// How much of what a guest says on stderr is kept while it is not yet known whether it is to be
/// shown, see [`Hush`].
const MOST_HELD: usize = 64 * 1024;

/// A reader with several handles. The lock is held for system calls that do not block, and never
/// across an await.
#[derive(Clone, Debug)]
pub(crate) struct SharedReader(Arc<Mutex<Reader>>);

impl SharedReader {
    pub(crate) fn new(reader: Reader) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when a read would get on, or has failed. Takes nothing out. Cancel safe.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let reader = self.clone();
        async move {
            loop {
                let ready = {
                    let mut reader = reader.lock();
                    if reader.is_ready() {
                        return;
                    }
                    reader.ready()
                };
                ready.await;
            }
        }
    }
}

/// A writer with several handles, as [`SharedReader`].
#[derive(Clone, Debug)]
pub(crate) struct SharedWriter {
    writer: Arc<Mutex<Writer>>,
    hush: Option<Arc<Hush>>,
}

/// Keeps what a guest says on stderr once its stdout's reader has left.
///
/// A native program is ended by SIGPIPE there and says nothing. A guest gets an error, and many
/// complain of it, or panic, before they end. Whether that is the end or the guest goes on is known
/// only later, so it is kept until then.
#[derive(Debug)]
struct Hush {
    stdout: SharedWriter,
    held: Mutex<Vec<u8>>,
}

impl SharedWriter {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer: Arc::new(Mutex::new(writer)), hush: None }
    }

    /// A writer that is hushed once `stdout` is broken.
    pub(crate) fn hushed(writer: Writer, stdout: &Self) -> Self {
        let hush = Hush { stdout: stdout.clone(), held: Mutex::default() };
        Self { hush: Some(Arc::new(hush)), ..Self::new(writer) }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Writer::try_write`].
    pub(crate) fn try_write(&self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        if self.hold(buf) {
            return Ok(Some(buf.len()));
        }
        self.lock().try_write(buf)
    }

    /// As [`Writer::permit`].
    pub(crate) fn permit(&self) -> Result<usize, Fault> {
        self.lock().permit()
    }

    /// As [`Writer::accept`].
    pub(crate) fn accept(&self, bytes: Bytes) -> Result<(), Fault> {
        if self.hold(&bytes) {
            return Ok(());
        }
        self.lock().accept(bytes)
    }

    /// As [`Writer::try_flush`].
    pub(crate) fn try_flush(&self) -> Result<bool, Fault> {
        self.lock().try_flush()
    }

    /// As [`Writer::is_terminal`].
    pub(crate) fn is_terminal(&self) -> bool {
        self.lock().is_terminal()
    }

    /// Resolves when there is a permit to write, or writing has failed. Cancel safe.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let writer = self.clone();
        async move {
            loop {
                let ready = {
                    let mut writer = writer.lock();
                    match writer.permit() {
                        Ok(0) => writer.ready(),
                        Ok(_) | Err(_) => return,
                    }
                };
                ready.await;
            }
        }
    }

    /// Whether `bytes` are hushed. What is beyond the bound is dropped: it would only ever be shown
    /// of a guest that talks on for long after its output is of no use.
    fn hold(&self, bytes: &[u8]) -> bool {
        let Some(hush) = &self.hush else {
            return false;
        };
        if !hush.stdout.lock().is_broken() {
            return false;
        }
        let mut held = hush.held.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_HELD.saturating_sub(held.len()).min(bytes.len());
        held.extend_from_slice(&bytes[..room]);
        true
    }

    /// Writes what was hushed, after all: the guest has not ended for its broken stdout.
    pub(crate) async fn release(&self) {
        let Some(hush) = &self.hush else {
            return;
        };
        let held = mem::take(&mut *hush.held.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rest = &held[..];
        while !rest.is_empty() {
            let written = self.lock().try_write(rest);
            match written {
                Ok(Some(n)) => rest = &rest[n..],
                Ok(None) => self.ready().await,
                // Nobody listens; the journal has it.
                Err(_) => return,
            }
        }
    }
}
