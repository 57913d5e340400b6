//! Delivers what a writer has accepted and not written: deferred writes, and bytes for which there was no room.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::Fault;
use super::Writer;
use super::flow::State;
use crate::sys::{Direction, PIPE_BUF};

impl Writer {
    /// Keeps `bytes` for a later delivery and returns true, if they may wait: see
    /// [`deferred`](super::super::deferred).
    pub(in crate::pipe) fn defer(&mut self, bytes: &[u8]) -> bool {
        // A larger write is no longer whole, and better written at once than copied.
        if bytes.len() > PIPE_BUF.min(self.flow.room_to_defer()) {
            return false;
        }
        if self.is_framed() {
            // The write that follows tells of a failure.
            return self.flow.frame(bytes).is_ok();
        }
        self.flow.deferred.push(bytes);
        true
    }

    /// Returns how many more bytes may be deferred.
    pub(in crate::pipe) fn room_to_defer(&self) -> usize {
        self.flow.room_to_defer()
    }

    /// Delivers the deferred bytes, and returns whether none of them is left. `is_last` says that
    /// the guest has ended, and cannot be told of a failure.
    pub(in crate::pipe) fn deliver_deferred(&mut self, is_last: bool) -> Result<bool, Fault> {
        self.flow.left_behind = is_last;
        let delivered = self.flow.deliver();
        self.flow.left_behind = false;
        self.flow.is_untold |= delivered.is_err() && !is_last;
        delivered
    }

    /// Delivers what was accepted of a dead guest, and returns whether some of it still waits. The guest's next life is
    /// told of a failure, or the operator is.
    pub(in crate::pipe) fn is_kept_behind(&mut self) -> bool {
        let delivered = self.try_flush();
        self.flow.is_untold |= delivered.is_err();
        delivered == Ok(false)
    }

    /// Notes that the guest has been told of the writer's failure.
    pub(crate) fn is_told(&mut self) {
        self.flow.is_untold = false;
    }

    /// Notes a failure of which the guest was not told. Called when the guest has ended.
    pub(in crate::pipe) fn note_untold(&mut self) {
        if let (true, State::Failed(fault)) = (self.flow.is_untold, &self.flow.state) {
            self.flow.journal.note(&self.flow.label, Direction::Write, *fault, true);
            self.flow.is_untold = false;
        }
    }

    /// Delivers accepted bytes for which there was no room as soon as there is some, whatever the
    /// guest waits for meanwhile. The reader may be waiting for just these bytes.
    pub(crate) fn attend(shared: &Arc<Mutex<Self>>) {
        let until_room = |writer: &Arc<Mutex<Self>>| -> Option<_> {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let was_stuck = writer.flow.is_stuck;
            match writer.flow.deliver() {
                Ok(false) => return Some(writer.ready_after_would_block()),
                Ok(true) => {}
                // The guest took deferred bytes for written.
                Err(_) => writer.flow.is_untold |= was_stuck,
            }
            writer.attended = false;
            None
        };
        {
            let mut writer = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if writer.attended || !matches!(writer.flow.deliver(), Ok(false)) {
                return;
            }
            // Without a runtime, only the drop delivers them.
            if tokio::runtime::Handle::try_current().is_err() {
                return;
            }
            writer.attended = true;
        }
        // When the last handle is gone, its drop delivers the rest.
        let writer = Arc::downgrade(shared);
        tokio::spawn(async move {
            while let Some(ready) = writer.upgrade().and_then(|writer| until_room(&writer)) {
                ready.await;
            }
        });
    }
}
