//! What a run's outcome is called on the command line: a status, and the line that says why.

use std::time::Duration;

use tracing::Level;

use super::exit::Status;
use crate::os::Direction;
use crate::outcome::Outcome;
use crate::pipe::ErrorCode;
use crate::run::End;

/// The status, and the line if one is to be shown: the guest's own end speaks for itself, and nobody
/// is told of a reader that has left.
pub(crate) fn of(outcome: &Outcome, open_timeout: Option<Duration>) -> (Status, Option<String>) {
    match outcome {
        Outcome::Exited(status) => (Status::Exited(*status), None),
        Outcome::Trapped(error) => {
            let hint = match tracing::enabled!(Level::INFO) {
                true => "",
                false => " (-v shows where)",
            };
            let line = format!("the guest trapped: {}{hint}", End::trap_summary(error));
            (Status::Trapped, Some(line))
        }
        Outcome::BrokenPipe => (Status::BrokenPipe, None),
        Outcome::NoPeer { label, direction } => {
            let peer = match direction {
                Direction::Read => "writer",
                Direction::Write => "reader",
            };
            let limit = humantime::format_duration(open_timeout.unwrap_or_default());
            let line = format!("`{label}`: no {peer} came within --open-timeout {limit}");
            (Status::TimedOut, Some(line))
        }
        Outcome::Failed { label, fault } => {
            let line = match fault.code {
                ErrorCode::BrokenPipe => {
                    format!("`{label}`: the reader left before the last bytes")
                }
                _ => format!("{label}: {fault}"),
            };
            (Status::Io, Some(line))
        }
    }
}
