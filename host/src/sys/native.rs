//! Native commands, as they are asked for and as they end.

use std::ffi::OsString;
use std::time::Duration;

use super::Handle;

/// The number that POSIX gives it.
const SIGPIPE: u8 = 13;

/// A command that is to be started, and what it is given.
#[derive(Debug)]
pub struct NativeCommand {
    /// A path, or a name that is looked for on PATH.
    pub program: OsString,
    /// Its arguments, after its name.
    pub args: Vec<OsString>,
    /// What it reads.
    pub stdin: Handle,
    /// What it writes to.
    pub stdout: Handle,
    /// Where its messages go.
    pub stderr: Handle,
    /// What it has under other numbers, 3 and more.
    pub others: Vec<(i32, Handle)>,
}

/// How a native command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeEnd {
    /// By itself, with this status.
    Exited(u8),
    /// By a signal of this number.
    Signaled(u8),
}

impl NativeEnd {
    /// Whether it wrote to a pipe without a reader: SIGPIPE.
    pub fn is_broken_pipe(self) -> bool {
        self == Self::Signaled(SIGPIPE)
    }
}

/// What a native command used, its own children that it has waited for included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// On a processor.
    pub cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub memory: u64,
}

/// How many descriptors a command can be given besides the standard ones.
pub(crate) const MOST_OTHERS: usize = 64;

/// The number that `name` stands for, as a native command has its descriptors: `fd3` to `fd1023`.
pub(crate) fn descriptor_number(name: &str) -> Option<i32> {
    let number: i32 = name.strip_prefix("fd")?.parse().ok()?;
    ((3..1024).contains(&number) && name == format!("fd{number}")).then_some(number)
}
