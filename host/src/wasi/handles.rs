//! What both versions of the interfaces do alike.

use wasmtime::component::Resource;

use super::PipesCtxView;
use crate::pipe::{ErrorCode, Fault, Reader, Writer};

impl PipesCtxView<'_> {
    /// The reader behind a handle that the guest holds.
    pub(super) fn reader(&mut self, handle: &Resource<Reader>) -> Result<&mut Reader, Fault> {
        // Wasmtime has checked the handle, so that only a bug here can make this fail.
        self.table.get_mut(handle).map_err(|_| ErrorCode::Io.into())
    }

    /// The writer behind a handle that the guest holds.
    pub(super) fn writer(&mut self, handle: &Resource<Writer>) -> Result<&mut Writer, Fault> {
        self.table.get_mut(handle).map_err(|_| ErrorCode::Io.into())
    }

    pub(super) fn open_reader_handle(&mut self, name: &str) -> Result<Resource<Reader>, Fault> {
        let reader = self.ctx.open_reader(name)?;
        self.handle(reader)
    }

    pub(super) fn open_writer_handle(&mut self, name: &str) -> Result<Resource<Writer>, Fault> {
        let writer = self.ctx.open_writer(name)?;
        self.handle(writer)
    }

    pub(super) fn create_pipe(&mut self) -> Result<(Resource<Reader>, Resource<Writer>), Fault> {
        let (reader, writer) = self.ctx.create()?;
        let reader = self.handle(reader)?;
        match self.handle(writer) {
            Ok(writer) => Ok((reader, writer)),
            Err(fault) => {
                // The guest never learns of the first handle, so nobody else would drop it.
                let _ = self.table.delete(reader);
                Err(fault)
            }
        }
    }

    fn handle<R: Send + 'static>(&mut self, resource: R) -> Result<Resource<R>, Fault> {
        self.table.push(resource).map_err(|_| ErrorCode::LimitExceeded.into())
    }
}

/// Implements the interfaces that are the same but for the bindings' own types: `anonymous`,
/// `named` and the error codes, as they are named where this is used.
macro_rules! interfaces_alike {
    () => {
        impl anonymous::Host for PipesCtxView<'_> {
            fn create(&mut self) -> Result<(Resource<Reader>, Resource<Writer>), Fault> {
                self.create_pipe()
            }
        }

        impl named::Host for PipesCtxView<'_> {
            fn list(&mut self) -> wasmtime::Result<Vec<named::GrantedPipe>> {
                let list = self.ctx.list().map(|(name, directions)| {
                    let mut flags = named::Directions::empty();
                    if directions.read {
                        flags |= named::Directions::READ;
                    }
                    if directions.write {
                        flags |= named::Directions::WRITE;
                    }
                    named::GrantedPipe { name: name.to_string(), directions: flags }
                });
                Ok(list.collect())
            }

            fn open_reader(&mut self, name: String) -> Result<Resource<Reader>, Fault> {
                self.open_reader_handle(&name)
            }

            fn open_writer(&mut self, name: String) -> Result<Resource<Writer>, Fault> {
                self.open_writer_handle(&name)
            }
        }

        impl From<crate::pipe::ErrorCode> for types::ErrorCode {
            fn from(code: crate::pipe::ErrorCode) -> Self {
                use crate::pipe::ErrorCode;
                match code {
                    ErrorCode::NotPermitted => Self::NotPermitted,
                    ErrorCode::InvalidName => Self::InvalidName,
                    ErrorCode::LimitExceeded => Self::LimitExceeded,
                    ErrorCode::BrokenPipe => Self::BrokenPipe,
                    ErrorCode::TimedOut => Self::TimedOut,
                    ErrorCode::InUse => Self::InUse,
                    ErrorCode::Unsupported => Self::Unsupported,
                    ErrorCode::Io => Self::Io,
                }
            }
        }
    };
}

pub(super) use interfaces_alike;
