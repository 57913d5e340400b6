//! Real kernel pipes for sandboxed WASI components.
//!
//! A pipe is a capability. The host makes and owns real kernel pipes: anonymous ones by `os_pipe`,
//! named ones by mkfifo(3). A guest, a WASI component, gets handles to exactly the ends that its
//! operator granted, through the WIT package `pipehost:pipes`, in a version for WASI 0.2 and one
//! for WASI 0.3. On the other side of a pipe sits whatever likes to: `cat`, `jq`, another guest.
//!
//! # Embedding
//!
//! A program that runs a guest between two pipes, with 5 seconds, 64 MiB of memory and 1 MiB through each pipe:
//!
//! ```no_run
#![doc = include_str!("../examples/filter.rs")]
//! ```
//!
//! A host that has a wasmtime store of its own adds the package to its linker, as it adds the
//! wasmtime-wasi crates: with a ctx ([`Pipes`]) and a view ([`PipesView`]).
//!
//! ```no_run
#![doc = include_str!("../examples/embed.rs")]
//! ```
//!
//! # What a guest can reach
//!
//! By default: anonymous pipes of its own (64), clocks, random numbers, 256 MiB of memory, and the
//! standard streams that its host gives it. Nothing else until it is granted: no named pipe, no
//! file, no variable, no network, and nothing that it could start.
//!
//! # How to deadlock
//!
//! The host never does: opening a pipe waits for nobody, and reads and writes of one guest hold
//! nothing that another needs. A guest can still wait for itself: see the documentation of
//! `pipehost_guest`.
//!
//! SIGPIPE is to be ignored, as it is in every program whose `main` is Rust's: the host counts on EPIPE.
//!
//! # Features
//!
//! `cli` (the command and all that only it needs), `bundled` (its guests `@cat` and so on) and `sandbox` (confining
//! the process) are on by default. Without them the crate has neither clap nor anyhow nor toml.
//!
//! # Layers
//!
//! [`sys`] has the system calls, [`pipe`] what a pipe is, [`wasi`] what a guest sees of it,
//! [`cache`], [`engine`] and [`guest`] what makes code of a file, [`run`] and [`outcome`] what runs it,
//! [`children`] what it starts, [`pipeline`] several at once and [`totals`] what bounds them, `cli` the command line. Each knows only
//! those before it.

#![cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the command uses them"))]

#[cfg(feature = "cli")]
mod bundled;
pub mod cache;
pub mod children;
#[cfg(feature = "cli")]
pub mod cli;
mod deadlines;
pub mod engine;
mod engine_names;
pub mod guest;
pub mod interfaces;
pub mod launch;
pub mod limits;
mod names;
mod needs;
pub mod outcome;
pub mod pipe;
pub mod pipeline;
pub mod run;
pub mod setup;
mod spawning;
#[allow(unsafe_code, reason = "the one place for system calls; each block gives its reason")]
pub mod sys;
mod threads;
mod turn;
pub mod wasi;

pub use interfaces::PACKAGES;
pub use limits::GuestLimits;
pub use pipe::{Grant, Pipes};
pub use sys::{Fifo, FifoOptions};
pub use wasi::{PipesCtxView, PipesView, add_to_linker};

// The engine's types are part of this crate's signatures: the versions must be the same.
pub use {wasmtime, wasmtime_wasi};
