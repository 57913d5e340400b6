//! Bytes that tell where in a stream they belong, made and checked as fast as memory is compared.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// The pattern repeats after so many bytes: a prime, so that no loss of whole pages or buffers goes
/// unseen. A loss of just so many is seen by the sum.
pub(crate) const PERIOD: usize = 1_048_583;

/// So many bytes are written or read at once.
const PIECE: usize = 1 << 20;

/// Two periods and a piece, so that any piece is one slice of it.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut period = Vec::with_capacity(PERIOD + 8);
        while period.len() < PERIOD {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            period.extend_from_slice(&state.to_le_bytes());
        }
        period.truncate(PERIOD);
        Self(period.iter().chain(&period).copied().collect())
    }

    /// What belongs from byte `position` of the stream on, at most `most` bytes.
    pub(crate) fn at(&self, position: u64, most: usize) -> &[u8] {
        let at = (position % PERIOD as u64) as usize;
        &self.0[at..][..most.min(PIECE)]
    }

    /// Writes `total` bytes of it into `to`, or as many as are taken.
    pub(crate) fn write(&self, to: &mut File, total: u64) -> u64 {
        let mut written = 0;
        while written < total {
            let most = usize::try_from(total - written).unwrap_or(usize::MAX);
            match to.write(self.at(written, most)) {
                Ok(n) => written += n as u64,
                Err(_) => break,
            }
        }
        written
    }

    /// Reads to the end of file, and compares every byte; says in `so_far` how far it is.
    ///
    /// # Panics
    /// At the first byte that is another one.
    pub(crate) fn check(&self, from: &mut File, so_far: &AtomicU64) -> u64 {
        let mut buf = vec![0; PIECE];
        let mut seen = 0;
        loop {
            let n = from.read(&mut buf).unwrap();
            if n == 0 {
                return seen;
            }
            assert!(buf[..n] == *self.at(seen, n), "wrong bytes after {seen}");
            seen += n as u64;
            so_far.store(seen, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_check_sees_what_is_lost_and_what_comes_twice() {
    let pattern = Pattern::new();
    assert_eq!(pattern.at(0, 100), pattern.at(PERIOD as u64, 100));
    for wrong in [1, 8, 4096, 65536, 1 << 20] {
        assert_ne!(pattern.at(0, 100), pattern.at(wrong, 100), "{wrong}");
    }
}
