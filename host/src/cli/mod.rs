//! The command line: takes arguments, gives one line and a status. The only module that uses clap and
//! anyhow.

mod args;
#[cfg(test)]
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod breakout;
mod compile;
mod completions;
mod confining;
mod exit;
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod graph;
mod inspect;
mod keys;
mod launching;
mod limit_names;
mod listing;
mod log;
mod man;
mod mistake;
mod named_files;
mod new;
mod output;
mod part;
mod pipe;
mod progress;
mod ps;
mod report;
mod run;
mod shell;
mod shown;
mod signals;
mod source;
mod stats;
mod trace;
mod values;
mod verdict;
mod wants;
mod watch;
mod watching;
mod wit;

use std::fs::File;
use std::path::Path;

use anyhow::anyhow;
use clap::error::ErrorKind;

use args::{Cli, Command};
use exit::{Failure, InLines, OrStatus as _, Status};

use crate::pipe::overlay;
#[doc(hidden)]
pub use grants::schema as grants_schema;

pub use crate::sys::Allocator;
use crate::sys::{self, SystemError};
use crate::threads;

/// Runs the command line of this process and returns its exit status.
pub fn main() -> u8 {
    sys::ignore_file_size_signal();
    sys::prepare_messages();
    threads::hush_caught_panics();
    let cli = match Cli::of(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error).code(),
    };
    let (log_file, opened) = match cli.log_file.as_deref().map(open_log).transpose() {
        Ok(file) => (file, Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    log::start(cli.verbose, cli.log_format, log_file);
    let outcome = opened.and_then(|()| match cli.command {
        Command::Run(args) => run::main(*args),
        Command::Pipe(args) => pipe::main(*args),
        Command::Inspect(args) => inspect::main(&args),
        Command::Compile(args) => compile::main(&args),
        Command::New(args) => new::main(&args),
        Command::Ps(args) => ps::main(&args),
        Command::Trace(args) => trace::main(&args),
        Command::Wit(args) => wit::main(&args),
        Command::Completions(args) => completions::main(&args),
        Command::Man(args) => man::main(&args),
    });
    let status = outcome.unwrap_or_else(|Failure { status, error }| {
        let lines = error.downcast_ref().map_or(&[][..], |it: &InLines| &it.lines);
        log::say(&with_remedy(format!("{error:#}")), lines);
        status
    });
    let code = status.code();
    report::finish(code, say);
    log::end();
    code
}

/// Opens the file of `--log-file`, before this process confines itself.
fn open_log(path: &Path) -> Result<(&Path, File), Failure> {
    let opened = sys::open_log_file(path, true);
    match opened.map_err(|error| launching::file_failure("--log-file", path, &error))? {
        Some(file) => Ok((path, file)),
        None => Err(anyhow!(
            "--log-file {}: is no regular file, and messages wait for no reader; name a file, or leave the option \
             out and redirect stderr",
            path.display()
        ))
        .or_status(Status::Io),
    }
}

/// Writes the one line on stderr that says why pipehost ends.
pub(crate) fn say(line: &str) {
    log::say(line, &[]);
}

/// Writes whole lines of the host's own to stderr, apart from what `--progress` shows there.
pub(crate) fn tell(lines: &str) {
    note(lines);
    put(lines);
}

/// Keeps whole lines of the host's own for the page of `--report`.
fn note(lines: &str) {
    report::note(lines);
}

/// Writes lines as [`tell`] does, and to no other place.
fn put(lines: &str) {
    overlay::apart(|| sys::write_message(lines.as_bytes()));
}

/// Adds what to do if the system has too few resources and the line does not say so yet.
fn with_remedy(line: String) -> String {
    const REMEDIES: [(SystemError, &str); 4] = [
        (SystemError::ProcessHandles, "raise `ulimit -n`"),
        (
            SystemError::SystemHandles,
            "the system has no more descriptors: end what has many, see lsof(8)",
        ),
        (SystemError::Again, "raise `ulimit -u`, or the limit of the container"),
        (SystemError::NoMemory, "raise `ulimit -v`, or the limit of the container"),
    ];
    let ends_with = |error: &SystemError| {
        let text = std::io::Error::from(*error).to_string();
        line.ends_with(&text) || line.ends_with(&without_error_numbers(&text))
    };
    match REMEDIES.iter().find(|(error, _)| ends_with(error)) {
        Some((_, remedy)) => format!("{line}; {remedy}"),
        None => line,
    }
}

/// Removes the number in "No such file or directory (os error 2)", which helps no user.
fn without_error_numbers(text: &str) -> String {
    let mut pieces = text.split(" (os error ");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                plain += rest;
            }
            _ => {
                plain += " (os error ";
                plain += piece;
            }
        }
    }
    plain
}

/// Prints what clap has to say, and returns the status, if clap returns no arguments.
fn usage(error: &clap::Error) -> Status {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let printed = sys::demand_standard_output().and_then(|()| error.print());
            output::written(printed).unwrap_or_else(|Failure { status, error }| {
                say(&format!("{error:#}"));
                status
            })
        }
        _ => {
            say(&mistake::line(error, &mistake::typed()));
            Status::Usage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_error_numbers;

    /// In the words of a Unix.
    #[cfg(unix)]
    #[test]
    fn what_is_short_is_named() {
        use super::with_remedy;
        let error = std::io::Error::from(super::SystemError::ProcessHandles);
        let line = with_remedy(format!("a pipe cannot be made: {error}"));
        assert!(line.ends_with("Too many open files (os error 24); raise `ulimit -n`"), "{line}");
        let said = format!("a pipe cannot be made: {error}; do this");
        assert_eq!(with_remedy(said.clone()), said);
    }

    #[test]
    fn the_numbers_of_errors_are_left_out() {
        let cases = [
            ("x: No such file (os error 2)", "x: No such file"),
            ("a (os error 2), b (os error 11); c", "a, b; c"),
            ("a (os error x)", "a (os error x)"),
            ("a (os error 2", "a (os error 2"),
            ("", ""),
        ];
        for (text, plain) in cases {
            assert_eq!(without_error_numbers(text), plain);
        }
    }
}
