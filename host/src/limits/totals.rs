//! Bounds what several guests and all of their children may use up together: the stages of a pipeline,
//! each of which has the limits that it would have alone.

use super::{Limit, Quota};

/// The default bound on the memory of all guests of a pipeline, in bytes. 64 stages at 256 MiB each
/// would be 16 GiB.
///
/// A value for [`Totals::new`]: see the example of [`Totals`].
pub const DEFAULT_MAX_TOTAL_MEMORY: u64 = 1024 * 1024 * 1024;

/// The default bound on the pipes that all guests of a pipeline have open.
///
/// A value for [`Totals::new`]: see the example of [`Totals`].
pub const DEFAULT_MAX_TOTAL_PIPES: usize = 1024;

/// The default bound on the children of all guests of a pipeline at once.
///
/// A value for [`Totals::new`]: see the example of [`Totals`].
pub const DEFAULT_MAX_TOTAL_CHILDREN: usize = 64;

/// What several guests may use up together. Each also has its own limits. Cloning gives another handle
/// to the same totals.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Pipes, limits::Totals};
///
/// // Two guests that may have one pipe together.
/// let totals = Totals::new(1 << 30, 1, 16);
/// let one = Pipes::builder().within(&totals).build();
/// let other = Pipes::builder().within(&totals).build();
/// let _pipe = one.create()?;
/// assert!(other.create().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Totals {
    pub(super) memory: Quota,
    pub(super) pipes: Quota,
    pub(super) children: Quota,
}

impl Totals {
    /// Makes totals of `memory` bytes, `pipes` open pipes, and `children` children at once. A guest's
    /// request beyond that fails as at its own limits.
    ///
    /// [`PipesBuilder::within`](crate::pipe::PipesBuilder::within) gives a guest its share.
    pub fn new(memory: u64, pipes: usize, children: usize) -> Self {
        Self {
            memory: Quota::new(memory, Limit::MaxTotalMemory(memory), None),
            pipes: Quota::new(pipes as u64, Limit::MaxTotalPipes(pipes), None),
            children: Quota::new(children as u64, Limit::MaxTotalChildren(children), None),
        }
    }
}
