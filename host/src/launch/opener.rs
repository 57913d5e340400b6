//! Opens what plans grant.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    DescriptorSpec, FifoSpec, Given, GuestPlan, LaunchError, Leftovers, Opened, PipeSpec,
    StreamFifo, StreamSpec,
};
use crate::names::PipeName;
use crate::pipe::{Directions, EofPolicy, Event, Excess, Frame, Grant};
use crate::setup::bounded_wasi;
use crate::sys::{
    self, Direction, Fifo, FifoError, FifoWatch, FileKind, Handle, InheritError, SandboxPolicy,
};

/// A function that is called with events.
///
/// See the example of [`launch`](crate::launch).
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// The target of a standard stream.
///
/// See the example of [`launch`](crate::launch).
#[derive(Debug)]
pub enum Stream {
    /// A descriptor whose description other processes may share.
    Shared(Handle),
    /// The end of a pipe that no other process holds.
    Joined(Handle),
    /// A FIFO, opened when the guest starts.
    Fifo {
        /// The FIFO.
        fifo: Arc<Fifo>,
        /// What a reader sees when the last writer closes the FIFO.
        eof: EofPolicy,
        /// The capacity to ask for, in bytes.
        capacity: Option<u64>,
    },
}

/// The standard streams of one guest.
///
/// See the example of [`launch`](crate::launch).
#[derive(Debug)]
pub struct Streams {
    /// Its standard input.
    pub stdin: Stream,
    /// Its standard output.
    pub stdout: Stream,
    /// Its standard error.
    pub stderr: Stream,
}

/// Opens what the plans of all guests of a process grant, while the process has one thread. Must be
/// used inside a tokio runtime.
///
/// See the example of [`launch`](crate::launch).
pub struct Opener {
    leftovers: Leftovers,
    /// Is called with what happens to the FIFOs.
    listener: Listener,
    /// Watches the FIFOs. Made with the first FIFO.
    watch: Option<FifoWatch>,
    /// The files that are written to. Streams to the same path share one description, and so the place
    /// in the file.
    outputs: Vec<(PathBuf, Handle)>,
    /// The inherited descriptors that were taken over, with their numbers. Those granted by name are
    /// not among them.
    inherited: Vec<(i32, Handle)>,
    /// What this process must keep for its grants when it is confined, or `None` if it will not be
    /// confined.
    policy: Option<SandboxPolicy>,
}

impl Opener {
    /// Makes an opener that adds to `leftovers` what must not be left behind, and calls `listener` with
    /// what happens to FIFOs. If the process will be confined, [`Opener::into_policy`] returns what it must
    /// keep then.
    pub fn new(leftovers: &Leftovers, listener: Listener, confined: bool) -> Self {
        Self {
            leftovers: leftovers.clone(),
            listener,
            watch: None,
            outputs: Vec::new(),
            inherited: Vec::new(),
            policy: confined.then(SandboxPolicy::default),
        }
    }

    /// Returns what this process must keep for all that has been opened.
    pub fn into_policy(self) -> SandboxPolicy {
        self.policy.unwrap_or_default()
    }

    /// Opens what `plan` grants to a guest, and puts it after `joined`. `listener` is called with the
    /// guest's events. The plan must be checked first: see [`GuestPlan::check`].
    ///
    /// # Errors
    /// The first thing that cannot be opened.
    pub fn open(
        &mut self,
        plan: &GuestPlan,
        streams: Streams,
        joined: Vec<Grant>,
        listener: Listener,
    ) -> Result<Opened, LaunchError> {
        if let Some(Excess::Beyond(_)) = plan.shed {
            demand_file(&streams.stderr)?;
        }
        let (mut grants, mut fifos) = (joined, Vec::new());
        for pipe in &plan.pipes {
            grants.push(match pipe {
                PipeSpec::Fifo(spec) => self.fifo(spec, &listener, &mut fifos)?,
                PipeSpec::Descriptor(spec) => descriptor(spec)?,
            });
        }
        let mut wasi = bounded_wasi();
        wasi.arg(&plan.program).args(&plan.args).envs(&plan.env);
        for folder in &plan.folders {
            folder.grant_in(&mut wasi)?;
        }
        self.keep(plan, &grants, &streams)
            .map_err(LaunchError::resources("what is granted cannot be kept"))?;
        Ok(Opened::new(plan, wasi, grants, streams, fifos, listener))
    }

    /// Adds to the policy what a guest's grants need later.
    fn keep(&mut self, plan: &GuestPlan, grants: &[Grant], streams: &Streams) -> io::Result<()> {
        let Some(policy) = &mut self.policy else { return Ok(()) };
        grants.iter().try_for_each(|grant| grant.keep(policy))?;
        for (stream, direction) in [
            (&streams.stdin, Direction::Read),
            (&streams.stdout, Direction::Write),
            (&streams.stderr, Direction::Write),
        ] {
            match stream {
                Stream::Shared(fd) => policy.stream(fd, direction)?,
                Stream::Fifo { fifo, .. } => policy.fifo(fifo, &[direction])?,
                Stream::Joined(_) => {}
            }
        }
        plan.folders.iter().try_for_each(|it| policy.folder(&it.host, !it.read_only))
    }

    /// Opens the standard stream of this number as `spec` says, or calls `otherwise` if there is no
    /// `spec`.
    ///
    /// # Errors
    /// Fails if the stream cannot be opened.
    pub fn stream(
        &mut self,
        number: i32,
        spec: Option<&StreamSpec>,
        otherwise: impl FnOnce() -> io::Result<Stream>,
    ) -> Result<Stream, LaunchError> {
        let what = Given::stream(number);
        let way = if number == 0 { Direction::Read } else { Direction::Write };
        let stream = match spec {
            None => otherwise(),
            Some(StreamSpec::Inherit) => sys::standard(number).map(Stream::Shared),
            Some(StreamSpec::Null) => sys::null().map(Stream::Shared),
            Some(StreamSpec::File(path) | StreamSpec::Append(path)) => {
                let appends = matches!(spec, Some(StreamSpec::Append(_)));
                let file = match (sys::inherited_number(path), way) {
                    (Some(number), _) => return self.inherited(number, way, what),
                    (None, Direction::Read) => sys::open_input_file(path),
                    (None, Direction::Write) => self.output_file(path, appends),
                };
                return file.map(Stream::Shared).map_err(LaunchError::file(what, path));
            }
            Some(StreamSpec::Fifo(fifo)) => return self.stream_fifo(fifo, way, what),
        };
        stream.map_err(LaunchError::resources(what.to_string()))
    }

    fn output_file(&mut self, path: &Path, appends: bool) -> io::Result<Handle> {
        if let Some((_, file)) = self.outputs.iter().find(|(known, _)| known == path) {
            return file.try_clone();
        }
        let file = sys::open_output_file(path, appends)?;
        self.outputs.push((path.into(), file.try_clone()?));
        Ok(file)
    }

    /// Takes over the inherited descriptor `number` for one of the standard streams.
    fn inherited(
        &mut self,
        number: i32,
        way: Direction,
        what: Given,
    ) -> Result<Stream, LaunchError> {
        let refused = |error: InheritError| LaunchError::InheritedStream { what, number, error };
        let copied = |fd: io::Result<Handle>| {
            fd.map_err(LaunchError::resources(format!("descriptor {number}")))
        };
        if number < 3 {
            let fd = copied(sys::standard(number))?;
            sys::check_direction(number, &fd, way).map_err(refused)?;
            return Ok(Stream::Shared(fd));
        }
        if let Some((_, fd)) = self.inherited.iter().find(|(known, _)| *known == number) {
            sys::check_direction(number, fd, way).map_err(refused)?;
            return copied(fd.try_clone()).map(Stream::Shared);
        }
        let fd = sys::take_inherited_stream(number, way).map_err(refused)?;
        let own = copied(fd.try_clone())?;
        self.inherited.push((number, fd));
        Ok(Stream::Shared(own))
    }

    fn fifo(
        &mut self,
        spec: &FifoSpec,
        listener: &Listener,
        fifos: &mut Vec<(PipeName, PathBuf)>,
    ) -> Result<Grant, LaunchError> {
        if let Some(number) = spec.path.as_deref().and_then(sys::inherited_number) {
            return descriptor_by_path(number, spec);
        }
        let ways = spec.directions.list();
        let fifo = match &spec.path {
            Some(path) => Fifo::prepare_alone(path, spec.options, &ways),
            None => Fifo::private(spec.name.as_str(), &ways),
        };
        let fifo = self.look_after(fifo, Given::Pipe)?;
        let (name, path) = (spec.name.clone(), fifo.path().to_path_buf());
        if spec.path.is_none() {
            listener(&Event::PrivateFifo { name: name.clone(), path: path.clone() });
        }
        fifos.push((name.clone(), path));
        let grant = Grant::fifo(name, fifo).directions(spec.directions).eof(spec.eof);
        Ok(with_frame(with_capacity(grant, spec.capacity), spec.frame))
    }

    fn stream_fifo(
        &mut self,
        spec: &StreamFifo,
        way: Direction,
        what: Given,
    ) -> Result<Stream, LaunchError> {
        if let Some(number) = sys::inherited_number(&spec.path) {
            refuse_reopening(number, spec.eof)?;
            return self.inherited(number, way, what);
        }
        let fifo = Fifo::prepare_alone(&spec.path, spec.options, &[way]);
        let fifo = self.look_after(fifo, what)?;
        Ok(Stream::Fifo { fifo, eof: spec.eof, capacity: spec.capacity })
    }

    /// Has the FIFO removed at the end, and watched: the listener hears if another process removes it.
    fn look_after(
        &mut self,
        fifo: Result<Fifo, FifoError>,
        what: Given,
    ) -> Result<Arc<Fifo>, LaunchError> {
        let fifo = Arc::new(fifo.map_err(|error| LaunchError::Fifo { what, error })?);
        let listener = Arc::clone(&self.listener);
        fifo.on_warning(move |path, warning| listener(&Event::Fifo { path: path.into(), warning }));
        self.leftovers.add(Arc::clone(&fifo));
        // Without a watch, the warning comes at the end.
        let watch = self.watch.get_or_insert_with(FifoWatch::start);
        if let Err(error) = watch.add(&fifo) {
            tracing::debug!("{}: cannot be watched: {error}", fifo.path().display());
        }
        Ok(fifo)
    }
}

/// Makes a grant of a path that stands for an inherited descriptor, such as the shell's <(...) gives.
fn descriptor_by_path(number: i32, spec: &FifoSpec) -> Result<Grant, LaunchError> {
    refuse_reopening(number, spec.eof)?;
    // Both directions are the default. Here they mean all directions for which the descriptor is open.
    let asked = (spec.directions != Directions::BOTH).then_some(spec.directions);
    let grant = Grant::descriptor(spec.name.clone(), number, asked);
    let grant = grant.map_err(|error| LaunchError::InheritedPipe {
        what: Given::Pipe,
        name: spec.name.clone(),
        error,
    })?;
    Ok(with_frame(with_capacity(grant, spec.capacity), spec.frame))
}

fn descriptor(spec: &DescriptorSpec) -> Result<Grant, LaunchError> {
    let grant = Grant::descriptor(spec.name.clone(), spec.number, spec.directions);
    grant.map(|grant| with_frame(grant, spec.frame)).map_err(|error| LaunchError::InheritedPipe {
        what: Given::Descriptor,
        name: spec.name.clone(),
        error,
    })
}

fn with_capacity(grant: Grant, capacity: Option<u64>) -> Grant {
    match capacity {
        Some(bytes) => grant.capacity(bytes),
        None => grant,
    }
}

fn with_frame(grant: Grant, frame: Option<Frame>) -> Grant {
    match frame {
        Some(frame) => grant.frame(frame),
        None => grant,
    }
}

/// Refuses a stderr that is no regular file, and so may have no room for all of a write: bytes below a limit would be
/// lost.
fn demand_file(stderr: &Stream) -> Result<(), LaunchError> {
    let kind = match stderr {
        Stream::Shared(handle) => {
            handle.try_clone().and_then(|handle| sys::kind_of(&File::from(handle)))
        }
        Stream::Joined(_) | Stream::Fifo { .. } => Ok(FileKind::Fifo),
    };
    match kind.map_err(LaunchError::resources("stderr"))? {
        FileKind::Regular => Ok(()),
        _ => Err(LaunchError::NoFile { what: Given::Stderr }),
    }
}

/// Refuses to open a descriptor again: it has no path to open.
fn refuse_reopening(number: i32, eof: EofPolicy) -> Result<(), LaunchError> {
    match eof {
        EofPolicy::Close => Ok(()),
        EofPolicy::Reopen => Err(LaunchError::Reopened { number }),
    }
}
