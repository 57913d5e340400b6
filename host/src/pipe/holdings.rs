//! What the host holds for a family of guests, beside their memory: bytes in buffers, and descriptors.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ErrorCode;
use super::reached::{Limit, Reached};

/// How many bytes the host holds for a guest and its children in all: what it has read of files and folders and
/// they have not taken, what they have written to files and is under way, arguments of children.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What may be held. Cloning gives another handle to the same.
#[derive(Clone, Debug)]
pub(crate) struct Holdings {
    bytes: Room,
    descriptors: Room,
    reached: Reached,
}

#[derive(Clone, Debug)]
struct Room {
    free: Arc<AtomicUsize>,
    limit: Limit,
}

/// Something that is held, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    free: Arc<AtomicUsize>,
    amount: usize,
}

impl Holdings {
    /// With so many descriptors at most. It is noted in `reached` if they are too few.
    pub(super) fn new(descriptors: usize, reached: Reached) -> Self {
        let room = |amount, limit| Room { free: Arc::new(AtomicUsize::new(amount)), limit };
        Self {
            bytes: room(MOST_BYTES, Limit::HeldBytes(MOST_BYTES)),
            descriptors: room(descriptors, Limit::Descriptors(descriptors)),
            reached,
        }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// `limit-exceeded`.
    pub(crate) fn bytes(&self, amount: usize) -> Result<Held, ErrorCode> {
        self.take(&self.bytes, amount)
    }

    /// Makes of bytes that are held so many, if they are fewer.
    ///
    /// # Errors
    /// `limit-exceeded`; what was held still is.
    pub(crate) fn raise(&self, held: &mut Held, amount: usize) -> Result<(), ErrorCode> {
        if let Some(missing) = amount.checked_sub(held.amount) {
            held.amount += mem::take(&mut self.bytes(missing)?.amount);
        }
        Ok(())
    }

    /// So many descriptors.
    ///
    /// # Errors
    /// `limit-exceeded`.
    pub(crate) fn descriptors(&self, amount: usize) -> Result<Held, ErrorCode> {
        self.take(&self.descriptors, amount)
    }

    fn take(&self, room: &Room, amount: usize) -> Result<Held, ErrorCode> {
        let taken = room
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(amount));
        match taken {
            Ok(_) => Ok(Held { free: Arc::clone(&room.free), amount }),
            Err(_) => {
                self.reached.note(room.limit.clone());
                Err(ErrorCode::LimitExceeded)
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.free.fetch_add(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_may_be_taken_again() {
        let holdings = Holdings::new(3, Reached::default());
        let two = holdings.descriptors(2).unwrap();
        assert_eq!(holdings.descriptors(2).unwrap_err(), ErrorCode::LimitExceeded);
        assert_eq!(holdings.reached.limits(), [Limit::Descriptors(3)]);
        let one = holdings.clone().descriptors(1).unwrap();
        drop((one, two));
        let _three = holdings.descriptors(3).unwrap();
        let mut held = holdings.bytes(2).unwrap();
        holdings.raise(&mut held, MOST_BYTES).unwrap();
        holdings.raise(&mut held, 1).unwrap();
        assert!(holdings.raise(&mut held, MOST_BYTES + 1).is_err() && holdings.bytes(1).is_err());
        drop(held);
        assert!(holdings.bytes(MOST_BYTES).is_ok() && holdings.bytes(MOST_BYTES + 1).is_err());
    }
}
