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

impl SharedWriter {
    pub(crate) fn new(writer: Writer) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
}
