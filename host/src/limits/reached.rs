//! Records which of its limits a guest has met.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Size;
use crate::names::Label;
use crate::sys::Direction;

/// How many limits are recorded at most: a guest has as many ends as it has grants.
const MOST: usize = 8;

/// A limit that a guest has met: one of [`GuestLimits`](super::GuestLimits), of
/// [`Totals`](super::Totals), or of the host.
///
/// See the example of [`Reached`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// The bytes that an end may move.
    MaxBytes {
        /// The end: a granted pipe's name, or `stdin`, `stdout`, `stderr`.
        label: Label,
        /// The end's direction.
        direction: Direction,
        /// The number of bytes.
        bytes: u64,
    },
    /// The memory of a guest and its children, in bytes.
    MaxMemory(u64),
    /// The pipes that a guest and its children have open.
    MaxPipes(usize),
    /// The children that run at once.
    MaxChildren(usize),
    /// The fuel that a guest leaves to its children.
    Fuel(u64),
    /// The memory of several guests together, in bytes.
    MaxTotalMemory(u64),
    /// The pipes that several guests have open together.
    MaxTotalPipes(usize),
    /// The children of several guests together.
    MaxTotalChildren(usize),
    /// The descriptors of the host that a guest and its children may use.
    Descriptors(usize),
    /// The bytes that the host holds for a guest and its children.
    HeldBytes(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxBytes { label, direction, bytes } => {
                write!(f, "{} bytes of `{label}` ({})", Size(*bytes), direction.doing())
            }
            Self::MaxMemory(bytes) => write!(f, "{} bytes of memory", Size(*bytes)),
            Self::MaxPipes(count) => write!(f, "{count} open pipes"),
            Self::MaxChildren(count) => write!(f, "{count} children at once"),
            Self::Fuel(units) => write!(f, "{units} units of fuel for children"),
            Self::MaxTotalMemory(bytes) => write!(f, "{} bytes of memory in all", Size(*bytes)),
            Self::MaxTotalPipes(count) => write!(f, "{count} open pipes in all"),
            Self::MaxTotalChildren(count) => write!(f, "{count} children at once in all"),
            Self::Descriptors(count) => write!(f, "its share of {count} descriptors"),
            Self::HeldBytes(bytes) => {
                write!(f, "the {} that the host holds for a guest at once", Size(*bytes as u64))
            }
        }
    }
}

/// The limits that a guest or one of its children has met, each once, in order. Cloning gives another
/// handle to the same list.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::limits::Limit;
/// use pipehost::{GuestLimits, Pipes};
///
/// let mut limits = GuestLimits::default();
/// limits.max_pipes = Some(1);
/// let pipes = Pipes::builder().limits(limits).build();
/// let _first = pipes.create()?;
/// assert!(pipes.create().is_err());
/// let reached = pipes.journal().reached();
/// assert_eq!(reached.limits(), [Limit::MaxPipes(1)]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Reached(Arc<Mutex<Vec<Limit>>>);

impl Reached {
    pub(crate) fn note(&self, limit: Limit) {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.len() < MOST && !limits.contains(&limit) {
            tracing::debug!("{limit} is reached");
            limits.push(limit);
        }
    }

    /// Returns the limits that have been met so far.
    pub fn limits(&self) -> Vec<Limit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_and_not_without_end() {
        let reached = Reached::default();
        for n in 0..100 {
            reached.note(Limit::MaxPipes(n / 2));
        }
        let first: Vec<_> = (0..MOST).map(Limit::MaxPipes).collect();
        assert_eq!(reached.limits(), first);
    }
}
