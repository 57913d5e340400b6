//! Runs one guest to its end.

#[cfg(any(feature = "p2", feature = "p3"))]
mod component;
#[cfg(feature = "p1")]
mod module;
mod store;
mod successor;

use std::time::Instant;

use store::Life;
use successor::{hand_over, is_own_end, next_of, tell_of_old};
use tracing::Instrument as _;

use crate::children::{ChildRuns, Children};
use crate::deadlines::after;
use crate::engine::Engine;
use crate::guest::{Guest, GuestError, Kind};
use crate::limits::{Limit, Reached};
use crate::needs;
use crate::outcome::{GuestEnd, Outcome};
use crate::pipe::{ErrorCode, Event, Events, Note, Phase, Pipes};
use crate::restart::Restarts;
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
        let span = self.span.clone();
        self.run_to_end(engine, guest).instrument(span).await
    }

    async fn run_to_end(self, engine: &Engine, guest: &Guest) -> Result<Outcome, GuestError> {
        let (pending_writes, hushed) = (self.pending_writes(), self.stdio.hushed());
        let journal = self.journal();
        let (idle, timeout) = (self.pipes.idle(), self.pipes.limits().timeout);
        let granted = self.pipes.grant_use();
        let (is_child, grace) = (self.is_child, self.grace);
        let _sum_up = (!self.is_child).then(|| SumUp(self.journal().events().clone()));
        let running = async {
            let (end, notes) = self.run_lives(engine, guest).await?;
            // Whatever the guest did then: many programs panic when a write fails.
            let outcome = match journal.unframed() {
                Some((label, refused)) => Outcome::Unframed { label, refused },
                None => Outcome::of(end, &notes),
            };
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
        let unframed = async {
            let (label, refused) = journal.until_unframed().await;
            if journal.is_over() {
                // The guest has ended: `running` delivers all that it wrote.
                return std::future::pending().await;
            }
            Outcome::Unframed { label, refused }
        };
        let ended = tokio::select! {
            // These are polled first, so that a guest that is always busy cannot delay them.
            biased;
            ended = unframed => Err(ended),
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

    /// Runs the guest, again and again if it traps and is to be started again, and those that take its place. Returns
    /// how the last one ended, and what happened on its pipes. All that it has written is delivered.
    async fn run_lives(
        self,
        engine: &Engine,
        guest: &Guest,
    ) -> Result<(GuestEnd, Vec<Note>), GuestError> {
        let (pending_writes, journal) = (self.pending_writes(), self.journal());
        let (children, inherited, mut swaps) = (self.children, self.inherited, self.swaps);
        let notes = || {
            let mut notes = journal.notes();
            for (label, journal) in &inherited {
                notes.extend(journal.notes().into_iter().filter(|note| note.label == *label));
            }
            notes
        };
        let mut guest = guest.clone();
        let mut restarts = Restarts::new(self.restart);
        let mut life = Life::new(self.wasi, self.stdio, self.pipes, self.defers);
        loop {
            life.restarts = restarts.is_left();
            let (started, mut next, mut successor) = (Instant::now(), None, None);
            let noted = journal.notes().len();
            let end = {
                let keeping = life.pipes.keeping();
                let handing_over = hand_over(swaps.as_mut(), &journal, &keeping, &mut successor);
                let running = life.run(&mut next, children.clone(), engine, &guest);
                tokio::select! {
                    biased;
                    end = running => end,
                    never = handing_over => match never {},
                }
            };
            pending_writes.idle().await;
            let end = end?;
            match &end {
                GuestEnd::Trapped(trap) if !trap.is_stop() => {
                    journal.events().tell(&Event::Trapped(in_full(trap.error())));
                }
                _ => {}
            }
            if let Some(mut next) = next
                && !matches!(&end, GuestEnd::Trapped(trap) if trap.is_out_of_fuel())
                && match successor {
                    Some(_) => is_own_end(&end, &journal, noted),
                    None => end.is_own(&notes()),
                }
                && journal.unframed().is_none()
            {
                next.pipes.keep_ends(false);
                next.stdio.begin_again().await;
                next.pipes.kept_delivered().await;
                journal.begin_again();
                life = next;
                match (successor, end) {
                    (Some(new), end) => {
                        tell_of_old(&end, swaps.as_ref(), journal.events());
                        guest = new;
                        if let Some(handover) = journal.handover() {
                            handover.enter(Phase::Runs);
                        }
                        journal.events().tell(&Event::Replaced);
                    }
                    (None, GuestEnd::Trapped(trap)) => {
                        let trap = trap.to_string();
                        let (count, most, after) = restarts.next(started.elapsed());
                        journal.events().tell(&Event::Restarting { trap, count, most, after });
                        tokio::select! {
                            () = tokio::time::sleep(after) => {}
                            // It may be the one that does not trap.
                            new = next_of(swaps.as_mut()) => {
                                guest = new;
                                journal.events().tell(&Event::Replaced);
                            }
                        }
                    }
                    // Such a guest has a next life only where there is a successor.
                    (None, GuestEnd::Exited(_)) => {}
                }
                continue;
            }
            // What was kept for another life is closed by now.
            pending_writes.idle().await;
            return Ok((end, notes()));
        }
    }
}

impl Guest {
    /// Returns whether `engine`, of which the guest must be, could run it: whether it has something to start, and
    /// imports nothing that pipehost does not provide. Runs nothing.
    ///
    /// # Errors
    /// Says why not, as [`Setup::run`] would.
    pub fn fits(&self, engine: &Engine) -> Result<(), GuestError> {
        let _ = engine;
        match &self.kind {
            #[cfg(any(feature = "p2", feature = "p3"))]
            Kind::Command(component, version) => component::fits(engine, self, component, *version),
            #[cfg(feature = "p1")]
            Kind::Module(module) => module::fits(self, module),
            #[allow(unreachable_patterns, reason = "with all features, they all can be run")]
            Kind::Command(..) | Kind::Module(_) => Err(self.not_built()),
            Kind::Library => Err(GuestError::NoRun { exports: self.exports().to_vec() }),
        }
    }
}

impl Life {
    /// Runs the guest to its end, and its children as long. If it has a next life, leaves that in `next`.
    async fn run(
        mut self,
        next: &mut Option<Self>,
        children: Option<Children>,
        engine: &Engine,
        guest: &Guest,
    ) -> Result<GuestEnd, GuestError> {
        // A build that runs no guests starts none again.
        #[cfg(not(any(feature = "p1", feature = "p2", feature = "p3")))]
        let _ = next;
        let reached = self.pipes.journal().reached();
        let children = children.map(|it| it.grant_to(&mut self.pipes, engine, &self.stdio));
        let running = async {
            match &guest.kind {
                #[cfg(any(feature = "p2", feature = "p3"))]
                Kind::Command(component, version) => {
                    self.run_component(next, engine, guest, component, *version).await
                }
                #[cfg(feature = "p1")]
                Kind::Module(module) => self.run_module(next, engine, guest, module).await,
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
