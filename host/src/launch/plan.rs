//! What a guest is to be given, as data. Nothing of it is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Conflict;
use crate::limits::GuestLimits;
use crate::names::{Label, PipeName};
use crate::pipe::{Directions, EofPolicy};
use crate::sys::{Direction, FifoOptions};

/// All that one guest is given. By default: nothing, and the limits of [`GuestLimits::default`].
#[derive(Clone, Debug, Default)]
pub struct GuestPlan {
    /// What the guest sees as the name that it was started by.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// The pipes that it may open, in the order in which it is told of them.
    pub pipes: Vec<PipeSpec>,
    /// What it reads; `None` leaves that to the caller of [`Opener::stream`](super::Opener::stream).
    pub stdin: Option<StreamSpec>,
    /// What it writes to, as for `stdin`.
    pub stdout: Option<StreamSpec>,
    /// Where its messages go, as for `stdin`.
    pub stderr: Option<StreamSpec>,
    /// The folders that it may use.
    pub folders: Vec<FolderSpec>,
    /// The guests that it may start.
    pub children: Vec<ChildSpec>,
    /// The native commands that it may start.
    pub commands: Vec<CommandSpec>,
    /// What it is permitted.
    pub limits: GuestLimits,
    /// Whether control characters that it writes to a terminal act on that.
    pub raw_terminal: bool,
}

/// A pipe that a guest may open by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeSpec {
    /// By its path.
    Fifo(FifoSpec),
    /// By the number of an inherited descriptor.
    Descriptor(DescriptorSpec),
}

/// A FIFO that a guest may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FifoSpec {
    /// What the guest opens it by.
    pub name: PipeName,
    /// Where it is. None: in a private folder, of which [`Event::PrivateFifo`](crate::pipe::Event) tells.
    pub path: Option<PathBuf>,
    /// Whether it is made, removed, and trusted.
    pub options: FifoOptions,
    /// Which ends the guest may open.
    pub directions: Directions,
    /// What the last writer's close means.
    pub eof: EofPolicy,
    /// What it is to hold, in bytes. None: as much as the kernel gives it.
    pub capacity: Option<u64>,
}

/// An inherited descriptor that a guest may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorSpec {
    /// What the guest opens it by.
    pub name: PipeName,
    /// Its number in this process, which it is taken from.
    pub number: i32,
    /// Which ends the guest may open. None: all that it is open for.
    pub directions: Option<Directions>,
}

/// What a standard stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamSpec {
    /// This process's own.
    Inherit,
    /// One that has nothing and takes everything.
    Null,
    /// A file, which is emptied or made if it is written to.
    File(PathBuf),
    /// A FIFO, opened when the guest starts.
    Fifo(StreamFifo),
}

/// A FIFO as a standard stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFifo {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is made, removed, and trusted.
    pub options: FifoOptions,
    /// What the last writer's close means to the guest that reads it.
    pub eof: EofPolicy,
    /// What it is to hold, in bytes. None: as much as the kernel gives it.
    pub capacity: Option<u64>,
}

/// A folder that a guest may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderSpec {
    /// Where it is.
    pub host: PathBuf,
    /// What the guest knows it as.
    pub guest: String,
    /// Whether the guest may change nothing in it.
    pub read_only: bool,
}

/// A guest that a guest may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    /// What the guest starts it by.
    pub name: PipeName,
    /// What names it to the `load` of [`children`](super::children): a path, most often.
    pub guest: PathBuf,
    /// Whether it may start what its parent may.
    pub spawn: bool,
    /// How many bytes of its parent's memory it and its own children may have.
    pub max_memory: Option<u64>,
    /// How long it may run.
    pub timeout: Option<Duration>,
}

/// A native command that a guest may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// What the guest starts it by.
    pub name: PipeName,
    /// A path, or a name that is looked for on PATH.
    pub program: String,
    /// Its first arguments. Others follow these.
    pub args: Vec<String>,
}

impl PipeSpec {
    /// The name that the guest opens it by.
    pub fn name(&self) -> &PipeName {
        match self {
            Self::Fifo(fifo) => &fifo.name,
            Self::Descriptor(descriptor) => &descriptor.name,
        }
    }
}

impl GuestPlan {
    /// The FIFOs that it may open.
    pub fn fifos(&self) -> impl Iterator<Item = &FifoSpec> {
        self.pipes.iter().filter_map(|pipe| match pipe {
            PipeSpec::Fifo(fifo) => Some(fifo),
            PipeSpec::Descriptor(_) => None,
        })
    }

    /// The inherited descriptors that it may open.
    pub fn descriptors(&self) -> impl Iterator<Item = &DescriptorSpec> {
        self.pipes.iter().filter_map(|pipe| match pipe {
            PipeSpec::Descriptor(descriptor) => Some(descriptor),
            PipeSpec::Fifo(_) => None,
        })
    }

    /// The folders that it may write to.
    pub fn writable_folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().filter(|folder| !folder.read_only).map(|folder| folder.host.as_path())
    }

    /// Whether it has FIFOs, by name or as a standard stream.
    pub fn has_fifos(&self) -> bool {
        let streams = [&self.stdin, &self.stdout, &self.stderr];
        let is_fifo = |stream: &&Option<StreamSpec>| matches!(stream, Some(StreamSpec::Fifo(..)));
        self.fifos().next().is_some() || streams.iter().any(is_fifo)
    }

    /// Looks for mistakes that can be seen without opening anything: those must not leave a trace. `wired` are the
    /// names that are granted beside those of the plan.
    ///
    /// # Errors
    /// The first of them.
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

    /// The ends of FIFOs that have a path.
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

/// The first that comes a second time.
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
