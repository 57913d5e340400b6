//! Prints the output of a command on stdout.

use std::io::Write as _;

use anyhow::Context;

use super::exit::{Failure, OrStatus, Status};
use crate::sys;

/// Writes `text` to stdout, as the whole output of a command.
pub(crate) fn print(text: &str) -> Result<Status, Failure> {
    print_bytes(text.as_bytes())
}

/// Writes `bytes` to stdout, as the whole output of a command.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<Status, Failure> {
    written(sys::demand_standard_output().and_then(|()| {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    }))
}

/// Returns the status after writing the output of a command.
pub(crate) fn written(outcome: std::io::Result<()>) -> Result<Status, Failure> {
    match outcome {
        Ok(()) => Ok(Status::Exited(0)),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Status::BrokenPipe),
        Err(error) => Err(error).context("stdout").or_status(Status::Io),
    }
}
