//! Runs a core module of WASI 0.1 to its end.

use wasmtime::{ExternType, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{I32Exit, WasiCtxBuilder, WasiView as _};

use super::store::{
    Ending, Life, conclude, fill, has_next, take_back, until_stopped, yield_at_each_pulse,
};
use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::limits::{MAX_CALL_BYTES, MemoryBudget};
use crate::outcome::GuestEnd;
use crate::pipe::Pipes;
use crate::threads;
use crate::wasi::{self, ModuleView, Standard};

impl Life {
    /// Runs a module. If it has a next life, leaves that in `next`.
    pub(super) async fn run_module(
        self,
        next: &mut Option<Self>,
        engine: &Engine,
        guest: &Guest,
        module: &wasmtime::Module,
    ) -> Result<GuestEnd, GuestError> {
        let explain = |error| guest.explain(&error);
        let pre = linked(guest, module)?;
        let Self { wasi, stdio, pipes, defers, restarts } = self;
        stdio.are_of_module(true);
        let journal = pipes.journal().clone();
        // It makes its own table of descriptors of what is in there, whenever it is made.
        let mut module_wasi = WasiCtxBuilder::new().build_p1();
        *module_wasi.ctx().ctx = wasi;
        let quotas = pipes.quotas().clone();
        let memory = MemoryBudget::within(quotas.memory(), quotas.reached());
        let mut store = Store::new(
            module.engine(),
            ModuleState {
                wasi: module_wasi,
                standard: Standard::new(stdio, &pipes),
                memory,
                pipes,
            },
        );
        let ending = Ending::of(&store.data().pipes);
        store.limiter(|state| &mut state.memory);
        fill(engine, quotas.fuel(), &mut store).map_err(explain)?;
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        yield_at_each_pulse(&mut store);

        let mut instantiated = false;
        let ended = engine.pulsed(
            async {
                let instance = pre.instantiate_async(&mut store).await?;
                instantiated = true;
                let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
                start.call_async(&mut store, ()).await
            },
            defers,
        );
        let ended = until_stopped(&journal, threads::quietly_await(ended)).await;
        take_back(quotas.fuel(), &store);
        let end = conclude(guest, ended, instantiated);
        let end = end.map(|ended| GuestEnd::of_command(ended.map(Ok)));
        ending.came(&end);
        if has_next(&store.data().pipes, restarts, &end) {
            let ModuleState { mut wasi, standard, pipes, .. } = store.into_data();
            let none = WasiCtxBuilder::new().build();
            let wasi = std::mem::replace(wasi.ctx().ctx, none);
            let stdio = standard.into_stdio();
            *next = Some(Self { wasi, stdio, pipes, defers, restarts });
        }
        end
    }
}

/// Returns whether a module can be run, without running it.
///
/// # Errors
/// Says why not.
pub(super) fn fits(guest: &Guest, module: &wasmtime::Module) -> Result<(), GuestError> {
    linked(guest, module).map(drop)
}

/// Links a module with what pipehost provides.
fn linked(
    guest: &Guest,
    module: &wasmtime::Module,
) -> Result<wasmtime::InstancePre<ModuleState>, GuestError> {
    let explain = |error| guest.explain(&error);
    match module.get_export("_start") {
        Some(ExternType::Func(start))
            if start.params().len() == 0 && start.results().len() == 0 => {}
        _ => return Err(GuestError::NoRun { exports: guest.exports().to_vec() }),
    }
    let mut linker = wasmtime::Linker::new(module.engine());
    wasi::add_p1_to_linker(&mut linker).map_err(explain)?;
    // wasmtime-wasi's function takes statuses up to 125 only.
    linker
        .allow_shadowing(true)
        .func_wrap("wasi_snapshot_preview1", "proc_exit", |status: i32| {
            Err::<(), _>(wasmtime::Error::new(I32Exit(status)))
        })
        .map_err(explain)?;
    linker.instantiate_pre(module).map_err(explain)
}

/// The data of a core module's store. WASI 0.1 has no way to name a pipe, so the grants only stay
/// open until the module has ended.
struct ModuleState {
    wasi: WasiP1Ctx,
    standard: Standard,
    memory: MemoryBudget,
    pipes: Pipes,
}

impl ModuleView for ModuleState {
    fn wasi(&mut self) -> &mut WasiP1Ctx {
        &mut self.wasi
    }

    fn standard(&mut self) -> &mut Standard {
        &mut self.standard
    }
}
