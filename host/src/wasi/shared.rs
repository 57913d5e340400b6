//! Ends that several handles of a guest may use: each `get-stdout` gives another handle to the one
//! stdout.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pipe::{Reader, Writer};

/// A reader with several handles. The lock is held for one system call that does not block, and
/// never across an await.
#[derive(Clone, Debug)]
pub(crate) struct SharedReader(Arc<Mutex<Reader>>);

/// A writer with several handles, as [`SharedReader`].
#[derive(Clone, Debug)]
pub(crate) struct SharedWriter(Arc<Mutex<Writer>>);

impl SharedReader {
    pub(crate) fn new(reader: Reader) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Reader::ready`].
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.lock().ready()
    }
}

impl SharedWriter {
    pub(crate) fn new(writer: Writer) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Writer::ready`].
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.lock().ready()
    }
}
