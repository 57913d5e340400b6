//! What the stores of components and of modules share.

use wasmtime::{Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::limits::Fuel;
use crate::setup::Setup;

impl Setup {
    /// Gives wasmtime-wasi the standard streams. `legacy` is for a module of WASI 0.1.
    pub(super) fn wire_stdio(&mut self, legacy: bool) {
        self.wasi
            .stdin(self.stdio.p2_stdin())
            .stdout(self.stdio.p2_stdout(legacy))
            .stderr(self.stdio.p2_stderr(legacy));
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

/// Takes back what is left of a child's fuel.
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
