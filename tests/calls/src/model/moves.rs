//! What moving bytes from one pipe to another may tell.

use super::{Checked, Model, expect};
use crate::pipes::{Pipe, State};
use crate::program::Call;
use crate::report::{Entry, Outcome};

impl Model {
    /// 0.2: `splice` and `blocking-splice`.
    pub(super) fn splice(&mut self, entry: &Entry, call: &Call) -> Checked {
        let (from, to) = (self.reader(call.slot), self.writer(call.to));
        let (Some(from), Some(to)) = (from, to) else {
            return expect(entry.outcome == Outcome::Skipped);
        };
        let is_same = self.readers[call.slot] == self.writers[call.to];
        match entry.outcome {
            Outcome::Done if entry.n > 0 && entry.n <= call.size as u64 => {
                if to.broken || to.reader == State::Dropped {
                    return Err("nobody reads".into());
                }
                let bytes = self.reader_mut(call.slot)?.take(entry.n, None)?;
                self.writer_mut(call.to)?.accept_moved(&bytes, is_same)
            }
            Outcome::Wait if call.size == 0 => Ok(()),
            Outcome::Wait if to.reader != State::Dropped => {
                // The end of file comes after what waits for room.
                let tells = from.certain() > 0 || from.is_at_end();
                match tells && to.has_room() {
                    true => Err(format!("there is something to move: {from:?} to {to:?}")),
                    false => Ok(()),
                }
            }
            // A FIFO's writer that comes after the reader has left waits for the next.
            Outcome::Wait => expect((to.loose || from.certain() == 0) && !to.broken),
            Outcome::Closed => {
                let (ended, broken) =
                    (from.ended || from.may_end(), to.broken || to.reader == State::Dropped);
                if !ended && !broken {
                    return Err(format!("neither has ended: {from:?} to {to:?}"));
                }
                if !ended {
                    self.writer_mut(call.to)?.broken = true;
                }
                if !broken {
                    self.reader_mut(call.slot)?.ended = true;
                }
                Ok(())
            }
            _ => expect(false),
        }
    }

    /// 0.3: the reader of one goes to the writer of the other, and both are the host's from then on.
    pub(super) fn hand_on(&mut self, entry: &Entry, call: &Call) -> Checked {
        if entry.outcome == Outcome::Skipped {
            return Ok(());
        }
        self.reader_mut(call.slot)?;
        self.writer_mut(call.to)?;
        let (Some(from), Some(to)) = (self.readers[call.slot], self.writers[call.to]) else {
            return expect(false);
        };
        if from == to {
            // Round and round; nobody sees it again.
            self.pipes[from].reader = State::HandedOn;
            self.pipes[from].writer = State::HandedOn;
            return Ok(());
        }
        let handed_on = || {
            let mut pipe = Pipe::new(0, true);
            (pipe.reader, pipe.writer) = (State::HandedOn, State::HandedOn);
            pipe
        };
        let upstream = std::mem::replace(&mut self.pipes[from], handed_on());
        let downstream = std::mem::replace(&mut self.pipes[to], handed_on());
        let joined = self.pipes.len();
        self.pipes.push(downstream.joined_to(upstream));
        self.readers.iter_mut().filter(|at| **at == Some(to)).for_each(|at| *at = Some(joined));
        self.writers.iter_mut().filter(|at| **at == Some(from)).for_each(|at| *at = Some(joined));
        Ok(())
    }
}
