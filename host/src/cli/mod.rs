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
mod mistake;
mod pipe;
mod run;
mod signals;
mod source;
mod stats;
mod values;
mod verdict;
mod wit;

use clap::error::ErrorKind;

use args::{Cli, Command};
use exit::{Failure, InLines, Status};

use crate::os;
pub use crate::os::Allocator;
use crate::pipe::quoted_in_line;
use crate::threads;

/// Runs the command line of this process and gives its exit status.
pub fn main() -> u8 {
    os::ignore_file_size_signal();
    threads::hush_caught_panics();
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
            let lines = error.downcast_ref().map_or(&[][..], |it: &InLines| &it.lines);
            for line in lines {
                // Indented: a file must not look as if it were us.
                os::write_message(format!("    {}\n", quoted_in_line(line)).as_bytes());
            }
            status.code()
        }
    }
}

/// The one line on stderr that says why.
pub(crate) fn say(line: &str) {
    let line = without_error_numbers(line);
    let line = quoted_in_line(&line);
    os::write_message(format!("pipehost: {line}\n").as_bytes());
}

/// "No such file or directory (os error 2)": the number helps nobody.
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

/// What to print, and the status, where clap has no arguments for us.
fn usage(error: &clap::Error) -> Status {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let printed = os::demand_standard_output().and_then(|()| error.print());
            inspect::written(printed).unwrap_or_else(|Failure { status, error }| {
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
