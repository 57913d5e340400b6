//! The FIFOs that are watched while they are in use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Fifo;

/// The FIFOs that a watch looks at whenever something has happened to one.
#[derive(Debug, Default)]
pub(in crate::sys) struct Watched(Mutex<Vec<Weak<Fifo>>>);

impl Watched {
    /// Has the watch look at this FIFO too, as long as there is one.
    pub(in crate::sys) fn add(&self, fifo: &Arc<Fifo>) {
        self.lock().push(Arc::downgrade(fifo));
    }

    /// Returns the FIFOs that there are.
    pub(in crate::sys) fn all(&self) -> Vec<Arc<Fifo>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Warns of the FIFOs in use that are not in their places.
    pub(in crate::sys) fn say_missing(&self) {
        for fifo in self.all().into_iter().filter(|fifo| fifo.is_in_use()) {
            fifo.say_if_missing();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Fifo>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
