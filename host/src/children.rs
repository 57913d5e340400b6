//! What a guest may start.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::guest::Guest;
use crate::pipe::{Limit, PipeName};
use crate::totals::Places;

/// How many children there may be at once unless told otherwise.
pub const DEFAULT_MAX_CHILDREN: usize = 16;

/// How deep children of children go. Bounds what a chain of them holds of the host's stack.
pub const MAX_DEPTH: usize = 8;

/// What a guest may start, under which names.
#[derive(Clone)]
pub struct Children {
    pub(crate) grants: Arc<[(PipeName, Program)]>,
    /// How many more there may be at once, of this guest's and of all of its family.
    pub(crate) room: Places,
    /// As `room`, of several families.
    pub(crate) total: Option<Places>,
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
    /// These may be started, so many at once in all of the family.
    pub fn new(grants: Vec<(PipeName, Program)>, at_once: usize) -> Self {
        let room = Places::new(at_once, Limit::MaxChildren(at_once));
        Self { grants: grants.into(), room, total: None, depth: 0 }
    }

    /// They take places among these, too.
    pub(crate) fn within(self, total: Option<Places>) -> Self {
        Self { total, ..self }
    }

    /// Places for one more.
    pub(crate) fn take_place(&self) -> Result<Vec<OwnedSemaphorePermit>, Limit> {
        [Some(&self.room), self.total.as_ref()].into_iter().flatten().map(Places::take).collect()
    }
}
