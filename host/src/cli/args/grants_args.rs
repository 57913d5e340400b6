//! The options about a file of grants.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// Where grants come from, and whether they are only shown.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct GrantsArgs {
    /// A file of grants: TOML, in which each option of a guest's is a key (exec is grant-exec), and
    /// guest, sha256 and args say what is run. Without this option, a pipehost.toml beside the guest
    /// that names it is used, for what is in its own folder; none: no file is, and nothing that the guest
    /// declares is asked for. What is typed comes after what the file has;
    /// a value, a limit, or a grant of the same name takes the file's place. Example: examples/pipehost.toml.
    #[arg(long, value_name = "FILE|none", value_hint = ValueHint::FilePath)]
    pub(crate) grants: Option<PathBuf>,

    /// Only show what the guest would be granted, and where each grant and limit is from.
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "text", value_enum)]
    pub(crate) explain: Option<ExplainForm>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainForm {
    /// Tables.
    Text,
    /// JSON.
    Json,
}
