//! The labels of ends in messages and counts: a standard stream, or a pipe with a name. A pipe that
//! is named like a standard stream is still a pipe.

use std::fmt;
use std::sync::Arc;

use super::PipeName;

/// What messages and counts call an end. Cheap to clone.
///
/// ```
/// # fn main() -> Result<(), pipehost::InvalidName> {
/// use pipehost::{Label, PipeName};
///
/// let name: PipeName = "stdout".parse()?;
/// let label = Label::from(&name);
/// assert_eq!(label.as_str(), Label::Stdout.as_str());
/// assert!(Label::Stdout.is_standard() && !label.is_standard());
/// # Ok(())
/// # }
/// ```
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
    /// Returns the label's text. That of a standard stream is `stdin`, `stdout` or `stderr`; a pipe
    /// may have the same text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Pipe(name) => name,
        }
    }

    /// Returns the label of the standard stream of this name, if there is one.
    pub fn of_standard(name: &str) -> Option<Self> {
        match name {
            "stdin" => Some(Self::Stdin),
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            _ => None,
        }
    }

    /// Returns whether this is one of the three standard streams.
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
