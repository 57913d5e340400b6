//! The options of one guest: what it is granted, and its limits.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};

use super::super::source::Source;
use super::super::values::{self, Output};
use crate::launch::{
    ChildSpec, CommandSpec, DescriptorSpec, FifoSpec, FolderSpec, GuestPlan, PipeSpec, StreamSpec,
};
use crate::limits::{self, GuestLimits};
use crate::names::PipeName;
use crate::restart::Restart;

/// What a guest is granted, and its limits.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub(crate) struct GuestOptions {
    /// Grant a named pipe. NAME defaults to the file name. The FIFO is made with mode 0600 if it is
    /// missing, and then removed at the end; an existing one is used and left. KEY: r, w (what the
    /// guest may do; default both), existing (do not make it), keep (do not remove it), insecure
    /// (though others own it or may write to it), eof=close|reopen (what the last writer's leaving
    /// means), capacity=SIZE, and of what the guest writes frame=RECORDS and frame-error=drop|end, as
    /// for --stdout. With an empty PATH the FIFO is in a private folder, and its path is told on
    /// stderr.
    #[arg(long, value_name = "[NAME=]PATH[,KEY...]", value_parser = path(values::fifo))]
    pub(crate) fifo: Vec<FifoSpec>,

    /// Grant an inherited descriptor that is a pipe, such as the shell's <(...). NAME defaults to
    /// fdN. What the guest writes can have a frame, as for --stdout.
    #[arg(long, value_name = "[NAME=]N[,KEY...]", value_parser = values::fd)]
    pub(crate) fd: Vec<DescriptorSpec>,

    /// What the guest reads: inherit (the default), null, a file's path, or fifo:PATH, with the
    /// keys of --fifo: fifo:/tmp/x,eof=reopen.
    #[arg(long, value_name = "WHAT", value_parser = path(values::stdin))]
    pub(crate) stdin: Option<StreamSpec>,

    /// What the guest writes to: inherit (the default), null, a file's path, append:FILE to keep what
    /// is in it, or fifo:PATH; with keys: inherit,KEY..., file:PATH,KEY..., append:FILE,KEY...,
    /// fifo:PATH,KEY..., or the keys alone for where it goes anyway.
    /// KEY: frame=lines|nul|json[:SIZE] lets whole records pass and nothing else: lines, texts that a
    /// NUL ends, or lines of JSON, each of at most SIZE bytes [default: 1M; up to 64M].
    /// frame-error=drop (the default) leaves out what is no record, and shows it on stderr;
    /// frame-error=end ends the run (74). Examples: --stdout frame=json, --stdout
    /// fifo:/tmp/x,frame=lines:64K.
    #[arg(long, value_name = "WHAT", value_parser = path(values::stdout))]
    pub(crate) stdout: Option<Output>,

    /// Where the guest's messages go: inherit (the default), null, a file's path, append:FILE to keep
    /// what is in it, or fifo:PATH. With the key drop, what there is no room for is dropped, so that a
    /// reader who never reads cannot stop the guest: --stderr drop, --stderr fifo:PATH,drop. Of
    /// file:PATH,max=SIZE the first SIZE bytes are kept, and the rest is dropped: --stderr
    /// file:/var/tmp/log,max=1M. The end of the run tells how much was dropped. Neither holds for
    /// native commands, which get no such stderr.
    #[arg(long, value_name = "WHAT", value_parser = path(values::stderr))]
    pub(crate) stderr: Option<Output>,

    /// Start the guest again if it traps, on the same open pipes: their peers see no end. At most N
    /// times [default: 5], after 100 ms, 200 ms and so on up to 10 s; then the trap ends the run. The
    /// limits hold for all lives together. Example: --restart=on-trap:3.
    #[arg(long, value_name = "on-trap[:N]", value_parser = values::restart)]
    pub(crate) restart: Option<Restart>,

    /// Replace the guest when its file changes: the new one is compiled while the old one runs, the old one is told at
    /// a record's end that its input has ended, and the new one goes on with the next byte of the same pipes. A record
    /// is a line, or what a NUL ends where the guest's own output is framed so. Half of DURATION [default: 5s] later,
    /// the old one's input ends anywhere; after all of it, the old one is stopped, and what it held is lost. A file
    /// that is no guest changes nothing. The limits hold for all of them together. Example: pipehost run --watch
    /// ./filter.wasm --fifo in=/tmp/a,r --fifo out=/tmp/b,w.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "5s", value_parser = limits::duration)]
    pub(crate) watch: Option<Duration>,

    /// Set a variable of the guest's environment, which is empty otherwise.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub(crate) env: Vec<(String, String)>,

    /// Grant a folder, under the name GUEST, or its own; `ro` for reading only.
    #[arg(long, value_name = "HOST[::GUEST][,ro]", value_parser = path(values::dir))]
    pub(crate) dir: Vec<FolderSpec>,

    /// Let the guest start another under NAME, which gets what the guest passes on, and nothing
    /// else. KEY: spawn (it may itself start what the guest may), max-memory=SIZE,
    /// timeout=DURATION.
    #[arg(long, value_name = "NAME=GUEST[,KEY...]", value_parser = path(values::child))]
    pub(crate) child: Vec<ChildSpec>,

    /// Let the guest start a native command under NAME, with these first arguments: it decides about
    /// those that follow. Quotes are understood as in a shell, and nothing else of it.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = values::exec)]
    pub(crate) exec: Vec<CommandSpec>,

    #[command(flatten)]
    pub(crate) limits: GuestLimits,

    /// Let what the guest writes act on the terminal: without it, all but text and colours is shown
    /// as `\x1b`. Into pipes and files everything goes as it is.
    #[arg(long)]
    pub(crate) raw_terminal: bool,

    /// Which of the grants above comes when, as the guest is to see them in this order.
    #[arg(skip)]
    pub(crate) order: Vec<GrantRef>,
}

/// The options of a guest and nothing else, as a pipeline's file has them.
#[derive(Debug, Parser)]
#[command(name = "stage", disable_help_flag = true, no_binary_name = true)]
struct OptionsOnly {
    #[command(flatten)]
    options: GuestOptions,
}

/// A grant by its option and its place among those of that option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantRef {
    Fifo(usize),
    Fd(usize),
}

/// An option of a guest's.
#[derive(Debug)]
pub(crate) struct KnownOption {
    /// Its name, without `--`.
    pub(crate) name: String,
    pub(crate) takes: Takes,
    /// Its help, in full.
    pub(crate) help: String,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    /// One text.
    Text,
    /// One size, count or time.
    Amount,
    /// A text, as often as it is given.
    List,
    /// A time, or nothing.
    MaybeAmount,
}

impl KnownOption {
    /// Whether it may be given several times.
    pub(crate) fn is_list(&self) -> bool {
        self.takes == Takes::List
    }
}

impl Takes {
    fn of(arg: &Arg) -> Self {
        let value = arg.get_value_names().and_then(|names| names.first());
        match arg.get_action() {
            action if !action.takes_values() => Self::Nothing,
            ArgAction::Append => Self::List,
            _ if arg.get_num_args().is_some_and(|count| count.min_values() == 0) => {
                Self::MaybeAmount
            }
            _ if matches!(value.map(|it| &**it), Some("SIZE" | "N" | "DURATION")) => Self::Amount,
            _ => Self::Text,
        }
    }
}

impl GuestOptions {
    /// Returns all options.
    pub(crate) fn known() -> Vec<KnownOption> {
        let command = OptionsOnly::command();
        let known = |arg: &Arg| {
            let help = arg.get_long_help().or(arg.get_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            Some(KnownOption { name: arg.get_long()?.into(), takes: Takes::of(arg), help })
        };
        command.get_arguments().filter_map(known).collect()
    }

    /// Returns the names of those that are limits.
    pub(crate) fn limits() -> Vec<String> {
        let command = GuestLimits::augment_args(Command::new("limits"));
        command.get_arguments().filter_map(|arg| Some(arg.get_long()?.into())).collect()
    }

    /// Reads options that no guest follows.
    pub(crate) fn of(words: &[OsString]) -> Result<Self, clap::Error> {
        let matches = OptionsOnly::command().try_get_matches_from(words)?;
        Ok(OptionsOnly::from_arg_matches(&matches)?.options.ordered_as_in(&matches))
    }

    /// Notes in which order the grants were typed.
    pub(super) fn ordered_as_in(mut self, matches: &ArgMatches) -> Self {
        let places = |id: &str| matches.indices_of(id).into_iter().flatten().enumerate();
        let fifos = places("fifo").map(|(at, place)| (place, GrantRef::Fifo(at)));
        let fds = places("fd").map(|(at, place)| (place, GrantRef::Fd(at)));
        let mut order: Vec<_> = fifos.chain(fds).collect();
        order.sort_unstable_by_key(|(place, _)| *place);
        self.order = order.into_iter().map(|(_, grant)| grant).collect();
        self
    }

    /// What the guest in `source` is to be given, with these arguments of its own.
    pub(crate) fn plan(&self, source: &Source, args: &[String]) -> GuestPlan {
        let pipe = |grant: &GrantRef| match grant {
            GrantRef::Fifo(at) => PipeSpec::Fifo(self.fifo[*at].clone()),
            GrantRef::Fd(at) => PipeSpec::Descriptor(self.fd[*at].clone()),
        };
        GuestPlan {
            program: source.program(),
            args: args.to_vec(),
            env: self.env.clone(),
            pipes: self.order.iter().map(pipe).collect(),
            stdin: self.stdin.clone(),
            stdout: self.stdout.as_ref().and_then(|it| it.to.clone()),
            stderr: self.stderr.as_ref().and_then(|it| it.to.clone()),
            frame: self.stdout.as_ref().and_then(|it| it.frame),
            shed: self.stderr.as_ref().and_then(|it| it.shed),
            restart: self.restart,
            swap: self.watch,
            folders: self.dir.clone(),
            children: self.child.clone(),
            commands: self.exec.clone(),
            limits: self.limits.clone(),
            raw_terminal: self.raw_terminal,
        }
    }

    /// Grants and limits for every guest of a pipeline, and what one has of its own: its own limits
    /// count, and its grants come after.
    pub(crate) fn with_own(&self, own: &Self) -> Self {
        let mut order = self.order.clone();
        order.extend(own.order.iter().map(|grant| match grant {
            GrantRef::Fifo(at) => GrantRef::Fifo(at + self.fifo.len()),
            GrantRef::Fd(at) => GrantRef::Fd(at + self.fd.len()),
        }));
        Self {
            fifo: chain(&self.fifo, &own.fifo),
            fd: chain(&self.fd, &own.fd),
            stdin: own.stdin.clone(),
            stdout: own.stdout.clone(),
            stderr: own.stderr.clone().or_else(|| self.stderr.clone()),
            restart: own.restart.or(self.restart),
            watch: own.watch.or(self.watch),
            env: chain(&self.env, &own.env),
            dir: chain(&self.dir, &own.dir),
            child: chain(&self.child, &own.child),
            exec: chain(&self.exec, &own.exec),
            limits: own.limits.or(&self.limits),
            raw_terminal: own.raw_terminal || self.raw_terminal,
            order,
        }
    }
}

impl GuestOptions {
    /// Returns what of these, a file's, is left beside `typed`: where a name occurs in both, the
    /// command line's grant takes the file's place.
    pub(crate) fn beside(&self, typed: &Self) -> Self {
        let pipe = |name: &PipeName| {
            typed.fifo.iter().any(|it| it.name == *name)
                || typed.fd.iter().any(|it| it.name == *name)
        };
        let started = |name: &PipeName| {
            typed.child.iter().any(|it| it.name == *name)
                || typed.exec.iter().any(|it| it.name == *name)
        };
        self.only(
            |name| !pipe(name),
            |name| !typed.env.iter().any(|(other, _)| other == name),
            |guest| !typed.dir.iter().any(|other| other.guest == guest),
            |name| !started(name),
        )
    }

    /// Returns the grants that these functions choose by the names for the guest, and all that is no such grant.
    pub(crate) fn only(
        &self,
        pipe: impl Fn(&PipeName) -> bool,
        variable: impl Fn(&str) -> bool,
        folder: impl Fn(&str) -> bool,
        started: impl Fn(&PipeName) -> bool,
    ) -> Self {
        let mut left = self.clone();
        left.fifo.retain(|it| pipe(&it.name));
        left.fd.retain(|it| pipe(&it.name));
        left.env.retain(|(name, _)| variable(name));
        left.dir.retain(|it| folder(&it.guest));
        left.child.retain(|it| started(&it.name));
        left.exec.retain(|it| started(&it.name));
        // Those that are left, in their order.
        let (mut fifos, mut fds) = (0, 0);
        left.order.retain_mut(|grant| {
            let (place, is_left) = match grant {
                GrantRef::Fifo(at) => (&mut fifos, pipe(&self.fifo[*at].name)),
                GrantRef::Fd(at) => (&mut fds, pipe(&self.fd[*at].name)),
            };
            if is_left {
                match grant {
                    GrantRef::Fifo(at) | GrantRef::Fd(at) => *at = *place,
                }
                *place += 1;
            }
            is_left
        });
        left
    }

    /// Adds what was typed to these, a file's: lists come after the file's, and a single value takes
    /// the place of the file's. A grant takes the place of the file's of the same name.
    pub(crate) fn with_typed(&self, typed: &Self) -> Self {
        let file = self.beside(typed);
        let both = file.with_own(typed);
        let (own, old) = (&typed.limits, &file.limits);
        Self {
            stdin: typed.stdin.clone().or(file.stdin),
            stdout: typed.stdout.clone().or(file.stdout),
            limits: GuestLimits {
                timeout: own.timeout.or(old.timeout),
                idle_timeout: own.idle_timeout.or(old.idle_timeout),
                ..both.limits
            },
            ..both
        }
    }
}

/// Reads a value that need not be UTF-8.
fn path<T: Clone + Send + Sync + 'static>(
    read: impl Fn(OsString) -> Result<T, String> + Clone + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(read)
}

fn chain<T: Clone>(first: &[T], then: &[T]) -> Vec<T> {
    first.iter().chain(then).cloned().collect()
}
