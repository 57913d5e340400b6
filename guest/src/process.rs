//! Starts the programs that the operator lets this guest start (`--child`, `--exec`), in the manner
//! of [`std::process`].
//!
//! A child gets the pipe ends that it is given, and nothing else that this guest has. It ends with
//! this guest at the latest.
//!
//! ```no_run
//! use pipehost_guest::pipe;
//! use pipehost_guest::process::Command;
//!
//! fn main() -> std::io::Result<()> {
//!     // produce | count
//!     let both = pipe()?;
//!     let mut produce = Command::new("produce").stdout(both.writer).spawn()?;
//!     let mut count = Command::new("count").arg("-l").stdin(both.reader).spawn()?;
//!     produce.wait()?;
//!     println!("{}", count.wait()?);
//!     Ok(())
//! }
//! ```
//!
//! For the `async` version, see [`stream::process`](crate::stream::process).

use std::fmt;
use std::io::{self, Read};

use crate::bindings::p2::{poll, spawn};
use crate::{Reader, Readiness, Writer, pipe, wait};

/// How a child ended.
///
/// ```
/// use pipehost_guest::process::ExitStatus;
///
/// assert!(ExitStatus::Exited(0).success());
/// assert_eq!(ExitStatus::BrokenPipe.code(), 141);
/// assert_eq!(ExitStatus::Exited(3).to_string(), "exit status: 3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It ended by itself, with this status; 0 is success.
    Exited(u8),
    /// It trapped.
    Trapped,
    /// Its stdout's reader left, and it failed for that reason; or SIGPIPE ended it.
    BrokenPipe,
    /// Its time was up, or no peer came in time, and it failed for that reason.
    TimedOut,
    /// [`Child::kill`] ended it.
    Killed,
    /// It is a native command, and a signal of this number ended it.
    Signaled(u8),
    /// It could not run, or bytes that it had written were lost; the host's log says why.
    Failed,
}

impl ExitStatus {
    /// Returns whether it ended by itself, with status 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }

    /// Returns the status that a shell shows: its own, 74, 124, 134, 137, 141, or 128 + the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Failed => 74,
            Self::TimedOut => 124,
            Self::Trapped => 134,
            Self::Killed => 137,
            Self::BrokenPipe => 141,
            Self::Signaled(number) => 128u8.saturating_add(number),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status: {status}"),
            Self::Trapped => f.write_str("trapped"),
            Self::BrokenPipe => f.write_str("broken pipe"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Killed => f.write_str("killed"),
            Self::Signaled(number) => write!(f, "signal: {number}"),
            Self::Failed => f.write_str("failed"),
        }
    }
}

/// What a child wrote, and how it ended.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let output = pipehost_guest::process::Command::new("sort").arg("-u").output()?;
/// println!("{}: {} bytes", output.status, output.stdout.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it wrote to its stdout, if that was piped.
    pub stdout: Vec<u8>,
    /// All that it wrote to its stderr, if that was piped.
    pub stderr: Vec<u8>,
}

/// Returns the names that [`Command::new`] knows, in the order in which the operator granted them.
///
/// ```no_run
/// println!("may start: {}", pipehost_guest::process::granted().join(", "));
/// ```
pub fn granted() -> Vec<String> {
    spawn::list()
}

/// Makes `Stdio`, `Command` and the start of a child from the bindings `$spawn`, a `Reader` and a
/// `Writer`. Both versions are alike in these.
macro_rules! command {
    ($spawn:ident) => {
        /// One of a child's standard streams.
        ///
        /// See the example of [this module](self).
        #[derive(Debug)]
        pub struct Stdio(Kind);

        #[derive(Debug)]
        enum Kind {
            Null,
            Inherit,
            Piped,
            Reader(Reader),
            Writer(Writer),
        }

        impl Stdio {
            /// Returns an empty input, or an output that drops all that is written.
            pub fn null() -> Self {
                Self(Kind::Null)
            }

            /// Returns this guest's own stream.
            pub fn inherit() -> Self {
                Self(Kind::Inherit)
            }

            /// Returns a new pipe, whose other end is in the [`Child`].
            pub fn piped() -> Self {
                Self(Kind::Piped)
            }

            /// Returns the child's stdin, and this guest's end of it, if there is one.
            fn input(self) -> io::Result<($spawn::ChildInput, Option<Writer>)> {
                match self.0 {
                    Kind::Null => Ok(($spawn::ChildInput::Null, None)),
                    Kind::Inherit => Ok(($spawn::ChildInput::Inherited, None)),
                    Kind::Piped => {
                        let both = pipe()?;
                        let end = both.reader.into_end()?;
                        Ok(($spawn::ChildInput::Pipe(end), Some(both.writer)))
                    }
                    Kind::Reader(reader) => {
                        Ok(($spawn::ChildInput::Pipe(reader.into_end()?), None))
                    }
                    Kind::Writer(_) => Err(wrong("a child reads its stdin: give it a Reader")),
                }
            }

            /// Returns the child's stdout or stderr, and this guest's end of it, if there is one.
            fn output(self) -> io::Result<($spawn::ChildOutput, Option<Reader>)> {
                match self.0 {
                    Kind::Null => Ok(($spawn::ChildOutput::Null, None)),
                    Kind::Inherit => Ok(($spawn::ChildOutput::Inherited, None)),
                    Kind::Piped => {
                        let both = pipe()?;
                        let end = both.writer.into_end()?;
                        Ok(($spawn::ChildOutput::Pipe(end), Some(both.reader)))
                    }
                    Kind::Writer(writer) => {
                        Ok(($spawn::ChildOutput::Pipe(writer.into_end()?), None))
                    }
                    Kind::Reader(_) => {
                        Err(wrong("a child writes to its stdout and stderr: give it a Writer"))
                    }
                }
            }
        }

        fn wrong(what: &'static str) -> io::Error {
            io::Error::new(io::ErrorKind::InvalidInput, what)
        }

        impl From<Reader> for Stdio {
            fn from(reader: Reader) -> Self {
                Self(Kind::Reader(reader))
            }
        }

        impl From<Writer> for Stdio {
            fn from(writer: Writer) -> Self {
                Self(Kind::Writer(writer))
            }
        }

        /// A child that can be started. Its standard streams default to this guest's own.
        ///
        /// Pipe ends that it is given are the child's for good, even if it fails to start. An end
        /// that has been read or written cannot be given: that is `InvalidInput`.
        ///
        /// See the example of [this module](self).
        #[derive(Debug)]
        #[must_use = "it starts with `spawn`, `status` or `output`"]
        pub struct Command {
            name: String,
            args: Vec<String>,
            stdin: Stdio,
            stdout: Stdio,
            stderr: Stdio,
            readers: Vec<(String, Reader)>,
            writers: Vec<(String, Writer)>,
        }

        impl Command {
            /// Makes a command for the program that the operator granted under `name`.
            pub fn new(name: impl Into<String>) -> Self {
                Self {
                    name: name.into(),
                    args: Vec::new(),
                    stdin: Stdio::inherit(),
                    stdout: Stdio::inherit(),
                    stderr: Stdio::inherit(),
                    readers: Vec::new(),
                    writers: Vec::new(),
                }
            }

            /// Adds an argument.
            pub fn arg(mut self, arg: impl Into<String>) -> Self {
                self.args.push(arg.into());
                self
            }

            /// Adds arguments.
            pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
                self.args.extend(args.into_iter().map(Into::into));
                self
            }

            /// Sets its standard input.
            pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
                self.stdin = stdin.into();
                self
            }

            /// Sets its standard output.
            pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
                self.stdout = stdout.into();
                self
            }

            /// Sets its standard error.
            pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
                self.stderr = stderr.into();
                self
            }

            /// Gives it a reader, which it opens under `name`. A native command has it as
            /// descriptor N if the name is `fdN`.
            pub fn reader(mut self, name: impl Into<String>, reader: Reader) -> Self {
                self.readers.push((name.into(), reader));
                self
            }

            /// Gives it a writer, which it opens under `name`, as with [`Command::reader`].
            pub fn writer(mut self, name: impl Into<String>, writer: Writer) -> Self {
                self.writers.push((name.into(), writer));
                self
            }

            /// Starts the child. Does not wait for it.
            ///
            /// # Errors
            /// `PermissionDenied` if no program is granted under its name, `QuotaExceeded` at the
            /// operator's limits, `InvalidInput` for invalid names and for ends that have been
            /// used, `ResourceBusy` if two readers or two writers have the same name.
            pub fn spawn(self) -> io::Result<Child> {
                let (stdin, ours) = self.stdin.input()?;
                let (stdout, theirs) = self.stdout.output()?;
                let (stderr, messages) = self.stderr.output()?;
                let mut pipes = Vec::new();
                for (name, reader) in self.readers {
                    let end = $spawn::PassedEnd::Reader(reader.into_end()?);
                    pipes.push($spawn::PassedPipe { name, end });
                }
                for (name, writer) in self.writers {
                    let end = $spawn::PassedEnd::Writer(writer.into_end()?);
                    pipes.push($spawn::PassedPipe { name, end });
                }
                let child = $spawn::spawn(&self.name, &self.args, stdin, stdout, stderr, pipes)
                    .map_err(crate::error::of_spawn)?;
                Ok(Child { stdin: ours, stdout: theirs, stderr: messages, child })
            }
        }

        /// A child that was started. Dropping it leaves it running.
        ///
        /// See the example of [this module](self).
        #[derive(Debug)]
        pub struct Child {
            /// This guest's end of its stdin, if that is piped.
            pub stdin: Option<Writer>,
            /// This guest's end of its stdout, if that is piped.
            pub stdout: Option<Reader>,
            /// This guest's end of its stderr, if that is piped.
            pub stderr: Option<Reader>,
            child: $spawn::Child,
        }

        impl Child {
            /// Returns how it ended, or `None` while it runs. Does not wait.
            pub fn try_wait(&mut self) -> Option<ExitStatus> {
                self.child.status().map(Into::into)
            }

            /// Ends it at once, and does not wait for that.
            pub fn kill(&mut self) {
                self.child.kill();
            }
        }

        impl From<$spawn::ChildStatus> for ExitStatus {
            fn from(status: $spawn::ChildStatus) -> Self {
                use $spawn::ChildStatus as Status;
                match status {
                    Status::Exited(status) => Self::Exited(status),
                    Status::Trapped => Self::Trapped,
                    Status::BrokenPipe => Self::BrokenPipe,
                    Status::TimedOut => Self::TimedOut,
                    Status::Killed => Self::Killed,
                    Status::Signaled(number) => Self::Signaled(number),
                    Status::Failed => Self::Failed,
                }
            }
        }
    };
}

pub(crate) use command;

command!(spawn);

impl Command {
    /// Starts the child, and waits until it has ended.
    ///
    /// # Errors
    /// Those of [`Command::spawn`].
    pub fn status(self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts it with an empty stdin, and stdout and stderr piped. Returns all that it wrote.
    ///
    /// # Errors
    /// Those of [`Command::spawn`], and those of reading.
    pub fn output(self) -> io::Result<Output> {
        let piped =
            Self { stdin: Stdio::null(), stdout: Stdio::piped(), stderr: Stdio::piped(), ..self };
        piped.spawn()?.wait_with_output()
    }
}

impl Child {
    /// Closes its stdin, if that is piped, and waits until it has ended.
    ///
    /// A child whose stdout is piped, and not read, waits for this guest: see
    /// [`Child::wait_with_output`].
    ///
    /// # Errors
    /// None so far.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        loop {
            if let Some(status) = self.try_wait() {
                return Ok(status);
            }
            self.child.subscribe().block();
        }
    }

    /// Waits as [`Child::wait`] does, and reads all that it writes to its piped streams.
    ///
    /// # Errors
    /// Those of reading.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let mut outputs = [(self.stdout.take(), Vec::new()), (self.stderr.take(), Vec::new())];
        let mut buf = [0; 8192];
        loop {
            let mut open: Vec<_> = outputs.iter_mut().filter(|(end, _)| end.is_some()).collect();
            let mut ends: Vec<&mut dyn Readiness> = Vec::new();
            for (end, _) in &mut open {
                ends.extend(end.as_mut().map(|end| end as _));
            }
            if ends.is_empty() {
                break;
            }
            for at in wait(&mut ends) {
                let (end, bytes) = &mut open[at];
                let read = end.as_mut().map_or(Ok(0), |end| end.read(&mut buf))?;
                match read {
                    0 => *end = None,
                    n => bytes.extend_from_slice(&buf[..n]),
                }
            }
        }
        let status = self.wait()?;
        let [(_, stdout), (_, stderr)] = outputs;
        Ok(Output { status, stdout, stderr })
    }
}

impl Readiness for Child {
    fn subscribe(&mut self) -> poll::Pollable {
        self.child.subscribe()
    }
}
