//! What both versions of the interfaces do with the table of handles.

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
