//! Which of a guest's bytes are dropped, so that the guest never waits.

use memchr::{memchr, memrchr};

use crate::sys::PIPE_BUF;

/// The last line of a file of which only the beginning is kept, and the end of the line before.
const CUT: &[u8] = b"\npipehost: the rest was dropped, as the file has the size that it may have\n";

/// What is dropped of a guest's writes.
///
/// See the example of [`Writer::shedding`](super::Writer::shedding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// What the reader does not take at once. A write of up to PIPE_BUF bytes is kept whole or not at all.
    NoRoom,
    /// All but the first so many bytes. The last line of these says so.
    Beyond(u64),
}

/// What one writer drops.
#[derive(Debug)]
pub(super) struct Shedding {
    pub(super) what: Excess,
    /// How many bytes may still be kept.
    left: u64,
    pub(super) dropped: u64,
    /// Whether the rest of a line is dropped, as a part of it was.
    is_skipping: bool,
    /// Whether the last byte that was kept is within a line, and whether the rest of that line was dropped.
    is_in_line: bool,
    is_torn: bool,
}

/// How much of a write is kept.
pub(super) enum Share {
    /// As much as there is room for.
    WhatFits,
    /// All of it, now or later.
    All,
    /// So much of it, then this last line, and then nothing any more.
    Last(usize, &'static [u8]),
    /// Nothing.
    Nothing,
}

impl Shedding {
    pub(super) fn new(what: Excess) -> Self {
        let left = match what {
            Excess::NoRoom => u64::MAX,
            Excess::Beyond(bytes) => bytes,
        };
        Self { what, left, dropped: 0, is_skipping: false, is_in_line: false, is_torn: false }
    }

    /// Returns whether no write waits.
    pub(super) fn never_waits(&self) -> bool {
        self.what == Excess::NoRoom || self.left == 0
    }

    /// Returns how much of `bytes` is kept. Counts nothing yet.
    pub(super) fn share_of(&self, bytes: &[u8]) -> Share {
        match self.what {
            Excess::NoRoom => return Share::WhatFits,
            Excess::Beyond(_) if self.left == 0 => return Share::Nothing,
            Excess::Beyond(_) => {}
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        // The last line has room, as far as it ever had.
        let room = left.saturating_sub(CUT.len());
        if bytes.len() <= room {
            return Share::All;
        }
        let whole_lines = memrchr(b'\n', &bytes[..room]).map(|at| at + 1);
        let (kept, is_in_line) = match whole_lines {
            Some(kept) => (kept, false),
            // Many programs write a line in several pieces.
            None if bytes.len() <= PIPE_BUF => (0, self.is_in_line),
            None => (room, true),
        };
        let line = if is_in_line { CUT } else { &CUT[1..] };
        Share::Last(kept, &line[..line.len().min(left)])
    }

    /// Returns what is to be written of `bytes`, as far as there is room: after something was dropped, the lines that
    /// follow. Where [`Shedding::needs_line_feed`], that comes first.
    pub(super) fn resume<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        if self.is_skipping {
            let line = memchr(b'\n', bytes).map(|at| at + 1);
            self.is_skipping = line.is_none();
            self.shed(line.unwrap_or(bytes.len()));
            rest = &bytes[line.unwrap_or(bytes.len())..];
        }
        rest
    }

    /// Returns whether a line feed must come before anything else, as only a part of the last line was kept. It is
    /// written by itself: with it, a write of PIPE_BUF bytes would no longer be whole.
    pub(super) fn needs_line_feed(&self) -> bool {
        self.is_torn
    }

    /// Notes that this line feed was written.
    pub(super) fn has_line_feed(&mut self) {
        (self.is_in_line, self.is_torn) = (false, false);
    }

    /// Notes that the first `count` of the bytes that [`Shedding::resume`] has returned were written, and the others
    /// dropped.
    pub(super) fn written(&mut self, bytes: &[u8], count: usize) {
        let (kept, dropped) = bytes.split_at(count);
        if let Some(last) = kept.last() {
            self.is_in_line = *last != b'\n';
        }
        if let Some(last) = dropped.last() {
            (self.is_skipping, self.is_torn) = (*last != b'\n', self.is_in_line);
            self.shed(dropped.len());
        }
    }

    /// Notes that these bytes were kept.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.is_in_line = bytes.last().map_or(self.is_in_line, |last| *last != b'\n');
    }

    /// Notes that nothing more is kept.
    pub(super) fn fill(&mut self) {
        self.left = 0;
    }

    /// Notes that `count` bytes were dropped.
    pub(super) fn shed(&mut self, count: usize) {
        self.dropped = self.dropped.saturating_add(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever part of each write finds room: no line is joined to another, lines come in order, and every byte is
        /// kept or counted.
        #[test]
        fn lines_stay_apart_and_bytes_are_counted(
            pieces in prop::collection::vec(("[a-z]{0,6}\n?", 0_usize..9), 0..60),
        ) {
            let mut shedding = Shedding::new(Excess::NoRoom);
            let (mut all, mut kept, mut feeds) = (String::new(), Vec::new(), 0);
            for (piece, room) in &pieces {
                all += piece;
                let mut room = *room;
                let given = shedding.resume(piece.as_bytes());
                if !given.is_empty() && shedding.needs_line_feed() && room > 0 {
                    kept.push(b'\n');
                    (feeds, room) = (feeds + 1, room - 1);
                    shedding.has_line_feed();
                }
                let count = if shedding.needs_line_feed() { 0 } else { given.len().min(room) };
                kept.extend_from_slice(&given[..count]);
                shedding.written(given, count);
            }
            prop_assert_eq!(kept.len() as u64 - feeds + shedding.dropped, all.len() as u64);
            let kept = String::from_utf8(kept).unwrap();
            let mut lines = all.split('\n');
            for line in kept.split('\n').filter(|line| !line.is_empty()) {
                prop_assert!(lines.any(|whole| whole.starts_with(line)), "{line} of {all:?}: {kept:?}");
            }
        }
    }

    #[test]
    fn a_file_is_never_larger_than_is_said() {
        for most in [1, 10, CUT.len(), CUT.len() + 1, 200] {
            for size in [1, 7, 50, 1000] {
                let mut shedding = Shedding::new(Excess::Beyond(most as u64));
                let (mut kept, write) = (0, vec![b'x'; size]);
                for _ in 0..1000 / size {
                    match shedding.share_of(&write) {
                        Share::All => {
                            kept += size;
                            shedding.keep(&write);
                        }
                        Share::Last(count, line) => {
                            kept += count + line.len();
                            shedding.shed(size - count);
                            shedding.fill();
                        }
                        Share::Nothing => shedding.shed(size),
                        Share::WhatFits => unreachable!("it is not about room"),
                    }
                }
                assert!(kept <= most && shedding.dropped > 0 && shedding.never_waits());
            }
        }
    }
}
