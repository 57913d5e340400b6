//! What an open end takes from its guest's limits and grants, and what is kept of it between two lives of the guest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ErrorCode, Reader, Writer};
use crate::limits::Permit;
use crate::sys::CapacityLease;

/// What an open end takes from the guest's limits and grants, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Room for a pipe and for its descriptors.
    room: Vec<Arc<[Permit; 2]>>,
    busy: Vec<BusyGuard>,
}

impl Hold {
    pub(super) fn new(room: Vec<Arc<[Permit; 2]>>, busy: Vec<BusyGuard>) -> Self {
        Self { room, busy }
    }

    /// Takes on what `more` holds.
    pub(super) fn add(&mut self, more: Self) {
        self.room.extend(more.room);
        self.busy.extend(more.busy);
    }

    /// Has the end that this belongs to kept, if the guest is to be started again: `keep` gives it, once.
    pub(super) fn keep(&self, keep: impl FnOnce() -> KeptEnd) -> bool {
        let keeps = |guard: &&BusyGuard| guard.0.keeping.load(Ordering::Relaxed);
        let Some(BusyGuard(place)) = self.busy.iter().find(keeps) else { return false };
        let end = keep();
        *place.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        true
    }
}

/// What an end that a native command has holds while the command runs.
#[derive(Debug)]
pub(crate) struct Kept(
    #[allow(dead_code, reason = "given back when it is dropped")] (Hold, CapacityLease),
);

impl Kept {
    pub(super) fn new(hold: Hold, lease: CapacityLease) -> Self {
        Self((hold, lease))
    }
}

/// One end of a granted pipe: whether it is open, and what is kept of it for the next life of the guest.
#[derive(Debug)]
pub(super) struct Place(Arc<PlaceState>);

#[derive(Debug)]
struct PlaceState {
    taken: AtomicBool,
    /// Whether an end that is dropped now is kept: those of all of the guest's places.
    keeping: Arc<AtomicBool>,
    kept: Mutex<Option<KeptEnd>>,
}

/// An end that was open when the guest trapped.
#[derive(Debug)]
pub(super) enum KeptEnd {
    Reader(Box<Reader>),
    Writer(Box<Writer>),
}

#[derive(Debug)]
pub(super) struct BusyGuard(Arc<PlaceState>);

impl Place {
    pub(super) fn new(keeping: &Arc<AtomicBool>) -> Self {
        let keeping = Arc::clone(keeping);
        Self(Arc::new(PlaceState {
            taken: AtomicBool::new(false),
            keeping,
            kept: Mutex::default(),
        }))
    }

    /// Opens the end, once at a time.
    ///
    /// # Errors
    /// `in-use`.
    pub(super) fn take(&self) -> Result<BusyGuard, ErrorCode> {
        match self.0.taken.swap(true, Ordering::Relaxed) {
            true => Err(ErrorCode::InUse),
            false => Ok(BusyGuard(Arc::clone(&self.0))),
        }
    }

    /// Returns what is kept of the end.
    pub(super) fn kept(&self) -> MutexGuard<'_, Option<KeptEnd>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Relaxed);
    }
}
