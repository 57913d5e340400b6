//! Running one guest to its end.

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{ExternType, Store, Trap, WasmBacktrace};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView, p2, p3};

use crate::deadlines::after;
use crate::engine::Engine;
use crate::guest::{Guest, GuestError, Kind};
use crate::interfaces::WasiVersion;
use crate::limits::{Fuel, Limit, MAX_CALL_BYTES, MAX_HANDLES, MemoryBudget, Reached};
use crate::needs;
use crate::outcome::{GuestEnd, Outcome};
use crate::pipe::{ErrorCode, Event, Events, Note, Pipes};
pub(crate) use crate::setup::Setup;
use crate::spawning::{self, with_children};
use crate::threads;
use crate::wasi::{
    self, ModuleView, PipesCtxView, PipesView, Standard, Stdio, StdioCtxView, StdioView,
};

/// As [`Setup::run`], for a child of a guest that runs.
fn run_boxed(setup: Setup, engine: Engine, guest: Guest) -> spawning::Ended {
    Box::pin(async move { setup.run(&engine, &guest).await })
}

impl Setup {
    /// Runs `guest` to its end, and delivers what it leaves behind. Must be awaited inside a tokio
    /// runtime with its I/O and timers enabled. Never blocks the thread for longer than a pulse
    /// (10 ms) plus one system call.
    ///
    /// Its children run beside it, and end with it.
    ///
    /// Dropping the future ends the guest where it stands and closes all its ends. What its writers
    /// had accepted is delivered by [`Setup::pending_writes`].
    ///
    /// # Errors
    /// Where the guest does not fit what pipehost provides. A trap is no error but an [`Outcome`].
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
            end
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
        let end = tokio::select! {
            // A guest that is always busy must not keep these from being looked at.
            biased;
            ended = silent => Err(ended),
            ended = timed_out => Err(ended),
            end = running => Ok(end?),
        };
        let end = match end {
            Ok(end) => end,
            Err(ended) => {
                // The guest is gone by now. What its writers had accepted may still go out.
                let _ = tokio::time::timeout(grace, pending_writes.idle()).await;
                return Ok(ended);
            }
        };
        let events = journal.events();
        if let GuestEnd::Trapped(error) = &end {
            events.tell(&Event::Trapped(in_full(error)));
        }
        let mut notes = journal.notes();
        for (label, journal) in &inherited {
            notes.extend(journal.notes().into_iter().filter(|note| note.label == *label));
        }
        let outcome = Outcome::of(end, &notes);
        match outcome {
            // A native program would have been ended by SIGPIPE, and not have complained.
            // And where no peer came in time, the line about that says more than the guest can know.
            Outcome::BrokenPipe | Outcome::NoPeer { .. } => hushed.discard(),
            _ => drop(hushed),
        }
        pending_writes.idle().await;
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
        let jobs = self.children.take().map(|children| {
            let (spawner, jobs) =
                spawning::spawner(children, engine, &self.stdio, &self.pipes, run_boxed);
            self.pipes.set_spawner(spawner);
            jobs
        });
        let running = async {
            match &guest.kind {
                Kind::Command(component, version) => {
                    self.run_component(engine, guest, component, *version).await
                }
                Kind::Module(module) => self.run_module(engine, guest, module).await,
                Kind::Library => Err(GuestError::NoRun { exports: guest.exports().to_vec() }),
            }
        };
        let ended = match jobs {
            None => running.await,
            Some(jobs) => with_children(running, jobs).await,
        };
        match ended {
            Err(mismatch @ GuestError::Mismatch(_)) if is_short_of_memory(&reached) => {
                let needed = needs::memory_of(engine.wasmtime(), guest).await;
                Err(needed.map_or(mismatch, GuestError::TooLittleMemory))
            }
            ended => ended,
        }
    }

    async fn run_component(
        mut self,
        engine: &Engine,
        guest: &Guest,
        component: &wasmtime::component::Component,
        version: WasiVersion,
    ) -> Result<GuestEnd, GuestError> {
        let explain = |error| guest.explain(&error);
        let linker = component_linker(engine, guest).map_err(explain)?;
        let pre = linker.instantiate_pre(component).map_err(explain)?;
        // Whose `run` has another type than it should is refused here, before it runs.
        let command = match version {
            WasiVersion::V0_3 => {
                Command::V0_3(p3::bindings::CommandPre::new(pre).map_err(explain)?)
            }
            _ => Command::V0_2(p2::bindings::CommandPre::new(pre).map_err(explain)?),
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        self.wire_stdio(false);
        let quotas = self.pipes.quotas().clone();
        let memory = MemoryBudget::within(quotas.memory(), quotas.reached());
        let mut store = Store::new(
            engine.wasmtime(),
            State { wasi: self.wasi.build(), table, stdio: self.stdio, pipes: self.pipes, memory },
        );
        store.limiter(|state| &mut state.memory);
        fill(engine, quotas.fuel(), &mut store).map_err(explain)?;
        store.set_max_component_handles(MAX_HANDLES);
        store.set_hostcall_fuel(MAX_CALL_BYTES);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(MAX_HANDLES);
        }
        yield_at_each_pulse(&mut store);

        let mut instantiated = false;
        let ended = engine.pulsed(async {
            match command {
                Command::V0_3(pre) => {
                    let command = pre.instantiate_async(&mut store).await?;
                    instantiated = true;
                    store
                        .run_concurrent(async |accessor| {
                            command.wasi_cli_run().call_run(accessor).await
                        })
                        .await?
                }
                Command::V0_2(pre) => {
                    let command = pre.instantiate_async(&mut store).await?;
                    instantiated = true;
                    command.wasi_cli_run().call_run(&mut store).await
                }
            }
        });
        // A panic below the guest is its own end, as a trap is, and nobody else's.
        let ended = threads::quietly_await(ended).await;
        let ended = ended.unwrap_or_else(|text| {
            instantiated = true;
            Err(wasmtime::Error::msg(text))
        });
        take_back(quotas.fuel(), &store);
        match ended {
            Err(error) if !instantiated && !is_of_guest(&error) => Err(guest.explain(&error)),
            ended => Ok(GuestEnd::of_command(ended)),
        }
    }

    async fn run_module(
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
        let mut linker = wasmtime::Linker::new(engine.wasmtime());
        wasi::add_p1_to_linker(&mut linker).map_err(explain)?;
        // Theirs takes statuses up to 125 only.
        linker
            .allow_shadowing(true)
            .func_wrap("wasi_snapshot_preview1", "proc_exit", |status: i32| {
                Err::<(), _>(wasmtime::Error::new(I32Exit(status)))
            })
            .map_err(explain)?;
        let pre = linker.instantiate_pre(module).map_err(explain)?;
        self.wire_stdio(true);
        let quotas = self.pipes.quotas().clone();
        let memory = MemoryBudget::within(quotas.memory(), quotas.reached());
        let mut store = Store::new(
            engine.wasmtime(),
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
        let ended = engine.pulsed(async {
            let instance = pre.instantiate_async(&mut store).await?;
            instantiated = true;
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
            start.call_async(&mut store, ()).await
        });
        // A panic below the guest is its own end, as a trap is, and nobody else's.
        let ended = threads::quietly_await(ended).await;
        let ended = ended.unwrap_or_else(|text| {
            instantiated = true;
            Err(wasmtime::Error::msg(text))
        });
        take_back(quotas.fuel(), &store);
        match ended {
            Err(error) if !instantiated && !is_of_guest(&error) => Err(guest.explain(&error)),
            ended => Ok(GuestEnd::of_command(ended.map(Ok))),
        }
    }

    fn wire_stdio(&mut self, legacy: bool) {
        self.wasi
            .stdin(self.stdio.p2_stdin())
            .stdout(self.stdio.p2_stdout(legacy))
            .stderr(self.stdio.p2_stderr(legacy));
    }
}

/// An error and its causes, one below the other: the guest's frames, and none of the host's.
fn in_full(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(|cause| cause.to_string()).collect();
    // wasmtime's name for the module that has none.
    causes.join("\n").replace("<unknown>!", "")
}

/// Tells, whichever way a run ends, how much was not told of it.
struct SumUp(Events);

impl Drop for SumUp {
    fn drop(&mut self) {
        self.0.sum_up();
    }
}

/// Tells what the interfaces have no name for, so that a guest can only say that there was an error.
fn tell_causes(notes: &[Note], events: &Events) {
    let mut told = Vec::new();
    for Note { label, fault, .. } in notes.iter().filter(|it| it.fault.code == ErrorCode::Io) {
        if !told.contains(&(label, fault)) {
            told.push((label, fault));
            events.tell(&Event::PipeFailed { label: label.clone(), fault: *fault });
        }
    }
}

/// Whether memory was refused.
fn is_short_of_memory(reached: &Reached) -> bool {
    let of_memory = |limit: &Limit| matches!(limit, Limit::MaxMemory(_) | Limit::MaxTotalMemory(_));
    reached.limits().iter().any(of_memory)
}

/// Gives a store its fuel. Where the engine counts and nothing bounds the guest, it has all there is.
fn fill<T>(engine: &Engine, fuel: Option<&Fuel>, store: &mut Store<T>) -> wasmtime::Result<()> {
    match fuel {
        Some(fuel) => fuel.fill(store),
        None if engine.is_metering() => store.set_fuel(u64::MAX),
        None => Ok(()),
    }
}

fn take_back<T>(fuel: Option<&Fuel>, store: &Store<T>) {
    if let Some(fuel) = fuel {
        fuel.take_back(store);
    }
}

/// Whether it was the guest's code that ended an instantiation, which can run its start functions,
/// rather than that it does not fit.
fn is_of_guest(error: &wasmtime::Error) -> bool {
    error.is::<Trap>() || error.is::<I32Exit>() || error.is::<WasmBacktrace>()
}

fn yield_at_each_pulse<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
}

/// All that is provided, or as good as: of the packages of WASI 0.3 only those that the guest imports,
/// as linking takes a tenth of a start.
fn component_linker(engine: &Engine, guest: &Guest) -> wasmtime::Result<Linker<State>> {
    use wasmtime_wasi::cli::WasiCli;
    use wasmtime_wasi::cli::WasiCliView as _;
    use wasmtime_wasi::p3::bindings::cli;

    let mut linker = Linker::new(engine.wasmtime());
    let l = &mut linker;
    p2::add_to_linker_async(l)?;
    type Add = fn(&mut Linker<State>) -> wasmtime::Result<()>;
    let packages: [(&str, Add); 4] = [
        ("wasi:clocks", p3::clocks::add_to_linker),
        ("wasi:filesystem", p3::filesystem::add_to_linker),
        ("wasi:random", p3::random::add_to_linker),
        ("wasi:sockets", p3::sockets::add_to_linker),
    ];
    for (package, add) in packages {
        if guest.imports_of(package, WasiVersion::V0_3) {
            add(l)?;
        }
    }
    // All of `wasi:cli@0.3` but the standard streams, which are ours.
    cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)?;
    wasi::add_stdio_to_linker(l)?;
    wasi::add_to_linker(l)?;
    wasi::p2::add_fast_streams_to_linker(l)?;
    let files_of_0_3 = guest.imports_of("wasi:filesystem", WasiVersion::V0_3);
    wasi::add_folders_to_linker(l, files_of_0_3)?;
    wasi::add_files_to_linker(l, files_of_0_3)?;
    Ok(linker)
}

/// A component that was found to have a `run`.
enum Command {
    V0_2(p2::bindings::CommandPre<State>),
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

impl StdioView for State {
    fn stdio(&mut self) -> StdioCtxView<'_> {
        StdioCtxView { ctx: &mut self.stdio }
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
