//! Memory that the kernel copies into fast.
//!
//! Copying into memory that does not begin at a multiple of 32 bytes takes some processors twice as
//! long. The guest's allocator decides where its buffers lie, and malloc(3) gives multiples of 16. A
//! second copy, from memory that is still in the processor's cache, costs a fraction of that.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

/// A cache line in bytes. The kernel's copy needs half of that.
const ALIGNMENT: usize = 64;

/// How many bytes are read at once: as many as cat(1) reads. That fits the caches, and bounds how much
/// memory one call of a guest makes the host allocate.
const SIZE: usize = 128 * 1024;

/// Fewer bytes than this are copied fast enough at any address.
const SMALL: usize = 1024;

/// Fewer bytes than this are copied rather than lent.
const LENT: usize = 4096;

thread_local! {
    static SCRATCH: RefCell<Arc<Memory>> = RefCell::new(Arc::default());
}

/// Scratch memory, allocated when it is first used.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Memory {
    fn start(&self) -> usize {
        self.0.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT)
    }

    /// Returns `most` bytes or fewer, which begin at a multiple of [`ALIGNMENT`].
    fn aligned(&mut self, most: usize) -> &mut [u8] {
        if self.0.is_empty() {
            // Zeroed by the kernel, page by page as they are used. A short run uses few.
            self.0 = vec![0; SIZE + ALIGNMENT];
        }
        let start = self.start();
        &mut self.0[start..start + most.min(SIZE)]
    }
}

/// The first bytes of scratch memory, for as long as somebody needs them.
struct Lent {
    memory: Arc<Memory>,
    length: usize,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        let start = self.memory.start();
        &self.memory.0[start..start + self.length]
    }
}

/// Returns whether the kernel copies into `buf` itself at full speed.
pub(super) fn is_fast(buf: &[u8]) -> bool {
    buf.len() < SMALL || buf.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

/// Lends `fill` this thread's scratch memory, `most` bytes of it or fewer. `fill` must not read what an
/// earlier call has left there.
pub(super) fn with<T>(most: usize, fill: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|memory| fill(unused(memory).aligned(most)))
}

/// Lends `fill` memory as [`with`] does, and returns as many bytes of it as `fill` says that it has
/// filled, without a copy if they are many.
pub(super) fn lend(
    most: usize,
    fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Bytes> {
    SCRATCH.with_borrow_mut(|memory| {
        let scratch = unused(memory).aligned(most);
        let length = fill(scratch)?;
        if length < LENT {
            return Ok(Bytes::copy_from_slice(&scratch[..length]));
        }
        Ok(Bytes::from_owner(Lent { memory: Arc::clone(memory), length }))
    })
}

/// Returns `memory` for writing. It is replaced where what was lent of it has not come back.
fn unused(memory: &mut Arc<Memory>) -> &mut Memory {
    if Arc::get_mut(memory).is_none() {
        *memory = Arc::default();
    }
    Arc::get_mut(memory).expect("memory that nobody else has")
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

    #[test]
    fn what_is_lent_stays_as_it_is() {
        let lend = |byte, length| {
            let lent = lend(length, |scratch| {
                scratch.fill(byte);
                Ok(scratch.len())
            });
            lent.unwrap()
        };
        let (first, small) = (lend(1, 10_000), lend(2, 100));
        let second = lend(3, 20_000);
        assert!(first == vec![1; 10_000] && small == vec![2; 100] && second == vec![3; 20_000]);
        // It comes back, and is used again.
        let place = second.as_ptr();
        drop(second);
        assert_eq!(lend(4, SIZE + 1).as_ptr(), place);
        assert_eq!(lend(5, SIZE + 1).len(), SIZE);
    }
}
