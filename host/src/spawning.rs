//! Starts the children of a guest and runs them: beside the guest, within its limits, and never longer
//! than it.

use std::ffi::OsString;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::children::{ChildRuns, Children, Job, MAX_DEPTH, Program};
use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::limits::{HeldBytes, Permit};
use crate::outcome::Outcome;
use crate::pipe::Label;
use crate::pipe::{
    Child, ChildFailure, ChildRun, ChildStatus, ChildStream, ErrorCode, Event, Events, Family,
    Fault, Grant, Kept, PassedEnd, PipeName, Pipes, Reader, Spawn, SpawnRequest, Writer,
};
use crate::setup::Setup;
use crate::sys::{self, Direction, End, Handle, Native, NativeCommand, NativeEnd};
use crate::wasi::{SharedReader, SharedWriter, Stdio};

/// How many bytes a child's arguments may have. It bounds how much memory children that are guests make
/// the host hold. The limit of execve(2) is similar.
const MAX_ARGS: usize = 1024 * 1024;

/// How many descriptors one child may take by itself: in place of standard streams, and for its
/// process.
const DESCRIPTORS: usize = 6;

/// The function that runs a child that is a guest, as its parent is run.
pub(crate) type Runner = fn(Setup, Engine, Guest) -> Ended;

/// A future that runs a guest to its end.
pub(crate) type Ended = Pin<Box<dyn Future<Output = Result<Outcome, GuestError>> + Send>>;

/// Returns what starts children for a guest with these streams and pipes, and what
/// runs them.
pub(crate) fn spawner(
    children: Children,
    engine: &Engine,
    stdio: &Stdio,
    pipes: &Pipes,
    runner: Runner,
) -> (Box<dyn Spawn>, ChildRuns) {
    let (queue, runs) = ChildRuns::new();
    let spawner = Spawner {
        children,
        engine: engine.clone(),
        stdio: stdio.clone(),
        complaints: Complaints::of(pipes.journal().events()),
        family: pipes.family(),
        runner,
        queue,
    };
    (Box::new(spawner), runs)
}

struct Spawner {
    children: Children,
    engine: Engine,
    stdio: Stdio,
    complaints: Complaints,
    family: Family,
    runner: Runner,
    queue: mpsc::UnboundedSender<Job>,
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("children", &self.children).finish_non_exhaustive()
    }
}

impl Spawn for Spawner {
    fn names(&self) -> Vec<String> {
        self.children.grants.iter().map(|(name, _)| name.to_string()).collect()
    }

    fn spawn(&mut self, name: &PipeName, request: SpawnRequest) -> Result<Child, Fault> {
        let grants = Arc::clone(&self.children.grants);
        let (_, program) =
            grants.iter().find(|(known, _)| known == name).ok_or(ErrorCode::NotPermitted)?;
        // Each argument costs some memory, however short it is.
        let length: usize = request.args.iter().map(|arg| arg.len() + size_of::<String>()).sum();
        if self.children.depth >= MAX_DEPTH || length > MAX_ARGS {
            return Err(ErrorCode::LimitExceeded.into());
        }
        let quotas = self.family.quotas();
        let room = quotas.child()?;
        let held = (quotas.held_bytes(length)?, quotas.descriptors(DESCRIPTORS)?);
        let (child, run) = Child::new();
        let (name_of_run, complaints) = (name.clone(), self.complaints.clone());
        let run = Run { child: run, room, _held: held, name: name_of_run, complaints };
        let job = match program {
            Program::Guest { guest, program, spawn, max_memory, timeout } => {
                let children = Children { depth: self.children.depth + 1, ..self.children.clone() };
                let mut setup = self.setup(request, program, *max_memory, *timeout)?;
                if *spawn {
                    setup.children(children);
                }
                setup.span(tracing::error_span!("child", child = %name));
                let ended = (self.runner)(setup, self.engine.clone(), guest.clone());
                run_guest(ended, run)
            }
            Program::Native { program, args } => {
                let (native, kept) = self.native(name, program, args, request)?;
                run_native(native, kept, run)
            }
        };
        // Fails only if the guest has ended, and then it could not have called.
        self.queue.send(job).map_err(|_| ErrorCode::Io)?;
        Ok(child)
    }
}

impl Spawner {
    /// Returns what is wrong with an end that no native command can be given: the host could not count its bytes, see
    /// that they are whole records, or drop what is too much.
    fn unfit_end(&self, request: &SpawnRequest) -> Option<ChildFailure> {
        let writing = |writer: &Writer| match writer.journal().0 {
            label if writer.is_bounded() => Some(ChildFailure::BoundedEnd(label)),
            label if writer.is_framed() => Some(ChildFailure::FramedEnd(label)),
            label => writer.is_shedding().then_some(ChildFailure::SheddingEnd(label)),
        };
        let output = |stream: &ChildStream<Writer>, inherited: &SharedWriter| match stream {
            ChildStream::Inherited => writing(&inherited.lock()),
            ChildStream::Pipe(writer) => writing(writer),
            ChildStream::Null => None,
        };
        let reading = |reader: &Reader| {
            reader.is_bounded().then(|| ChildFailure::BoundedEnd(reader.journal().0))
        };
        let input = match &request.stdin {
            ChildStream::Inherited => reading(&self.stdio.stdin().lock()),
            ChildStream::Pipe(reader) => reading(reader),
            ChildStream::Null => None,
        };
        let mut passed = request.pipes.iter().map(|(_, end)| match end {
            PassedEnd::Reader(reader) => reading(reader),
            PassedEnd::Writer(writer) => writing(writer),
        });
        input
            .or_else(|| output(&request.stdout, self.stdio.stdout()))
            .or_else(|| output(&request.stderr, self.stdio.stderr()))
            .or_else(|| passed.find_map(|failure| failure))
    }

    /// Makes the setup of a child that is a guest.
    fn setup(
        &self,
        request: SpawnRequest,
        program: &str,
        max_memory: Option<u64>,
        timeout: Option<Duration>,
    ) -> Result<Setup, Fault> {
        let pipes = self.family.pipes(granted(request.pipes)?, max_memory, timeout)?;
        let journal = pipes.journal();
        // An error on a stream that the child shares with its parent is noted in the parent's journal.
        let mut inherited = Vec::new();
        let stdin = match request.stdin {
            ChildStream::Inherited => {
                inherited.push(self.stdio.stdin().lock().journal());
                self.stdio.stdin().for_another()
            }
            ChildStream::Pipe(reader) => SharedReader::new(reader.passed_on(Label::Stdin, journal)),
            ChildStream::Null => {
                let end = End::shared(sys::null()?, Direction::Read)?;
                SharedReader::new(Reader::new(end, None, Label::Stdin, journal))
            }
        };
        let mut writer = |stream, label: Label, own: &SharedWriter| match stream {
            ChildStream::Inherited => {
                inherited.push(own.lock().journal());
                Ok::<_, Fault>(own.for_another())
            }
            ChildStream::Pipe(writer) => {
                let writer = Writer::passed_on(writer, label, pipes.pending_writes(), journal);
                Ok(SharedWriter::new(writer))
            }
            ChildStream::Null => {
                let end = End::shared(sys::null()?, Direction::Write)?;
                Ok(SharedWriter::new(Writer::new(
                    end,
                    None,
                    label,
                    pipes.pending_writes(),
                    journal,
                )))
            }
        };
        let stdout = writer(request.stdout, Label::Stdout, self.stdio.stdout())?;
        let stderr = writer(request.stderr, Label::Stderr, self.stdio.stderr())?;
        let stdio = Stdio::of(stdin, stdout, stderr);
        let mut setup = Setup::new(pipes, stdio);
        setup.args(&[program]).args(&request.args);
        setup.inherits(inherited);
        Ok(setup)
    }

    /// Starts a native command on the ends that it is given.
    fn native(
        &self,
        name: &PipeName,
        program: &OsString,
        first: &[OsString],
        request: SpawnRequest,
    ) -> Result<(Native, Vec<Kept>), Fault> {
        if let Some(failure) = self.unfit_end(&request) {
            self.complaints.tell(name, failure);
            return Err(ErrorCode::Unsupported.into());
        }
        let mut kept = Vec::new();
        let stdin = match request.stdin {
            ChildStream::Inherited => self.stdio.stdin().lock().for_native()?,
            ChildStream::Pipe(reader) => keeping(reader.into_native(), &mut kept)?,
            ChildStream::Null => sys::null()?,
        };
        let mut writer = |stream, own: &SharedWriter| match stream {
            ChildStream::Inherited => own.lock().for_native(),
            ChildStream::Pipe(writer) => keeping(Writer::into_native(writer), &mut kept),
            ChildStream::Null => Ok(sys::null()?),
        };
        let stdout = writer(request.stdout, self.stdio.stdout())?;
        let stderr = writer(request.stderr, self.stdio.stderr())?;
        let mut others: Vec<(i32, _)> = Vec::new();
        for (pipe, end) in request.pipes {
            let number = sys::descriptor_number(&pipe).ok_or(ErrorCode::InvalidName)?;
            if others.iter().any(|(taken, _)| *taken == number) {
                return Err(ErrorCode::InUse.into());
            }
            let end = match end {
                PassedEnd::Reader(reader) => keeping(reader.into_native(), &mut kept)?,
                PassedEnd::Writer(writer) => keeping(writer.into_native(), &mut kept)?,
            };
            others.push((number, end));
        }
        if others.len() > sys::MOST_OTHERS {
            return Err(ErrorCode::LimitExceeded.into());
        }
        let args = first.iter().cloned().chain(request.args.into_iter().map(OsString::from));
        let args = args.collect();
        let command =
            NativeCommand { program: program.clone(), args, stdin, stdout, stderr, others };
        match command.start() {
            Ok(native) => Ok((native, kept)),
            Err(error) => {
                let fault = Fault::from(&error);
                let failure = ChildFailure::NotStarted { program: program.clone(), error };
                self.complaints.tell(name, failure);
                Err(fault)
            }
        }
    }
}

/// Returns the descriptor, and pushes the rest to `kept`.
fn keeping(given: Result<(Handle, Kept), Fault>, kept: &mut Vec<Kept>) -> Result<Handle, Fault> {
    let (fd, keep) = given?;
    kept.push(keep);
    Ok(fd)
}

/// Reports children that fail: once for each name by each guest, within the limit for their family.
#[derive(Clone, Debug)]
struct Complaints {
    about: Arc<Mutex<Vec<PipeName>>>,
    events: Events,
}

impl Complaints {
    fn of(events: &Events) -> Self {
        Self { about: Arc::default(), events: events.clone() }
    }

    fn tell(&self, name: &PipeName, failure: ChildFailure) {
        let mut about = self.about.lock().unwrap_or_else(PoisonError::into_inner);
        match about.contains(name) {
            true => tracing::debug!("child `{name}`: {failure}"),
            false => {
                about.push(name.clone());
                self.events.tell(&Event::ChildFailed { name: name.clone(), failure });
            }
        }
    }
}

/// A child that is about to run.
struct Run {
    child: ChildRun,
    /// Its place among the children that may run at once.
    room: Permit,
    /// What the host holds for it.
    _held: (HeldBytes, Permit),
    name: PipeName,
    complaints: Complaints,
}

impl Run {
    fn ended(self, status: ChildStatus) {
        // Freed first: the guest that is told of the end may start another child.
        drop(self.room);
        self.child.ended(status);
    }
}

/// Makes grants of passed ends: one for each name, which may have a reader and a writer.
fn granted(pipes: Vec<(String, PassedEnd)>) -> Result<Vec<Grant>, ErrorCode> {
    let mut ends: Vec<(PipeName, Option<Reader>, Option<Writer>)> = Vec::new();
    for (name, end) in pipes {
        let name: PipeName = name.parse().map_err(|_| ErrorCode::InvalidName)?;
        let at = ends.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
            ends.push((name, None, None));
            ends.len() - 1
        });
        let (_, reader, writer) = &mut ends[at];
        let is_second = match end {
            PassedEnd::Reader(end) => reader.replace(end).is_some(),
            PassedEnd::Writer(end) => writer.replace(end).is_some(),
        };
        if is_second {
            return Err(ErrorCode::InUse);
        }
    }
    Ok(ends.into_iter().map(|(name, reader, writer)| Grant::passed(name, reader, writer)).collect())
}

fn run_guest(ended: Ended, run: Run) -> Job {
    Box::pin(async move {
        let failed = |failure| {
            run.complaints.tell(&run.name, failure);
            ChildStatus::Failed
        };
        let status = tokio::select! {
            biased;
            () = run.child.killed() => ChildStatus::Killed,
            ended = ended => match ended {
                Ok(Outcome::Exited(status)) => ChildStatus::Exited(status),
                Ok(Outcome::Trapped(trap)) => {
                    let failure = match trap.is_out_of_fuel() {
                        true => ChildFailure::OutOfFuel,
                        false => ChildFailure::Trapped(trap.to_string()),
                    };
                    run.complaints.tell(&run.name, failure);
                    ChildStatus::Trapped
                }
                Ok(Outcome::BrokenPipe) => ChildStatus::BrokenPipe,
                Ok(Outcome::NoPeer { .. } | Outcome::Silent(_) | Outcome::TimedOut(_)) => {
                    ChildStatus::TimedOut
                },
                Ok(Outcome::Unframed { label, .. }) => {
                    let fault = ErrorCode::Io.into();
                    failed(ChildFailure::StreamFailed { label, fault })
                }
                Ok(Outcome::Failed { label, fault }) => {
                    failed(ChildFailure::StreamFailed { label, fault })
                }
                Err(GuestError::TooLittleMemory(bytes)) => {
                    failed(ChildFailure::TooLittleMemory(bytes))
                }
                Err(error) => failed(ChildFailure::Unfit(error.to_string())),
            },
        };
        run.ended(status);
    })
}

fn run_native(mut native: Native, kept: Vec<Kept>, run: Run) -> Job {
    Box::pin(async move {
        let status = tokio::select! {
            biased;
            () = run.child.killed() => ChildStatus::Killed,
            ended = native.wait() => match ended {
                Ok((NativeEnd::Exited(status), _)) => ChildStatus::Exited(status),
                Ok((end, _)) if end.is_broken_pipe() => ChildStatus::BrokenPipe,
                Ok((NativeEnd::Signaled(number), _)) => ChildStatus::Signaled(number),
                Err(error) => {
                    run.complaints.tell(&run.name, ChildFailure::NotWaitedFor(error));
                    ChildStatus::Failed
                }
            },
        };
        // Dropping the command kills it, if it has not ended.
        drop(native);
        drop(kept);
        run.ended(status);
    })
}
