//! From what an operator typed to what one guest is given: opened and checked here, and tied to the
//! thread that runs the guest later.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use anyhow::{Context, anyhow};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::args::{GrantRef, GuestOptions, SandboxMode};
use super::exit::{Failure, OrStatus, Status};
use super::say;
use super::signals::Leftovers;
use super::source::Source;
use super::stats::FifoStats;
use super::values::{DirSpec, FdSpec, FifoSpec, StandardFifo, StdioSpec};
use crate::children::{Children, Program};
use crate::guest::Guest;
use crate::limits::{GuestLimits, Totals};
use crate::pipe::{
    Activity, Directions, EofPolicy, Grant, Journal, Label, PendingWrites, PipeName, Pipes, Reader,
    Writer, deadline,
};
use crate::setup::{Setup, bounded_wasi};
use crate::sys::{
    self, Direction, End, Fifo, FifoError, FifoWatch, Handle, InheritError, SandboxPolicy,
    SystemError,
};
use crate::threads;
use crate::wasi::Stdio;

/// What a standard stream goes to.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A descriptor whose description others may share.
    Shared(Handle),
    /// The end of a pipe that nobody else holds.
    Joined(Handle),
    /// A FIFO, opened when the guest starts.
    Fifo { fifo: Arc<Fifo>, eof: EofPolicy, capacity: Option<u64> },
}

/// What one guest has as standard streams, and which of its pipes are other stages' too.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) stdin: Stream,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
    pub(crate) named: Vec<Grant>,
}

/// All that one guest is given. Belongs to no thread yet.
pub(crate) struct Prepared {
    wasi: WasiCtxBuilder,
    grants: Vec<Grant>,
    streams: [Stream; 3],
    children: Option<Children>,
    limits: GuestLimits,
    shared: Option<SharedLimits>,
    raw_terminal: bool,
    names_hint: Option<&'static str>,
}

/// What a guest shares with the other guests of its pipeline.
#[derive(Clone, Debug)]
pub(crate) struct SharedLimits {
    pub(crate) totals: Totals,
    /// How many they are.
    pub(crate) guests: usize,
    /// What wants to know when something moves.
    pub(crate) activity: Option<Activity>,
}

/// Opens what an operator grants.
#[derive(Debug)]
pub(crate) struct Granting<'a> {
    leftovers: &'a Leftovers,
    /// What looks after the FIFOs, once there is one.
    watch: OnceCell<Option<FifoWatch>>,
    /// The stage that is being granted something, in a pipeline.
    stage: RefCell<Option<String>>,
    /// The FIFOs that are granted, in order.
    fifos: RefCell<Vec<FifoStats>>,
    /// The files that are written to: several that write to one share their place in it.
    outputs: RefCell<Vec<(PathBuf, Handle)>>,
    /// The inherited descriptors that were taken over, by number, but for those that are granted by name.
    inherited: RefCell<Vec<(i32, Handle)>>,
    /// What this process must still be able to do for what it has granted.
    policy: RefCell<SandboxPolicy>,
    /// Whether it will be confined.
    confined: bool,
}

impl<'a> Granting<'a> {
    pub(crate) fn new(leftovers: &'a Leftovers, mode: SandboxMode) -> Self {
        Self {
            leftovers,
            confined: mode != SandboxMode::Off,
            watch: OnceCell::new(),
            stage: RefCell::default(),
            fifos: RefCell::default(),
            outputs: RefCell::default(),
            inherited: RefCell::default(),
            policy: RefCell::default(),
        }
    }

    /// Whose grants come now, where there are several.
    pub(crate) fn for_stage(&self, name: &str) {
        *self.stage.borrow_mut() = Some(name.into());
    }

    /// The FIFOs that have been granted by name so far.
    pub(crate) fn fifos(&self) -> Vec<FifoStats> {
        self.fifos.take()
    }

    /// What `options` grant, after `wiring`. To be checked before: see [`check`].
    pub(crate) fn prepare(
        &self,
        options: &GuestOptions,
        wiring: Wiring,
        source: &Source,
        args: &[String],
    ) -> Result<Prepared, Failure> {
        let mut grants = wiring.named;
        for grant in &options.order {
            grants.push(match grant {
                GrantRef::Fifo(at) => self.fifo_grant(&options.fifo[*at], source)?,
                GrantRef::Fd(at) => descriptor(&options.fd[*at])?,
            });
        }
        let mut wasi = bounded_wasi();
        wasi.arg(source.program()).args(args).envs(&options.env);
        grant_folders(&mut wasi, &options.dir)?;
        self.keep(options, &grants, [&wiring.stdin, &wiring.stdout, &wiring.stderr])
            .context("what is granted cannot be kept")
            .or_status(Status::Io)?;
        Ok(Prepared {
            wasi,
            grants,
            streams: [wiring.stdin, wiring.stdout, wiring.stderr],
            children: None,
            limits: options.limits.clone(),
            shared: None,
            raw_terminal: options.raw_terminal,
            names_hint: matches!(source, Source::Bundled(..)).then_some(
                "a guest that comes with pipehost opens `in` and `out`: write in=PATH, out=PATH",
            ),
        })
    }

    /// Notes what a guest's grants take later.
    fn keep(
        &self,
        options: &GuestOptions,
        grants: &[Grant],
        streams: [&Stream; 3],
    ) -> std::io::Result<()> {
        if !self.confined {
            return Ok(());
        }
        let mut policy = self.policy.borrow_mut();
        grants.iter().try_for_each(|grant| grant.keep(&mut policy))?;
        for (stream, direction) in
            streams.into_iter().zip([Direction::Read, Direction::Write, Direction::Write])
        {
            match stream {
                Stream::Shared(fd) => policy.stream(fd, direction)?,
                Stream::Fifo { fifo, .. } => policy.fifo(fifo, &[direction])?,
                Stream::Joined(_) => {}
            }
        }
        options.dir.iter().try_for_each(|dir| policy.folder(&dir.host, !dir.read_only))
    }

    /// What this process needs, once all is granted.
    pub(crate) fn into_policy(self) -> SandboxPolicy {
        self.policy.into_inner()
    }

    /// What stdin is to be; `otherwise` where nothing is said.
    pub(crate) fn input(
        &self,
        spec: Option<&StdioSpec>,
        otherwise: impl FnOnce() -> std::io::Result<Stream>,
    ) -> Result<Stream, Failure> {
        let stream = match spec {
            None => return otherwise().context("stdin").or_status(Status::Io),
            Some(StdioSpec::Inherit) => sys::standard(0),
            Some(StdioSpec::Null) => sys::null(),
            Some(StdioSpec::File(path)) => {
                let file = match sys::inherited_number(path) {
                    Some(number) => return self.inherited(number, Direction::Read, "--stdin"),
                    None => sys::open_input_file(path),
                };
                return file
                    .map(Stream::Shared)
                    .map_err(|error| file_failure("--stdin", path, &error));
            }
            Some(StdioSpec::Fifo(spec)) => {
                return self.standard_fifo(spec, Direction::Read, "--stdin");
            }
        };
        stream.map(Stream::Shared).context("stdin").or_status(Status::Io)
    }

    /// What stdout (1) or stderr (2) is to be; `otherwise` where nothing is said.
    pub(crate) fn output(
        &self,
        spec: Option<&StdioSpec>,
        number: i32,
        otherwise: impl FnOnce() -> std::io::Result<Stream>,
    ) -> Result<Stream, Failure> {
        let (label, option) = match number {
            1 => ("stdout", "--stdout"),
            _ => ("stderr", "--stderr"),
        };
        let stream = match spec {
            None => return otherwise().context(label).or_status(Status::Io),
            Some(StdioSpec::Inherit) => sys::standard(number),
            Some(StdioSpec::Null) => sys::null(),
            Some(StdioSpec::File(path)) => {
                let file = match sys::inherited_number(path) {
                    Some(number) => return self.inherited(number, Direction::Write, option),
                    None => self.output_file(path, option),
                };
                return file
                    .map(Stream::Shared)
                    .map_err(|error| file_failure(option, path, &error));
            }
            Some(StdioSpec::Fifo(spec)) => {
                return self.standard_fifo(spec, Direction::Write, option);
            }
        };
        stream.map(Stream::Shared).context(label).or_status(Status::Io)
    }

    fn output_file(&self, path: &Path, option: &str) -> std::io::Result<Handle> {
        let mut outputs = self.outputs.borrow_mut();
        if let Some((_, file)) = outputs.iter().find(|(known, _)| known == path) {
            return file.try_clone();
        }
        let file = sys::open_output_file(path, option)?;
        outputs.push((path.into(), file.try_clone()?));
        Ok(file)
    }

    /// What this process was started with as descriptor `number`, for one of the standard streams.
    fn inherited(&self, number: i32, way: Direction, option: &str) -> Result<Stream, Failure> {
        let refused = |error: InheritError| Failure {
            status: Status::Io,
            error: anyhow!("{option} /dev/fd/{number}: {error}"),
        };
        let copied = |fd: std::io::Result<Handle>| {
            fd.context(format!("descriptor {number}")).or_status(Status::Io)
        };
        if number < 3 {
            let fd = copied(sys::standard(number))?;
            sys::check_direction(number, &fd, way).map_err(refused)?;
            return Ok(Stream::Shared(fd));
        }
        let mut inherited = self.inherited.borrow_mut();
        if let Some((_, fd)) = inherited.iter().find(|(known, _)| *known == number) {
            sys::check_direction(number, fd, way).map_err(refused)?;
            return copied(fd.try_clone()).map(Stream::Shared);
        }
        let fd = sys::take_inherited_stream(number, way).map_err(refused)?;
        let own = copied(fd.try_clone())?;
        inherited.push((number, fd));
        Ok(Stream::Shared(own))
    }

    fn fifo_grant(&self, spec: &FifoSpec, source: &Source) -> Result<Grant, Failure> {
        if let Some(number) = spec.path.as_deref().and_then(sys::inherited_number) {
            return self.descriptor_of(number, spec);
        }
        let ways = spec.directions.list();
        let fifo = match &spec.path {
            Some(path) => Fifo::prepare_alone(path, spec.options, &ways),
            None => Fifo::private(spec.name.as_str(), &ways),
        };
        let fifo = self.look_after(fifo, "--fifo")?;
        if spec.path.is_none() {
            say(&format!("{} is at {}", spec.name, fifo.path().display()));
        }
        self.fifos.borrow_mut().push(FifoStats {
            stage: self.stage.borrow().clone().unwrap_or_else(|| source.program()),
            name: spec.name.to_string(),
            path: fifo.path().display().to_string(),
        });
        let grant = Grant::fifo(spec.name.clone(), fifo).directions(spec.directions).eof(spec.eof);
        Ok(with_capacity(grant, spec.capacity))
    }

    /// A grant by a path that stands for an inherited descriptor, as the shell's <(...) gives one.
    fn descriptor_of(&self, number: i32, spec: &FifoSpec) -> Result<Grant, Failure> {
        refuse_reopening(number, spec.eof)?;
        // Both ways are what is said where nothing is: as many are meant as it is open for.
        let asked = (spec.directions != Directions::BOTH).then_some(spec.directions);
        let grant = Grant::descriptor(spec.name.clone(), number, asked).map_err(|error| {
            Failure { status: Status::Pipe, error: anyhow!("--fifo {}: {error}", spec.name) }
        })?;
        Ok(with_capacity(grant, spec.capacity))
    }

    fn standard_fifo(
        &self,
        spec: &StandardFifo,
        way: Direction,
        option: &str,
    ) -> Result<Stream, Failure> {
        if let Some(number) = sys::inherited_number(&spec.path) {
            refuse_reopening(number, spec.eof)?;
            return self.inherited(number, way, option);
        }
        let fifo = Fifo::prepare_alone(&spec.path, spec.options, &[way]);
        let fifo = self.look_after(fifo, option)?;
        Ok(Stream::Fifo { fifo, eof: spec.eof, capacity: spec.capacity })
    }

    /// Sees to it that a FIFO is not left behind, and that it is told if somebody else removes it.
    fn look_after(
        &self,
        fifo: Result<Fifo, FifoError>,
        option: &str,
    ) -> Result<Arc<Fifo>, Failure> {
        let fifo = Arc::new(fifo.map_err(|error| Failure {
            status: fifo_status(&error),
            error: anyhow!("{option} {error}"),
        })?);
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&fifo));
        // Without a watch it is told at the end.
        let watch = self.watch.get_or_init(|| FifoWatch::start().ok());
        if let Some(Err(error)) = watch.as_ref().map(|watch| watch.add(&fifo)) {
            tracing::debug!("{}: cannot be watched: {error}", fifo.path().display());
        }
        Ok(fifo)
    }
}

impl Prepared {
    /// Ties it to this thread's runtime.
    ///
    /// # Errors
    /// Those of opening the standard streams.
    pub(crate) fn setup(self) -> Result<Setup, Failure> {
        let share = self.shared.as_ref().map_or(1, |shared| shared.guests.max(1));
        let deadline = deadline(self.limits.open_timeout);
        let mut builder =
            Pipes::builder().limits(self.limits).max_descriptors(sys::descriptors_left() / share);
        if let Some(shared) = &self.shared {
            builder = builder.within(&shared.totals);
            if let Some(activity) = &shared.activity {
                builder = builder.watched_by(activity.clone());
            }
        }
        for grant in self.grants {
            builder = builder.grant(grant).or_status(Status::Usage)?;
        }
        let pipes = builder.build();
        let (pending_writes, journal) = (pipes.pending_writes(), pipes.journal());
        let [stdin, stdout, stderr] = self.streams;
        let writer = |stream, label| {
            let writer = writer(stream, deadline, label, pending_writes, journal)?;
            std::io::Result::Ok(if self.raw_terminal { writer.raw() } else { writer })
        };
        let stdio = Stdio::new(
            reader(stdin, deadline, journal).context("stdin").or_status(Status::Io)?,
            writer(stdout, Label::Stdout).context("stdout").or_status(Status::Io)?,
            writer(stderr, Label::Stderr).context("stderr").or_status(Status::Io)?,
        );
        let mut setup = Setup::new(pipes, stdio);
        *setup.wasi() = self.wasi;
        if let Some(hint) = self.names_hint {
            setup.names_hint(hint);
        }
        if let Some(children) = self.children {
            setup.children(children);
        }
        Ok(setup)
    }

    /// What it shares with others.
    pub(crate) fn shared_limits(mut self, shared: SharedLimits) -> Self {
        self.shared = Some(shared);
        self
    }

    /// What the guest may start.
    pub(crate) fn with_children(mut self, children: Option<Children>) -> Self {
        self.children = children;
        self
    }
}

/// Starts the thread for a guest's calls on files, if it has folders. To be called inside a runtime, on a thread that
/// is bounded to these folders.
///
/// # Errors
/// Where there is no thread.
pub(crate) fn reserve_for_files(folders: &[DirSpec]) -> Result<(), Failure> {
    match folders.is_empty() {
        true => Ok(()),
        false => threads::reserve().context("calls on files").or_status(Status::Io),
    }
}

/// What `options` let a guest start, its guests by `load`.
pub(crate) fn children(
    options: &GuestOptions,
    mut load: impl FnMut(&Source) -> Result<Guest, Failure>,
) -> Result<Option<Children>, Failure> {
    let mut grants = Vec::new();
    for spec in &options.child {
        let source = Source::of(&spec.guest)?;
        let guest = load(&source)?;
        let program = Program::Guest {
            guest,
            program: source.program(),
            spawn: spec.spawn,
            max_memory: spec.max_memory,
            timeout: spec.timeout,
        };
        grants.push((spec.name.clone(), program));
    }
    for spec in &options.exec {
        let args = spec.args.iter().map(Into::into).collect();
        let program = Program::Native { program: spec.program.clone().into(), args };
        grants.push((spec.name.clone(), program));
    }
    Ok((!grants.is_empty()).then(|| Children::new(grants)))
}

/// Looks for mistakes that can be seen without opening anything: those must not leave a trace.
pub(crate) fn check<'a>(
    options: &'a GuestOptions,
    wired: impl Iterator<Item = &'a PipeName>,
) -> Result<(), Failure> {
    let fifos = options.fifo.iter().map(|spec| &spec.name);
    let fds = options.fd.iter().map(|spec| &spec.name);
    let (own, streams) = (fifos.clone().chain(fds.clone()), ["stdin", "stdout", "stderr"]);
    if let Some(name) = { own }.find(|name| streams.contains(&name.as_str())) {
        let error = anyhow!(
            "`{name}` is the name of a standard stream: say --{name} for that, or give the pipe another \
             name: NAME=PATH"
        );
        return Err(error).or_status(Status::Usage);
    }
    if let Some(name) = first_duplicate(wired.chain(fifos).chain(fds)) {
        let error = anyhow!("the pipe name `{name}` is granted twice; give one another: NAME=PATH");
        return Err(error).or_status(Status::Usage);
    }
    if let Some(number) = first_duplicate(options.fd.iter().map(|spec| spec.number)) {
        let error = anyhow!("descriptor {number} is granted twice; grant it once, for both ways");
        return Err(error).or_status(Status::Usage);
    }
    let streams = [
        (&options.stdin, Direction::Read, "--stdin"),
        (&options.stdout, Direction::Write, "--stdout"),
        (&options.stderr, Direction::Write, "--stderr"),
    ];
    let mut ends: Vec<(&Path, Direction, &str)> = Vec::new();
    for (spec, way, option) in streams {
        if let Some(StdioSpec::Fifo(spec)) = spec {
            ends.push((&spec.path, way, option));
        }
    }
    for spec in &options.fifo {
        let path = spec.path.iter();
        ends.extend(path.flat_map(|path| {
            spec.directions.list().into_iter().map(|way| (&**path, way, spec.name.as_str()))
        }));
    }
    for (at, (path, way, first)) in ends.iter().enumerate() {
        let same =
            ends[at + 1..].iter().find(|(other, other_way, _)| other == path && other_way == way);
        if let Some((.., second)) = same {
            let error = anyhow!(
                "{} is granted twice for {}, as {first} and as {second}; drop one of the two",
                path.display(),
                way.doing()
            );
            return Err(error).or_status(Status::Usage);
        }
    }
    let children = options.child.iter().map(|spec| &spec.name);
    if let Some(name) = first_duplicate(children.chain(options.exec.iter().map(|spec| &spec.name)))
    {
        let error = anyhow!("what may be started as `{name}` is granted twice; rename one");
        return Err(error).or_status(Status::Usage);
    }
    Ok(())
}

/// The first that comes a second time.
pub(crate) fn first_duplicate<T: PartialEq>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = Vec::new();
    for item in items {
        if seen.contains(&item) {
            return Some(item);
        }
        seen.push(item);
    }
    None
}

fn reader(
    stream: Stream,
    deadline: Option<tokio::time::Instant>,
    journal: &Journal,
) -> std::io::Result<Reader> {
    Ok(match stream {
        Stream::Shared(fd) => {
            Reader::new(End::shared(fd, Direction::Read)?, None, Label::Stdin, journal)
        }
        Stream::Joined(fd) => {
            Reader::of_pipe_pair(End::owned(fd, Direction::Read)?, Label::Stdin, journal)
        }
        Stream::Fifo { fifo, eof, capacity } => {
            let reopen = eof == EofPolicy::Reopen;
            Reader::fifo(&fifo, reopen, deadline, capacity, Label::Stdin, journal)?
        }
    })
}

fn writer(
    stream: Stream,
    deadline: Option<tokio::time::Instant>,
    label: Label,
    pending_writes: &PendingWrites,
    journal: &Journal,
) -> std::io::Result<Writer> {
    let end = match stream {
        Stream::Shared(fd) => End::shared(fd, Direction::Write)?,
        Stream::Joined(fd) => {
            let end = End::owned(fd, Direction::Write)?;
            return Ok(Writer::of_pipe_pair(end, label, pending_writes, journal));
        }
        Stream::Fifo { fifo, capacity, .. } => {
            return Writer::fifo(&fifo, capacity, deadline, label, pending_writes, journal);
        }
    };
    Ok(Writer::new(end, None, label, pending_writes, journal))
}

fn with_capacity(grant: Grant, capacity: Option<u64>) -> Grant {
    match capacity {
        Some(bytes) => grant.capacity(bytes),
        None => grant,
    }
}

/// What cannot be opened by a path cannot be opened again.
fn refuse_reopening(number: i32, eof: EofPolicy) -> Result<(), Failure> {
    match eof {
        EofPolicy::Close => Ok(()),
        EofPolicy::Reopen => Err(anyhow!(
            "descriptor {number} is open already, and eof=reopen opens a FIFO again: make one with mkfifo, \
             and write its path"
        ))
        .or_status(Status::Usage),
    }
}

fn descriptor(spec: &FdSpec) -> Result<Grant, Failure> {
    Grant::descriptor(spec.name.clone(), spec.number, spec.directions)
        .map_err(|error| Failure { status: Status::Pipe, error: anyhow!("--fd {error}") })
}

fn fifo_status(error: &FifoError) -> Status {
    let exhausted = |error: &std::io::Error| {
        let error = SystemError::of(error);
        matches!(error, Some(SystemError::ProcessHandles | SystemError::SystemHandles))
    };
    match error {
        _ if error.is_permission() => Status::NotPermitted,
        // There are no descriptors left: another path would be no better.
        FifoError::Io { error, .. } if exhausted(error) => Status::Io,
        _ => Status::Pipe,
    }
}

pub(crate) fn file_failure(option: &str, path: &Path, error: &std::io::Error) -> Failure {
    let status = match error.kind() {
        std::io::ErrorKind::NotFound => Status::Missing,
        std::io::ErrorKind::PermissionDenied => Status::NotPermitted,
        _ => Status::Io,
    };
    Failure { status, error: anyhow!("{option} {}: {error}", path.display()) }
}

fn grant_folders(wasi: &mut WasiCtxBuilder, folders: &[DirSpec]) -> Result<(), Failure> {
    for DirSpec { host, guest, read_only } in folders {
        let permissions = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        wasi.preopened_dir(host, guest, permissions).map_err(|error| {
            match error.downcast::<std::io::Error>() {
                Ok(error) => file_failure("--dir", host, &error),
                Err(error) => {
                    let error = anyhow!("--dir {}: {error:#}", host.display());
                    Failure { status: Status::Io, error }
                }
            }
        })?;
    }
    Ok(())
}
