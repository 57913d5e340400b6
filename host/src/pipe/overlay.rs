//! What the host itself shows on the terminal below what guests write, such as `--progress`. It is taken away before a
//! guest or the host writes there, and drawn again later, at the start of a line only.
//!
//! There is one for the process, as stderr is one. All of it costs one load of a flag where there is none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "cli")]
use std::time::Duration;

#[cfg(feature = "cli")]
use crate::threads;

/// How long the host's own messages wait for a guest that writes to the terminal at the same moment. Then they come all
/// the same: the host must end on time.
#[cfg(feature = "cli")]
const PATIENCE: Duration = Duration::from_millis(30);

/// Something that can be drawn at the cursor, and taken away again.
pub(crate) trait Overlay: Send {
    /// Draws it, in place of what was drawn before. The cursor is below the guests' lines.
    fn draw(&mut self);

    /// Takes it away, if it is there. The cursor is then where it was before.
    fn lift(&mut self);

    /// Returns what still has to be written for that, before anything else: a terminal may be stopped.
    fn rest(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

#[derive(Default)]
struct State {
    overlay: Option<Box<dyn Overlay>>,
    /// Whether a guest's line is not complete yet. Nothing is drawn then: it would become a part of that line.
    mid_line: bool,
}

impl State {
    /// Takes away what is drawn.
    fn lift(&mut self) {
        if let Some(overlay) = &mut self.overlay {
            overlay.lift();
        }
    }

    /// Notes what a guest has written.
    fn wrote(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
        }
    }

    /// Draws, unless a guest is in the middle of a line.
    #[cfg(feature = "cli")]
    fn draw(&mut self) {
        if let Some(overlay) = self.overlay.as_mut().filter(|_| !self.mid_line) {
            overlay.draw();
        }
    }
}

static STATE: Mutex<State> = Mutex::new(State { overlay: None, mid_line: false });

/// Whether there is an overlay.
static IS_SET: AtomicBool = AtomicBool::new(false);

/// The right to write to a terminal while nothing is drawn on it.
pub(super) struct Lifted(MutexGuard<'static, State>);

impl Lifted {
    /// Returns what has to be written before anything else, to take away what was drawn.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.0.overlay.as_mut().map_or_else(Vec::new, |overlay| overlay.rest())
    }

    /// Notes what a guest has written.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        self.0.wrote(bytes);
    }
}

/// Takes away what is drawn, until the result is dropped. Returns `None` if there is no overlay.
pub(super) fn lift() -> Option<Lifted> {
    if !IS_SET.load(Ordering::Acquire) {
        return None;
    }
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.lift();
    Some(Lifted(state))
}

/// Makes this the overlay. Nothing is drawn yet.
#[cfg(feature = "cli")]
pub(crate) fn set(overlay: Box<dyn Overlay>) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    *state = State { overlay: Some(overlay), mid_line: false };
    IS_SET.store(true, Ordering::Release);
}

/// Takes the overlay away for good.
#[cfg(feature = "cli")]
pub(crate) fn remove() {
    if IS_SET.load(Ordering::Acquire)
        && let Some(mut state) = lock_soon()
    {
        IS_SET.store(false, Ordering::Release);
        state.lift();
        state.overlay = None;
    }
}

/// Draws the overlay, unless a guest is in the middle of a line.
#[cfg(feature = "cli")]
pub(crate) fn draw() {
    // A guest that writes just now keeps the terminal. The next drawing comes soon.
    if let Ok(mut state) = STATE.try_lock() {
        state.draw();
    }
}

/// Calls `write`, which writes whole lines of the host's own to stderr, while nothing is drawn.
#[cfg(feature = "cli")]
pub(crate) fn apart(write: impl FnOnce()) {
    if !IS_SET.load(Ordering::Acquire) {
        return write();
    }
    let mut state = lock_soon();
    if let Some(state) = &mut state {
        state.lift();
        state.mid_line = false;
    }
    write();
}

#[cfg(feature = "cli")]
fn lock_soon() -> Option<MutexGuard<'static, State>> {
    threads::lock_within(&STATE, PATIENCE)
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Recorder(Arc<Mutex<Vec<&'static str>>>);

    impl Overlay for Recorder {
        fn draw(&mut self) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push("draw");
        }

        fn lift(&mut self) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push("lift");
        }
    }

    /// Not of the process's own, which other tests' terminals ask, too.
    #[test]
    fn nothing_is_drawn_within_a_line() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let mut state = State::default();
        state.draw();
        state.lift();
        state.overlay = Some(Box::new(Recorder(Arc::clone(&calls))));
        let taken = || std::mem::take(&mut *calls.lock().unwrap());
        state.draw();
        state.lift();
        state.wrote(b"half a");
        state.draw();
        assert_eq!(taken(), ["draw", "lift"]);
        state.lift();
        state.wrote(b"");
        state.draw();
        state.wrote(b" line\n");
        state.draw();
        assert_eq!(taken(), ["lift", "draw"]);
    }
}
