//! Error codes as [`io::Error`]s.

use std::io::{Error, ErrorKind};

use crate::bindings::{p2, p3};

/// Returns the error of `open_reader`, or of `open_writer` if `write`: with what is granted.
pub(crate) fn of_open(code: impl Into<Error>, name: &str, write: bool) -> Error {
    let error = code.into();
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    let way = if write { "writing" } else { "reading" };
    let granted: Vec<_> = crate::granted()
        .into_iter()
        .map(|pipe| match (pipe.directions.read, pipe.directions.write) {
            (true, true) => format!("`{}` for both", pipe.name),
            (true, false) => format!("`{}` for reading", pipe.name),
            _ => format!("`{}` for writing", pipe.name),
        })
        .collect();
    let granted = match &granted[..] {
        [] => "no pipe is".to_owned(),
        granted => format!("there are {}", granted.join(", ")),
    };
    Error::new(error.kind(), format!("no pipe `{name}` is granted for {way}; {granted}"))
}

/// Maps each code to its kind and text: the same for both versions of the package.
macro_rules! into_io_error {
    ($code:ty) => {
        impl From<$code> for Error {
            fn from(code: $code) -> Self {
                type Code = $code;
                match code {
                    Code::NotPermitted => Error::new(
                        ErrorKind::PermissionDenied,
                        "no pipe of that name is granted in that direction",
                    ),
                    Code::InvalidName => Error::new(ErrorKind::InvalidInput, "not a pipe's name"),
                    Code::LimitExceeded => {
                        Error::new(ErrorKind::QuotaExceeded, "a limit of the operator's is reached")
                    }
                    Code::BrokenPipe => Error::from(ErrorKind::BrokenPipe),
                    Code::TimedOut => Error::new(ErrorKind::TimedOut, "no peer came in time"),
                    Code::InUse => {
                        Error::new(ErrorKind::ResourceBusy, "this end of the pipe is open already")
                    }
                    Code::Unsupported => Error::from(ErrorKind::Unsupported),
                    Code::Io => Error::other("input/output error"),
                }
            }
        }
    };
}

into_io_error!(p2::types::ErrorCode);
into_io_error!(p3::types::ErrorCode);

impl From<p3::cli::types::ErrorCode> for Error {
    fn from(code: p3::cli::types::ErrorCode) -> Self {
        use p3::cli::types::ErrorCode;
        match code {
            ErrorCode::Pipe => ErrorKind::BrokenPipe.into(),
            ErrorCode::IllegalByteSequence => ErrorKind::InvalidData.into(),
            ErrorCode::Io => Error::other("input/output error"),
        }
    }
}

/// Returns the error of a failed start of a child, for which some codes mean another thing.
pub(crate) fn of_spawn(code: impl Into<Error>) -> Error {
    let error = code.into();
    let text = match error.kind() {
        ErrorKind::PermissionDenied => "nothing of that name may be started",
        ErrorKind::QuotaExceeded => "too many children are running, or too deep",
        ErrorKind::ResourceBusy => "two pipes have the same name",
        ErrorKind::InvalidInput => "not a name",
        _ => return error,
    };
    Error::new(error.kind(), text)
}

/// Returns the error for giving away an end that is a stream already.
pub(crate) fn in_use() -> Error {
    Error::new(ErrorKind::InvalidInput, "an end that has been read or written cannot be given away")
}

/// Returns the error of a failed `wasi:io` stream operation.
pub(crate) fn of_stream(error: p2::streams::StreamError) -> Error {
    use p2::streams::StreamError;
    match error {
        StreamError::Closed => ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) => match p2::types::pipe_error_code(&error) {
            Some(code) => code.into(),
            None => Error::other(error.to_debug_string()),
        },
    }
}
