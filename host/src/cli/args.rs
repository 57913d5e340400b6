//! The command line as it is typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{
    ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint,
};

use super::values::{self, DirSpec, FdSpec, FifoSpec, StdioSpec};

const STATUSES: &str = "\
Exit status: the guest's own (0 to 255) where it ended by itself; else
    2 usage                        66 no such file
   65 not a usable guest           73 a pipe could not be made
   74 input/output                 77 not permitted
  124 timeout                     134 trap
  141 its stdout's reader left  128+n ended by signal n";

const EXAMPLES: &str = "\
Examples:
  mkfifo /tmp/x; (echo hello > /tmp/x &); pipehost run @upper --fifo /tmp/x
  ps | pipehost run @lines
  pipehost run ./filter.wasm --fifo in=/tmp/a,r --fifo out=/tmp/b,w --timeout 10s
  pipehost inspect ./filter.wasm";

const RUN_EXAMPLES: &str = "\
Examples:
  A filter in a shell pipeline, which can reach nothing but its stdin and stdout:
    gzip -dc log.gz | pipehost run ./redact.wasm | less
  A plugin between two named pipes, made now and removed at the end:
    pipehost run ./plugin.wasm --fifo in=/tmp/a,r --fifo out=/tmp/b,w
  An unmodified program on a FIFO:
    pipehost run ./any.wasm --stdin fifo:/tmp/a --stdout null -- --its --own=arguments";

/// Runs sandboxed WASI components on real pipes.
///
/// A pipe is a capability: a guest gets the ends that you grant it, and can reach nothing else.
#[derive(Debug, Parser)]
#[command(name = "pipehost", version, after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
#[command(subcommand_required = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Says more on stderr: the backtrace of a trap, and what the host does; twice, in detail.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a guest on the pipes that it is granted.
    #[command(after_help = format!("{RUN_EXAMPLES}\n\n{STATUSES}"))]
    Run(Box<RunArgs>),
    /// Show what a guest imports, exports and needs.
    Inspect(InspectArgs),
    /// Compile guests ahead of their first run, into the cache.
    ///
    /// `run` does that by itself. The cache is $XDG_CACHE_HOME/pipehost, or ~/.cache/pipehost; it
    /// holds 256 MiB, and drops then what was used least recently. Removing it is always safe.
    Compile(CompileArgs),
    /// Print the WIT package that guests are written against.
    Wit(WitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A component (WASI 0.2 or 0.3 command), a WASI 0.1 module, their text (.wat), or @NAME, a
    /// guest that comes with pipehost: @cat, @lines, @tee, @upper.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) guest: PathBuf,

    /// Grant a named pipe. NAME defaults to the file name. The FIFO is made with mode 0600 if it is
    /// missing, and then removed at the end; an existing one is used and left. KEY: r, w (what the
    /// guest may do; default both), existing (do not make it), keep (do not remove it), insecure
    /// (though others own it or may write to it), eof=close|reopen (what the last writer's leaving
    /// means), capacity=SIZE.
    #[arg(long, value_name = "[NAME=]PATH[,KEY...]", value_parser = values::fifo)]
    pub(crate) fifo: Vec<FifoSpec>,

    /// Grant an inherited descriptor that is a pipe, such as the shell's <(...). NAME defaults to
    /// fdN.
    #[arg(long, value_name = "[NAME=]N[,r|w]", value_parser = values::fd)]
    pub(crate) fd: Vec<FdSpec>,

    /// What the guest reads: inherit, null, a file's path, or fifo:PATH.
    #[arg(long, value_name = "WHAT", default_value = "inherit", value_parser = values::stdio)]
    pub(crate) stdin: StdioSpec,

    /// What the guest writes to: inherit, null, a file's path, or fifo:PATH.
    #[arg(long, value_name = "WHAT", default_value = "inherit", value_parser = values::stdio)]
    pub(crate) stdout: StdioSpec,

    /// Where the guest's messages go: inherit, null, a file's path, or fifo:PATH.
    #[arg(long, value_name = "WHAT", default_value = "inherit", value_parser = values::stdio)]
    pub(crate) stderr: StdioSpec,

    /// Set a variable of the guest's environment, which is empty otherwise.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env)]
    pub(crate) env: Vec<(String, String)>,

    /// Grant a folder, under the name GUEST, or its own; `ro` for reading only.
    #[arg(long, value_name = "HOST[::GUEST][,ro]", value_parser = values::dir)]
    pub(crate) dir: Vec<DirSpec>,

    /// End the run after this long, compiling included: 5s, 250ms, 1m30s.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) timeout: Option<Duration>,

    /// How long an opened pipe waits for its first peer before it fails with `timed-out`.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) open_timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) cache: CacheArgs,

    /// How much memory the guest may have.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = values::size)]
    pub(crate) max_memory: u64,

    /// How many pipes the guest may have open.
    #[arg(long, value_name = "N", default_value = "64", value_parser = values::count)]
    pub(crate) max_pipes: usize,

    /// Which of the grants above comes when, as the guest is to see them in this order.
    #[arg(skip)]
    pub(crate) order: Vec<GrantRef>,

    /// The guest's own arguments.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// A grant by its option and its place among those of that option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrantRef {
    Fifo(usize),
    Fd(usize),
}

impl Cli {
    /// The arguments of this process.
    pub(crate) fn from_process() -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut cli = Self::from_arg_matches(&matches)?;
        if let (Command::Run(args), Some(matches)) =
            (&mut cli.command, matches.subcommand_matches("run"))
        {
            let places = |id: &str| matches.indices_of(id).into_iter().flatten().enumerate();
            let fifos = places("fifo").map(|(at, place)| (place, GrantRef::Fifo(at)));
            let fds = places("fd").map(|(at, place)| (place, GrantRef::Fd(at)));
            let mut order: Vec<_> = fifos.chain(fds).collect();
            order.sort_unstable_by_key(|(place, _)| *place);
            args.order = order.into_iter().map(|(_, grant)| grant).collect();
        }
        Ok(cli)
    }
}

#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// Compile the guest afresh: neither look into the cache of compiled guests nor fill it.
    #[arg(long)]
    pub(crate) no_cache: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// Components, modules, their texts, or @NAMEs.
    #[arg(value_name = "GUEST", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) guests: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A component, a module, their text, or @NAME.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) guest: PathBuf,

    #[command(flatten)]
    pub(crate) cache: CacheArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WitArgs {
    /// Which version of the package; without it, both in one text.
    #[arg(value_enum)]
    pub(crate) version: Option<WitVersion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WitVersion {
    /// For WASI 0.2, with its dependencies.
    #[value(name = "0.2")]
    V0_2,
    /// For WASI 0.3.
    #[value(name = "0.3")]
    V0_3,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
