//! `pipehost run`: from a plan to a guest's end.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use wasmtime_wasi::FsPerms;

use super::args::{GrantRef, RunArgs};
use super::compile::engine_for;
use super::exit::{Failure, OrStatus, Status};
use super::say;
use super::signals::{Leftovers, SignalWatch, clean_up};
use super::source::Source;
use super::values::{DirSpec, FdSpec, FifoSpec, StdioSpec};
use crate::os::{self, Direction, Fifo, FifoError, FifoOptions};
use crate::pipe::{Drains, ErrorCode, Grant, Journal, Note, Pipes, Reader, Writer, deadline};
use crate::run::{End, Setup};
use crate::wasi::Stdio;

/// How long bytes that a guest handed over may take to be delivered after a signal or a timeout
/// has ended it.
const LAST_DELIVERY: Duration = Duration::from_millis(100);

pub(crate) fn main(args: RunArgs, verbose: bool) -> Result<Status, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")
        .or_status(Status::Io)?;
    let leftovers = Leftovers::default();
    // Whichever way this is left.
    let _clean_up = CleanUp(&leftovers);
    let outcome = runtime.block_on(supervise(args, verbose, &leftovers));
    // A compilation or a file operation may still be under way on a thread: do not wait for it.
    runtime.shutdown_background();
    outcome
}

struct CleanUp<'a>(&'a Leftovers);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        clean_up(self.0);
    }
}

/// Runs the guest until it ends, or a signal or the time limit ends it.
async fn supervise(args: RunArgs, verbose: bool, leftovers: &Leftovers) -> Result<Status, Failure> {
    let mut signals = SignalWatch::start(Arc::clone(leftovers))
        .context("signals cannot be watched")
        .or_status(Status::Io)?;
    let timeout = args.timeout;
    let deliveries = Deliveries::default();
    let stopped = tokio::select! {
        ended = Run::start(args, leftovers, &deliveries, verbose) => return ended,
        signal = signals.received() => Status::Signal(signal),
        () = after(timeout) => Status::TimedOut,
    };
    // The guest is gone with the future above. What its writers had accepted may still go out.
    if let Some(drains) = deliveries.get() {
        let _ = tokio::time::timeout(LAST_DELIVERY, drains.idle()).await;
    }
    match (stopped, timeout) {
        (Status::TimedOut, Some(limit)) => {
            say(&format!(
                "the run took longer than --timeout {}; give it more, or none",
                humantime::format_duration(limit)
            ));
        }
        (Status::Signal(number), _) => say(&format!("ended by signal {number}")),
        _ => {}
    }
    Ok(stopped)
}

/// What is still to be delivered of a run, once there is one, for whoever outlives it.
type Deliveries = std::sync::OnceLock<Drains>;

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// A guest's way through its run.
struct Run {
    verbose: bool,
    open_timeout: Option<Duration>,
}

impl Run {
    async fn start(
        args: RunArgs,
        leftovers: &Leftovers,
        deliveries: &Deliveries,
        verbose: bool,
    ) -> Result<Status, Failure> {
        let source = Source::of(&args.guest)?;
        let writable = args.dir.iter().filter(|dir| !dir.read_only);
        let engine = engine_for(&args.cache, writable.map(|dir| dir.host.as_path()))?;
        // The pipes come first: peers may be about to open them, and would make regular files.
        let granting = Granting { leftovers, open_timeout: args.open_timeout };
        let mut setup = granting.setup(&args, &source)?;
        let _ = deliveries.set(setup.drains());
        grant_wasi(&mut setup, &args, &source)?;

        // With a time limit the file system may not keep this thread waiting either.
        let at_hand = if args.timeout.is_none() { source.load_cached(&engine) } else { None };
        let guest = match at_hand {
            Some(guest) => guest,
            None => {
                let (source, engine) = (source.clone(), engine.clone());
                let guest = tokio::task::spawn_blocking(move || source.load(&engine));
                guest.await.context("compiling failed").or_status(Status::NotUsable)??
            }
        };

        let (drains, journal, hushed) = (setup.drains(), setup.journal(), setup.hushed());
        let ended = setup.run(&engine, &guest).await.map_err(|error| source.failure(error))?;
        // The process is about to end, and with it the code: nothing is gained by unmapping it.
        std::mem::forget((guest, engine));
        drains.idle().await;
        let run = Self { verbose, open_timeout: args.open_timeout };
        let status = run.status(ended, &journal);
        match status {
            Status::BrokenPipe => hushed.discard(),
            _ => drop(hushed),
        }
        drains.idle().await;
        Ok(status)
    }

    /// The status of a run, and the line that says why.
    ///
    /// 1. A guest that ended well has its own status, unless bytes that it had left behind could
    ///    not be delivered (141 for stdout's reader, else 74): it had no chance to see that.
    /// 2. A guest that trapped, or ended with 1, after a pipe of its failed, fails for that reason:
    ///    its stdout's reader left (141, quietly, as of SIGPIPE), no peer came in time (124), its
    ///    standard streams met an error (74).
    /// 3. Else the guest's own status, or 134 for a trap.
    fn status(&self, ended: End, journal: &Journal) -> Status {
        let notes = journal.notes();
        let reason = match &ended {
            End::Exited(0) => self.reason(notes.iter().filter(|note| note.left_behind)),
            End::Exited(1) | End::Trapped(_) => self.reason(notes.iter()),
            End::Exited(_) => None,
        };
        if self.verbose
            && let End::Trapped(error) = &ended
        {
            os::write_message(format!("pipehost: {error:?}\n").as_bytes());
        }
        match (reason, ended) {
            (Some((status, line)), _) => {
                if let Some(line) = line {
                    say(&line);
                }
                status
            }
            (None, End::Exited(status)) => Status::Guest(status),
            (None, End::Trapped(error)) => {
                let hint = if self.verbose { "" } else { " (-v shows where)" };
                say(&format!("the guest trapped: {}{hint}", End::trap_summary(&error)));
                Status::Trapped
            }
        }
    }

    /// The first of the notes that explains a failure.
    fn reason<'n>(
        &self,
        mut notes: impl Iterator<Item = &'n Note>,
    ) -> Option<(Status, Option<String>)> {
        notes.find_map(|note| {
            let Note { label, direction, fault, left_behind } = note;
            let lost = *left_behind;
            let standard = matches!(&**label, "stdin" | "stdout" | "stderr");
            match fault.code {
                ErrorCode::BrokenPipe if **label == *"stdout" => Some((Status::BrokenPipe, None)),
                ErrorCode::TimedOut => {
                    let peer = match direction {
                        Direction::Read => "writer",
                        Direction::Write => "reader",
                    };
                    let limit = self.open_timeout.unwrap_or_default();
                    let limit = humantime::format_duration(limit);
                    let line = format!("`{label}`: no {peer} came within --open-timeout {limit}");
                    Some((Status::TimedOut, Some(line)))
                }
                ErrorCode::BrokenPipe if lost => Some((
                    Status::Io,
                    Some(format!("`{label}`: the reader left before the last bytes")),
                )),
                ErrorCode::BrokenPipe => None,
                _ if standard || lost => Some((Status::Io, Some(format!("{label}: {fault}")))),
                _ => None,
            }
        })
    }
}

/// Turns what the operator asked for into open grants.
struct Granting<'a> {
    leftovers: &'a Leftovers,
    open_timeout: Option<Duration>,
}

impl Granting<'_> {
    fn setup(&self, args: &RunArgs, source: &Source) -> Result<Setup, Failure> {
        let mut builder = Pipes::builder().max_pipes(args.max_pipes);
        if let Some(timeout) = self.open_timeout {
            builder = builder.open_timeout(timeout);
        }
        // Names first: a mistake in the command line must not leave a trace.
        let fifos = args.fifo.iter().map(|spec| &spec.name);
        let names: Vec<_> = fifos.chain(args.fd.iter().map(|spec| &spec.name)).collect();
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name))
        {
            let error = anyhow!(
                "the pipe name `{}` is granted twice; give one another: NAME=PATH",
                twice.1
            );
            return Err(error).or_status(Status::Usage);
        }
        let numbers: Vec<_> = args.fd.iter().map(|spec| spec.number).collect();
        if let Some((_, twice)) =
            numbers.iter().enumerate().find(|(at, number)| numbers[..*at].contains(number))
        {
            let error =
                anyhow!("descriptor {twice} is granted twice; grant it once, for both ways");
            return Err(error).or_status(Status::Usage);
        }
        for grant in &args.order {
            let grant = match grant {
                GrantRef::Fifo(at) => self.fifo_grant(&args.fifo[*at])?,
                GrantRef::Fd(at) => descriptor(&args.fd[*at])?,
            };
            builder = builder.grant(grant).or_status(Status::Usage)?;
        }
        let pipes = builder.build();
        let (drains, journal) = (pipes.drains(), pipes.journal());
        let stdio = Stdio::new(
            self.reader(&args.stdin, journal)?,
            self.writer(&args.stdout, 1, drains, journal)?,
            self.writer(&args.stderr, 2, drains, journal)?,
        );
        tracing::debug!("running {}", source.display());
        let mut setup = Setup::new(pipes, stdio);
        setup.max_memory(args.max_memory);
        Ok(setup)
    }

    fn fifo_grant(&self, spec: &FifoSpec) -> Result<Grant, Failure> {
        let fifo = self.fifo(&spec.path, spec.options, "--fifo")?;
        let grant = Grant::fifo(spec.name.clone(), fifo).directions(spec.directions).eof(spec.eof);
        Ok(match spec.capacity {
            Some(bytes) => grant.capacity(bytes),
            None => grant,
        })
    }

    fn fifo(
        &self,
        path: &std::path::Path,
        options: FifoOptions,
        option: &str,
    ) -> Result<Arc<Fifo>, Failure> {
        let fifo = Fifo::prepare(path, options).map_err(|error| Failure {
            status: fifo_status(&error),
            error: anyhow!("{option} {error}"),
        })?;
        let fifo = Arc::new(fifo);
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&fifo));
        Ok(fifo)
    }

    fn deadline(&self) -> Option<tokio::time::Instant> {
        deadline(self.open_timeout)
    }

    fn reader(&self, spec: &StdioSpec, journal: &Journal) -> Result<Reader, Failure> {
        const LABEL: &str = "stdin";
        let end = match spec {
            StdioSpec::Inherit => os::standard(0).context(LABEL).or_status(Status::Io)?,
            StdioSpec::Null => {
                os::null_end(Direction::Read).context(LABEL).or_status(Status::Io)?
            }
            StdioSpec::File(path) => {
                os::open_input_file(path).map_err(|error| file_failure("--stdin", path, &error))?
            }
            StdioSpec::Fifo(path) => {
                let fifo = self.fifo(path, FifoOptions::default(), "--stdin")?;
                return Reader::fifo(&fifo, false, self.deadline(), None, LABEL, journal)
                    .map_err(|error| file_failure("--stdin", path, &error));
            }
        };
        Ok(Reader::new(end, None, LABEL, journal))
    }

    fn writer(
        &self,
        spec: &StdioSpec,
        number: i32,
        drains: &Drains,
        journal: &Journal,
    ) -> Result<Writer, Failure> {
        let (label, option) = match number {
            1 => ("stdout", "--stdout"),
            _ => ("stderr", "--stderr"),
        };
        let end = match spec {
            StdioSpec::Inherit => os::standard(number).context(label).or_status(Status::Io)?,
            StdioSpec::Null => {
                os::null_end(Direction::Write).context(label).or_status(Status::Io)?
            }
            StdioSpec::File(path) => os::open_output_file(path, option)
                .map_err(|error| file_failure(option, path, &error))?,
            StdioSpec::Fifo(path) => {
                let fifo = self.fifo(path, FifoOptions::default(), option)?;
                return Writer::fifo(&fifo, None, self.deadline(), label, drains, journal)
                    .map_err(|error| file_failure(option, path, &error));
            }
        };
        Ok(Writer::new(end, None, label, drains, journal))
    }
}

fn descriptor(spec: &FdSpec) -> Result<Grant, Failure> {
    Grant::descriptor(spec.name.clone(), spec.number, spec.directions)
        .map_err(|error| Failure { status: Status::Pipe, error: anyhow!("--fd {error}") })
}

fn fifo_status(error: &FifoError) -> Status {
    match error.is_permission() {
        true => Status::NotPermitted,
        false => Status::Pipe,
    }
}

fn file_failure(option: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    let status = match error.kind() {
        std::io::ErrorKind::NotFound => Status::Missing,
        std::io::ErrorKind::PermissionDenied => Status::NotPermitted,
        _ => Status::Io,
    };
    Failure { status, error: anyhow!("{option} {}: {error}", path.display()) }
}

/// Arguments, environment, folders.
fn grant_wasi(setup: &mut Setup, args: &RunArgs, source: &Source) -> Result<(), Failure> {
    let wasi = setup.wasi();
    wasi.arg(source.program());
    wasi.args(&args.args);
    wasi.envs(&args.env);
    for DirSpec { host, guest, read_only } in &args.dir {
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
