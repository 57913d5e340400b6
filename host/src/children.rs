//! The programs that a guest may start as its children.

use std::ffi::OsString;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::guest::Guest;
use crate::pipe::PipeName;

/// How deep children of children may be nested. It bounds how much of the host's stack a chain of them
/// holds.
///
/// It counts for all [`Children`], which have an example.
pub const MAX_DEPTH: usize = 8;

/// The programs that a guest may start, and their names.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::children::{Children, Program};
/// # use pipehost::{Engine, Guest, Pipes, Setup, pipes::null};
/// # let engine = Engine::new()?;
/// # let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
/// # let mut setup = Setup::between(Pipes::builder().build(), null()?, null()?, null()?)?;
///
/// let (max_memory, timeout) = (Some(16 << 20), None);
/// let upper =
///     Program::Guest { guest, program: "upper".into(), spawn: false, max_memory, timeout };
/// let sort = Program::Native { program: "sort".into(), args: vec!["-u".into()] };
/// let children = Children::new(vec![("upper".parse()?, upper), ("sort".parse()?, sort)]);
/// setup.children(children);
/// # Ok(())
/// # }
/// ```
///
/// In a store of your own, [`Children::grant_to`] takes the place of [`Setup`](crate::Setup), and has an example.
#[derive(Clone)]
pub struct Children {
    pub(crate) grants: Arc<[(PipeName, Program)]>,
    pub(crate) depth: usize,
}

/// A program that a guest may start.
///
/// See the example of [`Children`].
#[derive(Clone, Debug)]
pub enum Program {
    /// A guest. It gets what its parent passes on, and nothing else.
    Guest {
        /// Its code.
        guest: Guest,
        /// The name by which it was started, as it sees it.
        program: String,
        /// Whether it may start what its parent may start.
        spawn: bool,
        /// How many bytes of its parent's memory it and its own children may have.
        max_memory: Option<u64>,
        /// How long it may run.
        timeout: Option<Duration>,
    },
    /// A native command, with its first arguments. The arguments of the guest follow these.
    Native {
        /// A path, or a name that is looked up on PATH.
        program: OsString,
        /// Its first arguments.
        args: Vec<OsString>,
    },
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.grants.iter().map(|(name, _)| name.as_str());
        f.debug_list().entries(names).finish()
    }
}

impl Children {
    /// Makes a list of programs that may be started.
    /// [`GuestLimits::max_children`](crate::GuestLimits::max_children) says how many may run at once.
    pub fn new(grants: Vec<(PipeName, Program)>) -> Self {
        Self { grants: grants.into(), depth: 0 }
    }
}

/// A future that runs one child to its end.
pub(crate) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The children that a guest has started and that are to be run.
///
/// Returned by [`Children::grant_to`], which has an example.
#[must_use = "children run only while `beside` is awaited"]
pub struct ChildRuns {
    /// The number of children is bounded, so the queue is, too.
    jobs: mpsc::UnboundedReceiver<Job>,
}

impl fmt::Debug for ChildRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildRuns").finish_non_exhaustive()
    }
}

impl ChildRuns {
    /// Returns the queue of a guest's children, and its other side.
    pub(crate) fn new() -> (mpsc::UnboundedSender<Job>, Self) {
        let (queue, jobs) = mpsc::unbounded_channel();
        (queue, Self { jobs })
    }

    /// Awaits `guest`, a future in which the guest executes, and runs the children that it starts
    /// beside it, on the same thread. Children that still run when `guest` is done are ended, native
    /// commands by SIGKILL.
    ///
    /// Dropping the future ends the guest and its children. See the example of [`Children::grant_to`].
    pub async fn beside<T>(self, guest: impl Future<Output = T>) -> T {
        let mut jobs = self.jobs;
        let mut guest = std::pin::pin!(guest);
        let mut running = FuturesUnordered::new();
        // One turn for each poll: the caller has time limits and signals to check in between.
        std::future::poll_fn(move |cx| {
            if let Poll::Ready(ended) = guest.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            while let Poll::Ready(Some(job)) = jobs.poll_recv(cx) {
                running.push(job);
            }
            if let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}
