//! The result of a run, and the reason for it.

use std::time::Duration;

use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use crate::engine_names;
use crate::guest::one_line;
use crate::limits::{MAX_CALL_BYTES, MAX_HANDLES};
use crate::pipe::{ErrorCode, Fault, Label, Note, Refused};
use crate::sys::Direction;

/// The result of a run.
///
/// 1. A guest that ended well has its own status. If bytes that it had left behind could not be
///    delivered, which it had no chance to see, the outcome is [`Outcome::BrokenPipe`] for its stdout's
///    reader, else [`Outcome::Failed`]. The same holds if it has used a standard stream that is not
///    open.
/// 2. A guest that trapped, or ended with 1, after one of its pipes failed, fails for that reason: its
///    stdout's reader left, no peer came in time, or its standard streams met an error.
/// 3. Otherwise the outcome is the guest's own status, or its trap. This also holds if it has met a
///    limit of its operator: it was told, and has acted on that. [`Reached`](crate::limits::Reached)
///    lists such limits.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Engine, Guest, GuestEnd, Outcome, Pipes, Setup, pipes};
///
/// let engine = Engine::new()?;
/// let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\") unreachable))")?;
/// let pipes = Pipes::builder().build();
/// let setup = Setup::between(pipes, pipes::null()?, pipes::null()?, pipes::null()?)?;
/// match setup.run(&engine, &guest).await? {
///     Outcome::Exited(status) => println!("exit status {status}"),
///     Outcome::Trapped(error) => println!("trapped: {}", GuestEnd::trap_summary(&error)),
///     other => println!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The guest ended by itself, with this status: 0 to 255.
    Exited(u8),
    /// The guest trapped. The error's chain has the WebAssembly backtrace.
    Trapped(wasmtime::Error),
    /// Its stdout's reader left. A native program would have got SIGPIPE.
    BrokenPipe,
    /// No peer came within the time that the operator allows.
    NoPeer {
        /// The pipe's name.
        label: Label,
        /// The direction of the guest's end.
        direction: Direction,
    },
    /// No byte moved on any of its pipes for this time, which is the operator's limit. The guest was
    /// ended at its next yield.
    Silent(Duration),
    /// The guest ran for as long as [`GuestLimits::timeout`](crate::GuestLimits::timeout) allows, and
    /// was ended at its next yield.
    TimedOut(Duration),
    /// It wrote something that is no record to an end which only records may leave, and
    /// [`FrameError::End`](crate::pipes::FrameError::End) is set there. If that was not at its end, the guest was
    /// ended.
    Unframed {
        /// The end.
        label: Label,
        /// What is no record.
        refused: Refused,
    },
    /// A standard stream met an error, or bytes that were left behind were lost.
    Failed {
        /// The pipe's name.
        label: Label,
        /// The error.
        fault: Fault,
    },
}

/// How a guest ended.
///
/// Its functions on traps are of use with an [`Outcome`], which has an example.
#[derive(Debug)]
pub enum GuestEnd {
    /// By itself, with this status: 0 to 255.
    Exited(u8),
    /// By a trap. The error's chain has the WebAssembly backtrace.
    Trapped(wasmtime::Error),
}

impl GuestEnd {
    /// Interprets the result of `run`.
    pub(crate) fn of_command(outcome: wasmtime::Result<Result<(), ()>>) -> Self {
        match outcome {
            Ok(Ok(())) => Self::Exited(0),
            Ok(Err(())) => Self::Exited(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                // As with exit(3), a parent sees the low eight bits of a status.
                Some(I32Exit(status)) => Self::Exited((status & 0xff) as u8),
                None => Self::Trapped(error),
            },
        }
    }

    /// Returns whether the trap says that the guest has burnt its fuel.
    pub fn is_out_of_fuel(error: &wasmtime::Error) -> bool {
        error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel)
    }

    /// Returns whether the guest ended for a reason of its own: no failure of a pipe explains a trap.
    pub(crate) fn is_own(&self, notes: &[Note]) -> bool {
        match self {
            Self::Exited(_) => true,
            Self::Trapped(_) => notes.iter().find_map(reason).is_none(),
        }
    }

    /// Describes the trap in a few words.
    pub fn trap_summary(error: &wasmtime::Error) -> String {
        match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
            None => {
                let text = one_line(&error.root_cause());
                let limit = match &*text {
                    it if engine_names::HANDLES.iter().any(|text| it.contains(text)) => {
                        format!("; a guest may have {MAX_HANDLES} handles")
                    }
                    it if it.contains(engine_names::CALL_BYTES) => {
                        format!("; a call may pass {} MiB", MAX_CALL_BYTES >> 20)
                    }
                    _ => String::new(),
                };
                text + &limit
            }
        }
    }
}

impl Outcome {
    pub(crate) fn of(end: GuestEnd, notes: &[Note]) -> Self {
        let reason = match &end {
            GuestEnd::Exited(0) => {
                // Many libraries take EBADF on a standard stream for success, so the guest has not
                // noticed.
                let unseen = |note: &&Note| note.left_behind || note.fault.is_not_open();
                notes.iter().filter(unseen).find_map(reason)
            }
            GuestEnd::Exited(1) | GuestEnd::Trapped(_) => notes.iter().find_map(reason),
            GuestEnd::Exited(_) => None,
        };
        match (reason, end) {
            (Some(reason), _) => reason,
            (None, GuestEnd::Exited(status)) => Self::Exited(status),
            (None, GuestEnd::Trapped(error)) => Self::Trapped(error),
        }
    }
}

/// Returns the outcome that this note causes, if any.
fn reason(note: &Note) -> Option<Outcome> {
    let Note { label, direction, fault, left_behind } = note;
    let standard = label.is_standard();
    let label = label.clone();
    match fault.code {
        ErrorCode::BrokenPipe if label == Label::Stdout => Some(Outcome::BrokenPipe),
        ErrorCode::LimitExceeded if fault.is_of_operator() => None,
        ErrorCode::TimedOut => Some(Outcome::NoPeer { label, direction: *direction }),
        ErrorCode::BrokenPipe if !left_behind => None,
        _ if standard || *left_behind => Some(Outcome::Failed { label, fault: *fault }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_with(status: u8, label: Label) -> Outcome {
        let fault = Fault::from(ErrorCode::BrokenPipe);
        let note = Note { label, direction: Direction::Write, fault, left_behind: false };
        Outcome::of(GuestEnd::Exited(status), &[note])
    }

    /// A child may be passed a pipe that has the name of a standard stream.
    #[test]
    fn row_53_a_pipe_called_stdout_is_not_stdout() {
        assert!(matches!(ended_with(1, Label::Stdout), Outcome::BrokenPipe));
        let named = Label::Pipe("stdout".into());
        assert!(matches!(ended_with(1, named.clone()), Outcome::Exited(1)));
        assert!(matches!(ended_with(2, Label::Stdout), Outcome::Exited(2)));
        assert_ne!(named, Label::Stdout);
        assert_eq!(named.as_str(), Label::Stdout.as_str());
    }
}
