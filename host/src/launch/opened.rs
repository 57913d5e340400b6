//! Everything that one guest is given, opened, and how it is tied to the thread that runs the guest.

use std::path::PathBuf;

use tokio::time::Instant;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::{
    ChildSpec, CommandSpec, FolderSpec, Given, GuestPlan, LaunchError, Listener, Stream, Streams,
};
use crate::children::{Children, Program};
use crate::guest::Guest;
use crate::limits::{GuestLimits, Totals};
use crate::names::{Label, PipeName};
use crate::pipe::{
    Activity, EofPolicy, Excess, Frame, Grant, Journal, PendingWrites, Pipes, Reader, Writer,
    deadline,
};
use crate::restart::Restart;
use crate::setup::Setup;
use crate::sys::{self, Direction, End};
use crate::threads;
use crate::wasi::Stdio;

/// Everything that one guest is given, opened. Belongs to no thread yet.
///
/// See the examples of [`launch`](crate::launch) and of [`Shared`].
pub struct Opened {
    wasi: WasiCtxBuilder,
    grants: Vec<Grant>,
    streams: Streams,
    fifos: Vec<(PipeName, PathBuf)>,
    children: Option<Children>,
    limits: GuestLimits,
    shared: Option<Shared>,
    raw_terminal: bool,
    has_folders: bool,
    frame: Option<Frame>,
    shed: Option<Excess>,
    restart: Option<Restart>,
    swapped: bool,
    listener: Listener,
}

/// What a guest shares with the other guests of its process.
///
/// ```
/// use pipehost::launch::{LaunchError, Opened, Shared};
/// use pipehost::{Setup, limits::Totals, pipes::Activity};
///
/// fn one_of_two(guest: Opened, totals: &Totals) -> Result<Setup, LaunchError> {
///     let activity = Some(Activity::new());
///     guest.shared(Shared { totals: totals.clone(), guests: 2, activity }).setup()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Shared {
    /// What they may use up together.
    pub totals: Totals,
    /// How many guests there are.
    pub guests: usize,
    /// Records when a byte moves on one of their pipes.
    pub activity: Option<Activity>,
}

impl Opened {
    pub(super) fn new(
        plan: &GuestPlan,
        wasi: WasiCtxBuilder,
        grants: Vec<Grant>,
        streams: Streams,
        fifos: Vec<(PipeName, PathBuf)>,
        listener: Listener,
    ) -> Self {
        let (limits, raw_terminal) = (plan.limits.clone(), plan.raw_terminal);
        let (children, shared, has_folders) = (None, None, !plan.folders.is_empty());
        Self {
            wasi,
            grants,
            streams,
            fifos,
            children,
            limits,
            shared,
            raw_terminal,
            has_folders,
            frame: plan.frame,
            shed: plan.shed,
            restart: plan.restart,
            swapped: plan.swap.is_some(),
            listener,
        }
    }

    /// Returns the names and paths of the FIFOs that the guest may open.
    pub fn fifos(&self) -> &[(PipeName, PathBuf)] {
        &self.fifos
    }

    /// Sets what the guest shares with other guests.
    pub fn shared(mut self, shared: Shared) -> Self {
        self.shared = Some(shared);
        self
    }

    /// Sets the programs that the guest may start.
    pub fn with_children(mut self, children: Option<Children>) -> Self {
        self.children = children;
        self
    }

    /// Ties it to this thread's runtime.
    ///
    /// # Errors
    /// Those of opening the standard streams.
    pub fn setup(self) -> Result<Setup, LaunchError> {
        let share = self.shared.as_ref().map_or(1, |shared| shared.guests.max(1));
        let (deadline, listener) = (deadline(self.limits.open_timeout), self.listener);
        let mut builder = Pipes::builder()
            .limits(self.limits)
            .max_descriptors(sys::descriptors_left() / share)
            .events(move |event| listener(event));
        if self.swapped {
            builder = builder.handed_over();
        }
        if let Some(shared) = &self.shared {
            builder = builder.within(&shared.totals);
            if let Some(activity) = &shared.activity {
                builder = builder.watched_by(activity.clone());
            }
        }
        for grant in self.grants {
            builder = builder.grant(grant)?;
        }
        let pipes = builder.build();
        let Streams { stdin, stdout, stderr } = self.streams;
        let opening = Opening { deadline, pipes: &pipes, raw: self.raw_terminal };
        let writer = |stream, label: Label| {
            let what = label.to_string();
            opening.writer(stream, label).map_err(LaunchError::resources(what))
        };
        let stdin = opening.reader(stdin).map_err(LaunchError::resources("stdin"))?;
        let stdin = stdin.by_records_of(self.frame);
        let (stdout, stderr) = (writer(stdout, Label::Stdout)?, writer(stderr, Label::Stderr)?);
        let stdout = match self.frame {
            Some(frame) => stdout.framed(frame),
            None => stdout,
        };
        let stderr = match self.shed {
            Some(excess) => stderr.shedding(excess),
            None => stderr,
        };
        let stdio = Stdio::new(stdin, stdout, stderr);
        let mut setup = Setup::new(pipes, stdio);
        (setup.wasi, setup.defers) = (self.wasi, !self.has_folders);
        if let Some(children) = self.children {
            setup.children(children);
        }
        if let Some(restart) = self.restart {
            setup.restart(restart);
        }
        Ok(setup)
    }
}

/// What is needed to open standard streams.
struct Opening<'a> {
    deadline: Option<Instant>,
    pipes: &'a Pipes,
    raw: bool,
}

impl Opening<'_> {
    fn reader(&self, stream: Stream) -> std::io::Result<Reader> {
        let journal: &Journal = self.pipes.journal();
        Ok(match stream {
            Stream::Shared(fd) => {
                Reader::new(End::shared(fd, Direction::Read)?, None, Label::Stdin, journal)
            }
            Stream::Joined(fd) => {
                Reader::of_pipe_pair(End::owned(fd, Direction::Read)?, Label::Stdin, journal)
            }
            Stream::Fifo { fifo, eof, capacity } => {
                let reopen = eof == EofPolicy::Reopen;
                Reader::fifo(&fifo, reopen, self.deadline, capacity, Label::Stdin, journal)?
            }
        })
    }

    fn writer(&self, stream: Stream, label: Label) -> std::io::Result<Writer> {
        let (journal, writes): (_, &PendingWrites) =
            (self.pipes.journal(), self.pipes.pending_writes());
        let writer = match stream {
            Stream::Shared(fd) => {
                Writer::new(End::shared(fd, Direction::Write)?, None, label, writes, journal)
            }
            Stream::Joined(fd) => {
                Writer::of_pipe_pair(End::owned(fd, Direction::Write)?, label, writes, journal)
            }
            Stream::Fifo { fifo, capacity, .. } => {
                Writer::fifo(&fifo, capacity, self.deadline, label, writes, journal)?
            }
        };
        Ok(if self.raw { writer.raw() } else { writer })
    }
}

impl FolderSpec {
    pub(super) fn grant_in(&self, wasi: &mut WasiCtxBuilder) -> Result<(), LaunchError> {
        sys::allow_folders().map_err(LaunchError::file(Given::Folder, &self.host))?;
        let permissions = if self.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        let granted = wasi.preopened_dir(&self.host, &self.guest, permissions);
        match granted.map_err(wasmtime::Error::downcast::<std::io::Error>) {
            Ok(_) => Ok(()),
            Err(Ok(error)) => Err(LaunchError::file(Given::Folder, &self.host)(error)),
            Err(Err(error)) => {
                let error = std::io::Error::other(format!("{error:#}"));
                Err(LaunchError::file(Given::Folder, &self.host)(error))
            }
        }
    }
}

/// Starts the thread for a guest's calls on files, if it has folders. Must be called inside a runtime,
/// on a thread that is bounded to these folders.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use pipehost::launch::{GuestPlan, reserve_for_files};
/// # let plan = GuestPlan::default();
/// // Once the thread is bounded, and before the guest runs.
/// reserve_for_files(&plan.folders)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Fails if no thread can be started.
pub fn reserve_for_files(folders: &[FolderSpec]) -> Result<(), LaunchError> {
    match folders.is_empty() {
        true => Ok(()),
        false => threads::reserve().map_err(LaunchError::resources("calls on files")),
    }
}

/// Returns the children that `plan` lets a guest start, or `None` if there are none. `load` returns a
/// child's guest and the program name that it sees.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::launch::{ChildSpec, CommandSpec, GuestPlan, children};
/// use pipehost::{Engine, Guest};
///
/// let (name, guest) = ("upper".parse()?, "upper.wasm".into());
/// let upper = ChildSpec { name, guest, spawn: false, max_memory: None, timeout: None };
/// let sort = CommandSpec { name: "sort".parse()?, program: "sort".into(), args: vec![] };
/// let plan = GuestPlan { children: vec![upper], commands: vec![sort], ..GuestPlan::default() };
/// let engine = Engine::new()?;
/// let children = children(&plan, |spec| {
///     Guest::from_file(&engine, &spec.guest).map(|guest| (guest, spec.name.to_string()))
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of `load`.
pub fn children<E>(
    plan: &GuestPlan,
    mut load: impl FnMut(&ChildSpec) -> Result<(Guest, String), E>,
) -> Result<Option<Children>, E> {
    let mut grants = Vec::new();
    for spec in &plan.children {
        let (guest, program) = load(spec)?;
        let ChildSpec { spawn, max_memory, timeout, .. } = *spec;
        let program = Program::Guest { guest, program, spawn, max_memory, timeout };
        grants.push((spec.name.clone(), program));
    }
    for CommandSpec { name, program, args } in &plan.commands {
        let args = args.iter().map(Into::into).collect();
        grants.push((name.clone(), Program::Native { program: program.into(), args }));
    }
    Ok((!grants.is_empty()).then(|| Children::new(grants)))
}
