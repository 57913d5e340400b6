//! What a guest may start.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::guest::Guest;
use crate::pipe::PipeName;

/// How deep children of children go. Bounds what a chain of them holds of the host's stack.
pub const MAX_DEPTH: usize = 8;

/// What a guest may start, under which names.
#[derive(Clone)]
pub struct Children {
    pub(crate) grants: Arc<[(PipeName, Program)]>,
    pub(crate) depth: usize,
}

/// Something that may be started.
#[derive(Clone, Debug)]
pub enum Program {
    /// A guest. It gets what the guest that starts it passes on, and nothing else.
    Guest {
        /// Its code.
        guest: Guest,
        /// What it sees as the name that it was started by.
        program: String,
        /// Whether it may start what its parent may.
        spawn: bool,
        /// How many bytes of its parent's memory it and its own children may have.
        max_memory: Option<u64>,
        /// How long it may run.
        timeout: Option<Duration>,
    },
    /// A native command, with its first arguments. Others follow these.
    Native {
        /// A path, or a name that is looked for on PATH.
        program: OsString,
        /// Its first arguments.
        args: Vec<OsString>,
    },
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.grants.iter().map(|(name, _)| name.as_str());
        f.debug_list().entries(names).finish()
    }
}

impl Children {
    /// These may be started. How many at once, [`GuestLimits::max_children`](crate::GuestLimits::max_children) says.
    pub fn new(grants: Vec<(PipeName, Program)>) -> Self {
        Self { grants: grants.into(), depth: 0 }
    }
}
