//! What one guest is given, before it runs.

use std::time::Duration;

use wasmtime_wasi::WasiCtxBuilder;

use crate::children::Children;
use crate::fuel::Fuel;
use crate::limits::{DEFAULT_MAX_MEMORY, Memory};
use crate::pipe::{Journal, Label, PendingWrites, Pipes, Reached, Reader, Writer};
use crate::sys::{self, Direction, Handle};
use crate::totals::Totals;
use crate::wasi::Stdio;

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
    pub(crate) wasi: WasiCtxBuilder,
    pub(crate) stdio: Stdio,
    pub(crate) pipes: Pipes,
    pub(crate) memory: Vec<Memory>,
    pub(crate) fuel: Option<Fuel>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) totals: Option<Totals>,
    pub(crate) children: Option<Children>,
    /// Its standard streams that are another guest's, too: what they are called there, and where that
    /// is noted.
    pub(crate) inherited: Vec<(Label, Journal)>,
    /// Another guest has started it.
    pub(crate) is_child: bool,
    /// What to do if the guest opens none of its pipes.
    pub(crate) names_hint: &'static str,
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

impl Setup {
    /// A guest with these pipes and standard streams, and nothing else.
    pub fn new(pipes: Pipes, stdio: Stdio) -> Self {
        Self {
            wasi: bounded_wasi(),
            stdio,
            pipes,
            memory: vec![Memory::of_guest(DEFAULT_MAX_MEMORY)],
            fuel: None,
            timeout: None,
            totals: None,
            children: None,
            inherited: Vec::new(),
            is_child: false,
            names_hint: "look by which names the guest opens its pipes",
        }
    }

    /// As [`Setup::new`], with standard streams over these handles: pipes, files, whatever can be read and written.
    /// Others may share them; their flags stay as they are. Must be called inside a tokio runtime, which runs the guest.
    ///
    /// # Errors
    /// Where no descriptor is to be had.
    pub fn between(
        pipes: Pipes,
        stdin: Handle,
        stdout: Handle,
        stderr: Handle,
    ) -> std::io::Result<Self> {
        let (writes, journal) = (pipes.pending_writes(), pipes.journal());
        let writer = |handle, label| {
            let end = sys::End::shared(handle, Direction::Write)?;
            std::io::Result::Ok(Writer::new(end, None, label, writes, journal))
        };
        let stdin = sys::End::shared(stdin, Direction::Read)?;
        let stdio = Stdio::new(
            Reader::new(stdin, None, Label::Stdin, journal),
            writer(stdout, Label::Stdout)?,
            writer(stderr, Label::Stderr)?,
        );
        Ok(Self::new(pipes, stdio))
    }

    /// How long the guest may run, children and what it has left to be delivered included: then it is ended where it
    /// stands, with [`Outcome::TimedOut`](crate::outcome::Outcome::TimedOut). A single call into the system that blocks is waited for. Default: without end.
    pub fn timeout(&mut self, limit: Duration) -> &mut Self {
        self.timeout = Some(limit);
        self
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
    /// Whoever runs out traps. The guest must be compiled, and run, by [`Engine::metering`](crate::engine::Engine::metering). Default:
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

    /// The deliveries that go on after the guest has ended: await [`PendingWrites::idle`] before leaving.
    pub fn pending_writes(&self) -> PendingWrites {
        self.pipes.pending_writes().clone()
    }

    /// What happens on the guest's pipe ends and standard streams.
    pub fn journal(&self) -> Journal {
        self.pipes.journal().clone()
    }
}
