//! What a stage runs. A new kind of stage is a variant of [`Job`], a [`Kind`] that describes it, and an
//! arm where the stages are opened.

use std::ffi::OsString;
use std::path::PathBuf;

use super::super::graph;
use super::super::source::Source;
use crate::launch::{GuestPlan, StreamSpec};
use crate::pipe::PipeName;
use crate::sys;

/// What a stage runs.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Guest(GuestJob),
    Native(NativeJob),
}

#[derive(Clone, Debug)]
pub(crate) struct GuestJob {
    pub(crate) source: Source,
    pub(crate) plan: Box<GuestPlan>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct NativeJob {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    pub(crate) streams: Streams,
}

/// The standard streams of a native command that no pipe is joined to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<StreamSpec>,
    pub(crate) stdout: Option<StreamSpec>,
    pub(crate) stderr: Option<StreamSpec>,
}

/// The kind of a stage's end, as its program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind<'a> {
    /// A standard stream: 0, 1 or 2.
    Standard(i32),
    /// A granted pipe.
    Named(&'a str),
    /// A native command's descriptor.
    Number(i32),
}

impl Job {
    pub(crate) fn kind(&self) -> &dyn Kind {
        match self {
            Self::Guest(job) => job,
            Self::Native(job) => job,
        }
    }

    pub(super) fn kind_mut(&mut self) -> &mut dyn Kind {
        match self {
            Self::Guest(job) => job,
            Self::Native(job) => job,
        }
    }
}

/// What differs between the kinds of stages, before they are opened.
pub(crate) trait Kind {
    /// Returns the program, as the user named it.
    fn program(&self) -> OsString;

    /// Describes what the stage runs in few words.
    fn text(&self) -> String;

    /// Returns the kind of node that a graph shows.
    fn node(&self) -> graph::Kind;

    /// Returns the targets of stdin, stdout and stderr, where they were set.
    fn streams(&self) -> [&Option<StreamSpec>; 3];

    /// Returns the targets of stdin, stdout and stderr, to be set.
    fn streams_mut(&mut self) -> [&mut Option<StreamSpec>; 3];

    /// Returns the kind of the end `name`, which is no standard stream, if there is such an end.
    fn end_kind<'a>(&self, name: &'a str) -> Option<EndKind<'a>>;

    /// Describes the ends that a pipe can lead into, or out of.
    fn ends(&self, into: bool) -> &'static str;

    /// Returns the guest, if it is one.
    fn guest(&self) -> Option<&GuestJob> {
        None
    }

    /// Returns the native command, if it is one.
    fn native(&self) -> Option<&NativeJob> {
        None
    }
}

impl Kind for GuestJob {
    fn program(&self) -> OsString {
        self.source.display().into()
    }

    fn text(&self) -> String {
        let args = self.plan.args.iter();
        args.fold(self.source.display(), |text, arg| format!("{text} {arg}"))
    }

    fn node(&self) -> graph::Kind {
        graph::Kind::Guest
    }

    fn streams(&self) -> [&Option<StreamSpec>; 3] {
        [&self.plan.stdin, &self.plan.stdout, &self.plan.stderr]
    }

    fn streams_mut(&mut self) -> [&mut Option<StreamSpec>; 3] {
        [&mut self.plan.stdin, &mut self.plan.stdout, &mut self.plan.stderr]
    }

    fn end_kind<'a>(&self, name: &'a str) -> Option<EndKind<'a>> {
        name.parse::<PipeName>().is_ok().then_some(EndKind::Named(name))
    }

    fn ends(&self, into: bool) -> &'static str {
        match into {
            true => "stdin, or a name that the guest opens",
            false => "stdout, stderr, or a name that the guest opens",
        }
    }

    fn guest(&self) -> Option<&GuestJob> {
        Some(self)
    }
}

impl Kind for NativeJob {
    fn program(&self) -> OsString {
        self.command.first().cloned().unwrap_or_default()
    }

    fn text(&self) -> String {
        let words = self.command.iter();
        words.fold("exec".into(), |text, word| format!("{text} {}", word.to_string_lossy()))
    }

    fn node(&self) -> graph::Kind {
        graph::Kind::Native
    }

    fn streams(&self) -> [&Option<StreamSpec>; 3] {
        let Streams { stdin, stdout, stderr } = &self.streams;
        [stdin, stdout, stderr]
    }

    fn streams_mut(&mut self) -> [&mut Option<StreamSpec>; 3] {
        let Streams { stdin, stdout, stderr } = &mut self.streams;
        [stdin, stdout, stderr]
    }

    fn end_kind<'a>(&self, name: &'a str) -> Option<EndKind<'a>> {
        sys::descriptor_number(name).map(EndKind::Number)
    }

    fn ends(&self, into: bool) -> &'static str {
        match into {
            true => "stdin, or fd3 to fd1023",
            false => "stdout, stderr, or fd3 to fd1023",
        }
    }

    fn native(&self) -> Option<&NativeJob> {
        Some(self)
    }
}

/// Returns the name of a native command's program.
pub(crate) fn program_name(command: &[OsString]) -> String {
    let program = PathBuf::from(command.first().cloned().unwrap_or_default());
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
