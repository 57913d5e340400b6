//! What an end is called in messages and counts: a standard stream, or a pipe with a name. A pipe that is named like a
//! standard stream is none.

use std::fmt;
use std::sync::Arc;

use super::PipeName;

/// What an end is called. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// The guest's standard input.
    Stdin,
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// A pipe that was granted or passed under this name.
    Pipe(Arc<str>),
}

impl Label {
    /// Its text: a standard stream's is `stdin`, `stdout` or `stderr`, which a pipe's may be, too.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Pipe(name) => name,
        }
    }

    /// That of the standard stream which is called so.
    pub fn of_standard(name: &str) -> Option<Self> {
        match name {
            "stdin" => Some(Self::Stdin),
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            _ => None,
        }
    }

    /// Whether it is one of the three standard streams.
    pub fn is_standard(&self) -> bool {
        !matches!(self, Self::Pipe(_))
    }
}

impl From<&PipeName> for Label {
    fn from(name: &PipeName) -> Self {
        Self::Pipe(name.as_str().into())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
