//! What a run came to, and the reason for it.

use std::time::Duration;

use crate::pipe::{ErrorCode, Fault, Label, Note};
use crate::run::End;
use crate::sys::Direction;

/// What a run came to.
///
/// 1. A guest that ended well has its own status, unless bytes that it had left behind could not be
///    delivered, which it had no chance to see: [`Outcome::BrokenPipe`] for its stdout's reader, else
///    [`Outcome::Failed`]. So also where it has used a standard stream that is not open.
/// 2. A guest that trapped, or ended with 1, after a pipe of its failed, fails for that reason: its
///    stdout's reader left, no peer came in time, its standard streams met an error.
/// 3. Else the guest's own status, or its trap. So also where it has met a limit of its operator's:
///    it was told, and has made of that what it could. [`Reached`](crate::pipe::Reached) knows.
#[derive(Debug)]
pub enum Outcome {
    /// It ended by itself, with this status: 0 to 255.
    Exited(u8),
    /// It trapped. The error's chain has the WebAssembly backtrace.
    Trapped(wasmtime::Error),
    /// Its stdout's reader left, as SIGPIPE would have told a native program.
    BrokenPipe,
    /// No peer came within the time that its operator allows.
    NoPeer {
        /// The pipe's name.
        label: Label,
        /// The guest's end of it.
        direction: Direction,
    },
    /// Nothing moved on any of its pipes for so long, which is what its operator allows. It was ended
    /// where it stood.
    Silent(Duration),
    /// A standard stream met an error, or bytes that were left behind were lost.
    Failed {
        /// The pipe's name.
        label: Label,
        /// What went wrong.
        fault: Fault,
    },
}

impl Outcome {
    pub(crate) fn of(end: End, notes: &[Note]) -> Self {
        let reason = match &end {
            End::Exited(0) => {
                // Many libraries take EBADF on a standard stream for success: nobody was told.
                let unseen = |note: &&Note| note.left_behind || note.fault.is_not_open();
                notes.iter().filter(unseen).find_map(reason)
            }
            End::Exited(1) | End::Trapped(_) => notes.iter().find_map(reason),
            End::Exited(_) => None,
        };
        match (reason, end) {
            (Some(reason), _) => reason,
            (None, End::Exited(status)) => Self::Exited(status),
            (None, End::Trapped(error)) => Self::Trapped(error),
        }
    }
}

/// Why a guest has failed, if this is why.
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
        Outcome::of(End::Exited(status), &[note])
    }

    /// A child may be passed a pipe that is called like a standard stream.
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
