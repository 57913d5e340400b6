//! Exit statuses: part of the interface, see `pipehost --help`.

/// Why pipehost ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The guest ended by itself.
    Guest(u8),
    /// The command line makes no sense.
    Usage,
    /// The guest cannot be used.
    NotUsable,
    /// There is no such file.
    Missing,
    /// A pipe could not be made.
    Pipe,
    /// Input or output failed.
    Io,
    /// Something is not permitted.
    NotPermitted,
    /// A time limit was reached.
    TimedOut,
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
            Self::Guest(status) => status,
            Self::Usage => 2,
            Self::NotUsable => 65,
            Self::Missing => 66,
            Self::Pipe => 73,
            Self::Io => 74,
            Self::NotPermitted => 77,
            Self::TimedOut => 124,
            Self::Trapped => 134,
            Self::BrokenPipe => 141,
            Self::Signal(number) => 128u8.saturating_add(number),
        }
    }
}

/// An error that ends pipehost, with its status. The text of the error is the one line that is
/// shown.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) error: anyhow::Error,
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
    use super::Status;

    #[test]
    fn statuses_are_those_of_the_documents() {
        let documented = [
            (Status::Guest(7), 7),
            (Status::Usage, 2),
            (Status::NotUsable, 65),
            (Status::Missing, 66),
            (Status::Pipe, 73),
            (Status::Io, 74),
            (Status::NotPermitted, 77),
            (Status::TimedOut, 124),
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
