//! The arguments of `pipehost ps` and `pipehost trace`.

use clap::Args;

pub(super) const PS_EXAMPLES: &str = "\
Examples:
  What goes on, and who waits for whom:
    pipehost ps
  Which runs have been waiting for more than 10 seconds? By jq:
    pipehost ps --json | jq '.[] | select(any(.ends[]; .waiting_seconds > 10)) | .pid'

Exit status: 0, also where nothing runs: then only the head of the table is printed.";

pub(super) const TRACE_EXAMPLES: &str = "\
Examples:
  Follow the run that `pipehost ps` lists as 4711:
    pipehost trace 4711
  When does it move something?
    pipehost trace 4711 --json | jq 'select(.event == \"moved\")'

Exit status: 0 when the run has ended, whatever its own status was; 66 where no such run goes on.";

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Print JSON: docs/ps.schema.json is its form.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// The process id of the run, as `pipehost ps` shows it.
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,

    /// Print each line as an object of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
