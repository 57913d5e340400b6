//! What the stores of components and of modules share.

use wasmtime::{Store, Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};

use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::limits::Fuel;
use crate::outcome::GuestEnd;
use crate::pipe::{Journal, Phase, Pipes};
use crate::wasi::Stdio;

/// What a guest has for one of its lives, and what is left of it for the next.
pub(super) struct Life {
    pub(super) wasi: WasiCtx,
    pub(super) stdio: Stdio,
    pub(super) pipes: Pipes,
    /// Whether the guest's writes may be deferred.
    pub(super) defers: bool,
    /// Whether a trap is not the end.
    pub(super) restarts: bool,
}

impl Life {
    /// Makes the first life of what a guest is given.
    pub(super) fn new(mut wasi: WasiCtxBuilder, stdio: Stdio, pipes: Pipes, defers: bool) -> Self {
        wasi.stdin(stdio.p2_stdin()).stdout(stdio.p2_stdout()).stderr(stdio.p2_stderr());
        Self { wasi: wasi.build(), stdio, pipes, defers, restarts: false }
    }
}

/// Returns whether a guest that ended so has a next life: then what it was given is given back.
pub(super) fn has_next(pipes: &Pipes, restarts: bool, end: &Result<GuestEnd, GuestError>) -> bool {
    let is_replaced =
        pipes.journal().handover().is_some_and(|handover| handover.phase() != Phase::Runs);
    match end {
        Ok(GuestEnd::Trapped(_)) => restarts || is_replaced,
        Ok(GuestEnd::Exited(_)) => is_replaced,
        Err(_) => false,
    }
}

/// Awaits a guest's code, or stops it where it stands when another guest has waited long enough for its place.
pub(super) async fn until_stopped<T>(
    journal: &Journal,
    running: impl Future<Output = Result<wasmtime::Result<T>, String>>,
) -> Result<wasmtime::Result<T>, String> {
    let Some(handover) = journal.handover() else { return running.await };
    tokio::select! {
        biased;
        () = handover.stopped() => Ok(Err(Trap::Interrupt.into())),
        ended = running => ended,
    }
}

/// Notes that the guest is cut short, unless it has come to an end by itself. Must be dropped before the guest's ends.
pub(super) struct Ending {
    journal: Journal,
    cut_short: bool,
}

impl Ending {
    pub(super) fn of(pipes: &Pipes) -> Self {
        Self { journal: pipes.journal().clone(), cut_short: true }
    }

    /// Notes how the guest ended.
    pub(super) fn came(mut self, end: &Result<GuestEnd, GuestError>) {
        self.cut_short = !matches!(end, Ok(GuestEnd::Exited(_)));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.journal.end(self.cut_short);
    }
}

/// Gives a store its fuel. If the engine counts and nothing bounds the guest, it gets all there is.
pub(super) fn fill<T>(
    engine: &Engine,
    fuel: Option<&Fuel>,
    store: &mut Store<T>,
) -> wasmtime::Result<()> {
    match fuel {
        Some(fuel) => fuel.fill(store),
        None if engine.is_metering() => store.set_fuel(u64::MAX),
        None => Ok(()),
    }
}

/// Takes back what is left of a guest's fuel, for its next life, or for other children of its parent.
pub(super) fn take_back<T>(fuel: Option<&Fuel>, store: &Store<T>) {
    if let Some(fuel) = fuel {
        fuel.take_back(store);
    }
}

/// Returns how the guest's code ended, given what awaiting it came to.
///
/// # Errors
/// Fails if the guest does not fit the host: it was not instantiated, and not by what its own code did.
pub(super) fn conclude<T>(
    guest: &Guest,
    ended: Result<wasmtime::Result<T>, String>,
    instantiated: bool,
) -> Result<wasmtime::Result<T>, GuestError> {
    match ended {
        // A panic in a call of the guest's ends only this guest, as a trap does.
        Err(panic) => Ok(Err(wasmtime::Error::msg(panic))),
        Ok(Err(error)) if !instantiated && !is_of_guest(&error) => Err(guest.explain(&error)),
        Ok(ended) => Ok(ended),
    }
}

/// Returns whether the guest's own code ended an instantiation, which can run start functions.
/// Otherwise the guest does not fit the host.
fn is_of_guest(error: &wasmtime::Error) -> bool {
    error.is::<Trap>() || error.is::<I32Exit>() || error.is::<WasmBacktrace>()
}

/// Makes a guest that computes yield whenever the engine's epoch goes on.
pub(super) fn yield_at_each_pulse<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
}
