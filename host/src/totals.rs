//! What several guests, and all of their children, may use up together: the stages of a pipeline, each
//! of which is permitted as much as it would be alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Memory;
use crate::pipe::{Limit, TotalPipes};

/// The memory of all guests of a pipeline unless told otherwise, in bytes: 64 stages at 256 MiB each
/// would be 16 GiB.
pub const DEFAULT_MAX_TOTAL_MEMORY: u64 = 1024 * 1024 * 1024;

/// The pipes that all guests of a pipeline have open unless told otherwise.
pub const DEFAULT_MAX_TOTAL_PIPES: usize = 1024;

/// The children of all guests of a pipeline at once unless told otherwise.
pub const DEFAULT_MAX_TOTAL_CHILDREN: usize = 64;

/// What several guests may use up together. Each has its own limits beside. Cloning gives another handle
/// to the same.
#[derive(Clone, Debug)]
pub struct Totals {
    pub(crate) memory: Memory,
    pub(crate) children: Places,
    pipes: TotalPipes,
}

impl Totals {
    /// So many bytes of memory, so many open pipes, and so many children at once. What a guest asks for
    /// beyond that fails as at its own limits.
    ///
    /// A guest is given them by [`Setup::within`](crate::run::Setup::within) and, for its pipes, by
    /// [`PipesBuilder::within`](crate::pipe::PipesBuilder::within).
    pub fn new(memory: u64, pipes: usize, children: usize) -> Self {
        Self {
            memory: Memory::new(memory, Limit::MaxTotalMemory(memory)),
            pipes: TotalPipes::new(pipes),
            children: Places::new(children, Limit::MaxTotalChildren(children)),
        }
    }

    /// The pipes.
    pub fn pipes(&self) -> TotalPipes {
        self.pipes.clone()
    }
}

/// Places for so many children at once.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    limit: Limit,
}

impl Places {
    pub(crate) fn new(count: usize, limit: Limit) -> Self {
        Self { free: Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))), limit }
    }

    /// A place, until it is dropped; or the limit that there is none within.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, Limit> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| self.limit.clone())
    }
}
