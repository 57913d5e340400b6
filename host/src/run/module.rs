//! Runs a core module of WASI 0.1 to its end.

use wasmtime::{ExternType, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::WasiP1Ctx;

use super::store::{conclude, fill, take_back, yield_at_each_pulse};
use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::limits::{MAX_CALL_BYTES, MemoryBudget};
use crate::outcome::GuestEnd;
use crate::pipe::Pipes;
use crate::setup::Setup;
use crate::threads;
use crate::wasi::{self, ModuleView, Standard};

impl Setup {
    pub(super) async fn run_module(
        mut self,
        engine: &Engine,
        guest: &Guest,
        module: &wasmtime::Module,
    ) -> Result<GuestEnd, GuestError> {
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
        let pre = linker.instantiate_pre(module).map_err(explain)?;
        let defers = self.defers;
        self.wire_stdio(true);
        let quotas = self.pipes.quotas().clone();
        let memory = MemoryBudget::within(quotas.memory(), quotas.reached());
        let mut store = Store::new(
            module.engine(),
            ModuleState {
                wasi: self.wasi.build_p1(),
                standard: Standard::new(self.stdio, &self.pipes),
                memory,
                _pipes: self.pipes,
            },
        );
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
        let ended = threads::quietly_await(ended).await;
        take_back(quotas.fuel(), &store);
        conclude(guest, ended, instantiated).map(|ended| GuestEnd::of_command(ended.map(Ok)))
    }
}

/// The data of a core module's store. WASI 0.1 has no way to name a pipe, so the grants only stay
/// open until the module has ended.
struct ModuleState {
    wasi: WasiP1Ctx,
    standard: Standard,
    memory: MemoryBudget,
    _pipes: Pipes,
}

impl ModuleView for ModuleState {
    fn wasi(&mut self) -> &mut WasiP1Ctx {
        &mut self.wasi
    }

    fn standard(&mut self) -> &mut Standard {
        &mut self.standard
    }
}
