//! The interface by which guests start children on their pipe ends: the request and its result. This
//! module does not know the code that runs the children.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::{Fault, PipeName, Reader, Writer};

/// Starts the children that a guest asks for, as far as they are granted.
pub(crate) trait Spawn: Send + fmt::Debug {
    /// Returns the names of the programs that may be started.
    fn names(&self) -> Vec<String>;

    /// Starts a program. Never blocks.
    fn spawn(&mut self, name: &PipeName, request: SpawnRequest) -> Result<Child, Fault>;
}

/// What a guest gives to a child that it starts. All of it belongs to the child from then on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::Pipes;
/// use pipehost::pipes::{ChildStream, ErrorCode, PassedEnd, SpawnRequest};
///
/// let mut pipes = Pipes::builder().build();
/// let (words, writer) = pipes.create()?;
/// let request = SpawnRequest {
///     name: "sort".into(),
///     args: vec!["-u".into()],
///     stdin: ChildStream::Pipe(words),
///     stdout: ChildStream::Inherited,
///     stderr: ChildStream::Null,
///     pipes: vec![("log".into(), PassedEnd::Writer(writer))],
/// };
/// // Nothing was granted: see `Children::grant_to`.
/// assert_eq!(pipes.spawn(request).unwrap_err().code, ErrorCode::NotPermitted);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SpawnRequest {
    /// The granted name of the program.
    pub name: String,
    /// The child's arguments, after its name.
    pub args: Vec<String>,
    /// Its standard input.
    pub stdin: ChildStream<Reader>,
    /// Its standard output.
    pub stdout: ChildStream<Writer>,
    /// Its standard error.
    pub stderr: ChildStream<Writer>,
    /// The ends that are granted to it, with their names.
    pub pipes: Vec<(String, PassedEnd)>,
}

/// One of a child's standard streams.
///
/// See the example of [`SpawnRequest`].
#[derive(Debug)]
pub enum ChildStream<E> {
    /// Gives the end of file, or drops what is written.
    Null,
    /// The stream of the guest that starts the child.
    Inherited,
    /// A pipe's end.
    Pipe(E),
}

/// A pipe's end that is passed on.
///
/// See the example of [`SpawnRequest`].
#[derive(Debug)]
pub enum PassedEnd {
    /// The end to read from.
    Reader(Reader),
    /// The end to write to.
    Writer(Writer),
}

/// How a child ended.
///
/// See the example of [`Child`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildStatus {
    /// By itself, with this status.
    Exited(u8),
    /// A guest ended by a trap.
    Trapped,
    /// It failed because its stdout's reader left, or SIGPIPE ended it.
    BrokenPipe,
    /// A limit of the operator on its time, or on the wait for its peers, ended it.
    TimedOut,
    /// By [`Child::kill`].
    Killed,
    /// A signal of this number ended a native command.
    Signaled(u8),
    /// It could not be started after all.
    Failed,
}

/// A child that was started. Dropping this leaves it running.
///
/// ```
/// use pipehost::{Pipes, pipes::{ChildStatus, Fault, SpawnRequest}};
/// use std::time::Duration;
///
/// async fn start(pipes: &mut Pipes, request: SpawnRequest) -> Result<ChildStatus, Fault> {
///     let child = pipes.spawn(request)?;
///     if tokio::time::timeout(Duration::from_secs(5), child.wait()).await.is_err() {
///         child.kill();
///     }
///     Ok(child.wait().await)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Child {
    status: watch::Receiver<Option<ChildStatus>>,
    kill: Arc<Notify>,
}

/// The side of a [`Child`] that runs it. Dropping it without [`ChildRun::ended`] counts as killing the
/// child.
#[derive(Debug)]
pub(crate) struct ChildRun {
    status: watch::Sender<Option<ChildStatus>>,
    kill: Arc<Notify>,
}

impl Child {
    pub(crate) fn new() -> (Self, ChildRun) {
        let (announce, status) = watch::channel(None);
        let kill = Arc::<Notify>::default();
        (Self { status, kill: Arc::clone(&kill) }, ChildRun { status: announce, kill })
    }

    /// Returns how the child ended, or `None` if it still runs.
    pub fn status(&self) -> Option<ChildStatus> {
        match (*self.status.borrow(), self.status.has_changed()) {
            (None, Err(_)) => Some(ChildStatus::Killed),
            (status, _) => status,
        }
    }

    /// Returns a future that resolves when the child has ended. Cancel safe.
    pub fn wait(&self) -> impl Future<Output = ChildStatus> + Send + 'static + use<> {
        let mut status = self.status.clone();
        async move {
            match status.wait_for(Option::is_some).await {
                Ok(status) => status.unwrap_or(ChildStatus::Killed),
                Err(_) => ChildStatus::Killed,
            }
        }
    }

    /// Asks for the child's end, if it still runs. Returns at once, before the child has ended.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

impl ChildRun {
    /// Resolves when the child must be killed. Cancel safe.
    pub(crate) async fn killed(&self) {
        self.kill.notified().await;
    }

    /// Tells the guest that waits for the child.
    pub(crate) fn ended(self, status: ChildStatus) {
        self.status.send_replace(Some(status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_whose_run_is_dropped_was_killed() {
        let (child, run) = Child::new();
        assert_eq!(child.status(), None);
        drop(run);
        assert_eq!(child.status(), Some(ChildStatus::Killed));
        assert_eq!(child.wait().await, ChildStatus::Killed);
    }

    #[tokio::test]
    async fn a_status_stays() {
        let (child, run) = Child::new();
        child.kill();
        run.killed().await;
        run.ended(ChildStatus::Exited(7));
        for _ in 0..2 {
            assert_eq!(child.clone().wait().await, ChildStatus::Exited(7));
            assert_eq!(child.status(), Some(ChildStatus::Exited(7)));
        }
    }
}
