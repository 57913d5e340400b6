//! Wakes whoever looks at a guest's ends from time to time, once something changes there: while nothing does, nobody has to
//! look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// Tells one observer of a guest's ends that something has changed. Costs the end a look at a flag. Cloning gives another
/// handle to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether the observer rests, and wants to be woken.
    rests: AtomicBool,
    observer: OnceLock<Arc<Notify>>,
}

impl Changes {
    /// Has the next change notify `observer`, once. The first observer stays the only one.
    ///
    /// A change on another thread at this very moment may not notify: look once more a moment later.
    pub(super) fn wake(&self, observer: &Arc<Notify>) {
        self.0.observer.get_or_init(|| Arc::clone(observer));
        self.0.rests.store(true, Ordering::Release);
    }

    /// Notes a change.
    pub(super) fn note(&self) {
        if self.0.rests.load(Ordering::Relaxed) {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        if self.0.rests.swap(false, Ordering::Acquire)
            && let Some(observer) = self.0.observer.get()
        {
            observer.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_change_wakes_once() {
        let (changes, observer) = (Changes::default(), Arc::new(Notify::new()));
        let woken = async || {
            let soon = tokio::time::timeout(Duration::from_millis(20), observer.notified());
            soon.await.is_ok()
        };
        changes.note();
        assert!(!woken().await, "nobody rests");
        changes.wake(&observer);
        changes.clone().note();
        changes.note();
        assert!(woken().await);
        changes.note();
        assert!(!woken().await, "nobody rests any more");
        changes.wake(&observer);
        changes.note();
        assert!(woken().await);
    }
}
