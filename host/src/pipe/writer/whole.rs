//! Bytes that wait to be written, in pieces that end where a write of the guest's, or a record, ended.

use crate::sys::PIPE_BUF;

/// How much memory is kept for what comes next.
const KEPT_ROOM: usize = 128 * 1024;

/// Bytes that wait, as pieces of whole writes, or of whole records. Each has at most PIPE_BUF bytes, which the
/// kernel takes as a whole or not at all: so none is mixed with what another process writes. Only a record that has
/// more is a piece of its own.
#[derive(Debug, Default)]
pub(super) struct WholeWrites {
    bytes: Vec<u8>,
    /// Where the pieces end.
    ends: Vec<usize>,
    /// How many bytes, and how many pieces, are no longer needed.
    done: (usize, usize),
}

impl WholeWrites {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.done.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one write, or one record.
    pub(super) fn push(&mut self, write: &[u8]) {
        self.bytes.extend_from_slice(write);
        let pieces = self.ends.len();
        let start = if pieces < 2 { 0 } else { self.ends[pieces - 2] };
        match self.ends.last_mut() {
            Some(end) if pieces > self.done.1 && self.bytes.len() - start <= PIPE_BUF => {
                *end = self.bytes.len();
            }
            _ => self.ends.push(self.bytes.len()),
        }
    }

    /// Returns the next piece, which is empty if nothing is left.
    pub(super) fn first(&self) -> &[u8] {
        let end = self.ends.get(self.done.1).copied().unwrap_or(self.done.0);
        &self.bytes[self.done.0..end]
    }

    /// Takes `count` bytes of the first piece out.
    pub(super) fn advance(&mut self, count: usize) {
        self.done.0 += count;
        if self.first().is_empty() {
            self.done.1 += 1;
        }
        if self.is_empty() {
            self.clear();
        }
    }

    /// Takes everything out. The memory is used again.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_ROOM);
        self.ends.clear();
        self.done = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every write is whole in one piece, and all come in order, whatever part of a piece is taken.
        #[test]
        fn pieces_are_whole_writes(
            sizes in prop::collection::vec(prop_oneof![9 => 1..=PIPE_BUF, 1 => Just(PIPE_BUF + 9)], 1..40),
            taken in prop::collection::vec(1..=PIPE_BUF, 0..40),
        ) {
            let (mut waiting, mut at, mut ends) = (WholeWrites::default(), 0_usize, vec![0]);
            let mut taken = taken.into_iter();
            let mut seen = Vec::new();
            for size in sizes {
                let write: Vec<u8> = (at..at + size).map(|n| (n % 251) as u8).collect();
                waiting.push(&write);
                at += size;
                ends.push(at);
                if let Some(most) = taken.next() {
                    let n = waiting.first().len().min(most);
                    seen.extend_from_slice(&waiting.first()[..n]);
                    waiting.advance(n);
                }
            }
            while !waiting.is_empty() {
                let piece = waiting.first().to_vec();
                prop_assert!(!piece.is_empty() && piece.len() <= PIPE_BUF + 9);
                seen.extend_from_slice(&piece);
                prop_assert!(ends.contains(&seen.len()));
                waiting.advance(piece.len());
            }
            prop_assert_eq!(waiting.first().len(), 0);
            prop_assert_eq!(seen, (0..at).map(|n| (n % 251) as u8).collect::<Vec<_>>());
        }
    }
}
