//! `--watch`: a guest whose file changes is replaced while it runs.
//!
//! The file is watched, read and compiled by a process of its own (`compiler`), as this one may do none of that once it
//! is confined. Here arrives what came of it.

mod compiler;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use super::args::CacheArgs;
use super::exit::{Failure, OrStatus, Status};
use super::log;
use super::named_files::reached;
use super::source::Source;
use crate::engine::Engine;
use crate::guest::{CodeKind, Guest};
use crate::launch::GuestPlan;
use crate::setup::Setup;
use crate::swap::{NewGuests, Swaps};
use crate::sys::{self, CodePool, Direction, End, Handle, Stamp};

/// The most bytes of a message from the process that compiles.
const MOST_BYTES: usize = 8 * 1024;

/// What the process that compiles has to say.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// The code of a new guest is in this slot, of this many bytes.
    Ready { kind: CodeKind, slot: usize, length: usize },
    /// The file is there, and no guest that could run. The text says why, with its name.
    Refused(String),
}

/// A guest's file that is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    pool: Arc<CodePool>,
    messages: Handle,
    patience: Duration,
}

impl Watch {
    /// Has the file of the guest watched, if `plan` says so. Must be called while this process has one thread.
    /// `seen` is its file's stamp from before the guest was read, `writable` are the folders that this and other guests may write to.
    ///
    /// # Errors
    /// Fails if the guest is no file that can change, if a guest can change it, or if no process can be made.
    pub(crate) fn start<'a>(
        source: &Source,
        seen: Option<Stamp>,
        plan: &GuestPlan,
        writable: impl Iterator<Item = &'a Path>,
        cache: &CacheArgs,
    ) -> Result<Option<Self>, Failure> {
        let Some(patience) = plan.swap else { return Ok(None) };
        let path = path_of(source)?;
        if let Some(how) = reached(&path, writable) {
            let error = anyhow!("--watch: a guest could write to {}, {how}", path.display());
            return Err(error).or_status(Status::NotPermitted);
        }
        let source = source.clone();
        let started = sys::start_compiler(|workshop| {
            compiler::work(workshop, &compiler::Job { source, path, seen, plan, cache })
        });
        let (pool, messages) = match started {
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                let error =
                    anyhow!("--watch is there on Linux only; start the guest again instead");
                return Err(error).or_status(Status::Usage);
            }
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                let error =
                    anyhow!("--watch: there is no room for code: {error}; raise `ulimit -f`");
                return Err(error).or_status(Status::Io);
            }
            started => started
                .context("--watch: the process that compiles cannot be made")
                .or_status(Status::Io)?,
        };
        Ok(Some(Self { pool, messages, patience }))
    }

    /// Returns the engine for guests that the other process has compiled, with the cache of `engine`.
    pub(crate) fn engine(&self, engine: &Engine) -> Result<Engine, Failure> {
        let engine = engine.with_code_of(Arc::clone(&self.pool));
        engine
            .map_err(|error| anyhow!("the engine that runs guests cannot be set up: {error:#}"))
            .or_status(Status::Io)
    }

    /// Hands new guests to the run of `setup`, as they come. `engine` is that of [`Watch::engine`]. Must be called
    /// inside the runtime that runs the guest.
    pub(crate) fn follow(
        self,
        source: &Source,
        engine: &Engine,
        setup: &mut Setup,
    ) -> Result<(), Failure> {
        let Self { pool, messages, patience } = self;
        let messages = End::shared(messages, Direction::Read);
        let messages = messages.context("--watch").or_status(Status::Io)?;
        let (new, swaps) = Swaps::within(patience);
        setup.swaps(swaps);
        let following = Following { name: source.display(), engine: engine.clone(), pool, new };
        // It ends with the run, which drops the other end of `new`, or with the process.
        drop(tokio::spawn(following.follow(messages)));
        Ok(())
    }
}

/// Refuses guests that do not change.
fn path_of(source: &Source) -> Result<PathBuf, Failure> {
    let refused = |why: &str| {
        let error = anyhow!("--watch: {} {why}", source.display());
        Err(error).or_status(Status::Usage)
    };
    match source {
        Source::Bundled(..) => refused("comes with pipehost and does not change; name a file"),
        Source::File(path) if sys::inherited_number(path).is_some() => {
            refused("is a descriptor, which does not change; name a file")
        }
        // One that is not there is missed when it is read.
        Source::File(path) if path.exists() && !path.is_file() => {
            refused("is no regular file; name one")
        }
        Source::File(path) => Ok(path.clone()),
    }
}

/// What makes guests of messages.
struct Following {
    name: String,
    engine: Engine,
    pool: Arc<CodePool>,
    new: NewGuests,
}

impl Following {
    async fn follow(self, messages: End) {
        let mut buf = vec![0; MOST_BYTES];
        loop {
            let read = match messages.read(&mut buf) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if messages.ready_after_would_block().await.is_ok() {
                        continue;
                    }
                    0
                }
                read => read.unwrap_or(0),
            };
            let heard = match serde_json::from_slice(&buf[..read]) {
                Ok(Message::Refused(why)) => {
                    log::inform(&format!("{why}; the old one goes on"));
                    true
                }
                Ok(Message::Ready { kind, slot, length }) => self.load(kind, slot, length).await,
                Err(_) => {
                    log::inform(&format!(
                        "{}: is watched no more, as the process that compiles has ended; the old one goes on",
                        self.name
                    ));
                    false
                }
            };
            if !heard {
                return;
            }
        }
    }

    /// Loads a guest and hands it in. Returns whether there is still a run.
    async fn load(&self, kind: CodeKind, slot: usize, length: usize) -> bool {
        match Guest::from_pool(&self.engine, &self.pool, kind, slot, length) {
            Ok(guest) => self.new.add(guest).await,
            Err(error) => {
                log::inform(&format!("{}: {error:#}; the old one goes on", self.name));
                true
            }
        }
    }
}
