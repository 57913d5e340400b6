//! What a writer keeps of its guest's records.

use super::super::frame::{Frame, Framer};

/// How many refused records of one end are shown. The others are counted.
pub(super) const MOST_SHOWN: u64 = 16;

/// The records of one writer.
#[derive(Debug)]
pub(super) struct Framing {
    pub(super) framer: Framer,
    /// How many records were refused, and how many bytes they had.
    pub(super) refused: (u64, u64),
    /// Whether something was no record, and that ends the run.
    pub(super) is_over: bool,
}

impl Framing {
    pub(super) fn new(frame: Frame) -> Self {
        Self { framer: Framer::new(frame), refused: (0, 0), is_over: false }
    }

    /// Forgets the record that has begun.
    pub(super) fn clear(&mut self) {
        self.framer.clear();
    }
}
