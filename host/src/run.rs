//! Runs one guest to its end.

#[cfg(any(feature = "p2", feature = "p3"))]
mod component;
#[cfg(feature = "p1")]
mod module;
mod store;

use crate::children::{ChildRuns, Children};
use crate::deadlines::after;
use crate::engine::Engine;
use crate::guest::{Guest, GuestError, Kind};
use crate::limits::{Limit, Reached};
use crate::needs;
use crate::outcome::{GuestEnd, Outcome};
use crate::pipe::{ErrorCode, Event, Events, Note, Pipes};
use crate::setup::Setup;
use crate::spawning;
use crate::wasi::Stdio;

/// Runs a child of a running guest, as [`Setup::run`] does.
fn run_boxed(setup: Setup, engine: Engine, guest: Guest) -> spawning::Ended {
    Box::pin(async move { setup.run(&engine, &guest).await })
}

impl Children {
    /// Lets the guest that has `pipes` start these children, where it runs in a store of the host's own.
    /// Without this call, such a guest may start nothing: each attempt is `not-permitted`. A [`Setup`]
    /// does this by itself, for [`Setup::children`].
    ///
    /// Children that are guests run on `engine`, each in a store that pipehost makes. What they use up
    /// counts as of `pipes`: memory, pipes and children, within the limits that were set there. A
    /// standard stream that a child inherits is one of `stdio`. Children run while
    /// [`ChildRuns::beside`] is awaited, and at no other time.
    ///
    /// ```no_run
    /// use pipehost::children::{Children, Program};
    /// use pipehost::pipes::standard;
    /// use pipehost::{Pipes, PipesView, Stdio};
    /// use pipehost::wasmtime::{self, Store};
    /// use pipehost::wasmtime_wasi::p2::bindings::Command;
    ///
    /// async fn run<T: PipesView + 'static>(
    ///     mut store: Store<T>,
    ///     guest: Command,
    ///     children: Children,
    ///     engine: &pipehost::Engine, // of the children, not of the store
    /// ) -> wasmtime::Result<()> {
    ///     let pipes = store.data_mut().pipes().ctx;
    ///     let stdio = Stdio::between(pipes, standard(0)?, standard(1)?, standard(2)?)?;
    ///     let children = children.grant_to(pipes, engine, &stdio);
    ///     let running = guest.wasi_cli_run().call_run(&mut store);
    ///     let _ended = children.beside(running).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn grant_to(self, pipes: &mut Pipes, engine: &Engine, stdio: &Stdio) -> ChildRuns {
        let (spawner, runs) = spawning::spawner(self, engine, stdio, pipes, run_boxed);
        pipes.set_spawner(spawner);
        runs
    }
}

impl Setup {
    /// Runs `guest` to its end, and delivers what it leaves behind. Must be awaited inside a tokio
    /// runtime with its I/O and timers enabled. Never blocks the thread for longer than a pulse
    /// (10 ms) plus one system call.
    ///
    /// Its children run beside it, and end with it.
    ///
    /// Dropping the future ends the guest at once and closes all of its ends.
    /// [`Setup::pending_writes`] delivers what its writers had accepted.
    ///
    /// # Errors
    /// Fails if the guest does not fit what pipehost provides. A trap is not an error but an
    /// [`Outcome`].
    pub async fn run(self, engine: &Engine, guest: &Guest) -> Result<Outcome, GuestError> {
        let (pending_writes, hushed) = (self.pending_writes(), self.stdio.hushed());
        let (journal, inherited) = (self.journal(), self.inherited.clone());
        let (idle, timeout) = (self.pipes.idle(), self.pipes.limits().timeout);
        let granted = self.pipes.grant_use();
        let (is_child, grace) = (self.is_child, self.grace);
        let _sum_up = (!self.is_child).then(|| SumUp(self.journal().events().clone()));
        let running = async {
            let end = self.run_guest(engine, guest).await;
            pending_writes.idle().await;
            let end = end?;
            if let GuestEnd::Trapped(trap) = &end {
                journal.events().tell(&Event::Trapped(in_full(trap.error())));
            }
            let mut notes = journal.notes();
            for (label, journal) in &inherited {
                notes.extend(journal.notes().into_iter().filter(|note| note.label == *label));
            }
            let outcome = Outcome::of(end, &notes);
            match outcome {
                // SIGPIPE would have ended a native program here, without a complaint. And if no peer
                // came in time, the host's line about that says more than the guest can know.
                Outcome::BrokenPipe | Outcome::NoPeer { .. } => hushed.discard(),
                _ => drop(hushed),
            }
            // What was kept back until now.
            pending_writes.idle().await;
            Ok((outcome, notes))
        };
        let silent = async {
            match &idle {
                Some((limit, activity)) => {
                    activity.silence(*limit).await;
                    Outcome::Silent(*limit)
                }
                None => std::future::pending().await,
            }
        };
        let timed_out = async {
            after(timeout).await;
            Outcome::TimedOut(timeout.unwrap_or_default())
        };
        let ended = tokio::select! {
            // These two are polled first, so that a guest that is always busy cannot delay them.
            biased;
            ended = silent => Err(ended),
            ended = timed_out => Err(ended),
            ended = running => Ok(ended?),
        };
        let (outcome, notes) = match ended {
            Ok(ended) => ended,
            Err(outcome) => {
                // The guest is gone by now. What its writers had accepted may still be delivered.
                let _ = tokio::time::timeout(grace, pending_writes.idle()).await;
                return Ok(outcome);
            }
        };
        let events = journal.events();
        let has_failed = matches!(outcome, Outcome::Exited(1..) | Outcome::Trapped(_));
        let missing = has_failed && !is_child && granted.tell_missing(events);
        if !missing
            && matches!(outcome, Outcome::Exited(_))
            && journal.reached().limits().is_empty()
        {
            granted.tell_unopened(events);
        }
        if matches!(outcome, Outcome::Exited(1..)) {
            tell_causes(&notes, events);
        }
        Ok(outcome)
    }

    async fn run_guest(mut self, engine: &Engine, guest: &Guest) -> Result<GuestEnd, GuestError> {
        let reached = self.reached();
        let children = self.children.take();
        let children = children.map(|it| it.grant_to(&mut self.pipes, engine, &self.stdio));
        let running = async {
            match &guest.kind {
                #[cfg(any(feature = "p2", feature = "p3"))]
                Kind::Command(component, version) => {
                    self.run_component(engine, guest, component, *version).await
                }
                #[cfg(feature = "p1")]
                Kind::Module(module) => self.run_module(engine, guest, module).await,
                #[allow(unreachable_patterns, reason = "with all features, they all can be run")]
                Kind::Command(..) | Kind::Module(_) => Err(guest.not_built()),
                Kind::Library => Err(GuestError::NoRun { exports: guest.exports().to_vec() }),
            }
        };
        let ended = match children {
            None => running.await,
            Some(children) => children.beside(running).await,
        };
        match ended {
            Err(mismatch @ GuestError::Mismatch(_)) if is_short_of_memory(&reached) => {
                let needed = needs::memory_of(guest).await;
                Err(needed.map_or(mismatch, GuestError::TooLittleMemory))
            }
            ended => ended,
        }
    }
}

/// Returns an error and its causes, one below the other: with the guest's frames, without the
/// host's.
fn in_full(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(|cause| cause.to_string()).collect();
    // wasmtime's name for a module without a name.
    causes.join("\n").replace("<unknown>!", "")
}

/// Reports, whichever way a run ends, how many of its events were left out.
struct SumUp(Events);

impl Drop for SumUp {
    fn drop(&mut self) {
        self.0.sum_up();
    }
}

/// Reports errors for which the interfaces have no name: the guest can only say that there was one.
fn tell_causes(notes: &[Note], events: &Events) {
    let mut told = Vec::new();
    for Note { label, fault, .. } in notes.iter().filter(|it| it.fault.code == ErrorCode::Io) {
        if !told.contains(&(label, fault)) {
            told.push((label, fault));
            events.tell(&Event::PipeFailed { label: label.clone(), fault: *fault });
        }
    }
}

/// Returns whether a memory limit was reached.
fn is_short_of_memory(reached: &Reached) -> bool {
    let of_memory = |limit: &Limit| matches!(limit, Limit::MaxMemory(_) | Limit::MaxTotalMemory(_));
    reached.limits().iter().any(of_memory)
}
