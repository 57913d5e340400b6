//! The command line: arguments in, one line and a status out. The only user of clap and of anyhow.

mod args;
#[cfg(test)]
mod breakout;
mod compile;
mod confining;
mod exit;
#[doc(hidden)]
pub mod fuzzing;
mod granting;
mod graph;
mod inspect;
mod log;
mod pipe;
mod run;
mod signals;
mod source;
mod stats;
mod values;
mod verdict;
mod wit;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use args::{Cli, Command};
use exit::{Failure, Status};

use crate::os;
pub use crate::os::Allocator;
use crate::pipe::quoted_in_line;

/// Runs the command line of this process and gives its exit status.
pub fn main() -> u8 {
    let cli = match Cli::of(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error).code(),
    };
    log::start(cli.verbose);
    let outcome = match cli.command {
        Command::Run(args) => run::main(*args),
        Command::Pipe(args) => pipe::main(*args),
        Command::Inspect(args) => inspect::main(&args),
        Command::Compile(args) => compile::main(&args),
        Command::Wit(args) => wit::main(&args),
    };
    match outcome {
        Ok(status) => status.code(),
        Err(Failure { status, error }) => {
            say(&format!("{error:#}"));
            status.code()
        }
    }
}

/// The one line on stderr that says why.
pub(crate) fn say(line: &str) {
    let line = quoted_in_line(line);
    os::write_message(format!("pipehost: {line}\n").as_bytes());
}

/// What to print, and the status, where clap has no arguments for us.
fn usage(error: &clap::Error) -> Status {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => Status::Exited(0),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Status::BrokenPipe,
            Err(_) => Status::Io,
        },
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            say("a command is missing; type `pipehost --help` for the commands and examples");
            Status::Usage
        }
        _ => {
            say(&format!("{} (see `pipehost {} --help`)", usage_line(error), command()));
            Status::Usage
        }
    }
}

/// The command that was typed, for whoever needs its help.
fn command() -> String {
    let known = Cli::command();
    let typed = std::env::args().nth(1).unwrap_or_default();
    match known.find_subcommand(&typed) {
        Some(command) => command.get_name().to_owned(),
        None => "run".to_owned(),
    }
}

/// What clap found wrong, in one line.
fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let message = text.split("\n\nUsage:").next().unwrap_or(&text);
    let message = message.split("\n\nFor more information").next().unwrap_or(message);
    let words: Vec<_> = message.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}
