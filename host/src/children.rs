//! The programs that a guest may start as its children.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::guest::Guest;
use crate::pipe::PipeName;

/// How deep children of children may be nested. It bounds how much of the host's stack a chain of them
/// holds.
///
/// It counts for all [`Children`], which have an example.
pub const MAX_DEPTH: usize = 8;

/// The programs that a guest may start, and their names.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::children::{Children, Program};
/// # use pipehost::{Engine, Guest, Pipes, Setup, pipes::null};
/// # let engine = Engine::new()?;
/// # let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
/// # let mut setup = Setup::between(Pipes::builder().build(), null()?, null()?, null()?)?;
///
/// let (max_memory, timeout) = (Some(16 << 20), None);
/// let upper =
///     Program::Guest { guest, program: "upper".into(), spawn: false, max_memory, timeout };
/// let sort = Program::Native { program: "sort".into(), args: vec!["-u".into()] };
/// let children = Children::new(vec![("upper".parse()?, upper), ("sort".parse()?, sort)]);
/// setup.children(children);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Children {
    pub(crate) grants: Arc<[(PipeName, Program)]>,
    pub(crate) depth: usize,
}

/// A program that a guest may start.
///
/// See the example of [`Children`].
#[derive(Clone, Debug)]
pub enum Program {
    /// A guest. It gets what its parent passes on, and nothing else.
    Guest {
        /// Its code.
        guest: Guest,
        /// The name by which it was started, as it sees it.
        program: String,
        /// Whether it may start what its parent may start.
        spawn: bool,
        /// How many bytes of its parent's memory it and its own children may have.
        max_memory: Option<u64>,
        /// How long it may run.
        timeout: Option<Duration>,
    },
    /// A native command, with its first arguments. The arguments of the guest follow these.
    Native {
        /// A path, or a name that is looked up on PATH.
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
    /// Makes a list of programs that may be started.
    /// [`GuestLimits::max_children`](crate::GuestLimits::max_children) says how many may run at once.
    pub fn new(grants: Vec<(PipeName, Program)>) -> Self {
        Self { grants: grants.into(), depth: 0 }
    }
}
