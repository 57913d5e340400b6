//! The process that watches a guest's file, and compiles each new guest. It is not confined, and runs no guest's code.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::super::args::CacheArgs;
use super::super::compile::{engine_for, metering};
use super::super::source::{Source, line_of};
use super::{MOST_BYTES, Message};
use crate::engine::Engine;
use crate::guest::{CodeKind, Guest, GuestError};
use crate::launch::GuestPlan;
use crate::limits::DEFAULT_MAX_MEMORY;
use crate::needs;
use crate::sys::{self, Stamp, Workshop};
use crate::threads;

/// How often the file is looked at. A file that has changed must look the same twice before it is read.
const LOOK: Duration = Duration::from_millis(50);

/// How long a file must not have changed before it is called a bad guest: it may be half written.
const QUIET: Duration = Duration::from_secs(1);

/// The most bytes of a text that says why a guest is refused.
const MOST_TEXT: usize = MOST_BYTES / 8;

/// What is to be watched, and for whom.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) source: Source,
    pub(super) path: PathBuf,
    /// The file as it was before this process was made.
    pub(super) seen: Option<Stamp>,
    pub(super) plan: &'a GuestPlan,
    pub(super) cache: &'a CacheArgs,
}

/// Compiles guests until the process that runs them ends, and this one with it.
///
/// # Errors
/// Fails if the engine cannot be set up.
pub(super) fn work(workshop: &Workshop, job: &Job<'_>) -> io::Result<()> {
    // The log is the other process's.
    let nobody = tracing::subscriber::NoSubscriber::default();
    tracing::subscriber::with_default(nobody, || {
        let (freed, free) = mpsc::channel();
        let free_up = move |slot| {
            // Fails if this process is about to end.
            let _ = freed.send(slot);
        };
        (0..Workshop::SLOTS).for_each(&free_up);
        workshop.listen(free_up)?;
        let failed = |failure: super::Failure| io::Error::other(format!("{:#}", failure.error));
        let engine = engine_for(job.cache, job.plan.writable_folders()).map_err(failed)?;
        let engine = match job.plan.limits.fuel {
            Some(_) => metering(&engine).map_err(failed)?,
            None => engine,
        };
        Compiler { workshop, job, engine, free, current: None }.watch()
    })
}

struct Compiler<'a> {
    workshop: &'a Workshop,
    job: &'a Job<'a>,
    engine: Engine,
    /// The slots that may be written to.
    free: Receiver<usize>,
    /// The hash of the newest guest that was handed over, or that was there at the start.
    current: Option<blake3::Hash>,
}

/// A guest that is ready.
struct Ready {
    kind: CodeKind,
    code: Vec<u8>,
    hash: blake3::Hash,
}

/// What came of a file.
enum Found {
    /// It is the one that runs.
    Same,
    New(Ready),
    /// Why it cannot run.
    Bad(String),
    /// It has changed while it was read.
    Changed,
}

impl Compiler<'_> {
    fn watch(&mut self) -> io::Result<()> {
        let mut settled = self.job.seen;
        if let Some(seen) = settled {
            self.current = self.read_as(seen).map(|bytes| blake3::hash(&bytes));
        }
        // The newest version that was seen, since when, and what was wrong with it.
        let mut pending: Option<(Stamp, Instant, Option<String>)> = None;
        loop {
            std::thread::sleep(LOOK);
            let Some(now) = sys::stamp(&self.job.path) else { continue };
            if settled == Some(now) {
                pending = None;
                continue;
            }
            match &pending {
                Some((stamp, since, bad)) if *stamp == now => match bad {
                    Some(why) if since.elapsed() >= QUIET => {
                        self.tell(&Message::Refused(why.clone()))?;
                        settled = Some(now);
                    }
                    Some(_) => {}
                    None => match self.found(now) {
                        Found::Same => settled = Some(now),
                        Found::New(ready) => {
                            if self.hand_over(ready, now)? {
                                settled = Some(now);
                            }
                        }
                        Found::Bad(why) => pending = Some((now, *since, Some(why))),
                        Found::Changed => {}
                    },
                },
                _ => pending = Some((now, Instant::now(), None)),
            }
        }
    }

    /// Reads the file, if it is this version of it.
    fn read_as(&self, stamp: Stamp) -> Option<Vec<u8>> {
        let is_it = || sys::stamp(&self.job.path) == Some(stamp);
        let bytes = self.job.source.read_soon().ok().filter(|_| is_it())?;
        Some(bytes.into_owned())
    }

    fn found(&self, stamp: Stamp) -> Found {
        let bytes = match self.job.source.read_soon() {
            _ if sys::stamp(&self.job.path) != Some(stamp) => return Found::Changed,
            Ok(bytes) => bytes,
            Err(failure) => return Found::Bad(format!("{:#}", failure.error)),
        };
        let hash = blake3::hash(&bytes);
        if self.current == Some(hash) {
            return Found::Same;
        }
        match threads::quietly(|| self.made(&bytes)) {
            Ok(Ok((kind, code))) => Found::New(Ready { kind, code, hash }),
            Ok(Err(error)) => {
                Found::Bad(format!("{}: {}", self.job.source.display(), line_of(&error)))
            }
            Err(panic) => Found::Bad(format!("{}: {panic}", self.job.source.display())),
        }
    }

    /// Compiles a guest, and sees whether it could run.
    fn made(&self, bytes: &[u8]) -> Result<(CodeKind, Vec<u8>), GuestError> {
        let guest = Guest::from_bytes(&self.engine, bytes)?;
        guest.fits(&self.engine)?;
        let most = self.job.plan.limits.max_memory.unwrap_or(DEFAULT_MAX_MEMORY);
        let needed = threads::runtime().ok().and_then(|it| it.block_on(needs::memory_of(&guest)));
        if let Some(needed) = needed.filter(|needed| *needed > most) {
            return Err(GuestError::TooLittleMemory(needed));
        }
        let code = guest.to_code(&self.engine);
        let code = code.map_err(|error| GuestError::NotCompiled(format!("{error:#}")))?;
        match code {
            Some((_, code)) if code.len() > self.workshop.room() => {
                let (had, room) = (code.len() >> 20, self.workshop.room() >> 20);
                let why = format!("its code has {had} MiB, and --watch has room for {room}");
                Err(GuestError::NotCompiled(why))
            }
            Some(code) => Ok(code),
            None => Err(GuestError::NoRun { exports: guest.exports().to_vec() }),
        }
    }

    /// Hands a guest over as soon as there is room for it. Returns whether it did: not if there is a newer one before.
    fn hand_over(&mut self, ready: Ready, stamp: Stamp) -> io::Result<bool> {
        let slot = loop {
            match self.free.recv_timeout(LOOK) {
                Ok(slot) => break slot,
                Err(RecvTimeoutError::Timeout) => {
                    if sys::stamp(&self.job.path).is_some_and(|now| now != stamp) {
                        return Ok(false);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        };
        let Ready { kind, code, hash } = ready;
        self.workshop.put(slot, &code)?;
        self.current = Some(hash);
        self.tell(&Message::Ready { kind, slot, length: code.len() })?;
        Ok(true)
    }

    fn tell(&self, message: &Message) -> io::Result<()> {
        let text = match message {
            Message::Refused(why) if why.len() > MOST_TEXT => {
                let end = (0..=MOST_TEXT).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
                serde_json::to_vec(&Message::Refused(format!("{}...", &why[..end])))?
            }
            message => serde_json::to_vec(message)?,
        };
        self.workshop.tell(&text)
    }
}
