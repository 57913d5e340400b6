//! Which of its operator's limits a guest has met.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Label;
use crate::sys::Direction;

/// A guest has as many ends as it has grants; so many limits are told of.
const MOST: usize = 8;

/// A limit that a guest has met. Its text is the option and the value, as an operator types them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The bytes that an end may move.
    MaxBytes {
        /// The end: a granted pipe's name, or `stdin`, `stdout`, `stderr`.
        label: Label,
        /// Which end of it.
        direction: Direction,
        /// So many.
        bytes: u64,
    },
    /// The memory of a guest and its children, in bytes.
    MaxMemory(u64),
    /// The pipes that a guest and its children have open.
    MaxPipes(usize),
    /// The children at once.
    MaxChildren(usize),
    /// The fuel that a guest leaves to its children.
    Fuel(u64),
    /// The memory of several guests together, in bytes.
    MaxTotalMemory(u64),
    /// The pipes that several guests have open together.
    MaxTotalPipes(usize),
    /// The children of several guests together.
    MaxTotalChildren(usize),
    /// The descriptors that a guest and its children may take of the host's.
    Descriptors(usize),
    /// The bytes that the host holds for a guest and its children.
    HeldBytes(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxBytes { label, direction, bytes } => {
                let way = direction.doing();
                write!(f, "--max-bytes {} of `{label}` ({way})", Size(*bytes))
            }
            Self::MaxMemory(bytes) => write!(f, "--max-memory {}", Size(*bytes)),
            Self::MaxPipes(count) => write!(f, "--max-pipes {count}"),
            Self::MaxChildren(count) => write!(f, "--max-children {count}"),
            Self::Fuel(units) => write!(f, "--fuel {units}"),
            Self::MaxTotalMemory(bytes) => write!(f, "--max-total-memory {}", Size(*bytes)),
            Self::MaxTotalPipes(count) => write!(f, "--max-total-pipes {count}"),
            Self::MaxTotalChildren(count) => write!(f, "--max-total-children {count}"),
            Self::Descriptors(count) => {
                write!(f, "its share of {count} descriptors (raise `ulimit -n`)")
            }
            Self::HeldBytes(bytes) => {
                write!(f, "the {} that the host holds for a guest at once", Size(*bytes as u64))
            }
        }
    }
}

/// Bytes in the largest unit in which they are a whole number.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
        let fits = |&&(shift, _): &&(u32, &str)| self.0 != 0 && self.0.is_multiple_of(1 << shift);
        match units.iter().find(fits) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The limits that a guest or one of its children has met, each once, in order. Cloning gives another
/// handle to the same list.
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

    /// Those that have been met so far.
    pub fn limits(&self) -> Vec<Limit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_they_are_typed() {
        let label = Label::Pipe("out".into());
        let bytes = Limit::MaxBytes { label, direction: Direction::Write, bytes: 3 << 20 };
        assert_eq!(bytes.to_string(), "--max-bytes 3M of `out` (writing)");
        let sizes = [(0, "0"), (1023, "1023"), (1024, "1K"), (1 << 30, "1G"), (5 << 41, "10T")];
        for (size, text) in sizes {
            assert_eq!(Limit::MaxMemory(size).to_string(), format!("--max-memory {text}"));
        }
    }

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
