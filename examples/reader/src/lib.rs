//! A guest as a `Read`, for programs that are not async.

use std::io::{self, PipeReader, Read};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pipehost::launch::{Ended, run_until};
use pipehost::pipes::{Handle, standard};
use pipehost::{Engine, Guest, GuestLimits, Outcome, Pipes, Setup};
use tokio::sync::oneshot;

/// What a guest makes of its input, to be read. The guest runs on a thread of its own.
///
/// Reading blocks until the guest writes or ends. The end of file comes where the guest has ended with
/// 0; if it fails in any other way, the last read does. Dropping this ends the guest and waits until it
/// is gone: some milliseconds, even if the guest computes.
pub struct GuestReader {
    /// Closed first: a guest that writes is not waited for.
    output: Option<PipeReader>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<Outcome>>>,
}

impl GuestReader {
    /// Starts `guest` on `input`: a file, the reader of a pipe, or any other open descriptor.
    ///
    /// # Errors
    /// Fails if no thread can be started, or no descriptor is left.
    pub fn start(
        engine: &Engine,
        guest: &Guest,
        input: impl Into<Handle>,
        limits: GuestLimits,
    ) -> io::Result<Self> {
        let (output, stdout) = io::pipe()?;
        // `stopped` resolves where `stop` is dropped.
        let (stop, stopped) = oneshot::channel();
        let (engine, guest, stdin) = (engine.clone(), guest.clone(), input.into());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let pipes = Pipes::builder().limits(limits).build();
                let setup = Setup::between(pipes, stdin, stdout.into(), standard(2)?)?;
                let ended = run_until(setup, &engine, &guest, stopped, Duration::ZERO).await;
                match ended.map_err(io::Error::other)? {
                    Ended::Guest(outcome) => Ok(outcome),
                    Ended::Stopped(_) => Err(io::ErrorKind::Interrupted.into()),
                }
            })
        };
        let thread = thread::Builder::new().name("guest".into()).spawn(run)?;
        Ok(Self { output: Some(output), stop: Some(stop), thread: Some(thread) })
    }

    /// Waits until the guest has ended. Later calls know no more of a failure.
    fn ended(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        match thread.join().map_err(|_| io::Error::other("the guest's thread panicked"))?? {
            Outcome::Exited(0) => Ok(()),
            outcome @ Outcome::TimedOut(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, outcome.to_string()))
            }
            outcome => Err(io::Error::other(outcome.to_string())),
        }
    }
}

impl Read for GuestReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.output {
            Some(output) => output.read(buf)?,
            None => 0,
        };
        if n == 0 && !buf.is_empty() {
            self.ended()?;
        }
        Ok(n)
    }
}

impl Drop for GuestReader {
    fn drop(&mut self) {
        drop(self.output.take());
        drop(self.stop.take());
        let _ = self.ended();
    }
}
