//! Finds out how much memory a guest needs to start, by starting it where none of its code can run.

use wasmtime::Store;
use wasmtime::component::Linker;

use crate::guest::{Guest, Kind};
use crate::limits::{Limit, MemoryBudget, Quota, Reached};

/// The largest need that is reported, in bytes. A guest may declare memory that no machine has.
const MOST: u64 = 16 << 30;

/// Returns the bytes of the memories and tables that `guest` has once it is instantiated, as the
/// memory limit counts them. `None` if that cannot be found out.
pub(crate) async fn memory_of(guest: &Guest) -> Option<u64> {
    let memory = Quota::new(MOST, Limit::MaxMemory(MOST), None);
    let refused = Reached::default();
    let budget = MemoryBudget::within(&memory, &refused);
    let engine = match &guest.kind {
        Kind::Command(component, _) => component.engine(),
        Kind::Module(module) => module.engine(),
        Kind::Library => return None,
    };
    let mut store = Store::new(engine, budget);
    store.limiter(|budget| budget);
    // Code of the guest that would run, a start function, traps at its first instruction.
    store.set_epoch_deadline(0);
    store.epoch_deadline_trap();
    match &guest.kind {
        Kind::Command(component, _) => {
            let mut linker = Linker::new(engine);
            linker.define_unknown_imports_as_traps(component).ok()?;
            // If this fails, the guest has had the memory that it needed until then.
            let _ = linker.instantiate_async(&mut store, component).await;
        }
        Kind::Module(module) => {
            let mut linker = wasmtime::Linker::new(engine);
            linker.define_unknown_imports_as_traps(module).ok()?;
            let _ = linker.instantiate_async(&mut store, module).await;
        }
        Kind::Library => return None,
    }
    refused.limits().is_empty().then(|| memory.peak())
}
