//! `pipehost completions`: prints a script by which a shell completes commands, options and their values.

use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};
use super::exit::{Failure, Status};
use super::output::print_bytes;

pub(crate) fn main(args: &CompletionsArgs) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pipehost", &mut script);
    print_bytes(&script)
}
