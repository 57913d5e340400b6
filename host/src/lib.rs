//! Real kernel pipes for sandboxed WASI components.
//!
//! A pipe is a capability. The host makes and owns real kernel pipes: anonymous ones by `os_pipe`,
//! named ones by mkfifo(3). A guest, a WASI component, gets handles to exactly the ends that its
//! operator granted, through the WIT package `pipehost:pipes`, in a version for WASI 0.2 and one
//! for WASI 0.3. Any process may be on the other side of a pipe: `cat`, `jq`, another guest.
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
//! standard streams that its host gives it. It gets nothing else until it is granted: no named
//! pipe, no file, no variable, no network, and no program to start.
//!
//! # How to deadlock
//!
//! The host never deadlocks: opening a pipe waits for no peer, and reads and writes of one guest
//! hold nothing that another guest needs. A guest can still wait for itself: see the documentation
//! of `pipehost_guest`.
//!
//! The process must ignore SIGPIPE, as every program does whose `main` is Rust's: the host relies
//! on EPIPE.
//!
//! # Features
//!
//! All are on by default.
//!
//! - `p1`, `p2`, `p3`: running guests of WASI 0.1, 0.2 and 0.3. A guest of 0.3 most often imports interfaces of 0.2,
//!   too.
//! - `sandbox`: confining the process.
//! - `cli`: the command, and everything that only it needs, such as clap, anyhow and toml.
//! - `bundled`: the command's own guests, `@cat` and so on.
//!
//! # What is where
//!
//! The types that a first program needs are here. [`launch`] goes from a plan, such as a command
//! line gives, to a guest that runs. [`pipeline`] runs several guests at once, with native commands
//! between them. [`pipes`] has the ends of pipes, as a host sees them. [`limits`] bounds a guest,
//! and tells which limit it reached. [`cache`] keeps compiled guests. [`children`] are what a guest
//! may start. [`sandbox`] confines the process, for programs that only run guests.
//!
//! Only the functions that [`sandbox`] names fork, confine or change the process.

#![cfg_attr(
    not(all(feature = "cli", feature = "p1", feature = "p2", feature = "p3")),
    allow(dead_code, unreachable_pub, unused_imports, reason = "what is left out uses them")
)]
// A type in a public signature that nobody outside can name cannot be stored there.
#![warn(unnameable_types)]

#[cfg(feature = "cli")]
mod bundled;
pub mod cache;
pub mod children;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod deadlines;
mod engine;
mod engine_names;
mod guest;
mod interfaces;
pub mod launch;
pub mod limits;
mod names;
mod needs;
mod outcome;
mod pipe;
pub mod pipeline;
mod restart;
mod run;
mod setup;
mod spawning;
mod swap;
#[allow(unsafe_code, reason = "the one place for system calls; each block gives its reason")]
mod sys;
mod threads;
mod turn;
mod wasi;

pub use engine::Engine;
pub use guest::{Guest, GuestError, Kept};
pub use interfaces::{PACKAGES, WasiVersion};
pub use limits::GuestLimits;
pub use names::{InvalidName, Label, PipeName};
pub use outcome::{Outcome, Trap};
pub use pipe::{ChildFailure, Directions, EofPolicy, Event, Grant, Pipes, PipesBuilder};
pub use restart::Restart;
pub use setup::Setup;
pub use swap::{NewGuests, Swaps};
pub use sys::{Fifo, FifoOptions};
pub use wasi::{PipesCtxView, PipesView, Stdio, add_to_linker};

// The engine's types are part of this crate's signatures: the versions must be the same.
pub use {wasmtime, wasmtime_wasi};

/// The ends of pipes, as a host sees them, and what happens on them.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// // A pipe whose ends are descriptors: one for a guest, one for the peer on the other side.
/// let pair = pipehost::pipes::pipe_pair(None)?;
/// let (reader, writer) = (pair.reader, pair.writer);
/// # Ok(())
/// # }
/// ```
pub mod pipes {
    pub use crate::pipe::{
        Activity, Child, ChildStatus, ChildStream, DuplicateName, EndNow, ErrorCode, Excess, Fault,
        Frame, FrameError, Journal, NotARecord, Note, PassedEnd, PendingWrites, Read, Reader,
        Records, Refused, SpawnRequest, Total, Transfer, TransferFault, Writer, transfer,
    };
    pub use crate::sys::{
        CapacityLease, Direction, End, FifoError, FifoWarning, FileKind, Handle, InheritError,
        IsAFifo, PipePair, null, pipe_pair, standard,
    };
}

/// Confines this process, for a program that only runs guests. The process gives up for good
/// everything that the grants of its guests do not need.
///
/// 1. Call [`start_monitor`](sandbox::start_monitor) before the first thread, if guests have FIFOs
///    or may start native commands: it forks this process once.
/// 2. Open the grants with [`Opener`](launch::Opener), which knows the
///    [`SandboxPolicy`](sandbox::SandboxPolicy).
/// 3. Call [`confine`](sandbox::confine) before the first guest runs.
///
/// ```no_run
/// use pipehost::sandbox::{
///     SandboxPolicy, confine, end_monitor, expect_folders, renounce_files, start_monitor,
/// };
///
/// # fn main() -> std::io::Result<()> {
/// start_monitor(Vec::new())?; // guests may start no native commands
/// expect_folders();
/// std::thread::spawn(|| {
///     renounce_files();
///     // A thread that needs no files.
/// });
/// // `Opener::into_policy` returns a policy that has all grants.
/// let mut policy = SandboxPolicy::default();
/// policy.folder("/srv/data".as_ref(), false)?;
/// for missing in confine(policy) {
///     eprintln!("{missing}");
/// }
/// // Guests run here.
/// end_monitor();
/// # Ok(())
/// # }
/// ```
pub mod sandbox {
    pub use crate::sys::{
        Missing, SandboxPolicy, confine, end_monitor, expect_folders, renounce_files, start_monitor,
    };
}
