//! Holds a report against what pipes are.

use crate::pipes::{Pipe, State};
use crate::program::{ANONYMOUS, Call, FIFO, FOREIGN, GRANTED, Op, SLOTS, calls, piece};
use crate::report::{Entry, Outcome, hash_of_names};

/// Which of the two guests has made the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `calls2`.
    V0_2,
    /// `calls3`.
    V0_3,
}

/// All pipes of a guest, as far as its report tells.
#[derive(Debug)]
pub struct Model {
    version: Version,
    max_pipes: usize,
    pipes: Vec<Pipe>,
    /// The pipe whose reader and whose writer a slot has.
    readers: [Option<usize>; SLOTS],
    writers: [Option<usize>; SLOTS],
    offered: u64,
    /// How many pipes and named ends have been opened.
    opened: usize,
    /// How many bytes have come out.
    pub received: u64,
}

/// What a guest does beyond its program is to be understood by this.
type Checked<T = ()> = Result<T, String>;

impl Model {
    /// A guest that may have so many pipes, and has made none yet.
    pub fn new(version: Version, max_pipes: usize) -> Self {
        let mut model = Self {
            version,
            max_pipes,
            pipes: Vec::new(),
            readers: [None; SLOTS],
            writers: [None; SLOTS],
            offered: 0,
            opened: 0,
            received: 0,
        };
        for slot in ANONYMOUS..FOREIGN {
            let mut pipe = Pipe::new(0, slot == FIFO || version == Version::V0_3);
            pipe.had_writer = slot != FIFO;
            model.add(slot, pipe);
        }
        model
    }

    fn add(&mut self, slot: usize, pipe: Pipe) {
        self.readers[slot] = Some(self.pipes.len());
        self.writers[slot] = Some(self.pipes.len());
        self.pipes.push(pipe);
    }

    /// Whether `report` is what the program may have led to.
    ///
    /// # Errors
    /// What is not so, and where.
    pub fn check(&mut self, program: &[u8], report: &[u8]) -> Checked {
        let mut entries = Entry::of_report(report)?.into_iter().enumerate().peekable();
        for call in calls(program) {
            loop {
                let Some((at, entry)) = entries.next() else {
                    return Err(format!("no word of {call:?}"));
                };
                let told = |why: String| format!("entry {at}, {entry:?} of {call:?}: {why}");
                // 0.3: what a call has brought to an end is told first.
                let is_other = (entry.op, entry.slot) != (call.op, call.slot);
                if is_other && !self.is_side_effect(&call, &entry) {
                    return Err(told("another call".into()));
                }
                let size = if is_other { usize::MAX } else { call.size };
                self.follow(&entry, Call { op: entry.op, slot: entry.slot, size, ..call })
                    .map_err(told)?;
                if !is_other {
                    break;
                }
            }
        }
        self.begin_end();
        for (at, entry) in entries {
            if (entry.op, entry.outcome) == (Op::OpenReader, Outcome::Skipped) {
                // It gave up: what other ends hold back cannot be known.
                return Ok(());
            }
            let told = |why: String| format!("entry {at}, {entry:?} at the end: {why}");
            self.follow_end(&entry).map_err(told)?;
        }
        match (0..SLOTS).find(|slot| self.reader(*slot).is_some_and(|pipe| !pipe.ended)) {
            None => Ok(()),
            Some(slot) => Err(format!("slot {slot}: no end of file, {:?}", self.reader(slot))),
        }
    }

    fn is_side_effect(&self, call: &Call, entry: &Entry) -> bool {
        self.version == Version::V0_3
            && match call.op {
                Op::DropReader => (entry.op, entry.slot) == (Op::CancelRead, call.slot),
                Op::DropWriter => (entry.op, entry.slot) == (Op::CancelWrite, call.slot),
                Op::Poll => entry.op == Op::Read,
                _ => false,
            }
    }

    /// The pipe whose reader the guest has in this slot.
    fn reader(&self, slot: usize) -> Option<&Pipe> {
        let pipe = &self.pipes[self.readers[slot]?];
        (pipe.reader == State::Open).then_some(pipe)
    }

    fn writer(&self, slot: usize) -> Option<&Pipe> {
        let pipe = &self.pipes[self.writers[slot]?];
        (pipe.writer == State::Open).then_some(pipe)
    }

    fn reader_mut(&mut self, slot: usize) -> Checked<&mut Pipe> {
        let pipe = self.readers[slot].map(|at| &mut self.pipes[at]);
        pipe.filter(|pipe| pipe.reader == State::Open).ok_or_else(|| "there is no reader".into())
    }

    fn writer_mut(&mut self, slot: usize) -> Checked<&mut Pipe> {
        let pipe = self.writers[slot].map(|at| &mut self.pipes[at]);
        pipe.filter(|pipe| pipe.writer == State::Open).ok_or_else(|| "there is no writer".into())
    }

    fn follow(&mut self, entry: &Entry, call: Call) -> Checked {
        let slot = entry.slot;
        match call.op {
            Op::Create => self.create(entry),
            Op::OpenReader => self.open(entry, true),
            Op::OpenWriter => self.open(entry, false),
            Op::Read | Op::ReadWhenReady => self.read(entry, call.size, true),
            Op::CancelRead => self.read(entry, call.size, self.version == Version::V0_3),
            Op::Write => match self.version {
                Version::V0_2 => self.write(entry, call.size),
                Version::V0_3 => self.write_under_way(entry, call.size),
            },
            Op::CancelWrite if self.version == Version::V0_3 => self.write_called_off(entry),
            Op::Flush | Op::FlushAll if self.version == Version::V0_3 => Ok(()),
            Op::Flush | Op::FlushAll | Op::CancelWrite => self.write_nothing(entry),
            Op::DropReader | Op::DropWriter => self.close(entry),
            Op::Available => match (entry.outcome, self.reader(slot)) {
                (Outcome::Skipped, _) => Ok(()),
                (Outcome::Done, Some(pipe))
                    if (pipe.certain() as u64..=pipe.len() as u64).contains(&entry.n) =>
                {
                    Ok(())
                }
                (_, pipe) => Err(format!("{pipe:?}")),
            },
            Op::Capacity => {
                let pipe = self.reader(slot).or(self.writer(slot));
                match (entry.outcome, pipe) {
                    (Outcome::Skipped, _) => Ok(()),
                    (Outcome::Unsupported, Some(_)) if slot == FIFO => Ok(()),
                    (Outcome::Done, Some(_)) if slot == FIFO && entry.n > 0 => Ok(()),
                    (Outcome::Done, Some(pipe)) if pipe.capacity() as u64 >= entry.n => Ok(()),
                    (_, pipe) => Err(format!("{pipe:?}")),
                }
            }
            Op::Poll => self.poll(entry),
            Op::Move | Op::MoveWhenReady => match self.version {
                Version::V0_2 => self.splice(entry, &call),
                Version::V0_3 => self.hand_on(entry, &call),
            },
            Op::List => {
                let known = (GRANTED.len() as u64, hash_of_names(GRANTED));
                match (entry.n, entry.hash) == known {
                    true => Ok(()),
                    false => Err("other names are granted".into()),
                }
            }
        }
    }

    /// How many pipes are open for certain, and at the most.
    fn used(&self) -> (usize, usize) {
        let (mut least, mut most) = (0, 0);
        let is_new = self.version == Version::V0_3;
        for (at, pipe) in self.pipes.iter().enumerate() {
            // 0.3: what a read or a write under way meets, the host knows before it is told.
            let ended = is_new && (pipe.ended || pipe.may_end());
            let broken = is_new && (pipe.broken || pipe.reader == State::Dropped);
            let reads = pipe.reader == State::Open && !ended;
            let writes = pipe.writer == State::Open && !broken;
            let lingers = pipe.is_lingering();
            // The named ones come first, and count for each end.
            match at >= GRANTED.len() {
                true => {
                    least += usize::from(reads || writes);
                    most += usize::from(reads || writes || lingers);
                }
                false => {
                    least += usize::from(reads) + usize::from(writes);
                    most += usize::from(reads) + usize::from(writes || lingers);
                }
            }
        }
        match self.version {
            Version::V0_2 => (least, most),
            // When the host has seen that an end was dropped is not known; and what is joined counts
            // at least once.
            Version::V0_3 => (least, self.opened),
        }
    }

    fn limited(&self, outcome: Outcome) -> Checked<bool> {
        let (least, most) = self.used();
        match outcome {
            Outcome::LimitExceeded if most < self.max_pipes => {
                Err(format!("at most {most} pipes are open"))
            }
            Outcome::LimitExceeded => Ok(true),
            Outcome::Done if least >= self.max_pipes => {
                Err(format!("at least {least} pipes are open"))
            }
            _ => Ok(false),
        }
    }

    fn create(&mut self, entry: &Entry) -> Checked {
        let slot = entry.slot % ANONYMOUS;
        let is_free = self.reader(slot).is_none() && self.writer(slot).is_none();
        if self.limited(entry.outcome)? {
            return Ok(());
        }
        match entry.outcome {
            Outcome::Skipped if !is_free => Ok(()),
            Outcome::Done if is_free && entry.n > 0 => {
                let mut pipe = Pipe::new(entry.n, self.version == Version::V0_3);
                (pipe.reader, pipe.writer, pipe.had_writer) = (State::Open, State::Open, true);
                self.add(slot, pipe);
                self.opened += 1;
                Ok(())
            }
            _ => Err(format!("free: {is_free}")),
        }
    }

    fn open(&mut self, entry: &Entry, reads: bool) -> Checked {
        let slot = entry.slot;
        let at = if reads { self.readers[slot] } else { self.writers[slot] };
        if slot == FOREIGN {
            return expect(entry.outcome == Outcome::NotPermitted);
        }
        let Some(at) = at.filter(|_| slot >= ANONYMOUS) else {
            return expect(entry.outcome == Outcome::Skipped);
        };
        let state = if reads { self.pipes[at].reader } else { self.pipes[at].writer };
        let lingers = self.version == Version::V0_3 || self.pipes[at].is_lingering();
        match (state, entry.outcome) {
            (State::Unopened, outcome) if self.limited(outcome)? => Ok(()),
            (State::Unopened, Outcome::Done) => {
                self.opened += 1;
                let pipe = &mut self.pipes[at];
                if slot != FIFO && at < GRANTED.len() {
                    pipe.set_capacity(entry.n);
                }
                if reads {
                    pipe.reader = State::Open
                } else {
                    pipe.writer = State::Open
                }
                pipe.had_writer |= pipe.reader != State::Unopened && pipe.writer != State::Unopened;
                Ok(())
            }
            (State::Open, Outcome::InUse) => Ok(()),
            // 0.3: an end that has failed is closed already.
            (State::Open, _) if self.version == Version::V0_3 => {
                let pipe = &self.pipes[at];
                let ended = pipe.ended || pipe.may_end();
                let broken = pipe.broken || pipe.reader == State::Dropped;
                expect(if reads { ended } else { broken })
            }
            (_, Outcome::Skipped) => expect(slot == FIFO && state != State::Unopened),
            (State::HandedOn | State::Dropped, Outcome::InUse) => expect(lingers),
            (State::HandedOn | State::Dropped, Outcome::NotPermitted) => Ok(()),
            (State::HandedOn | State::Dropped, outcome) => self.limited(outcome).and_then(expect),
            _ => Err(format!("it is {state:?}")),
        }
    }

    fn close(&mut self, entry: &Entry) -> Checked {
        let reads = entry.op == Op::DropReader;
        let found = if reads { self.reader(entry.slot) } else { self.writer(entry.slot) };
        match entry.outcome {
            Outcome::Skipped => expect(found.is_none()),
            Outcome::Done if reads => self.reader_mut(entry.slot).map(Pipe::drop_reader),
            Outcome::Done => self.writer_mut(entry.slot).map(Pipe::drop_writer),
            _ => expect(false),
        }
    }
}

mod ends;
mod moves;

/// An outcome that is the only one there is, or is not.
fn expect(is_so: bool) -> Checked {
    if is_so { Ok(()) } else { Err("it should not have".into()) }
}
