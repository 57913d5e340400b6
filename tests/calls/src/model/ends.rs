//! What reads and writes may tell.

use super::{Checked, FIFO, Model, Version, expect, piece};
use crate::pipes::{Pipe, State};
use crate::program::{ANONYMOUS, FOREIGN, Op, SLOTS};
use crate::report::{Entry, Outcome};

impl Model {
    pub(super) fn read(&mut self, entry: &Entry, size: usize, has_hash: bool) -> Checked {
        if entry.outcome == Outcome::Skipped {
            // 0.3: there may be nothing to call off.
            let may = self.version == Version::V0_3 && entry.op == Op::CancelRead;
            return expect(may || self.reader(entry.slot).is_none());
        }
        let is_new = self.version == Version::V0_3;
        let pipe = self.reader_mut(entry.slot)?;
        match entry.outcome {
            // 0.3: the size is that of the read that was under way.
            Outcome::Done if entry.n > 0 && (is_new || entry.n <= size as u64) => {
                pipe.take(entry.n, has_hash.then_some(entry.hash))?;
                self.received += entry.n;
                Ok(())
            }
            Outcome::Wait if size == 0 => Ok(()),
            Outcome::Wait => match pipe.certain() == 0 && !pipe.is_at_end() {
                true => Ok(()),
                false => Err(format!("there is something to tell: {pipe:?}")),
            },
            Outcome::Closed if pipe.ended || pipe.may_end() => {
                pipe.ended = true;
                Ok(())
            }
            Outcome::Closed => Err(format!("a false end of file: {pipe:?}")),
            _ => expect(false),
        }
    }

    /// 0.2: a write of as much as is permitted.
    pub(super) fn write(&mut self, entry: &Entry, size: usize) -> Checked {
        if entry.outcome == Outcome::Skipped {
            return expect(self.writer(entry.slot).is_none());
        }
        let offered = self.offered;
        let pipe = self.writer_mut(entry.slot)?;
        match entry.outcome {
            Outcome::Done if entry.n <= size as u64 && (entry.n > 0 || size == 0) => {
                if entry.n > 0 && (pipe.broken || pipe.reader == State::Dropped) {
                    return Err("nobody reads".into());
                }
                pipe.accept(&piece(offered, entry.n as usize))?;
                self.offered += entry.n;
                Ok(())
            }
            _ => may_stop(pipe, entry.outcome),
        }
    }

    /// 0.2: a flush, or a write of nothing.
    pub(super) fn write_nothing(&mut self, entry: &Entry) -> Checked {
        if entry.outcome == Outcome::Skipped {
            return expect(self.writer(entry.slot).is_none());
        }
        let pipe = self.writer_mut(entry.slot)?;
        match entry.outcome {
            Outcome::Done if pipe.broken => Err("it was broken before".into()),
            Outcome::Done => {
                if entry.op == Op::FlushAll {
                    pipe.is_flushed();
                }
                Ok(())
            }
            outcome => may_stop(pipe, outcome),
        }
    }

    /// 0.3: a write that begins, or one that is looked at again.
    pub(super) fn write_under_way(&mut self, entry: &Entry, size: usize) -> Checked {
        if entry.outcome == Outcome::Skipped {
            return expect(self.writer(entry.slot).is_none());
        }
        let bytes = piece(self.offered, if entry.hash == 1 { size } else { 0 });
        self.offered += bytes.len() as u64;
        let pipe = self.writer_mut(entry.slot)?;
        if pipe.broken {
            return expect(entry.outcome == Outcome::Closed);
        }
        if entry.hash == 1 {
            pipe.offer(bytes)?;
        }
        match entry.outcome {
            Outcome::Wait => Ok(()),
            _ => settle(pipe, entry),
        }
    }

    pub(super) fn write_called_off(&mut self, entry: &Entry) -> Checked {
        match entry.outcome {
            Outcome::Skipped => Ok(()),
            _ => settle(self.writer_mut(entry.slot)?, entry),
        }
    }

    pub(super) fn poll(&mut self, entry: &Entry) -> Checked {
        let (alone, together) = (entry.n, entry.hash);
        if alone & !together != 0 {
            return Err("what was ready is not, though nothing was taken".into());
        }
        for slot in 0..SLOTS {
            let says = |bits: u64, at: usize| bits >> at & 1 == 1;
            let reader = self.reader(slot);
            let must = reader.is_some_and(|pipe| pipe.certain() > 0 || pipe.is_at_end());
            let may = reader.is_some_and(|pipe| {
                // Nothing is ready about a pipe that is empty, and has, or awaits, its writer.
                pipe.ended || pipe.len() > 0 || pipe.writer == State::Dropped && pipe.had_writer
            });
            if says(alone | together, slot) && !may {
                return Err(format!("slot {slot} is nothing to read from: {reader:?}"));
            }
            if self.version == Version::V0_3 {
                continue;
            }
            if must && !says(alone, slot) {
                return Err(format!("slot {slot} is to be read from: {reader:?}"));
            }
            let writer = self.writer(slot);
            let must = writer.is_some_and(|pipe| {
                pipe.has_room() || !pipe.loose && pipe.reader == State::Dropped
            });
            if must && !says(alone, SLOTS + slot) {
                return Err(format!("slot {slot} is to be written to: {writer:?}"));
            }
            if writer.is_none() && says(alone | together, SLOTS + slot) {
                return Err(format!("slot {slot} is nothing to write to"));
            }
        }
        Ok(())
    }

    /// The program is over: 0.2 drops all writers, and every named pipe that was touched gets both ends.
    pub(super) fn begin_end(&mut self) {
        for slot in 0..SLOTS {
            if self.version == Version::V0_2
                && let Ok(pipe) = self.writer_mut(slot)
            {
                pipe.drop_writer();
            }
        }
        for slot in ANONYMOUS..FOREIGN {
            let (Some(reader), Some(writer)) = (self.readers[slot], self.writers[slot]) else {
                continue;
            };
            let is_touched = self.pipes[reader].reader != State::Unopened
                || self.pipes[writer].writer != State::Unopened;
            if !is_touched {
                continue;
            }
            if self.pipes[reader].reader == State::Unopened {
                self.pipes[reader].reader = State::Open;
            }
            if self.pipes[writer].writer == State::Unopened {
                self.pipes[writer].writer = match self.version {
                    Version::V0_2 => State::Dropped,
                    Version::V0_3 => State::Open,
                };
            }
            for at in [reader, writer] {
                self.pipes[at].had_writer |= slot == FIFO;
            }
        }
    }

    pub(super) fn follow_end(&mut self, entry: &Entry) -> Checked {
        match (self.version, entry.op, entry.outcome) {
            // It waits for as long as there is nothing.
            (_, Op::Read, Outcome::Wait) => expect(false),
            (_, Op::Read, _) => self.read(entry, 1 << 16, true),
            (Version::V0_3, Op::Write, _) => settle(self.writer_mut(entry.slot)?, entry),
            (Version::V0_3, Op::DropWriter, _) => {
                if let Ok(pipe) = self.writer_mut(entry.slot) {
                    pipe.drop_writer();
                }
                Ok(())
            }
            _ => Err("no part of the end".into()),
        }
    }
}

/// 0.2: whether a write may have to wait, or find nobody.
fn may_stop(pipe: &mut Pipe, outcome: Outcome) -> Checked {
    match outcome {
        Outcome::Wait if pipe.broken => Err("it was broken before".into()),
        Outcome::Wait if pipe.reader == State::Dropped && !pipe.loose => Err("nobody reads".into()),
        Outcome::Wait if pipe.has_room() => Err(format!("there is room: {pipe:?}")),
        Outcome::Wait => Ok(()),
        Outcome::Closed if pipe.reader == State::Dropped => {
            pipe.broken = true;
            Ok(())
        }
        Outcome::Closed => Err(format!("there is a reader: {pipe:?}")),
        _ => expect(false),
    }
}

/// 0.3: a write has come to its end.
fn settle(pipe: &mut Pipe, entry: &Entry) -> Checked {
    pipe.settle(entry.n)?;
    match entry.outcome {
        Outcome::Done if pipe.broken => Err("it was broken before".into()),
        Outcome::Done => Ok(()),
        Outcome::Closed if pipe.reader == State::Dropped => {
            pipe.broken = true;
            Ok(())
        }
        Outcome::Closed => Err(format!("there is a reader: {pipe:?}")),
        _ => expect(false),
    }
}
