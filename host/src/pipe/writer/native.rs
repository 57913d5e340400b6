//! A writer's end for a native command.

use std::mem;

use super::super::hold::Kept;
use super::super::{ErrorCode, Fault};
use super::Writer;
use super::flow::State;
use crate::sys::{CapacityLease, Handle};

impl Writer {
    /// Returns a descriptor of the same pipe for a native command. Bytes that were accepted and are
    /// not yet written may come after those of the command.
    ///
    /// # Errors
    /// Those of [`End::for_native`], and an earlier failure of this writer. `unsupported` for a
    /// FIFO without a reader yet, and for a bounded, framed or shedding end, as the host does not see
    /// what a command moves.
    pub(crate) fn for_native(&mut self) -> Result<Handle, Fault> {
        self.flow.advance()?;
        match &self.flow.state {
            State::Open(_) if self.is_bounded() || self.is_framed() || self.is_shedding() => {
                Err(ErrorCode::Unsupported.into())
            }
            State::Open(end) => Ok(end.for_native()?),
            State::Waiting { .. } => Err(ErrorCode::Unsupported.into()),
            State::Failed(fault) => Err(*fault),
        }
    }

    /// Gives this end away to a native command. Returns the descriptor of [`Writer::for_native`],
    /// and what must be kept while the command has it.
    pub(crate) fn into_native(mut self) -> Result<(Handle, Kept), Fault> {
        let fd = self.for_native()?;
        let lease = match &self.flow.state {
            State::Open(end) => end.lease(),
            State::Waiting { .. } | State::Failed(_) => CapacityLease::default(),
        };
        Ok((fd, Kept::new(mem::take(&mut self.hold), lease)))
    }
}
