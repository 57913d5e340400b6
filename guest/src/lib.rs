//! Pipes for WASI components that run under `pipehost`.
//!
//! A pipe is a capability: a guest opens, by name, the pipes that its operator granted, makes
//! anonymous ones of its own, and can reach nothing else.
//!
//! ```no_run
//! fn main() -> std::io::Result<()> {
//!     let mut input = pipehost_guest::open_reader("in")?; // impl Read
//!     let mut output = pipehost_guest::open_writer("out")?; // impl Write
//!     std::io::copy(&mut input, &mut output)?;
//!     Ok(())
//! }
//! ```
//!
//! Built by `cargo build --target wasm32-wasip2` and run by
//! `pipehost run copy.wasm --fifo in=/tmp/a,r --fifo out=/tmp/b,w`.
//!
//! There are two faces to the same pipes:
//! - here at the root, blocking [`std::io::Read`] and [`std::io::Write`] over WASI 0.2, for
//!   programs with a `fn main`; [`wait`] waits for several ends at once;
//! - in [`stream`], `async` over the streams of WASI 0.3, for programs started by
//!   [`async_main!`].
//!
//! A guest starts the programs that its operator lets it start with [`process::Command`].
//!
//! For a status other than 0 and 1, call [`exit`]: [`std::process::exit`] knows no others in WASI
//! 0.2 and 0.3.
//!
//! # How to deadlock
//!
//! A pipe holds a bounded number of bytes, 64 KiB to 1 MiB unless its operator has chosen. A guest
//! that writes more than that into an anonymous pipe before it reads from it waits for itself. So
//! do two programs that each write until the other reads. Interleave reading and writing, wait with
//! [`wait`], or use [`stream`], where both can go on at once.
//!
//! A reader sees the end of file when the *last* writer is closed. Drop a writer once you have
//! written your data to it, even if you hold both ends.

mod bindings;
mod command;
mod error;
mod exit;
mod filter;
mod pipe;
pub mod process;
pub mod stream;

pub use exit::exit;
pub use filter::{Input, Output, input, output};
pub use pipe::{
    Directions, Granted, Pipe, Reader, Readiness, Writer, forward, granted, open_reader,
    open_writer, pipe, wait,
};

#[doc(hidden)]
pub use command::__private;
