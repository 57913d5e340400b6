//! What a guest of WASI 0.2 sees: `pipehost:pipes@0.2.0`, and streams over pipe ends.

#[cfg(feature = "p2")]
mod fast;
#[cfg(feature = "p2")]
mod interfaces;
mod streams;

#[cfg(feature = "p2")]
pub(crate) use fast::add_fast_streams_to_linker;
#[cfg(feature = "p2")]
pub(crate) use interfaces::add_to_linker;
pub(super) use streams::{Eof, InputStream, OutputStream};
