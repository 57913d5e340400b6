//! A writer that lets whole records pass, and nothing else: a [`Framer`] in front of a writer's flow.
//!
//! The writer takes what its guest writes, up to [`PERMIT`](super::PERMIT) bytes ahead of the kernel, and hands over
//! the records that are complete. Those wait as deferred writes do, each of up to PIPE_BUF bytes in one piece. So the
//! host holds the beginning of one record, and the records of one write. Bytes are counted as the guest writes them.

use super::super::events::Event;
use super::super::frame::{Found, FrameError, Refused};
use super::super::{ErrorCode, Fault};
use super::flow::{Flow, PERMIT, State};
use super::framing::MOST_SHOWN;
use super::whole::WholeWrites;

impl Flow {
    /// Takes as much of `bytes` as is permitted now, like [`Writer::try_write`](super::Writer::try_write), and writes
    /// the records in it.
    pub(super) fn write_framed(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        if !self.deliver()? || !self.is_open()? {
            self.meter.waits();
            return Ok(None);
        }
        let Some(most) = self.allowance(bytes.len().min(PERMIT))? else { return Ok(None) };
        self.frame(&bytes[..most])?;
        self.deliver()?;
        Ok(Some(most))
    }

    /// Takes all of `bytes`, which were permitted, and writes the records in it as far as there is room.
    pub(super) fn take_on_framed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // The rate was checked when the permit was given.
        let most = self.allowance(bytes.len())?.unwrap_or(bytes.len());
        self.frame(&bytes[..most])?;
        match self.deliver()? && most < bytes.len() {
            true => Err(self.exceeded()),
            // With records still under way, the next call finds that no more bytes may be written.
            false => Ok(()),
        }
    }

    /// Has the records in `bytes` wait to be written, after all that wait already.
    ///
    /// # Errors
    /// `broken-pipe` if there are none, so that no write shows it, and the reader is gone. `io` after something was no
    /// record, if that ends the run.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(framing) = &mut self.framing else { return Ok(()) };
        if framing.is_over {
            return Err(ErrorCode::Io.into());
        }
        self.meter.moved(bytes.len());
        let (mut records, mut refusals) =
            (Records::of(self.terminal.is_some()), Refusals::default());
        let ends = framing.framer.frame().error == FrameError::End;
        framing.framer.push(bytes, |found| match found {
            // Nothing passes any more.
            _ if ends && !refusals.shown.is_empty() => {}
            Found::Records(bytes) => records.push(&mut self.deferred, bytes),
            Found::Refused(refused) => refusals.push(refused),
        });
        let is_any = records.is_any;
        self.show(records);
        if !refusals.shown.is_empty() {
            // The note of what is no record must not come before the records that the guest wrote before.
            let delivered = self.deliver();
            self.refuse(refusals, ends);
            delivered?;
        }
        match &self.state {
            _ if is_any || bytes.is_empty() => {}
            State::Open(end) if end.lacks_reader() => {
                return Err(self.fail(ErrorCode::BrokenPipe.into()));
            }
            _ => {}
        }
        match &self.framing {
            // The records before have gone out, and the run ends.
            Some(framing) if framing.is_over => Err(ErrorCode::Io.into()),
            _ => Ok(()),
        }
    }

    /// Ends the record that has begun: the end is closed, or the guest has ended. Half a record of a guest that was cut
    /// short is left out, and never ends the run: it has its end already, or another life.
    pub(super) fn finish_record(&mut self) {
        let cut_short = self.journal.is_cut_short();
        let Some(framing) = &mut self.framing else { return };
        if matches!(self.state, State::Failed(_)) || framing.is_over {
            framing.clear();
        }
        let (mut records, mut refusals) =
            (Records::of(self.terminal.is_some()), Refusals::default());
        framing.framer.finish(cut_short, |found| match found {
            Found::Records(bytes) => records.push(&mut self.deferred, bytes),
            Found::Refused(refused) => refusals.push(refused),
        });
        let ends = !cut_short && framing.framer.frame().error == FrameError::End;
        self.show(records);
        // A failure is in the journal. Bytes without room are left behind.
        let _ = self.deliver();
        self.refuse(refusals, ends);
        self.sum_up();
    }

    fn show(&mut self, records: Records) {
        if let Some(shown) = records.shown.filter(|shown| !shown.is_empty()) {
            self.append(&shown);
        }
    }

    /// Reports what is no record, or `ends` the run for it.
    fn refuse(&mut self, refusals: Refusals, ends: bool) {
        let Some(framing) = &mut self.framing else { return };
        for refused in refusals.shown {
            framing.refused.0 += 1;
            framing.refused.1 = framing.refused.1.saturating_add(refused.bytes);
            if ends {
                framing.is_over = true;
                return self.journal.end_unframed(&self.label, refused);
            }
            if framing.refused.0 <= MOST_SHOWN {
                let label = self.label.clone();
                self.journal.events().tell(&Event::RecordRefused { label, refused });
            }
        }
        framing.refused.0 += refusals.others.0;
        framing.refused.1 = framing.refused.1.saturating_add(refusals.others.1);
    }

    /// Reports how much was refused, if not all of it was shown.
    fn sum_up(&mut self) {
        let Some(framing) = &mut self.framing else { return };
        let (records, bytes) = std::mem::take(&mut framing.refused);
        if records > MOST_SHOWN {
            let label = self.label.clone();
            self.journal.events().tell(&Event::RecordsRefused { label, records, bytes });
        }
    }
}

/// Where the records of one write go.
struct Records {
    /// Those for a terminal, which are escaped together.
    shown: Option<Vec<u8>>,
    is_any: bool,
}

impl Records {
    fn of(is_terminal: bool) -> Self {
        Self { shown: is_terminal.then(Vec::new), is_any: false }
    }

    fn push(&mut self, deferred: &mut WholeWrites, bytes: &[u8]) {
        self.is_any = true;
        match &mut self.shown {
            Some(shown) => shown.extend_from_slice(bytes),
            None => deferred.push(bytes),
        }
    }
}

/// What was refused of one write.
#[derive(Default)]
struct Refusals {
    /// As many as are ever shown.
    shown: Vec<Refused>,
    /// How many more there were, and how many bytes they had.
    others: (u64, u64),
}

impl Refusals {
    fn push(&mut self, refused: Refused) {
        if (self.shown.len() as u64) < MOST_SHOWN {
            return self.shown.push(refused);
        }
        self.others.0 += 1;
        self.others.1 = self.others.1.saturating_add(refused.bytes);
    }
}
