//! Runs a component to its end.

use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceTable};
#[cfg(feature = "p2")]
use wasmtime_wasi::p2;
#[cfg(feature = "p3")]
use wasmtime_wasi::p3;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::store::{
    Ending, Life, conclude, fill, has_next, take_back, until_stopped, yield_at_each_pulse,
};
use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::interfaces::WasiVersion;
use crate::limits::{MAX_CALL_BYTES, MAX_HANDLES, MemoryBudget};
use crate::outcome::GuestEnd;
use crate::pipe::Pipes;
use crate::threads;
use crate::wasi::{self, PipesCtxView, PipesView, Stdio};
#[cfg(feature = "p3")]
use crate::wasi::{StdioCtxView, StdioView};

impl Life {
    /// Runs a component. If it has a next life, leaves that in `next`.
    pub(super) async fn run_component(
        self,
        next: &mut Option<Self>,
        engine: &Engine,
        guest: &Guest,
        component: &Component,
        version: WasiVersion,
    ) -> Result<GuestEnd, GuestError> {
        let explain = |error| guest.explain(&error);
        let command = linked(engine, guest, component, version)?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let Self { wasi, stdio, pipes, defers, restarts } = self;
        stdio.are_of_module(false);
        let journal = pipes.journal().clone();
        let quotas = pipes.quotas().clone();
        let memory = MemoryBudget::within(quotas.memory(), quotas.reached());
        let state = State { wasi, table, stdio, pipes, memory };
        let mut store = Store::new(component.engine(), state);
        let ending = Ending::of(&store.data().pipes);
        store.limiter(|state| &mut state.memory);
        fill(engine, quotas.fuel(), &mut store).map_err(explain)?;
        store.set_max_component_handles(MAX_HANDLES);
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(MAX_HANDLES);
        }
        yield_at_each_pulse(&mut store);

        let mut instantiated = false;
        let ended = engine.pulsed(
            async {
                match command {
                    #[cfg(feature = "p3")]
                    Command::V0_3(pre) => {
                        let command = pre.instantiate_async(&mut store).await?;
                        instantiated = true;
                        store
                            .run_concurrent(async |accessor| {
                                command.wasi_cli_run().call_run(accessor).await
                            })
                            .await?
                    }
                    #[cfg(feature = "p2")]
                    Command::V0_2(pre) => {
                        let command = pre.instantiate_async(&mut store).await?;
                        instantiated = true;
                        command.wasi_cli_run().call_run(&mut store).await
                    }
                }
            },
            defers,
        );
        let ended = until_stopped(&journal, threads::quietly_await(ended)).await;
        take_back(quotas.fuel(), &store);
        let end = conclude(guest, ended, instantiated).map(GuestEnd::of_command);
        ending.came(&end);
        if has_next(&store.data().pipes, restarts, &end) {
            store.data().pipes.keep_ends(true);
            let State { wasi, table, stdio, pipes, .. } = store.into_data();
            drop(table);
            *next = Some(Self { wasi, stdio, pipes, defers, restarts });
        }
        end
    }
}

/// Returns whether a component can be run, without running it.
///
/// # Errors
/// Says why not.
pub(super) fn fits(
    engine: &Engine,
    guest: &Guest,
    component: &Component,
    version: WasiVersion,
) -> Result<(), GuestError> {
    linked(engine, guest, component, version).map(drop)
}

/// Links a component with what pipehost provides.
fn linked(
    engine: &Engine,
    guest: &Guest,
    component: &Component,
    version: WasiVersion,
) -> Result<Command, GuestError> {
    let explain = |error| guest.explain(&error);
    let linker = component_linker(engine, component, guest).map_err(explain)?;
    let pre = linker.instantiate_pre(component).map_err(explain)?;
    // A component whose `run` has another type than it should is refused here, before it runs.
    Ok(match version {
        #[cfg(feature = "p3")]
        WasiVersion::V0_3 => Command::V0_3(p3::bindings::CommandPre::new(pre).map_err(explain)?),
        #[cfg(feature = "p2")]
        WasiVersion::V0_2 => Command::V0_2(p2::bindings::CommandPre::new(pre).map_err(explain)?),
        _ => return Err(guest.not_built()),
    })
}

/// Returns a linker with everything that pipehost provides and the guest may import. Interfaces that need
/// concurrency are left out if the component's engine has none.
fn component_linker(
    engine: &Engine,
    component: &Component,
    guest: &Guest,
) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(component.engine());
    #[cfg(feature = "p2")]
    {
        p2::add_to_linker_async(&mut linker)?;
        wasi::p2::add_to_linker(&mut linker)?;
    }
    #[cfg(feature = "p3")]
    if !wasmtime::Engine::same(component.engine(), engine.lean()) {
        add_wasi_0_3(&mut linker, guest)?;
        wasi::p3::add_to_linker(&mut linker)?;
    }
    let _ = engine;
    #[cfg(feature = "p2")]
    wasi::p2::add_fast_streams_to_linker(&mut linker)?;
    let files_of_0_3 = guest.imports_of("wasi:filesystem", WasiVersion::V0_3);
    wasi::add_folders_to_linker(&mut linker, files_of_0_3)?;
    wasi::add_files_to_linker(&mut linker, files_of_0_3)?;
    Ok(linker)
}

/// Adds WASI 0.3, with pipehost's standard streams. Of its other packages, adds only those that the
/// guest imports, as linking takes a tenth of a start.
#[cfg(feature = "p3")]
fn add_wasi_0_3(linker: &mut Linker<State>, guest: &Guest) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::p3::bindings::cli;

    type Add = fn(&mut Linker<State>) -> wasmtime::Result<()>;
    let packages: [(&str, Add); 4] = [
        ("wasi:clocks", p3::clocks::add_to_linker),
        ("wasi:filesystem", p3::filesystem::add_to_linker),
        ("wasi:random", p3::random::add_to_linker),
        ("wasi:sockets", p3::sockets::add_to_linker),
    ];
    for (package, add) in packages {
        if guest.imports_of(package, WasiVersion::V0_3) {
            add(linker)?;
        }
    }
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    wasi::add_stdio_to_linker(linker)
}

/// A component that has a `run`.
enum Command {
    #[cfg(feature = "p2")]
    V0_2(p2::bindings::CommandPre<State>),
    #[cfg(feature = "p3")]
    V0_3(p3::bindings::CommandPre<State>),
}

/// The data of a component's store.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    stdio: Stdio,
    pipes: Pipes,
    memory: MemoryBudget,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl PipesView for State {
    fn pipes(&mut self) -> PipesCtxView<'_> {
        PipesCtxView { ctx: &mut self.pipes, table: &mut self.table }
    }
}

#[cfg(feature = "p3")]
impl StdioView for State {
    fn stdio(&mut self) -> StdioCtxView<'_> {
        StdioCtxView { ctx: &mut self.stdio }
    }
}
