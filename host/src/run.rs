//! Running one guest to its end.

use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{ExternType, Store, Trap, WasmBacktrace};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2, p3};

use crate::children::{Children, with_children};
use crate::engine::Engine;
use crate::fuel::Fuel;
use crate::guest::{Guest, GuestError, Kind};
use crate::interfaces::WasiVersion;
use crate::limits::{DEFAULT_MAX_MEMORY, MAX_CALL_BYTES, MAX_HANDLES, Memory, MemoryBudget};
use crate::needs;
use crate::outcome::Outcome;
use crate::pipe::{Drains, ErrorCode, Journal, Label, Limit, Note, Pipes, Reached, Remarks};
use crate::threads;
use crate::totals::Totals;
use crate::wasi::{
    self, ModuleView, PipesCtxView, PipesView, Standard, Stdio, StdioCtxView, StdioView,
};

/// Random bytes that are given at once; a call for more is a trap. Bounds how long a call holds the
/// thread, which has other children, signals and time limits to look at: some milliseconds.
const MAX_RANDOM: u64 = 4 * 1024 * 1024;

/// WASI without any grant, and with our bounds.
pub(crate) fn bounded_wasi() -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    wasi.max_random_size(MAX_RANDOM);
    wasi
}

/// Everything that one guest is given.
///
/// By default, beyond the pipes and the standard streams: no arguments, no environment, no files,
/// no network, the clocks and random numbers of the host, 256 MiB of memory, as much time to compute
/// as it likes.
pub struct Setup {
    wasi: WasiCtxBuilder,
    stdio: Stdio,
    pipes: Pipes,
    memory: Vec<Memory>,
    fuel: Option<Fuel>,
    totals: Option<Totals>,
    children: Option<Children>,
    /// Its standard streams that are another guest's, too: what they are called there, and where that
    /// is noted.
    inherited: Vec<(Label, Journal)>,
    /// Another guest has started it.
    is_child: bool,
    /// What to do if the guest opens none of its pipes.
    names_hint: &'static str,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("stdio", &self.stdio)
            .field("pipes", &self.pipes)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// How long bytes that a guest handed over may take to be delivered after its silence has ended it.
const LAST_DELIVERY: Duration = Duration::from_millis(100);

/// How a guest ended.
#[derive(Debug)]
pub enum End {
    /// By itself, with this status: 0 to 255.
    Exited(u8),
    /// By a trap. The error's chain has the WebAssembly backtrace.
    Trapped(wasmtime::Error),
}

impl Setup {
    /// A guest with these pipes and standard streams, and nothing else.
    pub fn new(pipes: Pipes, stdio: Stdio) -> Self {
        Self {
            wasi: bounded_wasi(),
            stdio,
            pipes,
            memory: vec![Memory::of_guest(DEFAULT_MAX_MEMORY)],
            fuel: None,
            totals: None,
            children: None,
            inherited: Vec::new(),
            is_child: false,
            names_hint: "look by which names the guest opens its pipes",
        }
    }

    /// The other grants of WASI: arguments, environment, folders. Its standard streams are
    /// replaced by those of [`Setup::new`].
    pub fn wasi(&mut self) -> &mut WasiCtxBuilder {
        &mut self.wasi
    }

    /// How many bytes all of the guest's memories and tables may have together, its children's
    /// included. Default 256 MiB.
    pub fn max_memory(&mut self, bytes: u64) -> &mut Self {
        self.memory = vec![Memory::of_guest(bytes)];
        self
    }

    /// How much the guest may compute, in wasmtime's units: about one for each WebAssembly instruction.
    /// Its children may burn as much again, all together; each gets half of what is left for them.
    /// Whoever runs out traps. The guest must be compiled, and run, by [`Engine::metering`]. Default:
    /// without end.
    pub fn fuel(&mut self, units: u64) -> &mut Self {
        self.fuel = Some(Fuel::new(units));
        self
    }

    /// What to do if the guest opens none of its pipes.
    pub(crate) fn names_hint(&mut self, hint: &'static str) -> &mut Self {
        self.names_hint = hint;
        self
    }

    pub(crate) fn fuel_of(&mut self, fuel: Fuel) -> &mut Self {
        self.fuel = Some(fuel);
        self
    }

    /// What it shares with other guests, beside its own limits. Its pipes were given their share when
    /// they were made: [`PipesBuilder::within`](crate::pipe::PipesBuilder::within).
    pub fn within(&mut self, totals: &Totals) -> &mut Self {
        self.totals = Some(totals.clone());
        self
    }

    /// Which limits the guest and its children meet, to be asked about later.
    pub fn reached(&self) -> Reached {
        self.pipes.journal().reached()
    }

    /// As [`Setup::max_memory`], of several that are shared with others: each bounds it.
    pub(crate) fn memory_within(&mut self, pools: Vec<Memory>) -> &mut Self {
        self.memory = pools;
        self
    }

    /// The memory of the guest and its children, to be asked about later.
    pub fn memory(&self) -> Option<Memory> {
        self.memory.last().cloned()
    }

    /// What the guest may start. Default: nothing.
    pub fn children(&mut self, children: Children) -> &mut Self {
        self.children = Some(children);
        self
    }

    /// Another guest starts it. Which of its standard streams are that guest's, too: what they are called
    /// there, and where it is noted what goes wrong on them.
    pub(crate) fn inherits(&mut self, streams: Vec<(Label, Journal)>) -> &mut Self {
        self.inherited = streams;
        self.is_child = true;
        self
    }

    /// The deliveries that go on after the guest has ended: await [`Drains::idle`] before leaving.
    pub fn drains(&self) -> Drains {
        self.pipes.drains().clone()
    }

    /// What happens on the guest's pipe ends and standard streams.
    pub fn journal(&self) -> Journal {
        self.pipes.journal().clone()
    }

    /// Runs `guest` to its end, and delivers what it leaves behind. Must be awaited inside a tokio
    /// runtime with its I/O and timers enabled. Never blocks the thread for longer than a pulse
    /// (10 ms) plus one system call.
    ///
    /// Its children run beside it, and end with it.
    ///
    /// Dropping the future ends the guest where it stands and closes all its ends. What its writers
    /// had accepted is delivered by [`Setup::drains`].
    ///
    /// # Errors
    /// Where the guest does not fit what pipehost provides. A trap is no error but an [`Outcome`].
    pub async fn run(self, engine: &Engine, guest: &Guest) -> Result<Outcome, GuestError> {
        let (drains, hushed) = (self.drains(), self.stdio.hushed());
        let (journal, inherited) = (self.journal(), self.inherited.clone());
        let idle = self.pipes.idle();
        let (granted, hint) = (self.pipes.grant_use(), self.names_hint);
        let is_child = self.is_child;
        let _sum_up = (!self.is_child).then(|| SumUp(self.journal().remarks().clone()));
        let running = async {
            let end = self.run_guest(engine, guest).await;
            drains.idle().await;
            end
        };
        let end = match idle {
            None => running.await?,
            Some((limit, activity)) => tokio::select! {
                // A guest that is always busy must not keep this from being looked at.
                biased;
                () = activity.silence(limit) => {
                    // The guest is gone by now. What its writers had accepted may still go out.
                    let _ = tokio::time::timeout(LAST_DELIVERY, drains.idle()).await;
                    return Ok(Outcome::Silent(limit));
                }
                end = running => end?,
            },
        };
        let remarks = journal.remarks();
        if let End::Trapped(error) = &end {
            remarks.detail(in_full(error));
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
        drains.idle().await;
        let has_failed = matches!(outcome, Outcome::Exited(1..) | Outcome::Trapped(_));
        if has_failed
            && !is_child
            && let Some(missing) = granted.missing()
        {
            remarks.warn(missing);
        } else if matches!(outcome, Outcome::Exited(_))
            && journal.reached().limits().is_empty()
            && let Some(names) = granted.unopened()
        {
            remarks.warn(format_args!("none of the granted pipes was opened: {names}; {hint}"));
        }
        if matches!(outcome, Outcome::Exited(1..)) {
            tell_causes(&notes, remarks);
        }
        Ok(outcome)
    }

    async fn run_guest(mut self, engine: &Engine, guest: &Guest) -> Result<End, GuestError> {
        let reached = self.reached();
        if let Some(totals) = &self.totals {
            // First: the last one is the guest's own.
            self.memory.insert(0, totals.memory.clone());
        }
        let jobs = self.children.take().map(|children| {
            let children = match &self.totals {
                Some(totals) => children.within(Some(totals.children.clone())),
                None => children,
            };
            let (spawner, jobs) =
                children.spawner(engine, &self.stdio, &self.pipes, &self.memory, self.fuel.clone());
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
    ) -> Result<End, GuestError> {
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
        let (fuel, reached) = (self.fuel.clone(), self.reached());
        let mut store = Store::new(
            engine.wasmtime(),
            State {
                wasi: self.wasi.build(),
                table,
                stdio: self.stdio,
                pipes: self.pipes,
                memory: MemoryBudget::within(self.memory, reached),
            },
        );
        store.limiter(|state| &mut state.memory);
        fill(engine, fuel.as_ref(), &mut store).map_err(explain)?;
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
        take_back(fuel.as_ref(), &store);
        match ended {
            Err(error) if !instantiated && !is_of_guest(&error) => Err(guest.explain(&error)),
            ended => Ok(End::of_command(ended)),
        }
    }

    async fn run_module(
        mut self,
        engine: &Engine,
        guest: &Guest,
        module: &wasmtime::Module,
    ) -> Result<End, GuestError> {
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
        let (fuel, reached) = (self.fuel.clone(), self.reached());
        let mut store = Store::new(
            engine.wasmtime(),
            ModuleState {
                wasi: self.wasi.build_p1(),
                standard: Standard::new(self.stdio, &self.pipes),
                memory: MemoryBudget::within(self.memory, reached),
                _pipes: self.pipes,
            },
        );
        store.limiter(|state| &mut state.memory);
        fill(engine, fuel.as_ref(), &mut store).map_err(explain)?;
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
        take_back(fuel.as_ref(), &store);
        match ended {
            Err(error) if !instantiated && !is_of_guest(&error) => Err(guest.explain(&error)),
            ended => Ok(End::of_command(ended.map(Ok))),
        }
    }

    fn wire_stdio(&mut self, legacy: bool) {
        self.wasi
            .stdin(self.stdio.p2_stdin())
            .stdout(self.stdio.p2_stdout(legacy))
            .stderr(self.stdio.p2_stderr(legacy));
    }
}

impl End {
    /// What the outcome of `run` means.
    fn of_command(outcome: wasmtime::Result<Result<(), ()>>) -> Self {
        match outcome {
            Ok(Ok(())) => Self::Exited(0),
            Ok(Err(())) => Self::Exited(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                // As exit(3): what a parent sees of a status is its low eight bits.
                Some(I32Exit(status)) => Self::Exited((status & 0xff) as u8),
                None => Self::Trapped(error),
            },
        }
    }

    /// Whether the trap was that the guest had burnt its fuel.
    pub fn is_out_of_fuel(error: &wasmtime::Error) -> bool {
        error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel)
    }

    /// What the trap was, in a few words.
    pub fn trap_summary(error: &wasmtime::Error) -> String {
        match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
            None => {
                let text = crate::guest::one_line(&error.root_cause());
                let limit = match &*text {
                    it if it.contains("handle limit") || it.contains("no free keys") => {
                        format!("; a guest may have {MAX_HANDLES} handles")
                    }
                    it if it.contains("for hostcalls") => {
                        format!("; a call may pass {} MiB", MAX_CALL_BYTES >> 20)
                    }
                    _ => String::new(),
                };
                text + &limit
            }
        }
    }
}

/// An error and its causes, one below the other: the guest's frames, and none of the host's.
fn in_full(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(|cause| cause.to_string()).collect();
    // wasmtime's name for the module that has none.
    causes.join("\n").replace("<unknown>!", "")
}

/// Tells, whichever way a run ends, how much was not told of it.
struct SumUp(Remarks);

impl Drop for SumUp {
    fn drop(&mut self) {
        self.0.sum_up();
    }
}

/// Tells what the interfaces have no name for, so that a guest can only say that there was an error.
fn tell_causes(notes: &[Note], remarks: &Remarks) {
    let mut told = Vec::new();
    for Note { label, fault, .. } in notes.iter().filter(|it| it.fault.code == ErrorCode::Io) {
        if !told.contains(&(label, fault)) {
            told.push((label, fault));
            remarks.warn(format_args!("`{label}`: {fault}"));
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
