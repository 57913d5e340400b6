//! What went wrong on the ends of a guest's pipes, for its operator.

use std::sync::{Arc, Mutex, PoisonError};

use super::Fault;
use crate::os::Direction;

/// A guest can make pipes fail without end; so many failures that it was told of are remembered,
/// and so many that it was not.
const MOST_NOTES: usize = 256;

/// A failure of one pipe end.
#[derive(Clone, Debug)]
pub struct Note {
    /// The end: a granted pipe's name, or `stdin`, `stdout`, `stderr`.
    pub label: Arc<str>,
    /// Which end of it.
    pub direction: Direction,
    /// What happened.
    pub fault: Fault,
    /// The guest had closed the end and was not told: bytes that it had handed over are lost.
    pub left_behind: bool,
}

/// The failures of one guest's pipe ends, in order.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    notes: Arc<Mutex<Vec<Note>>>,
}

impl Journal {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn note(
        &self,
        label: &Arc<str>,
        direction: Direction,
        fault: Fault,
        left_behind: bool,
    ) {
        tracing::debug!("{label}: {fault}");
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.iter().filter(|note| note.left_behind == left_behind).count() < MOST_NOTES {
            notes.push(Note { label: Arc::clone(label), direction, fault, left_behind });
        }
    }

    /// What has been noted so far.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
