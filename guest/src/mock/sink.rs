//! What a guest writes to.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a guest writes to in a test. Its clones are the same sink, so that the test can look.
///
/// See the example of [the module](super).
#[derive(Clone, Debug, Default)]
pub struct Sink {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    flushed: usize,
    expected: usize,
    /// How many bytes one write takes.
    most: Option<usize>,
    /// How many bytes it takes before its reader is gone.
    leaves_after: Option<usize>,
}

impl State {
    fn room(&self) -> usize {
        let left = self.leaves_after.map_or(usize::MAX, |most| most - self.bytes.len());
        left.min(self.most.unwrap_or(usize::MAX))
    }
}

impl Sink {
    /// Makes a sink that takes everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes at most so many bytes in one write, as a pipe does that is nearly full.
    ///
    /// # Panics
    /// Panics if that is 0.
    #[must_use]
    pub fn taking(self, bytes: usize) -> Self {
        assert!(bytes > 0, "a sink that takes nothing never ends");
        self.state().most = Some(bytes);
        self
    }

    /// Takes so many bytes in all; then its reader is gone (EPIPE).
    #[must_use]
    pub fn leaving_after(self, bytes: usize) -> Self {
        self.state().leaves_after = Some(bytes);
        self
    }

    /// Returns what was written, flushed or not.
    pub fn written(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// Returns what was written, flushed or not, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.state().bytes).into_owned()
    }

    /// Returns what was written and flushed.
    pub fn flushed(&self) -> Vec<u8> {
        let state = self.state();
        state.bytes[..state.flushed].to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether exactly `bytes` were flushed since what was expected last.
    pub(super) fn has(&self, bytes: &[u8]) -> bool {
        let state = self.state();
        state.bytes[state.expected..state.flushed] == *bytes
    }

    /// Returns how many bytes one write takes; 0 if its reader is gone.
    pub(super) fn room(&self) -> usize {
        self.state().room()
    }

    #[track_caller]
    pub(super) fn expect(&self, bytes: &[u8]) {
        let mut state = self.state();
        let found = state.bytes[state.expected..state.flushed].to_vec();
        state.expected = state.flushed;
        drop(state);
        assert_eq!(
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(bytes),
            "the peer waits for the right side; the guest reads on having flushed the left side"
        );
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let room = state.room();
        if room == 0 {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let taken = bytes.len().min(room);
        state.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.flushed = state.bytes.len();
        Ok(())
    }
}
