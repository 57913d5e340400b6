//! Memory that the kernel copies into fast.
//!
//! Copying into memory that does not begin at a multiple of 32 bytes takes some processors twice as
//! long. Where a guest keeps its buffers is its allocator's affair, and malloc(3) gives multiples of
//! 16. A second copy, from memory that is still in the processor's cache, costs a fraction of that.

use std::cell::RefCell;

/// A cache line; what the kernel's copy wants is half of it.
const ALIGNMENT: usize = 64;

/// How much is read at once: what cat(1) does. Fits the caches, and bounds what a guest's one call
/// makes the host allocate.
const SIZE: usize = 128 * 1024;

/// Less than this is copied fast enough wherever it is.
const SMALL: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whether the kernel copies into `buf` itself as fast as it can.
pub(super) fn is_fast(buf: &[u8]) -> bool {
    buf.len() < SMALL || buf.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

/// Lends `fill` this thread's scratch memory, `most` bytes of it or fewer. What is in there from
/// before must not be looked at.
pub(super) fn with<T>(most: usize, fill: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|memory| {
        if memory.is_empty() {
            memory.resize(SIZE + ALIGNMENT, 0);
        }
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        fill(&mut memory[start..start + most.min(SIZE)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_aligned_and_bounded() {
        for (most, length) in [(0, 0), (1, 1), (SIZE, SIZE), (usize::MAX, SIZE)] {
            with(most, |scratch| {
                assert_eq!(scratch.len(), length);
                assert_eq!(scratch.as_ptr().addr() % ALIGNMENT, 0);
            });
        }
    }
}
