//! Memory that the kernel copies into fast.
//!
//! Copying into memory that does not begin at a multiple of 32 bytes takes some processors twice as
//! long. The guest's allocator decides where its buffers lie, and malloc(3) gives multiples of 16. A
//! second copy, from memory that is still in the processor's cache, costs a fraction of that.

use std::cell::RefCell;

/// A cache line in bytes. The kernel's copy needs half of that.
const ALIGNMENT: usize = 64;

/// How many bytes are read at once: as many as cat(1) reads. That fits the caches, and bounds how much
/// memory one call of a guest makes the host allocate.
const SIZE: usize = 128 * 1024;

/// Fewer bytes than this are copied fast enough at any address.
const SMALL: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Returns whether the kernel copies into `buf` itself at full speed.
pub(super) fn is_fast(buf: &[u8]) -> bool {
    buf.len() < SMALL || buf.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

/// Lends `fill` this thread's scratch memory, `most` bytes of it or fewer. `fill` must not read what an
/// earlier call has left there.
pub(super) fn with<T>(most: usize, fill: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|memory| {
        if memory.is_empty() {
            // Zeroed by the kernel, page by page as they are used. A short run uses few.
            *memory = vec![0; SIZE + ALIGNMENT];
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
