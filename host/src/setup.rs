//! Sets up what one guest is given, before it runs.

use std::time::Duration;

use tracing::Span;
use wasmtime_wasi::WasiCtxBuilder;

use crate::children::Children;
use crate::deadlines::LAST_DELIVERY;
use crate::limits::{MemoryUse, Reached};
use crate::pipe::{Journal, Label, PendingWrites, Pipes};
use crate::restart::Restart;
use crate::swap::Swaps;
use crate::sys::Handle;
use crate::wasi::Stdio;

/// How many random bytes a call may ask for; a call for more is a trap. Bounds how long a call
/// holds the thread, on which other children, signals and time limits wait: some milliseconds.
const MAX_RANDOM: u64 = 4 * 1024 * 1024;

/// Returns WASI without any grant, and with pipehost's bounds.
pub(crate) fn bounded_wasi() -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    wasi.max_random_size(MAX_RANDOM);
    wasi
}

/// Everything that one guest is given.
///
/// By default, the guest has nothing beyond the pipes and the standard streams but the clocks and
/// random numbers of the host: no arguments, no environment, no files, no network. Its limits are
/// those of its pipes: [`PipesBuilder::limits`](crate::pipe::PipesBuilder::limits). The time limit
/// counts from [`Setup::run`] on, and includes its children and its last deliveries. A single
/// system call that blocks is waited for.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::pipes::{null, standard};
/// use pipehost::{Engine, Guest, Outcome, Pipes, Setup};
///
/// let engine = Engine::new()?;
/// let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
/// let pipes = Pipes::builder().build();
/// let mut setup = Setup::between(pipes, null()?, standard(1)?, standard(2)?)?;
/// setup.args(&["guest", "--verbose"]).env(&[("LANG", "C")]);
/// let memory = setup.memory();
/// let outcome = setup.run(&engine, &guest).await?;
/// assert!(matches!(outcome, Outcome::Exited(0)));
/// println!("{} bytes of memory", memory.peak());
/// # Ok(())
/// # }
/// ```
pub struct Setup {
    pub(crate) wasi: WasiCtxBuilder,
    pub(crate) stdio: Stdio,
    pub(crate) pipes: Pipes,
    pub(crate) children: Option<Children>,
    /// The standard streams that are also another guest's: for each, its label there and the
    /// journal that notes its failures.
    pub(crate) inherited: Vec<(Label, Journal)>,
    /// Whether another guest has started it.
    pub(crate) is_child: bool,
    /// Whether the guest's writes may be deferred: it can touch no files.
    pub(crate) defers: bool,
    /// Whether it is started again after a trap.
    pub(crate) restart: Option<Restart>,
    /// Those that take its place while it runs.
    pub(crate) swaps: Option<Swaps>,
    /// How long the writers' last deliveries may take after the host has ended the guest.
    pub(crate) grace: Duration,
    /// Where messages about the guest come from.
    pub(crate) span: Span,
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
    /// Sets up a guest with these pipes and standard streams, and nothing else.
    pub fn new(pipes: Pipes, stdio: Stdio) -> Self {
        Self {
            wasi: bounded_wasi(),
            stdio,
            pipes,
            children: None,
            inherited: Vec::new(),
            is_child: false,
            grace: LAST_DELIVERY,
            restart: None,
            swaps: None,
            defers: true,
            span: Span::none(),
        }
    }

    /// Sets up a guest as [`Setup::new`] does, with standard streams over these handles, as
    /// [`Stdio::between`] makes them. Must be called inside the tokio runtime that runs the guest.
    ///
    /// # Errors
    /// Fails if no descriptor is left.
    pub fn between(
        pipes: Pipes,
        stdin: Handle,
        stdout: Handle,
        stderr: Handle,
    ) -> std::io::Result<Self> {
        let stdio = Stdio::between(&pipes, stdin, stdout, stderr)?;
        Ok(Self::new(pipes, stdio))
    }

    /// Returns the builder of WASI's other grants: arguments, environment, folders, sockets. The
    /// standard streams of [`Setup::new`] replace its own. After this call, each write of the guest to
    /// a pipe is delivered at once, and not in larger pieces: for arguments and environment alone, use
    /// [`Setup::args`] and [`Setup::env`].
    pub fn wasi(&mut self) -> &mut WasiCtxBuilder {
        self.defers = false;
        &mut self.wasi
    }

    /// Adds arguments. The first is the name by which the guest was started.
    pub fn args(&mut self, args: &[impl AsRef<str>]) -> &mut Self {
        self.wasi.args(args);
        self
    }

    /// Adds variables to the environment. It is empty otherwise.
    pub fn env(&mut self, variables: &[(impl AsRef<str>, impl AsRef<str>)]) -> &mut Self {
        self.wasi.envs(variables);
        self
    }

    /// Returns a record of the limits that the guest and its children reach, to be queried later.
    pub fn reached(&self) -> Reached {
        self.pipes.journal().reached()
    }

    /// Returns a record of the memory of the guest and its children, to be queried later.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse::of(self.pipes.quotas().memory())
    }

    /// Sets the children that the guest may start. Default: none.
    pub fn children(&mut self, children: Children) -> &mut Self {
        self.children = Some(children);
        self
    }

    /// Has the guest started again after a trap. Default: the trap ends the run.
    pub fn restart(&mut self, restart: Restart) -> &mut Self {
        self.restart = Some(restart);
        self
    }

    /// Has other guests take the guest's place while it runs, on the same open pipes. Has an effect on pipes that
    /// were built with [`PipesBuilder::handed_over`](crate::pipe::PipesBuilder::handed_over).
    pub fn swaps(&mut self, swaps: Swaps) -> &mut Self {
        self.swaps = Some(swaps);
        self
    }

    /// Notes that another guest starts this one. `streams` are the standard streams that are also
    /// the other guest's: for each, its label there and the journal that notes its failures.
    pub(crate) fn inherits(&mut self, streams: Vec<(Label, Journal)>) -> &mut Self {
        self.inherited = streams;
        self.is_child = true;
        // What the guest had accepted is delivered as what its parent had accepted.
        self.grace = Duration::ZERO;
        self
    }

    /// Sets how long the writers' last deliveries may take after the host has ended the guest.
    pub(crate) fn grace(&mut self, grace: Duration) -> &mut Self {
        self.grace = grace;
        self
    }

    /// Sets where messages about the guest come from, while it runs.
    pub(crate) fn span(&mut self, span: Span) -> &mut Self {
        self.span = span;
        self
    }

    /// Returns the deliveries that go on after the guest has ended. Await [`PendingWrites::idle`]
    /// before leaving.
    pub fn pending_writes(&self) -> PendingWrites {
        self.pipes.pending_writes().clone()
    }

    /// Returns the journal of the guest's pipe ends and standard streams.
    pub fn journal(&self) -> Journal {
        self.pipes.journal().clone()
    }
}
