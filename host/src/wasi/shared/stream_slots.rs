//! Limits how many streams of WASI 0.3 a guest has over an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::pipe::{ErrorCode, Fault};

/// How many streams of WASI 0.3 a guest may have over one end at once. Bounds what the host keeps
/// for streams that go on after the guest has dropped its handles.
const MOST_STREAMS: usize = 16;

/// One guest's streams over an end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<StreamsState>);

#[derive(Debug, Default)]
struct StreamsState {
    open: AtomicUsize,
    /// How many streams were handed on to another end, to which their bytes move until they end.
    handed_on: AtomicUsize,
}

/// One stream's place among [`Streams`], given back by dropping it.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    streams: Streams,
    hands_on: bool,
}

impl Streams {
    /// Takes a place for one more stream.
    ///
    /// # Errors
    /// - `in-use`: an earlier stream was handed on, and the end's bytes go there.
    /// - `limit-exceeded`: the guest has as many streams as it may have.
    pub(crate) fn open(&self) -> Result<StreamSlot, Fault> {
        if self.0.handed_on.load(Ordering::Relaxed) > 0 {
            return Err(ErrorCode::InUse.into());
        }
        if self.0.open.fetch_add(1, Ordering::Relaxed) >= MOST_STREAMS {
            self.0.open.fetch_sub(1, Ordering::Relaxed);
            return Err(ErrorCode::LimitExceeded.into());
        }
        Ok(StreamSlot { streams: self.clone(), hands_on: false })
    }
}

impl StreamSlot {
    /// Refuses every other stream from now on, until this slot is dropped.
    pub(crate) fn hand_on(&mut self) {
        if !self.hands_on {
            self.hands_on = true;
            self.streams.0.handed_on.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        if self.hands_on {
            self.streams.0.handed_on.fetch_sub(1, Ordering::Relaxed);
        }
        self.streams.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
