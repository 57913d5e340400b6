//! Removes what must not be left behind, whichever way a process ends.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::{self, Fifo};

/// The FIFOs that must be removed. Cloning gives another handle to the same list: threads that end the
/// process have one.
///
/// See the example of [`launch`](crate::launch).
#[derive(Clone, Debug, Default)]
pub struct Leftovers(Arc<Mutex<Vec<Arc<Fifo>>>>);

impl Leftovers {
    /// Has `fifo` removed at the end.
    pub fn add(&self, fifo: Arc<Fifo>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fifo);
    }

    /// Removes the FIFOs, and kills native commands that still run. Must be called last, as it also
    /// ends the monitor.
    pub fn clean_up(&self) {
        for fifo in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            fifo.remove();
        }
        sys::kill_natives();
        sys::end_monitor();
    }
}
