//! Exit statuses. They are part of the interface, see `pipehost --help`.

use anyhow::anyhow;

use super::limit_names::option_of;
use crate::limits::Reached;

/// Why pipehost ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The program ended by itself, with this status.
    Exited(u8),
    /// The command line is wrong.
    Usage,
    /// The guest cannot be used.
    NotUsable,
    /// There is no such file.
    Missing,
    /// A pipe could not be made.
    Pipe,
    /// Input or output failed.
    Io,
    /// An operation is not permitted.
    NotPermitted,
    /// A time limit was reached.
    TimedOut,
    /// A native command cannot be executed.
    NotExecutable,
    /// There is no such native command.
    NotFound,
    /// The host has a bug.
    Panicked,
    /// The guest trapped.
    Trapped,
    /// The reader of the guest's stdout left.
    BrokenPipe,
    /// A signal of this number ended the run.
    Signal(u8),
}

impl Status {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Usage => 2,
            Self::NotUsable => 65,
            Self::Missing => 66,
            Self::Pipe => 73,
            Self::Io => 74,
            Self::NotPermitted => 77,
            Self::TimedOut => 124,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Panicked => 101,
            Self::Trapped => 134,
            Self::BrokenPipe => 141,
            Self::Signal(number) => 128u8.saturating_add(number),
        }
    }
}

/// An error that ends pipehost, with its status. The text of the error is the one line that is shown.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// Adds the first limit that was met before.
    pub(crate) fn with_reached(self, reached: &Reached) -> Self {
        match &reached.limits()[..] {
            [] => self,
            [limit, ..] => {
                Self { error: anyhow!("{:#} ({})", self.error, option_of(limit)), ..self }
            }
        }
    }

    /// Adds a hint at what the user may have meant.
    pub(crate) fn with_hint(self, hint: &str) -> Self {
        Self { error: anyhow!("{:#}; {hint}", self.error), ..self }
    }

    /// Adds the name of the pipeline's stage.
    pub(crate) fn of_stage(self, name: &str) -> Self {
        Self { error: self.error.context(format!("stage {name}")), ..self }
    }
}

/// An error that shows a piece of a file below its line.
#[derive(Debug, thiserror::Error)]
#[error("{first}")]
pub(crate) struct InLines {
    pub(crate) first: String,
    pub(crate) lines: Vec<String>,
}

/// Returns the status of a pipeline whose stages ended with `statuses`, as with `set -o pipefail`:
///
/// 1. If the last stage failed, its status.
/// 2. Else the status of the last stage that failed. 141 is no failure here: it says that a stage's
///    reader left.
/// 3. Else 0.
pub(crate) fn pipefail(statuses: &[u8]) -> u8 {
    match statuses.split_last() {
        Some((0, before)) => {
            let failed = |status: &&u8| !matches!(**status, 0 | 141);
            before.iter().rev().find(failed).copied().unwrap_or(0)
        }
        Some((last, _)) => *last,
        None => 0,
    }
}

/// Gives an error its status.
pub(crate) trait OrStatus<T> {
    fn or_status(self, status: Status) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrStatus<T> for Result<T, E> {
    fn or_status(self, status: Status) -> Result<T, Failure> {
        self.map_err(|error| Failure { status, error: error.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, pipefail};

    #[test]
    fn the_status_of_a_pipeline() {
        let cases: [(&[u8], u8); 8] = [
            (&[0, 0, 0], 0),
            (&[1, 0, 0], 1),
            (&[1, 2, 0], 2),
            (&[1, 2, 3], 3),
            (&[141, 0], 0),
            (&[141, 141, 0], 0),
            (&[5, 141, 0], 5),
            (&[0, 141], 141),
        ];
        for (statuses, status) in cases {
            assert_eq!(pipefail(statuses), status, "{statuses:?}");
        }
    }

    #[test]
    fn statuses_are_those_of_the_documents() {
        let documented = [
            (Status::Exited(7), 7),
            (Status::Usage, 2),
            (Status::NotUsable, 65),
            (Status::Missing, 66),
            (Status::Pipe, 73),
            (Status::Io, 74),
            (Status::NotPermitted, 77),
            (Status::TimedOut, 124),
            (Status::NotExecutable, 126),
            (Status::NotFound, 127),
            (Status::Panicked, 101),
            (Status::Trapped, 134),
            (Status::BrokenPipe, 141),
            (Status::Signal(2), 130),
            (Status::Signal(15), 143),
        ];
        for (status, code) in documented {
            assert_eq!(status.code(), code, "{status:?}");
        }
    }
}
