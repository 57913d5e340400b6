//! Makes the calls on pipes of WASI 0.2 that its stdin lists, and reports on stdout what came of each.
//! No call waits for anything that this program itself would have to do.

use std::io::{self, Read, Write};
use std::time::Duration;

use pipehost_test_calls::program::{ANONYMOUS, Call, FIFO, Op, SLOTS, calls, name, piece};
use pipehost_test_calls::report::{Entry, Outcome, hash, hash_of_names};

#[allow(missing_docs, reason = "generated; the WIT has the documentation")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/p2", world: "imports", generate_all });
}

use bindings::pipehost::pipes::types::{ErrorCode, PipeReader, PipeWriter};
use bindings::pipehost::pipes::{anonymous, named, types};
use bindings::wasi::io::poll::{Pollable, poll};
use bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};

fn main() -> io::Result<()> {
    let mut program = Vec::new();
    io::stdin().read_to_end(&mut program)?;
    let mut guest = Guest::default();
    for call in calls(&program) {
        guest.make(call);
    }
    guest.finish();
    io::stdout().write_all(&guest.report)
}

#[derive(Default)]
struct Guest {
    readers: [Reader; SLOTS],
    writers: [Writer; SLOTS],
    /// Which readers and writers of named pipes have been opened.
    opened: [[bool; 2]; SLOTS],
    offered: u64,
    report: Vec<u8>,
}

#[derive(Default)]
enum Reader {
    #[default]
    None,
    End(PipeReader),
    Stream(InputStream),
}

#[derive(Default)]
enum Writer {
    #[default]
    None,
    End(PipeWriter),
    Stream(OutputStream),
}

impl Reader {
    fn stream(&mut self) -> Option<&InputStream> {
        *self = match std::mem::take(self) {
            Self::End(end) => Self::Stream(PipeReader::read_via_stream(end)),
            other => other,
        };
        match self {
            Self::Stream(stream) => Some(stream),
            _ => None,
        }
    }
}

impl Writer {
    fn stream(&mut self) -> Option<&OutputStream> {
        *self = match std::mem::take(self) {
            Self::End(end) => Self::Stream(PipeWriter::write_via_stream(end)),
            other => other,
        };
        match self {
            Self::Stream(stream) => Some(stream),
            _ => None,
        }
    }
}

type Told = (Outcome, u64, u64);

const SKIPPED: Told = (Outcome::Skipped, 0, 0);

const READER: usize = 0;
const WRITER: usize = 1;

impl Guest {
    fn tell(&mut self, op: Op, slot: usize, (outcome, n, hash): Told) {
        Entry { op, slot, outcome, n, hash }.write_to(&mut self.report);
    }

    fn make(&mut self, call: Call) {
        let told = self.made(call);
        self.tell(call.op, call.slot, told);
    }

    fn made(&mut self, Call { op, slot, to, size }: Call) -> Told {
        match op {
            Op::Create => self.create(slot % ANONYMOUS),
            Op::OpenReader => self.open_reader(slot),
            Op::OpenWriter => self.open_writer(slot),
            Op::Read => match self.readers[slot].stream() {
                Some(stream) => read(stream.read(size as u64)),
                None => SKIPPED,
            },
            Op::ReadWhenReady => match self.readers[slot].stream() {
                Some(stream) if stream.subscribe().ready() => {
                    read(stream.blocking_read(size as u64))
                }
                Some(_) => (Outcome::Wait, 0, 0),
                None => SKIPPED,
            },
            // Bytes that are skipped were read, as far as the pipe is concerned.
            Op::CancelRead => match self.readers[slot].stream() {
                Some(stream) => count(stream.skip(size as u64)),
                None => SKIPPED,
            },
            Op::Write => self.write(slot, size),
            Op::CancelWrite => match self.writers[slot].stream() {
                Some(stream) => done(stream.check_write().and_then(|_| stream.write(&[]))),
                None => SKIPPED,
            },
            Op::Flush => match self.writers[slot].stream() {
                Some(stream) => done(stream.flush()),
                None => SKIPPED,
            },
            Op::FlushAll => match self.writers[slot].stream() {
                Some(stream) => match stream.check_write() {
                    Ok(0) => (Outcome::Wait, 0, 0),
                    permit => done(permit.and_then(|_| stream.blocking_flush())),
                },
                None => SKIPPED,
            },
            Op::DropReader => match std::mem::take(&mut self.readers[slot]) {
                Reader::None => SKIPPED,
                _ => (Outcome::Done, 0, 0),
            },
            Op::DropWriter => match std::mem::take(&mut self.writers[slot]) {
                Writer::None => SKIPPED,
                _ => (Outcome::Done, 0, 0),
            },
            Op::Available => match &self.readers[slot] {
                Reader::End(end) => asked(end.available()),
                _ => SKIPPED,
            },
            Op::Capacity => match (&self.readers[slot], &self.writers[slot]) {
                (Reader::End(end), _) => asked(end.capacity()),
                (_, Writer::End(end)) => asked(end.capacity()),
                _ => SKIPPED,
            },
            Op::Poll => self.poll(),
            Op::Move | Op::MoveWhenReady => self.splice(slot, to, size, op == Op::MoveWhenReady),
            Op::List => {
                let list = named::list();
                let names = hash_of_names(list.iter().map(|pipe| pipe.name.as_str()));
                (Outcome::Done, list.len() as u64, names)
            }
        }
    }

    /// A FIFO's end is opened once only: what a second reader finds in it depends on when the host
    /// closed the first.
    fn is_spent_fifo(&self, slot: usize, end: usize) -> bool {
        let is_open = match end {
            READER => !matches!(self.readers[slot], Reader::None),
            _ => !matches!(self.writers[slot], Writer::None),
        };
        slot == FIFO && self.opened[slot][end] && !is_open
    }

    fn open_reader(&mut self, slot: usize) -> Told {
        if slot < ANONYMOUS || self.is_spent_fifo(slot, READER) {
            return SKIPPED;
        }
        match named::open_reader(name(slot)) {
            Ok(end) => {
                let capacity = end.capacity().unwrap_or(0);
                self.opened[slot][READER] = true;
                self.readers[slot] = Reader::End(end);
                (Outcome::Done, capacity, 0)
            }
            Err(code) => failed(code),
        }
    }

    fn open_writer(&mut self, slot: usize) -> Told {
        if slot < ANONYMOUS || self.is_spent_fifo(slot, WRITER) {
            return SKIPPED;
        }
        match named::open_writer(name(slot)) {
            Ok(end) => {
                let capacity = end.capacity().unwrap_or(0);
                self.opened[slot][WRITER] = true;
                self.writers[slot] = Writer::End(end);
                (Outcome::Done, capacity, 0)
            }
            Err(code) => failed(code),
        }
    }

    fn create(&mut self, slot: usize) -> Told {
        let (Reader::None, Writer::None) = (&self.readers[slot], &self.writers[slot]) else {
            return SKIPPED;
        };
        match anonymous::create() {
            Ok((reader, writer)) => {
                let capacity = reader.capacity().unwrap_or(0);
                self.readers[slot] = Reader::End(reader);
                self.writers[slot] = Writer::End(writer);
                (Outcome::Done, capacity, 0)
            }
            Err(code) => failed(code),
        }
    }

    fn write(&mut self, slot: usize, size: usize) -> Told {
        let Some(stream) = self.writers[slot].stream() else { return SKIPPED };
        let at = self.offered;
        match stream.check_write() {
            Ok(0) => (Outcome::Wait, 0, 0),
            Ok(permit) => {
                let n = size.min(usize::try_from(permit).unwrap_or(usize::MAX));
                let told = done(stream.write(&piece(at, n)));
                if told.0 == Outcome::Done {
                    self.offered += n as u64;
                }
                (told.0, if told.0 == Outcome::Done { n as u64 } else { 0 }, 0)
            }
            Err(error) => stream_failed(&error),
        }
    }

    /// A bit for each end that is ready, readers first: as each says for itself, and as one call for
    /// all says afterwards.
    fn poll(&mut self) -> Told {
        let mut ends: Vec<(usize, Pollable)> = Vec::new();
        for slot in 0..SLOTS {
            if let Some(stream) = self.readers[slot].stream() {
                ends.push((slot, stream.subscribe()));
            }
            if let Some(stream) = self.writers[slot].stream() {
                ends.push((SLOTS + slot, stream.subscribe()));
            }
        }
        let bits =
            |ready: &mut dyn Iterator<Item = usize>| ready.fold(0, |bits, at| bits | 1 << at);
        let alone = ends.iter().filter(|(_, end)| end.ready()).map(|(at, _)| *at);
        let alone: u64 = bits(&mut { alone });
        if alone == 0 {
            return (Outcome::Wait, 0, 0);
        }
        let list: Vec<_> = ends.iter().map(|(_, end)| end).collect();
        let together = poll(&list).into_iter().map(|at| ends[at as usize].0);
        (Outcome::Done, alone, bits(&mut { together }))
    }

    fn splice(&mut self, from: usize, to: usize, size: usize, when_ready: bool) -> Told {
        let (Some(reader), Some(writer)) = (self.readers[from].stream(), self.writers[to].stream())
        else {
            return SKIPPED;
        };
        if !when_ready {
            return count(writer.splice(reader, size as u64));
        }
        match writer.check_write() {
            Err(error) => stream_failed(&error),
            Ok(n) if n > 0 && reader.subscribe().ready() => {
                count(writer.blocking_splice(reader, size as u64))
            }
            Ok(_) => (Outcome::Wait, 0, 0),
        }
    }

    /// Closes all writers, and reads all that is left.
    fn finish(&mut self) {
        self.writers = Default::default();
        for slot in 0..SLOTS {
            if self.opened[slot].contains(&true) && !self.ensure_both(slot) {
                self.readers[slot] = Reader::None;
                self.tell(Op::OpenReader, slot, SKIPPED);
            }
            while let Some(stream) = self.readers[slot].stream() {
                let told = read(stream.blocking_read(1 << 16));
                if told.0 != Outcome::Done {
                    self.readers[slot] = Reader::None;
                }
                self.tell(Op::Read, slot, told);
            }
        }
    }

    /// Sees to it that a named pipe has had both its ends, so that whoever waits for it comes to an end.
    fn ensure_both(&mut self, slot: usize) -> bool {
        for end in [READER, WRITER] {
            // What was left behind for readers that have gone may hold a place until the host has
            // seen that.
            let opened = (0..1000).any(|_| {
                let told = match (self.opened[slot][end], end) {
                    (true, _) => return true,
                    (false, READER) => self.open_reader(slot),
                    (false, _) => self.open_writer(slot),
                };
                if told.0 != Outcome::Done {
                    std::thread::sleep(Duration::from_micros(100));
                }
                told.0 == Outcome::Done
            });
            if !opened {
                return false;
            }
        }
        // A FIFO's writer that gave up before the reader came was none.
        if slot == FIFO {
            // `in-use`: it delivers something yet, and so was one.
            let had = |_| match named::open_writer(name(slot)) {
                Ok(_) | Err(ErrorCode::InUse) => true,
                Err(_) => {
                    std::thread::sleep(Duration::from_micros(100));
                    false
                }
            };
            if !(0..1000).any(had) {
                return false;
            }
        }
        self.writers[slot] = Writer::None;
        true
    }
}

fn read(result: Result<Vec<u8>, StreamError>) -> Told {
    match result {
        Ok(bytes) if bytes.is_empty() => (Outcome::Wait, 0, 0),
        Ok(bytes) => (Outcome::Done, bytes.len() as u64, hash(&bytes)),
        Err(error) => stream_failed(&error),
    }
}

fn count(result: Result<u64, StreamError>) -> Told {
    match result {
        Ok(0) => (Outcome::Wait, 0, 0),
        Ok(n) => (Outcome::Done, n, 0),
        Err(error) => stream_failed(&error),
    }
}

fn done(result: Result<(), StreamError>) -> Told {
    match result {
        Ok(()) => (Outcome::Done, 0, 0),
        Err(error) => stream_failed(&error),
    }
}

fn asked(result: Result<u64, ErrorCode>) -> Told {
    match result {
        Ok(n) => (Outcome::Done, n, 0),
        Err(code) => failed(code),
    }
}

fn stream_failed(error: &StreamError) -> Told {
    match error {
        StreamError::Closed => (Outcome::Closed, 0, 0),
        StreamError::LastOperationFailed(error) => match types::pipe_error_code(error) {
            Some(code) => failed(code),
            None => (Outcome::Io, 0, 0),
        },
    }
}

fn failed(code: ErrorCode) -> Told {
    let outcome = match code {
        ErrorCode::NotPermitted => Outcome::NotPermitted,
        ErrorCode::InvalidName => Outcome::InvalidName,
        ErrorCode::LimitExceeded => Outcome::LimitExceeded,
        ErrorCode::BrokenPipe => Outcome::BrokenPipe,
        ErrorCode::TimedOut => Outcome::TimedOut,
        ErrorCode::InUse => Outcome::InUse,
        ErrorCode::Unsupported => Outcome::Unsupported,
        ErrorCode::Io => Outcome::Io,
    };
    (outcome, 0, 0)
}
