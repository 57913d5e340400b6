//! Pipes: their ends, their readiness, which guests may open them, and how many there may be.
//!
//! Uses the system calls of [`crate::sys`], and knows nothing of WebAssembly.

mod activity;
mod asked;
mod changes;
mod counter;
pub(crate) mod deferred;
mod escape;
mod events;
mod fault;
mod frame;
mod grant;
mod handover;
mod hold;
mod journal;
mod opening;
pub(crate) mod overlay;
mod pending_writes;
mod reader;
mod registry;
mod spawn;
mod terminal;
#[cfg(test)]
mod tests;
mod told;
mod transfer;
mod writer;

pub(crate) use crate::names::{Label, PipeName};
pub use activity::Activity;
#[cfg(feature = "cli")]
pub(crate) use escape::acts_on_reader;
pub(crate) use escape::{quoted, quoted_in_line, quoted_json, quoted_name};
pub(crate) use events::Events;
pub use events::{ChildFailure, Event};
pub use fault::{ErrorCode, Fault};
pub(crate) use frame::{DEFAULT_MAX_RECORD, MOST_MAX_RECORD};
pub use frame::{Frame, FrameError, NotARecord, Records, Refused};
pub use grant::{Directions, EofPolicy, Grant};
pub(crate) use handover::Phase;
pub(crate) use hold::Kept;
pub use journal::{EndNow, Journal, Note, Total};
pub use pending_writes::PendingWrites;
pub use reader::{Read, Reader};
pub(crate) use registry::Family;
pub(crate) use registry::deadline;
pub use registry::{DuplicateName, Pipes, PipesBuilder};
pub use spawn::{Child, ChildStatus, ChildStream, PassedEnd, SpawnRequest};
pub(crate) use spawn::{ChildRun, Spawn};
pub(crate) use terminal::share_terminals;
pub use transfer::{Transfer, TransferFault, transfer};
pub(crate) use writer::PERMIT;
pub use writer::{Excess, Writer};

/// The time of an event that happens at most once, shared by several observers.
pub(crate) type Since = std::sync::Arc<std::sync::OnceLock<std::time::Instant>>;
