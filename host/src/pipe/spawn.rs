//! Guests that start others on their pipe ends: what is asked for and what comes of it. Who runs them is
//! not known here.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::{Fault, PipeName, Reader, Writer};

/// Starts what a guest asks for, as far as that is granted.
pub(crate) trait Spawn: Send + fmt::Debug {
    /// The names of what may be started.
    fn names(&self) -> Vec<String>;

    /// Starts one. Never blocks.
    fn spawn(&mut self, name: &PipeName, request: SpawnRequest) -> Result<Child, Fault>;
}

/// What a guest gives to the child that it starts. All of it is the child's from then on.
#[derive(Debug)]
pub struct SpawnRequest {
    /// What is to be started, as it was granted.
    pub name: String,
    /// The child's arguments, after its name.
    pub args: Vec<String>,
    /// What it reads.
    pub stdin: ChildStream<Reader>,
    /// What it writes to.
    pub stdout: ChildStream<Writer>,
    /// Where its messages go.
    pub stderr: ChildStream<Writer>,
    /// Ends under names, which are granted to it.
    pub pipes: Vec<(String, PassedEnd)>,
}

/// One of a child's standard streams.
#[derive(Debug)]
pub enum ChildStream<E> {
    /// Gives the end of file, or swallows what is written.
    Null,
    /// That of the guest that starts it.
    Inherited,
    /// A pipe's end.
    Pipe(E),
}

/// A pipe's end that is passed on.
#[derive(Debug)]
pub enum PassedEnd {
    /// The end that bytes come out of.
    Reader(Reader),
    /// The end that bytes go into.
    Writer(Writer),
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildStatus {
    /// By itself, with this status.
    Exited(u8),
    /// A guest, by a trap.
    Trapped,
    /// Its stdout's reader left, and it failed for that; or SIGPIPE ended it.
    BrokenPipe,
    /// A limit of its operator's on its time, or on the wait for its peers.
    TimedOut,
    /// By [`Child::kill`].
    Killed,
    /// A native command, by a signal of this number.
    Signaled(u8),
    /// It could not be started after all.
    Failed,
}

/// A child that was started. Dropping this leaves it running.
#[derive(Clone, Debug)]
pub struct Child {
    status: watch::Receiver<Option<ChildStatus>>,
    kill: Arc<Notify>,
}

/// The side of a [`Child`] that runs it. Dropping it without [`ChildRun::ended`] is the child's being
/// killed.
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

    /// How it ended; `None` while it has not.
    pub fn status(&self) -> Option<ChildStatus> {
        match (*self.status.borrow(), self.status.has_changed()) {
            (None, Err(_)) => Some(ChildStatus::Killed),
            (status, _) => status,
        }
    }

    /// A future that resolves when the child has ended. Cancel safe.
    pub fn wait(&self) -> impl Future<Output = ChildStatus> + Send + 'static + use<> {
        let mut status = self.status.clone();
        async move {
            match status.wait_for(Option::is_some).await {
                Ok(status) => status.unwrap_or(ChildStatus::Killed),
                Err(_) => ChildStatus::Killed,
            }
        }
    }

    /// Ends it where it stands, if it has not ended. It has not yet ended when this returns.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

impl ChildRun {
    /// Resolves when the child is to be killed. Cancel safe.
    pub(crate) async fn killed(&self) {
        self.kill.notified().await;
    }

    /// Tells whoever waits.
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
