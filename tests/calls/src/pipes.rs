//! One pipe as the model has it: what went in, what came out, who is there.

use std::collections::VecDeque;

use crate::report::hash;

/// The most that one write of 0.2 is permitted, and so the most that the host keeps for a writer.
const PERMIT: usize = 64 * 1024;

/// What a pipe of unknown capacity holds at the most.
const MOST: usize = 1024 * 1024;

const PAGE: usize = 4096;

/// What has become of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The host has it, for whoever opens it.
    Unopened,
    /// The guest has it.
    Open,
    /// The guest has handed it on, and the host moves its bytes.
    HandedOn,
    /// It was dropped.
    Dropped,
}

/// A pipe, or several that the guest has joined by handing one's reader to another's writer.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Written, and not yet read.
    queue: VecDeque<u8>,
    /// What a write under way offers, and how much of that was read already.
    offer: Option<(Vec<u8>, usize)>,
    pub(crate) reader: State,
    pub(crate) writer: State,
    /// Whether a writer has been there while its reader was.
    pub(crate) had_writer: bool,
    capacity: usize,
    /// At which moment something happens is up to the host, or a peer.
    pub(crate) loose: bool,
    /// At most so many bytes wait in the host for room.
    outbox: usize,
    /// The writer was dropped when that may have been more than none.
    lingers: bool,
    /// Its pages are not as full as writes make them.
    fragmented: bool,
    /// The reader was told of the end of file.
    pub(crate) ended: bool,
    /// The writer was told that nobody reads.
    pub(crate) broken: bool,
}

impl Pipe {
    pub(crate) fn new(capacity: u64, loose: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            offer: None,
            reader: State::Unopened,
            writer: State::Unopened,
            had_writer: !loose,
            capacity: usize::try_from(capacity).unwrap_or(0),
            loose,
            outbox: 0,
            lingers: false,
            fragmented: false,
            ended: false,
            broken: false,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        if self.capacity == 0 { MOST } else { self.capacity }
    }

    pub(crate) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = usize::try_from(capacity).unwrap_or(0);
    }

    fn offered(&self) -> usize {
        self.offer.as_ref().map_or(0, |(bytes, taken)| bytes.len() - taken)
    }

    /// All that there can be to read.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.offered()
    }

    /// What is in the kernel for certain.
    pub(crate) fn certain(&self) -> usize {
        if self.loose { 0 } else { self.queue.len() - self.outbox }
    }

    pub(crate) fn is_lingering(&self) -> bool {
        self.lingers
    }

    /// Whether a read must tell of the end of file.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ended || self.may_end() && !self.loose && !self.lingers
    }

    /// Whether a read may tell of the end of file.
    pub(crate) fn may_end(&self) -> bool {
        self.writer == State::Dropped && self.had_writer && self.len() == 0
    }

    /// Whether a write must get on: half-full pages are the worst that writes leave behind, and a page
    /// may be read in part.
    pub(crate) fn has_room(&self) -> bool {
        let few = self.outbox == 0
            && !self.fragmented
            && 2 * self.queue.len() + 4 * PAGE <= self.capacity();
        !self.loose && (few || self.queue.is_empty())
    }

    /// `n` bytes came out, with this hash if that is known.
    pub(crate) fn take(&mut self, n: u64, told: Option<u64>) -> Result<Vec<u8>, String> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        if self.ended {
            return Err(format!("{n} bytes after the end of file"));
        }
        if n > self.len() {
            return Err(format!("{n} bytes came out where {} were in", self.len()));
        }
        let from_queue = n.min(self.queue.len());
        let mut bytes: Vec<u8> = self.queue.drain(..from_queue).collect();
        if let Some((offer, taken)) = &mut self.offer {
            let more = n - from_queue;
            bytes.extend(&offer[*taken..*taken + more]);
            *taken += more;
        }
        self.outbox = self.outbox.min(self.queue.len());
        self.fragmented &= !self.queue.is_empty();
        match told {
            Some(told) if told != hash(&bytes) => {
                Err(format!("{n} bytes that are not those that were written"))
            }
            _ => Ok(bytes),
        }
    }

    /// All of `bytes` were accepted, where there was room for one at least.
    pub(crate) fn accept(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.outbox = 0;
        let is_certain = self.has_room_for(bytes.len());
        self.queue.extend(bytes);
        if !is_certain {
            self.outbox = bytes.len().min(PERMIT);
        }
        self.check_limit()
    }

    fn has_room_for(&self, more: usize) -> bool {
        !self.fragmented && 2 * (self.queue.len() + more) + 4 * PAGE <= self.capacity()
    }

    /// `bytes` were moved here by splice(2) or, from itself, by a copy.
    pub(crate) fn accept_moved(&mut self, bytes: &[u8], by_copy: bool) -> Result<(), String> {
        self.queue.extend(bytes);
        self.outbox = if by_copy { bytes.len().min(PERMIT) } else { 0 };
        self.fragmented = true;
        self.check_limit()
    }

    fn check_limit(&self) -> Result<(), String> {
        let most = self.capacity() + PERMIT;
        match self.queue.len() <= most {
            true => Ok(()),
            false => Err(format!("{} bytes in a pipe that holds {most}", self.queue.len())),
        }
    }

    /// All that was accepted is in the kernel.
    pub(crate) fn is_flushed(&mut self) {
        self.outbox = 0;
    }

    /// A write of `bytes` is under way.
    pub(crate) fn offer(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        match self.offer.replace((bytes, 0)) {
            None => Ok(()),
            Some(_) => Err("a write where one is under way".into()),
        }
    }

    /// The write under way has come to its end, with `n` bytes written.
    pub(crate) fn settle(&mut self, n: u64) -> Result<(), String> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let Some((bytes, taken)) = self.offer.take() else {
            return Err("the end of a write that never began".into());
        };
        if n > bytes.len() {
            return Err(format!("{n} bytes written where {} were offered", bytes.len()));
        }
        if n < taken {
            return Err(format!("{n} bytes written, and {taken} of them read"));
        }
        if self.reader != State::Dropped {
            self.queue.extend(&bytes[taken..n]);
            self.check_limit()?;
        }
        Ok(())
    }

    pub(crate) fn drop_reader(&mut self) {
        self.reader = State::Dropped;
        self.queue.clear();
        self.outbox = 0;
    }

    pub(crate) fn drop_writer(&mut self) {
        self.writer = State::Dropped;
        self.lingers = self.outbox > 0;
    }

    /// What `upstream`, whose reader was handed to the writer of this, and this are together.
    pub(crate) fn joined_to(self, upstream: Self) -> Self {
        let mut joined = Self {
            capacity: self.capacity() + upstream.capacity(),
            reader: self.reader,
            ended: self.ended,
            ..upstream
        };
        let rest = std::mem::take(&mut joined.queue);
        joined.queue = self.queue;
        joined.queue.extend(rest);
        if joined.reader == State::Dropped {
            joined.drop_reader();
        }
        joined
    }
}
