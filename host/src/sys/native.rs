//! Native commands: how they are started and how they end.

use std::ffi::OsString;
use std::time::Duration;

use super::Handle;

/// The number of SIGPIPE in POSIX.
const SIGPIPE: u8 = 13;

/// A command to start, and what it is given.
///
/// See the example of [`Pipeline`](crate::pipeline::Pipeline).
#[derive(Debug)]
pub struct NativeCommand {
    /// A path, or a name that is looked up on PATH.
    pub program: OsString,
    /// Its arguments, after its name.
    pub args: Vec<OsString>,
    /// Its standard input.
    pub stdin: Handle,
    /// Its standard output.
    pub stdout: Handle,
    /// Its standard error.
    pub stderr: Handle,
    /// Its other descriptors, with their numbers, 3 and more.
    pub others: Vec<(i32, Handle)>,
}

/// How a native command ended.
///
/// A part of a [`StageEnd`](crate::pipeline::StageEnd): see the example of
/// [`Pipeline`](crate::pipeline::Pipeline).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeEnd {
    /// It exited with this status.
    Exited(u8),
    /// A signal of this number ended it.
    Signaled(u8),
}

impl NativeEnd {
    /// Returns whether the command wrote to a pipe without a reader: SIGPIPE.
    pub fn is_broken_pipe(self) -> bool {
        self == Self::Signaled(SIGPIPE)
    }
}

/// What a native command used, including its own children that it has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The time on a processor.
    pub cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub memory: u64,
}

/// How many descriptors a command can be given besides the standard ones.
pub(crate) const MOST_OTHERS: usize = 64;

/// Returns the number in the name of a native command's descriptor: `fd3` to `fd1023`.
pub(crate) fn descriptor_number(name: &str) -> Option<i32> {
    let number: i32 = name.strip_prefix("fd")?.parse().ok()?;
    ((3..1024).contains(&number) && name == format!("fd{number}")).then_some(number)
}
