//! Turns a run's outcome into a status, and the line that says why.

use std::time::Duration;

use tracing::Level;

use super::exit::Status;
use super::limit_names::option_of;
use crate::limits::{GuestLimits, Limit};
use crate::outcome::Outcome;
use crate::pipe::{ErrorCode, Label};
use crate::sys::Direction;

/// Returns the status, and the line, if one is shown. A guest that ended by itself gets no line, unless
/// it has met limits. A reader of stdout that has left is not reported either.
pub(crate) fn of(
    outcome: &Outcome,
    limits: &GuestLimits,
    reached: &[Limit],
) -> (Status, Option<String>) {
    let (status, line) = of_end(outcome, limits);
    let reached: Vec<_> = reached.iter().map(option_of).collect();
    let reached = reached.join(" and ");
    let line = match (line, &*reached) {
        (line, "") => line,
        (None, reached) => {
            Some(format!("the guest reached {reached}; give it more, or find out why"))
        }
        (Some(line), reached) => Some(format!("{line}; it had reached {reached}")),
    };
    (status, line)
}

fn of_end(outcome: &Outcome, limits: &GuestLimits) -> (Status, Option<String>) {
    match outcome {
        Outcome::Exited(status) => (Status::Exited(*status), None),
        Outcome::Trapped(trap) if trap.is_out_of_fuel() => {
            let limit = limits.fuel.unwrap_or_default();
            (
                Status::Trapped,
                Some(format!("the guest ran out of fuel: --fuel {limit}; give it more")),
            )
        }
        Outcome::Silent(limit) => (Status::TimedOut, Some(silent(*limit))),
        Outcome::TimedOut(limit) => {
            let limit = humantime::format_duration(*limit);
            (Status::TimedOut, Some(format!("it took longer than its --timeout {limit}")))
        }
        Outcome::Trapped(trap) => {
            let hint = match tracing::enabled!(Level::INFO) {
                true => "",
                false => " (-v shows where)",
            };
            (Status::Trapped, Some(format!("the guest trapped: {trap}{hint}")))
        }
        Outcome::BrokenPipe => (Status::BrokenPipe, None),
        Outcome::Unframed { label, refused } => {
            let line = format!("`{label}`: {refused}; write frame-error=drop to pass over it");
            (Status::Io, Some(line))
        }
        Outcome::NoPeer { label, direction } => {
            let peer = match direction {
                Direction::Read => "writer",
                Direction::Write => "reader",
            };
            let limit = humantime::format_duration(limits.open_timeout.unwrap_or_default());
            let line = format!("`{label}`: no {peer} came within --open-timeout {limit}");
            (Status::TimedOut, Some(line))
        }
        Outcome::Failed { label, fault } => {
            let line = match fault.code {
                ErrorCode::BrokenPipe => {
                    format!("`{label}`: the reader left before the last bytes")
                }
                _ if fault.is_not_open() => {
                    let way = if *label == Label::Stdin { "reading" } else { "writing" };
                    format!(
                        "{label} is not open for {way}: redirect it in the shell, or write --{label} null"
                    )
                }
                _ => format!("{label}: {fault}"),
            };
            (Status::Io, Some(line))
        }
    }
}

/// Returns the line for a run in which nothing moved for as long as `limit`.
pub(crate) fn silent(limit: Duration) -> String {
    let limit = humantime::format_duration(limit);
    format!("nothing moved on any pipe for --idle-timeout {limit}; give it more, or none")
}
