//! The result of a run, and the reason for it.

use std::fmt;
use std::time::Duration;

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
/// use pipehost::{Engine, Guest, Outcome, Pipes, Setup, pipes};
///
/// let engine = Engine::new()?;
/// let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\") unreachable))")?;
/// let pipes = Pipes::builder().build();
/// let setup = Setup::between(pipes, pipes::null()?, pipes::null()?, pipes::null()?)?;
/// match setup.run(&engine, &guest).await? {
///     Outcome::Exited(0) => println!("done"),
///     Outcome::Trapped(trap) if trap.is_out_of_fuel() => println!("give it more fuel"),
///     other => println!("{other}"), // "trapped: wasm `unreachable` instruction executed"
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The guest ended by itself, with this status: 0 to 255.
    Exited(u8),
    /// The guest trapped.
    Trapped(Trap),
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

impl fmt::Display for Outcome {
    /// Writes the outcome in a few words, without the guest's name and without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Trapped(trap) => write!(f, "trapped: {trap}"),
            Self::BrokenPipe => f.write_str("the reader of stdout left"),
            Self::NoPeer { label, direction: Direction::Read } => {
                write!(f, "`{label}`: no writer came in time")
            }
            Self::NoPeer { label, direction: Direction::Write } => {
                write!(f, "`{label}`: no reader came in time")
            }
            Self::Silent(limit) => write!(f, "nothing moved for {limit:?}"),
            Self::TimedOut(limit) => write!(f, "took longer than {limit:?}"),
            Self::Unframed { label, refused } => write!(f, "`{label}`: {refused}"),
            Self::Failed { label, fault } => write!(f, "`{label}`: {fault}"),
        }
    }
}

/// Why a guest trapped. Its text is the reason in a few words.
///
/// A part of an [`Outcome`], which has an example.
#[derive(Debug)]
pub struct Trap(wasmtime::Error);

impl Trap {
    /// Returns whether the guest has burnt its [fuel](crate::GuestLimits::fuel).
    pub fn is_out_of_fuel(&self) -> bool {
        self.code() == Some(&wasmtime::Trap::OutOfFuel)
    }

    /// Returns the engine's error. Its chain has the WebAssembly backtrace.
    pub fn error(&self) -> &wasmtime::Error {
        &self.0
    }

    /// Returns whether the host has stopped the guest.
    pub(crate) fn is_stop(&self) -> bool {
        self.code() == Some(&wasmtime::Trap::Interrupt)
    }

    fn code(&self) -> Option<&wasmtime::Trap> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.code() {
            return f.write_str(code.to_string().trim_start_matches("wasm trap: "));
        }
        let text = one_line(&self.0.root_cause());
        f.write_str(&text)?;
        match &*text {
            it if engine_names::HANDLES.iter().any(|text| it.contains(text)) => {
                write!(f, "; a guest may have {MAX_HANDLES} handles")
            }
            it if it.contains(engine_names::CALL_BYTES) => {
                write!(f, "; a call may pass {} MiB", MAX_CALL_BYTES >> 20)
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Trap {}

/// How a guest's code ended.
#[derive(Debug)]
pub(crate) enum GuestEnd {
    /// By itself, with this status: 0 to 255.
    Exited(u8),
    /// By a trap.
    Trapped(Trap),
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
                None => Self::Trapped(Trap(error)),
            },
        }
    }

    /// Returns whether the guest ended for a reason of its own: no failure of a pipe explains it.
    pub(crate) fn is_own(&self, notes: &[Note]) -> bool {
        match self {
            Self::Exited(1) | Self::Trapped(_) => notes.iter().find_map(reason).is_none(),
            Self::Exited(_) => true,
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
            (None, GuestEnd::Trapped(trap)) => Self::Trapped(trap),
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

    #[test]
    fn outcomes_have_words() {
        let trap = |error: wasmtime::Error| match GuestEnd::of_command(Err(error)) {
            GuestEnd::Trapped(trap) => trap,
            GuestEnd::Exited(status) => panic!("exited with {status}"),
        };
        let fuel = trap(wasmtime::Trap::OutOfFuel.into());
        assert!(fuel.is_out_of_fuel());
        assert_eq!(fuel.error().downcast_ref(), Some(&wasmtime::Trap::OutOfFuel));
        let other = trap(wasmtime::Error::msg("a\nbug").context("while calling"));
        assert!(!other.is_out_of_fuel());
        assert_eq!(other.error().to_string(), "while calling");
        let limit = Duration::from_millis(1500);
        let direction = Direction::Read;
        let label = Label::Pipe("in".into());
        let fault = Fault::from(ErrorCode::BrokenPipe);
        for (outcome, text) in [
            (Outcome::Exited(3), "exit status 3"),
            (Outcome::Trapped(fuel), "trapped: all fuel consumed by WebAssembly"),
            (Outcome::Trapped(other), "trapped: a bug"),
            (Outcome::BrokenPipe, "the reader of stdout left"),
            (Outcome::NoPeer { label, direction }, "`in`: no writer came in time"),
            (Outcome::Silent(limit), "nothing moved for 1.5s"),
            (Outcome::TimedOut(limit), "took longer than 1.5s"),
            (Outcome::Failed { label: Label::Stdin, fault }, "`stdin`: broken pipe"),
        ] {
            assert_eq!(outcome.to_string(), text);
        }
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
