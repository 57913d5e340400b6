//! Describes as data what a guest is given. Nothing of it is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Conflict;
use crate::limits::GuestLimits;
use crate::names::{Label, PipeName};
use crate::pipe::{Directions, EofPolicy, Excess, Frame};
use crate::restart::Restart;
use crate::sys::{Direction, FifoOptions};

/// Everything that one guest is given. By default: nothing, and the limits of [`GuestLimits::default`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::launch::{Conflict, DescriptorSpec, FolderSpec, GuestPlan, PipeSpec, StreamSpec};
///
/// let pipe = DescriptorSpec { name: "in".parse()?, number: 3, directions: None, frame: None };
/// let data = FolderSpec { host: "/srv/data".into(), guest: "/data".into(), read_only: true };
/// let mut plan = GuestPlan {
///     pipes: vec![PipeSpec::Descriptor(pipe.clone())],
///     stdin: Some(StreamSpec::Null),
///     folders: vec![data],
///     ..GuestPlan::default()
/// };
/// assert_eq!(plan.check([].into_iter()), Ok(()));
/// plan.pipes.push(PipeSpec::Descriptor(pipe));
/// assert_eq!(plan.check([].into_iter()), Err(Conflict::PipeTwice("in".parse()?)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct GuestPlan {
    /// The name by which the guest was started, as it sees it.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// The pipes that it may open, in the order in which it sees them.
    pub pipes: Vec<PipeSpec>,
    /// Its standard input. `None` leaves that to the caller of
    /// [`Opener::stream`](super::Opener::stream).
    pub stdin: Option<StreamSpec>,
    /// Its standard output; `None` as for `stdin`.
    pub stdout: Option<StreamSpec>,
    /// Its standard error; `None` as for `stdin`.
    pub stderr: Option<StreamSpec>,
    /// The records that may leave by its standard output. `None`: any bytes.
    pub frame: Option<Frame>,
    /// What is dropped of its standard error, so that it need not wait. `None`: nothing, and it waits.
    pub shed: Option<Excess>,
    /// Whether it is started again after a trap. `None`: the trap ends the run.
    pub restart: Option<Restart>,
    /// Whether other guests may take its place while it runs, by [`Setup::swaps`](crate::Setup::swaps), and how long it
    /// has to end then. `None`: none may.
    pub swap: Option<Duration>,
    /// The folders that it may use.
    pub folders: Vec<FolderSpec>,
    /// The guests that it may start.
    pub children: Vec<ChildSpec>,
    /// The native commands that it may start.
    pub commands: Vec<CommandSpec>,
    /// Its limits.
    pub limits: GuestLimits,
    /// Whether control characters that it writes to a terminal reach the terminal.
    pub raw_terminal: bool,
}

/// A pipe that a guest may open by a name.
///
/// See the examples of [`GuestPlan`] and of [`FifoSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeSpec {
    /// By its path.
    Fifo(FifoSpec),
    /// By the number of an inherited descriptor.
    Descriptor(DescriptorSpec),
}

/// A FIFO that a guest may open.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::launch::{FifoSpec, PipeSpec};
/// use pipehost::{Directions, EofPolicy, FifoOptions};
///
/// let pipe = PipeSpec::Fifo(FifoSpec {
///     name: "requests".parse()?,
///     path: Some("/run/app/requests".into()),
///     options: FifoOptions { existing: true, ..FifoOptions::default() },
///     directions: Directions::READ,
///     eof: EofPolicy::Reopen,
///     capacity: None,
///     frame: None,
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FifoSpec {
    /// The name by which the guest opens it.
    pub name: PipeName,
    /// Its path. None: it lies in a private folder, and [`Event::PrivateFifo`](crate::pipe::Event)
    /// tells its path.
    pub path: Option<PathBuf>,
    /// Whether it is made, removed, and trusted.
    pub options: FifoOptions,
    /// Which ends the guest may open.
    pub directions: Directions,
    /// What a reader sees when the last writer closes it.
    pub eof: EofPolicy,
    /// Its capacity in bytes. None: the kernel's default.
    pub capacity: Option<u64>,
    /// The records that the guest may write. None: any bytes.
    pub frame: Option<Frame>,
}

/// An inherited descriptor that a guest may open.
///
/// See the example of [`GuestPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorSpec {
    /// The name by which the guest opens it.
    pub name: PipeName,
    /// Its number in this process.
    pub number: i32,
    /// Which ends the guest may open. None: all directions for which it is open.
    pub directions: Option<Directions>,
    /// The records that the guest may write. None: any bytes.
    pub frame: Option<Frame>,
}

/// The target of a standard stream.
///
/// See the examples of [`GuestPlan`] and of [`StreamFifo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamSpec {
    /// The same stream of this process.
    Inherit,
    /// /dev/null.
    Null,
    /// A file. It is emptied or made if the stream is written to.
    File(PathBuf),
    /// A file that is made where it is missing, and written to from its end on (O_APPEND). Stdin
    /// reads it as it does [`StreamSpec::File`].
    Append(PathBuf),
    /// A FIFO, opened when the guest starts.
    Fifo(StreamFifo),
}

/// A FIFO as a standard stream.
///
/// ```
/// use pipehost::launch::{StreamFifo, StreamSpec};
///
/// let stdout = StreamSpec::Fifo(StreamFifo {
///     path: "/run/app/replies".into(),
///     options: Default::default(),
///     eof: Default::default(),
///     capacity: Some(1 << 20),
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFifo {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is made, removed, and trusted.
    pub options: FifoOptions,
    /// What a guest that reads it sees when the last writer closes it.
    pub eof: EofPolicy,
    /// Its capacity in bytes. None: the kernel's default.
    pub capacity: Option<u64>,
}

/// A folder that a guest may use.
///
/// See the example of [`GuestPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderSpec {
    /// Its path on the host.
    pub host: PathBuf,
    /// Its path in the guest.
    pub guest: String,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// A guest that a guest may start.
///
/// See the example of [`children`](super::children()).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    /// The name by which the parent guest starts it.
    pub name: PipeName,
    /// Names the guest to the `load` of [`children`](super::children): most often a path.
    pub guest: PathBuf,
    /// Whether it may start what its parent may start.
    pub spawn: bool,
    /// How many bytes of its parent's memory it and its own children may have.
    pub max_memory: Option<u64>,
    /// How long it may run.
    pub timeout: Option<Duration>,
}

/// A native command that a guest may start.
///
/// See the example of [`children`](super::children()).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// The name by which the guest starts it.
    pub name: PipeName,
    /// A path, or a name that is looked up on PATH.
    pub program: String,
    /// Its first arguments. The guest's arguments follow these.
    pub args: Vec<String>,
}

impl PipeSpec {
    /// Returns the name by which the guest opens the pipe.
    pub fn name(&self) -> &PipeName {
        match self {
            Self::Fifo(fifo) => &fifo.name,
            Self::Descriptor(descriptor) => &descriptor.name,
        }
    }
}

impl GuestPlan {
    /// Returns the FIFOs that the guest may open by name.
    pub fn fifos(&self) -> impl Iterator<Item = &FifoSpec> {
        self.pipes.iter().filter_map(|pipe| match pipe {
            PipeSpec::Fifo(fifo) => Some(fifo),
            PipeSpec::Descriptor(_) => None,
        })
    }

    /// Returns the inherited descriptors that the guest may open.
    pub fn descriptors(&self) -> impl Iterator<Item = &DescriptorSpec> {
        self.pipes.iter().filter_map(|pipe| match pipe {
            PipeSpec::Descriptor(descriptor) => Some(descriptor),
            PipeSpec::Fifo(_) => None,
        })
    }

    /// Returns the folders that the guest may write to.
    pub fn writable_folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().filter(|folder| !folder.read_only).map(|folder| folder.host.as_path())
    }

    /// Returns whether the guest has FIFOs, by name or as a standard stream.
    pub fn has_fifos(&self) -> bool {
        let streams = [&self.stdin, &self.stdout, &self.stderr];
        let is_fifo = |stream: &&Option<StreamSpec>| matches!(stream, Some(StreamSpec::Fifo(..)));
        self.fifos().next().is_some() || streams.iter().any(is_fifo)
    }

    /// Checks for mistakes that can be found without opening anything, so that they leave no trace.
    /// `wired` are the names that are granted besides those of the plan.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check<'a>(&'a self, wired: impl Iterator<Item = &'a PipeName>) -> Result<(), Conflict> {
        let names = || self.pipes.iter().map(PipeSpec::name);
        if let Some(name) = names().find(|name| Label::of_standard(name.as_str()).is_some()) {
            return Err(Conflict::StandardName(name.clone()));
        }
        if let Some(name) = first_duplicate(wired.chain(names())) {
            return Err(Conflict::PipeTwice(name.clone()));
        }
        if let Some(number) = first_duplicate(self.descriptors().map(|it| it.number)) {
            return Err(Conflict::DescriptorTwice(number));
        }
        let ends = self.ends();
        for (at, (path, way, first)) in ends.iter().enumerate() {
            let same = ends[at + 1..].iter().find(|(other, side, _)| other == path && side == way);
            if let Some((.., second)) = same {
                return Err(Conflict::EndTwice {
                    path: path.to_path_buf(),
                    direction: *way,
                    ends: [first.clone(), second.clone()],
                });
            }
        }
        let children = self.children.iter().map(|child| &child.name);
        let commands = self.commands.iter().map(|command| &command.name);
        match first_duplicate(children.chain(commands)) {
            Some(name) => Err(Conflict::ChildTwice(name.clone())),
            None => Ok(()),
        }
    }

    /// Returns the ends of FIFOs that have a path.
    fn ends(&self) -> Vec<(&Path, Direction, Label)> {
        let mut ends: Vec<(&Path, Direction, Label)> = Vec::new();
        for (spec, way, label) in [
            (&self.stdin, Direction::Read, Label::Stdin),
            (&self.stdout, Direction::Write, Label::Stdout),
            (&self.stderr, Direction::Write, Label::Stderr),
        ] {
            if let Some(StreamSpec::Fifo(fifo)) = spec {
                ends.push((&fifo.path, way, label));
            }
        }
        for fifo in self.fifos() {
            if let Some(path) = &fifo.path {
                let label = || Label::from(&fifo.name);
                ends.extend(fifo.directions.list().into_iter().map(|way| (&**path, way, label())));
            }
        }
        ends
    }
}

/// Returns the first item that occurs a second time.
fn first_duplicate<T: PartialEq>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = Vec::new();
    for item in items {
        if seen.contains(&item) {
            return Some(item);
        }
        seen.push(item);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PipeName {
        text.parse().unwrap()
    }

    fn fifo(pipe: &str, path: &str, directions: Directions) -> PipeSpec {
        PipeSpec::Fifo(FifoSpec {
            name: name(pipe),
            path: Some(path.into()),
            options: FifoOptions::default(),
            directions,
            eof: EofPolicy::default(),
            capacity: None,
            frame: None,
        })
    }

    fn plan(pipes: Vec<PipeSpec>) -> GuestPlan {
        GuestPlan { pipes, ..GuestPlan::default() }
    }

    #[test]
    fn what_cannot_be_is_seen_before_anything_is_opened() {
        let (read, write, both) = (Directions::READ, Directions::WRITE, Directions::BOTH);
        let good = plan(vec![fifo("a", "/x", read), fifo("b", "/x", write)]);
        assert_eq!(good.check([].into_iter()), Ok(()));
        let taken = name("b");
        let twice = good.check([&taken].into_iter());
        assert_eq!(twice, Err(Conflict::PipeTwice(name("b"))));
        let standard = plan(vec![fifo("stdin", "/x", read)]);
        let refused = standard.check([].into_iter());
        assert_eq!(refused, Err(Conflict::StandardName(name("stdin"))));
        let mut same_end = plan(vec![fifo("a", "/x", both)]);
        same_end.stdout = Some(StreamSpec::Fifo(StreamFifo {
            path: "/x".into(),
            options: FifoOptions::default(),
            eof: EofPolicy::default(),
            capacity: None,
        }));
        let ends = [Label::Stdout, Label::Pipe("a".into())];
        let (path, direction) = ("/x".into(), Direction::Write);
        let refused = same_end.check([].into_iter());
        assert_eq!(refused, Err(Conflict::EndTwice { path, direction, ends }));
        assert!(same_end.has_fifos() && !plan(Vec::new()).has_fifos());
    }
}
