//! Launches a guest: from a plan to a guest that runs.
//!
//! 1. A [`GuestPlan`] is plain data: grants, standard streams, folders, children, limits.
//!    [`GuestPlan::check`] looks for contradictions, and leaves no trace.
//! 2. An [`Opener`] opens what plans grant, and makes an [`Opened`] of each plan. It belongs to no
//!    thread yet.
//! 3. [`Opened::setup`] ties it to the runtime of a thread, and [`run_until`] runs the guest there.
//!
//! A guest alone, a stage of a pipeline and a stage in a process of its own are all launched this way.
//!
//! ```
//! use pipehost::launch::{Ended, GuestPlan, Leftovers, Listener, Opener, Stream, Streams, run_until};
//! use pipehost::{Engine, Guest, Outcome, pipes};
//! # use std::{future::pending, sync::Arc, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = GuestPlan { program: "guest".into(), ..GuestPlan::default() };
//! plan.check([].into_iter())?;
//! let leftovers = Leftovers::default();
//! let listener: Listener = Arc::new(|event| eprintln!("{event}"));
//! let mut opener = Opener::new(&leftovers, listener.clone(), false);
//! let null = || pipes::null().map(Stream::Shared);
//! let streams = Streams {
//!     stdin: opener.stream(0, plan.stdin.as_ref(), null)?,
//!     stdout: opener.stream(1, plan.stdout.as_ref(), null)?,
//!     stderr: opener.stream(2, plan.stderr.as_ref(), null)?,
//! };
//! let setup = opener.open(&plan, streams, Vec::new(), listener)?.setup()?;
//!
//! let engine = Engine::new()?;
//! let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
//! // A future that resolves ends the guest: a signal, for example.
//! let stop = pending::<()>();
//! let ended = run_until(setup, &engine, &guest, stop, Duration::from_secs(1)).await?;
//! assert!(matches!(ended, Ended::Guest(Outcome::Exited(0))));
//! leftovers.clean_up();
//! # Ok(())
//! # }
//! ```

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
