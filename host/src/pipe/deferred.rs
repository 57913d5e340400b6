//! Deferred delivery: what a guest writes line by line goes to the kernel in larger pieces, and nobody can tell.
//!
//! While a guest runs, what it writes may wait in a buffer of its writer's. The buffer is delivered before anything
//! happens that could be compared with it from outside: before the guest reads, opens, closes or starts something,
//! before it writes to another end, whenever it waits, yields or ends, and when the buffer is full. Between two such
//! points a guest neither acts on the world nor takes anything from it. So a write that is deferred cannot be told from
//! a guest that is slower: not by a peer, and not after `kill -9`. ARCHITECTURE.md has the argument in full.
//!
//! At most one writer of a guest has something deferred: [`settle`] delivers it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Writer;

/// How many guests of this process have something deferred at this moment.
static DEFERRED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Of the guest that this thread polls, if its writes may be deferred.
    static CURRENT: RefCell<Option<Deferral>> = const { RefCell::new(None) };
}

/// What one guest has written and the kernel has not.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    /// The writer with something deferred.
    dirty: Option<Arc<Mutex<Writer>>>,
    /// Writers that have failed while something of theirs was delivered, or may fail while the rest is. The guest may
    /// not have been told.
    failed: Vec<Arc<Mutex<Writer>>>,
}

/// Whether any guest has something deferred, which is to be delivered soon.
pub(crate) fn is_any() -> bool {
    DEFERRED.load(Ordering::Relaxed) > 0
}

/// Polls a guest, whose writes may be deferred meanwhile. When this returns, nothing is.
///
/// `deferral` is the guest's, empty at first. `is_over` tells from the result whether the guest has come to its end.
pub(crate) fn while_polling<R>(
    deferral: &mut Option<Deferral>,
    poll: impl FnOnce() -> R,
    is_over: impl FnOnce(&R) -> bool,
) -> R {
    /// Also where the poll panics: that is the guest's end.
    struct Restore<'a> {
        own: &'a mut Option<Deferral>,
        outer: Option<Deferral>,
        is_over: bool,
    }
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            deliver(self.is_over);
            *self.own = CURRENT.replace(self.outer.take());
            if self.is_over
                && let Some(own) = self.own.as_mut()
            {
                own.failed.drain(..).for_each(|writer| lock(&writer).note_untold());
            }
        }
    }
    let outer = CURRENT.replace(deferral.take());
    let mut restore = Restore { own: deferral, outer, is_over: true };
    let polled = poll();
    restore.is_over = is_over(&polled);
    drop(restore);
    polled
}

/// Delivers what the guest that runs on this thread has deferred. To be called before anything that others could see
/// or that the guest learns from them. Must not be called while a writer is locked.
pub(crate) fn settle() {
    deliver(false);
}

/// Has `bytes` wait in `writer`, if they may. `false`: they are to be written now, as nothing of them was taken.
pub(crate) fn defer(writer: &Arc<Mutex<Writer>>, bytes: &[u8]) -> bool {
    let Some(is_dirty) = with_current(|current| is(&current.dirty, writer)) else { return false };
    if !is_dirty {
        settle();
    }
    if !lock(writer).defer(bytes) {
        return false;
    }
    if !is_dirty {
        with_current(|current| current.dirty = Some(Arc::clone(writer)));
        DEFERRED.fetch_add(1, Ordering::Relaxed);
    }
    true
}

/// How many bytes may wait in `writer`, beside what does already; 0 where it has to be asked as ever.
pub(crate) fn room(writer: &Arc<Mutex<Writer>>) -> usize {
    match with_current(|_| ()) {
        Some(()) => lock(writer).room_to_defer(),
        None => 0,
    }
}

/// Whether all that `writer` has taken and not delivered is deferred.
pub(crate) fn is_deferred(writer: &Arc<Mutex<Writer>>) -> bool {
    with_current(|current| is(&current.dirty, writer)) == Some(true)
}

fn is(dirty: &Option<Arc<Mutex<Writer>>>, writer: &Arc<Mutex<Writer>>) -> bool {
    dirty.as_ref().is_some_and(|dirty| Arc::ptr_eq(dirty, writer))
}

fn with_current<R>(of: impl FnOnce(&mut Deferral) -> R) -> Option<R> {
    // A thread that comes to its end has nothing deferred.
    CURRENT.try_with(|current| current.borrow_mut().as_mut().map(of)).ok().flatten()
}

fn deliver(is_last: bool) {
    let Some(writer) = with_current(|current| current.dirty.take()).flatten() else { return };
    DEFERRED.fetch_sub(1, Ordering::Relaxed);
    let delivered = lock(&writer).deliver_deferred(is_last);
    if !matches!(delivered, Ok(true)) && !is_last {
        with_current(|current| {
            if !current.failed.iter().any(|failed| Arc::ptr_eq(failed, &writer)) {
                current.failed.push(Arc::clone(&writer));
            }
        });
    }
    if delivered == Ok(false) {
        Writer::attend(&writer);
    }
}

fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}
