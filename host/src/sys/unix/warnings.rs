//! Where the warnings about a FIFO go.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::super::FifoWarning;

/// A function that is called with the path of a FIFO and a warning about it.
type Listener = Box<dyn Fn(&Path, FifoWarning) + Send + Sync>;

/// Where the warnings about one FIFO go. They are kept until there is a listener.
#[derive(Default)]
pub(super) struct Warnings {
    listener: OnceLock<Listener>,
    kept: Mutex<Vec<FifoWarning>>,
}

impl Warnings {
    /// Passes `warning` to the listener, or keeps it for the one that comes.
    pub(super) fn tell(&self, path: &Path, warning: FifoWarning) {
        // Under this lock, as a listener may come meanwhile.
        let mut kept = self.kept();
        match self.listener.get() {
            Some(listener) => {
                drop(kept);
                listener(path, warning);
            }
            None => kept.push(warning),
        }
    }

    /// Sets the listener, and passes it what has been kept. Does nothing if there is one already.
    pub(super) fn listen(&self, path: &Path, listener: Listener) {
        let kept = {
            let mut kept = self.kept();
            match self.listener.set(listener) {
                Ok(()) => std::mem::take(&mut *kept),
                Err(_) => return,
            }
        };
        kept.into_iter().for_each(|warning| self.tell(path, warning));
    }

    fn kept(&self) -> MutexGuard<'_, Vec<FifoWarning>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs what no listener has come for.
    pub(super) fn log(&self, path: &Path) {
        for warning in self.kept().drain(..) {
            tracing::warn!("{}: {warning}", path.display());
        }
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn warnings_wait_for_the_first_listener() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let warnings = Warnings::default();
        let path = Path::new("/x");
        warnings.tell(path, FifoWarning::NotLocked("it is full".into()));
        let listener = |who: &'static str| -> Listener {
            let told = Arc::clone(&told);
            Box::new(move |path, warning| {
                told.lock().unwrap().push(format!("{who}: {}: {warning}", path.display()));
            })
        };
        warnings.listen(path, listener("first"));
        warnings.listen(path, listener("second"));
        warnings.tell(path, FifoWarning::Displaced { now: "y".into() });
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], "first: /x: no lock against other hosts: it is full");
        assert!(told[1].starts_with("first: /x: somebody replaced it"), "{told:?}");
    }
}
