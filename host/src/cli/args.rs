//! The command line as it is typed.

mod grants_args;
mod guest_options;
mod new_args;
mod ps_args;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{
    ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint,
};

use clap_complete::Shell;

use super::part::Part;
use crate::limits;
pub(crate) use grants_args::{ExplainForm, GrantsArgs};
pub(crate) use guest_options::{GuestOptions, KnownOption, Takes};
pub(crate) use new_args::{Kind, Language, NewArgs};
use ps_args::{PS_EXAMPLES, TRACE_EXAMPLES};
pub(crate) use ps_args::{PsArgs, TraceArgs};

const STATUSES: &str = "\
Exit status: the guest's own (0 to 255) where it ended by itself (std::process::exit(3) is 1 in
WASI 0.2 and 0.3, which know success and failure only; exit-with-code, in the SDK pipehost_guest::exit(3),
is 3); else
    2 usage                        66 no such file
   65 not a usable guest           73 a pipe could not be made
   74 input/output                 77 not permitted
  124 timeout                     134 trap
  141 its stdout's reader left  128+n ended by signal n";

const EXAMPLES: &str = "\
Examples:
  mkfifo /tmp/x; (echo hello > /tmp/x &); pipehost run @upper --fifo /tmp/x
  ps | pipehost run @lines
  pipehost pipe @lines ! exec grep -v DEBUG ! @upper < app.log
  pipehost run ./filter.wasm --fifo in=/tmp/a,r --fifo out=/tmp/b,w --timeout 10s
  pipehost inspect ./filter.wasm";

const RUN_EXAMPLES: &str = "\
Examples:
  A filter in a shell pipeline, which can reach nothing but its stdin and stdout:
    gzip -dc log.gz | pipehost run ./redact.wasm | less
  A plugin between two named pipes, made now and removed at the end:
    pipehost run ./plugin.wasm --fifo in=/tmp/a,r --fifo out=/tmp/b,w
  An unmodified program on a FIFO:
    pipehost run ./any.wasm --stdin fifo:/tmp/a --stdout null -- --its --own=arguments
  What a file of grants names, and what that would be given:
    pipehost run --grants plugin/pipehost.toml --explain";

const PIPE_EXAMPLES: &str = "\
Examples:
  Two guests and a native command:
    pipehost pipe @lines ! exec grep -v DEBUG ! ./redact.wasm --strict < app.log
  Options for one guest stand in front of it:
    pipehost pipe --timeout 1m -- @cat ! --max-memory 16M ./filter.wasm
  A pipeline that is no line, kept in a file:
    pipehost pipe -f pipeline.toml --check && pipehost pipe -f pipeline.toml --stats";

const NEW_EXAMPLES: &str = "\
Examples:
  A filter in Rust, with the SDK of a clone of pipehost:
    pipehost new redact --sdk-path ../pipehost
  One in Python:
    pipehost new redact --lang python
  A server of tools for a client of the Model Context Protocol:
    pipehost new tools --kind mcp --sdk-path ../pipehost";

const PIPE_STATUSES: &str = "\
Exit status: that of the last stage that failed, as with `set -o pipefail`:
  1. If the last stage fails, its status.
  2. Else that of the stage nearest to it that failed, where 141, which says that a stage's reader
     left, is no failure.
  3. Else 0.
A guest's status is as for `pipehost run`; a command that signal n ended has 128+n, one that is not
found 127, one that cannot be executed 126. 124 and 128+n also where --timeout or a signal ended all.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  pipehost completions bash > ~/.local/share/bash-completion/completions/pipehost
  pipehost completions zsh > \"${fpath[1]}/_pipehost\"
  pipehost completions fish > ~/.config/fish/completions/pipehost.fish
  pipehost completions powershell >> $PROFILE";

const MAN_EXAMPLES: &str = "\
Examples:
  pipehost man ~/.local/share/man/man1 && man pipehost-run
  pipehost man . && man ./pipehost.1";

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

    /// The form of pipehost's own messages on stderr, or in the file of --log-file.
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,

    /// Append pipehost's own messages to a file, made with mode 0600 if it is missing, and not to
    /// stderr. The line that says why pipehost ends goes to both.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) log_file: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// An object of JSON in each line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a guest on the pipes that it is granted.
    ///
    /// What a guest declares that it wants and is not granted is asked for, where stderr is a terminal: once, always (which is remembered
    /// for this very file), or no. Elsewhere, and after a no, nothing runs, with 77 and a line that says what to type.
    #[command(after_help = format!("{RUN_EXAMPLES}\n\n{STATUSES}"))]
    Run(Box<RunArgs>),
    /// Run several guests and native commands at once, joined by pipes.
    ///
    /// Each stage's stdout is the next one's stdin: a kernel pipe, and the host copies nothing. All
    /// options that stand before the first stage hold for every guest, but --stdin is the first
    /// stage's, --stdout the last one's, and --timeout and --idle-timeout bound the whole; behind `--`
    /// and each `!`, a guest can have options of its own.
    #[command(after_help = format!("{PIPE_EXAMPLES}\n\n{PIPE_STATUSES}"))]
    Pipe(Box<PipeArgs>),
    /// Show what a guest imports, exports and needs.
    Inspect(InspectArgs),
    /// Compile guests ahead of their first run, into the cache.
    ///
    /// `run` does that by itself. The cache is $XDG_CACHE_HOME/pipehost, or ~/.cache/pipehost; it
    /// holds 256 MiB, and drops then what was used least recently. Removing it is always safe.
    Compile(CompileArgs),
    /// Make a folder with a plugin that builds, runs and has a test.
    ///
    /// The last lines that it prints are the commands that do so. Nothing is written over.
    #[command(after_help = NEW_EXAMPLES)]
    New(NewArgs),
    /// Show the runs and pipelines of this user that go on: what each end of a pipe has moved, and who waits for whom.
    ///
    /// A run is listed by a file in $XDG_RUNTIME_DIR/pipehost or /tmp/pipehost-UID, which it writes when something has changed,
    /// four times a second at most. It is not listed where it could not make that file. What native commands move
    /// is not known.
    #[command(after_help = PS_EXAMPLES)]
    Ps(PsArgs),
    /// Follow a run that goes on: print a line whenever the state of a pipe end changes, until the run ends.
    ///
    /// This looks four times a second, and reads what the run says of itself: it neither stops the run nor slows it
    /// down, and what changes and changes back in between is not seen.
    #[command(after_help = TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Print the WIT package that guests are written against.
    Wit(WitArgs),
    /// Print what makes a shell complete pipehost's commands and options.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the manual pages, one for each command, into a folder.
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A component (WASI 0.2 or 0.3 command), a WASI 0.1 module, their text (.wat), or @NAME, a
    /// guest that comes with pipehost: @cat, @lines, @tee, @upper.
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "grants")]
    pub(crate) guest: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) grants: GrantsArgs,

    #[command(flatten)]
    pub(crate) options: GuestOptions,

    #[command(flatten)]
    pub(crate) cache: CacheArgs,

    #[command(flatten)]
    pub(crate) stats: StatsArgs,

    #[command(flatten)]
    pub(crate) progress: ProgressArgs,

    #[command(flatten)]
    pub(crate) report: ReportArgs,

    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,

    /// The guest's own arguments.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

impl Cli {
    /// The arguments of a process, its own name first.
    pub(crate) fn of(args: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        match (&mut cli.command, matches.subcommand()) {
            (Command::Run(args), Some((_, matches))) => {
                args.options = std::mem::take(&mut args.options).ordered_as_in(matches);
                args.sandbox.from = matches.value_source("sandbox");
            }
            (Command::Pipe(args), Some((_, matches))) => {
                args.options = std::mem::take(&mut args.options).ordered_as_in(matches);
            }
            _ => {}
        }
        Ok(cli)
    }
}

#[derive(Debug, Args)]
pub(crate) struct PipeArgs {
    #[command(flatten)]
    pub(crate) options: GuestOptions,

    #[command(flatten)]
    pub(crate) cache: CacheArgs,

    #[command(flatten)]
    pub(crate) stats: StatsArgs,

    #[command(flatten)]
    pub(crate) progress: ProgressArgs,

    #[command(flatten)]
    pub(crate) report: ReportArgs,

    #[command(flatten)]
    pub(crate) totals: TotalsArgs,

    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,

    /// Read the pipeline from a file: see examples/pipeline.toml.
    #[arg(short, long, value_name = "FILE", conflicts_with = "stages")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Give each guest a process of its own, confined to that guest's grants: whatever happens to it,
    /// even to the engine in it, the other stages go on.
    #[arg(long)]
    pub(crate) isolate: bool,

    /// This process is one of those.
    #[arg(long, hide = true, value_name = "JSON", require_equals = true)]
    pub(crate) part: Option<Part>,

    /// Only see whether the pipeline can run: its stages, its pipes, its guests, its commands.
    #[arg(long)]
    pub(crate) check: bool,

    /// Only show the pipeline: as text, or in a file that ends in .dot or .svg, as a picture.
    #[arg(long, value_name = "FILE", require_equals = true, value_hint = ValueHint::FilePath)]
    pub(crate) graph: Option<Option<PathBuf>>,

    /// The stages, with `!` between them: GUEST [ARGS...], with options of its own in front, or exec
    /// COMMAND [ARGS...]. An argument that is to be `!` is written `\!`.
    #[arg(value_name = "STAGE", trailing_var_arg = true)]
    #[arg(required_unless_present = "file")]
    pub(crate) stages: Vec<OsString>,
}

/// What all guests of a pipeline may have together, beside what each may.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TotalsArgs {
    /// How much memory all guests and their children may have together [default: 1G, or the largest
    /// --max-memory].
    #[arg(long, value_name = "SIZE", value_parser = limits::size, allow_hyphen_values = true)]
    pub(crate) max_total_memory: Option<u64>,

    /// How many pipes all guests and their children may have open together, those between the stages
    /// aside [default: 1024, or the largest --max-pipes].
    #[arg(long, value_name = "N", value_parser = limits::count, allow_hyphen_values = true)]
    pub(crate) max_total_pipes: Option<usize>,

    /// How many children all guests may have at once together [default: 64, or the largest
    /// --max-children].
    #[arg(long, value_name = "N", value_parser = limits::count, allow_hyphen_values = true)]
    pub(crate) max_total_children: Option<usize>,
}

impl TotalsArgs {
    /// Whether any was given.
    pub(crate) fn any(&self) -> bool {
        self.max_total_memory.is_some()
            || self.max_total_pipes.is_some()
            || self.max_total_children.is_some()
    }
}

/// One stage that is a guest, as it is typed between two `!`.
#[derive(Debug, Parser)]
#[command(name = "stage", disable_help_flag = true, no_binary_name = true)]
pub(crate) struct StageArgs {
    #[command(flatten)]
    pub(crate) options: GuestOptions,

    /// The guest, and its own arguments: the first word that is no option ends the options.
    #[arg(value_name = "GUEST", required = true)]
    #[arg(trailing_var_arg = true)]
    pub(crate) words: Vec<String>,
}

impl StageArgs {
    /// What stands between two `!`.
    pub(crate) fn of(words: &[OsString]) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(words)?;
        let mut stage = Self::from_arg_matches(&matches)?;
        stage.options = stage.options.ordered_as_in(&matches);
        Ok(stage)
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct StatsArgs {
    /// Tell at the end, on stderr, what was used and moved, and who waited for whom.
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "text", value_enum)]
    pub(crate) stats: Option<StatsForm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsForm {
    /// Tables.
    Text,
    /// One line of JSON.
    Json,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ProgressArgs {
    /// Show on stderr, where that is a terminal, what each pipe end of a guest moves while it moves: how
    /// much, how fast, for how long, what share of --max-bytes or of an input file, and who waits for
    /// whom. The lines leave no trace, and give way to what guests write. Example: pipehost run
    /// @upper --progress < big > big.upper
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "auto", value_enum)]
    pub(crate) progress: Option<ProgressMode>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// Write a page about the run when it has ended, by whatever way: what was joined to what, what each
    /// pipe end of a guest moved over time and how long its guest waited, statuses, limits that were
    /// met, grants, versions. It needs no other file, and has no scripts. An existing FILE is emptied
    /// first. Example: --report run.html
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// On a terminal that nothing else writes to unseen, such as a native command.
    Auto,
    /// On every terminal; elsewhere as a line each second.
    Always,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Whether this process gives up its own powers before a guest runs, in case that a guest breaks
    /// out of the engine.
    #[arg(long, value_name = "MODE", value_enum, default_value_t, env = "PIPEHOST_SANDBOX")]
    pub(crate) sandbox: SandboxMode,

    /// Where that is from, as far as somebody wants to know.
    #[arg(skip)]
    pub(crate) from: Option<ValueSource>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SandboxMode {
    /// All that the kernel can; a warning says what it cannot.
    #[default]
    Auto,
    /// As auto; without Landlock and seccomp nothing runs, and the status is 77.
    Require,
    /// Not at all.
    Off,
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

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that is to complete.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder, which is made if it is missing. Pages of the same names are replaced.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
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
