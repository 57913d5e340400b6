//! The arguments of `pipehost new`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// What the plugin is called, and the folder that is made for it here: lowercase letters, digits,
    /// `-` and `_`.
    pub(crate) name: String,

    /// What the plugin is.
    #[arg(long, value_enum, default_value_t = Kind::Filter)]
    pub(crate) kind: Kind,

    /// What it is written in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub(crate) lang: Language,

    /// Where the crate pipehost-guest is: a clone of pipehost, or the folder `guest` in it. Rust needs it; the
    /// SDKs of other languages are put into the new folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) sdk_path: Option<PathBuf>,
}

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Reads lines, and writes what becomes of each. In every language.
    Filter,
    /// Has arguments, and opens the pipes that they name. In every language.
    Command,
    /// Waits for several pipes at once, on the streams of WASI 0.3. In Rust and JavaScript.
    Async,
    /// Serves tools to a client of the Model Context Protocol. In Rust.
    Mcp,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Filter, Self::Command, Self::Async, Self::Mcp];

    /// Returns the word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Command => "command",
            Self::Async => "async",
            Self::Mcp => "mcp",
        }
    }
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, with the crate pipehost-guest.
    Rust,
    /// C, compiled by zig, and linked by Rust.
    C,
    /// Python, by componentize-py.
    Python,
    /// JavaScript, by componentize-qjs.
    Js,
}

impl Language {
    pub(crate) const ALL: [Self; 4] = [Self::Rust, Self::C, Self::Python, Self::Js];

    /// Returns the word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Python => "python",
            Self::Js => "js",
        }
    }

    /// Returns the language's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Python => "Python",
            Self::Js => "JavaScript",
        }
    }
}
