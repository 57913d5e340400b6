//! What several guests, and all of their children, may use up together: the stages of a pipeline, each
//! of which is permitted as much as it would be alone.

use super::{Limit, Quota};

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
    pub(super) memory: Quota,
    pub(super) pipes: Quota,
    pub(super) children: Quota,
}

impl Totals {
    /// So many bytes of memory, so many open pipes, and so many children at once. What a guest asks for
    /// beyond that fails as at its own limits.
    ///
    /// A guest is given its share by [`PipesBuilder::within`](crate::pipe::PipesBuilder::within).
    pub fn new(memory: u64, pipes: usize, children: usize) -> Self {
        Self {
            memory: Quota::new(memory, Limit::MaxTotalMemory(memory), None),
            pipes: Quota::new(pipes as u64, Limit::MaxTotalPipes(pipes), None),
            children: Quota::new(children as u64, Limit::MaxTotalChildren(children), None),
        }
    }
}
