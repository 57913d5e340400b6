//! Ends for the tests of a guest, which run natively by `cargo test`, without a host.
//!
//! [`Source`] and [`Sink`] do what a peer may do: send in small pieces, wait for an answer, go.
//!
//! ```
//! use pipehost_guest::mock::{Sink, Source};
//! use pipehost_guest::records::{Filter, Lines};
//!
//! // A peer that sends the second line when it has the answer to the first.
//! let sink = Sink::new();
//! let source = Source::new().send("on").send("e\n").expect(&sink, "ONE\n").send("two\n");
//! Filter::between(source, sink.clone())
//!     .records(Lines, |line, out| out.put(&line.to_ascii_uppercase()))?;
//! assert_eq!(sink.text(), "ONE\nTWO\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Host`] grants them to a guest that opens its pipes by name, or reads stdin:
//!
//! ```
//! use pipehost_guest::mock::{Host, Sink, Source};
//! use pipehost_guest::{open_reader, open_writer};
//!
//! fn copy() -> std::io::Result<()> {
//!     std::io::copy(&mut open_reader("in")?, &mut open_writer("out")?)?;
//!     Ok(())
//! }
//!
//! let out = Sink::new();
//! let host = Host::new().reader("in", Source::new().send("bytes")).writer("out", &out);
//! host.run(copy)?;
//! assert_eq!(out.text(), "bytes");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Anonymous pipes hold 64 KiB in memory, and wait as real ones do. What is missing are children, which
//! are not granted here, and the streams of WASI 0.3.
//!
//! This module is there for all targets but WebAssembly's.

pub(crate) mod interfaces;
mod memory;
mod sink;
mod source;

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

pub use sink::Sink;
pub use source::Source;

/// What a guest has in a test. Without one, no pipe is granted, and stdin is empty.
///
/// See the example of [this module](self).
#[derive(Debug, Default)]
#[must_use = "it is there while `run` runs"]
pub struct Host {
    pipes: Vec<Granted>,
    stdin: Source,
    stdout: Option<Sink>,
}

#[derive(Debug)]
struct Granted {
    name: String,
    reader: Option<Arc<Mutex<Source>>>,
    writer: Option<Arc<Sink>>,
}

thread_local! {
    /// Each test has a thread, and so a host, of its own.
    static HOST: RefCell<Host> = RefCell::default();
}

impl Host {
    /// Makes a host that grants nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Grants a pipe for reading.
    pub fn reader(mut self, name: &str, source: Source) -> Self {
        self.granted(name).reader = Some(Arc::new(Mutex::new(source)));
        self
    }

    /// Grants a pipe for writing.
    pub fn writer(mut self, name: &str, sink: &Sink) -> Self {
        self.granted(name).writer = Some(Arc::new(sink.clone()));
        self
    }

    /// Sets what [`input`](crate::input) and [`Input::stdin`](crate::Input::stdin) read. Std's own stdin
    /// stays what it is.
    pub fn stdin(mut self, source: Source) -> Self {
        self.stdin = source;
        self
    }

    /// Sets what [`output`](crate::output) writes to if no pipe `out` is granted. Std's own stdout stays
    /// what it is.
    pub fn stdout(mut self, sink: &Sink) -> Self {
        self.stdout = Some(sink.clone());
        self
    }

    /// Runs `guest` with this host, on this thread, and returns what it returns.
    pub fn run<T>(self, guest: impl FnOnce() -> T) -> T {
        /// Takes the host away again, also if the guest panics.
        struct Leave(Host);
        impl Drop for Leave {
            fn drop(&mut self) {
                drop(HOST.replace(std::mem::take(&mut self.0)));
            }
        }
        let _leave = Leave(HOST.replace(self));
        guest()
    }

    fn granted(&mut self, name: &str) -> &mut Granted {
        let at = self.pipes.iter().position(|pipe| pipe.name == name).unwrap_or_else(|| {
            self.pipes.push(Granted { name: name.to_owned(), reader: None, writer: None });
            self.pipes.len() - 1
        });
        &mut self.pipes[at]
    }
}

#[cfg(test)]
mod tests;
