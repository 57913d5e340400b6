//! What one guest is given, before it runs.

use std::time::Duration;

use wasmtime_wasi::WasiCtxBuilder;

use crate::children::Children;
use crate::deadlines::LAST_DELIVERY;
use crate::limits::{MemoryUse, Reached};
use crate::pipe::{Journal, Label, PendingWrites, Pipes, Reader, Writer};
use crate::sys::{self, Direction, Handle};
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
/// no network, the clocks and random numbers of the host. Its limits are those of its pipes:
/// [`PipesBuilder::limits`](crate::pipe::PipesBuilder::limits). The time limit counts from
/// [`Setup::run`] on, and takes in children and what is left to be delivered; a single call into the
/// system that blocks is waited for.
pub struct Setup {
    pub(crate) wasi: WasiCtxBuilder,
    pub(crate) stdio: Stdio,
    pub(crate) pipes: Pipes,
    pub(crate) children: Option<Children>,
    /// Its standard streams that are another guest's, too: what they are called there, and where that
    /// is noted.
    pub(crate) inherited: Vec<(Label, Journal)>,
    /// Another guest has started it.
    pub(crate) is_child: bool,
    /// Whether what it writes may be deferred: it can touch no files.
    pub(crate) defers: bool,
    /// How long what its writers had accepted may take to go out once it is ended where it stands.
    pub(crate) grace: Duration,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("stdio", &self.stdio)
            .field("pipes", &self.pipes)
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
            children: None,
            inherited: Vec::new(),
            is_child: false,
            grace: LAST_DELIVERY,
            defers: true,
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

    /// The other grants of WASI: arguments, environment, folders, sockets. Its standard streams are
    /// replaced by those of [`Setup::new`]. A guest with grants of these writes to its pipes line by line as it does
    /// so, rather than in larger pieces: use [`Setup::args`] and [`Setup::env`] for what these say.
    pub fn wasi(&mut self) -> &mut WasiCtxBuilder {
        self.defers = false;
        &mut self.wasi
    }

    /// Adds arguments, the first of which is the name that the guest was started by.
    pub fn args(&mut self, args: &[impl AsRef<str>]) -> &mut Self {
        self.wasi.args(args);
        self
    }

    /// Adds variables to the environment, which is empty otherwise.
    pub fn env(&mut self, variables: &[(impl AsRef<str>, impl AsRef<str>)]) -> &mut Self {
        self.wasi.envs(variables);
        self
    }

    /// Which limits the guest and its children meet, to be asked about later.
    pub fn reached(&self) -> Reached {
        self.pipes.journal().reached()
    }

    /// The memory of the guest and its children, to be asked about later.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse::of(self.pipes.quotas().memory())
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
        // What it had accepted goes out as what its parent has.
        self.grace = Duration::ZERO;
        self
    }

    /// How long what the guest's writers had accepted may take to go out once it is ended where it stands.
    pub(crate) fn grace(&mut self, grace: Duration) -> &mut Self {
        self.grace = grace;
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
