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
//!   programs with a `fn main`; [`wait`] and [`wait_for`] wait for several ends at once;
//! - in [`stream`], `async` over the streams of WASI 0.3, for programs started by
//!   [`async_main!`]; its ends are `AsyncRead` and `AsyncWrite` of the `futures` crate.
//!
//! A guest starts the programs that its operator lets it start with [`process::Command`].
//!
//! A filter is one function over its [`records`]: lines, JSON values, whatever has a beginning and an
//! end. With the feature `mcp`, a server of the Model Context Protocol is some functions, too.
//!
//! `cargo test` tests a guest natively, without a host: the pipes that it is granted are then those of a
//! [`mock`].
//!
//! A program says what it wants to be granted with [`wants!`], and whoever runs it is asked for that.
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
#[cfg(feature = "mcp")]
pub mod mcp;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
mod pipe;
pub mod process;
pub mod records;
pub mod stream;
mod wants;

pub use exit::exit;
pub use filter::{Input, Output, input, output};
pub use pipe::{
    Directions, Granted, Pipe, Reader, Readiness, TryRead, Writer, forward, granted, open_reader,
    open_writer, pipe, wait, wait_for,
};

/// The crates whose traits and values are a part of this one's interface.
#[cfg(feature = "json")]
pub use {serde, serde_json};

#[doc(hidden)]
pub use command::__private;
#[doc(hidden)]
pub use wants::__wants;
