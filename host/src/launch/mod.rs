//! Launches a guest: from a plan to a guest that runs.
//!
//! 1. A [`GuestPlan`] is plain data: grants, standard streams, folders, children, limits.
//!    [`GuestPlan::check`] looks for contradictions, and leaves no trace.
//! 2. An [`Opener`] opens what plans grant, and makes an [`Opened`] of each plan. It belongs to no
//!    thread yet.
//! 3. [`Opened::setup`] ties it to the runtime of a thread, and [`run_until`] runs the guest there.
//!
//! A guest alone, a stage of a pipeline and a stage in a process of its own are all launched this way.

mod error;
mod leftovers;
mod opened;
mod opener;
mod plan;
mod running;

pub use error::{Conflict, Given, LaunchError};
pub use leftovers::Leftovers;
pub use opened::{Opened, Shared, children, reserve_for_files};
pub use opener::{Listener, Opener, Stream, Streams};
pub use plan::{
    ChildSpec, CommandSpec, DescriptorSpec, FifoSpec, FolderSpec, GuestPlan, PipeSpec, StreamFifo,
    StreamSpec,
};
pub use running::{Ended, run_until};
