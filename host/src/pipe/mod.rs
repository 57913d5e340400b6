//! What a pipe is: its ends, their readiness, who may open them, and how many there may be.
//!
//! Knows the system calls below it ([`crate::os`]) and nothing of WebAssembly above it.

mod drains;
mod fault;
mod grant;
mod journal;
mod name;
mod reader;
mod registry;
mod slots;
#[cfg(test)]
mod tests;
mod transfer;
mod writer;

pub use drains::Drains;
pub use fault::{ErrorCode, Fault};
pub use grant::{Directions, EofPolicy, Grant};
pub use journal::{Journal, Note};
pub use name::{InvalidName, PipeName};
pub use reader::{Read, Reader};
pub(crate) use registry::deadline;
pub use registry::{DuplicateName, Pipes, PipesBuilder};
pub use transfer::{Transfer, TransferFault, transfer};
pub(crate) use writer::PERMIT;
pub use writer::Writer;
