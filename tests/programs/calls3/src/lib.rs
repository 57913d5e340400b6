//! Makes the calls on pipes of WASI 0.3 that its stdin lists, and reports on stdout what came of each.
//! Reads and writes stay under way while other calls are made, until they are looked at, called off,
//! or their end is dropped.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pipehost_guest::stream::future::join_all;
use pipehost_test_calls::program::{ANONYMOUS, Call, FIFO, Op, SLOTS, calls, name, piece};
use pipehost_test_calls::report::{Entry, Outcome, hash, hash_of_names};
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter, yield_async};

#[allow(missing_docs, reason = "generated; the WIT has the documentation")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/p3", world: "imports", generate_all });
}

use bindings::pipehost::pipes::types::{ErrorCode, PipeReader, PipeWriter};
use bindings::pipehost::pipes::{anonymous, named};
use bindings::wit_stream;

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    let mut program = Vec::new();
    io::stdin().read_to_end(&mut program)?;
    let mut guest = Guest::default();
    for call in calls(&program) {
        guest.make(call).await;
    }
    let report = guest.finish().await;
    io::stdout().write_all(&report)?;
    io::stdout().flush()
}

#[derive(Default)]
struct Guest {
    readers: [Reader; SLOTS],
    writers: [Writer; SLOTS],
    /// Which readers and writers of named pipes have been opened.
    opened: [[bool; 2]; SLOTS],
    offered: u64,
    /// How streams that were handed on end, to be kept as long as they go on.
    handed_on: Vec<Outcomes>,
    report: Vec<u8>,
}

type Ends = FutureReader<Result<(), ErrorCode>>;
type Outcomes = (Ends, Option<Ends>);

/// Something under way, which owns its end, and can be called off.
struct UnderWay<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    call_off: Rc<Cell<bool>>,
}

impl<T> UnderWay<T> {
    /// Looks whether it is over.
    async fn look(&mut self) -> Option<T> {
        let look = |cx: &mut Context<'_>| match self.future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        };
        std::future::poll_fn(look).await
    }

    /// Ends it now.
    fn call_off(mut self) -> T {
        self.call_off.set(true);
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => unreachable!("what is called off has ended"),
        }
    }
}

type ReadDone = (StreamReader<u8>, Ends, StreamResult, Vec<u8>);
type WriteDone = (StreamWriter<u8>, Ends, StreamResult, usize);

#[derive(Default)]
enum Reader {
    #[default]
    None,
    End(PipeReader),
    Idle(StreamReader<u8>, Ends),
    Reading(UnderWay<ReadDone>),
    /// It has said why.
    Ended(Told),
}

#[derive(Default)]
enum Writer {
    #[default]
    None,
    End(PipeWriter),
    Idle(StreamWriter<u8>, Ends),
    Writing(UnderWay<WriteDone>),
    /// It has said why.
    Ended(Told),
}

fn start_read(mut stream: StreamReader<u8>, ends: Ends, size: usize) -> UnderWay<ReadDone> {
    let call_off = Rc::new(Cell::new(false));
    let flag = Rc::clone(&call_off);
    let future = Box::pin(async move {
        let (result, bytes) = {
            let mut read = std::pin::pin!(stream.read(Vec::with_capacity(size)));
            std::future::poll_fn(|cx| match flag.get() {
                true => Poll::Ready(read.as_mut().cancel()),
                false => read.as_mut().poll(cx),
            })
            .await
        };
        (stream, ends, result, bytes)
    });
    UnderWay { future, call_off }
}

fn start_write(mut stream: StreamWriter<u8>, ends: Ends, bytes: Vec<u8>) -> UnderWay<WriteDone> {
    let call_off = Rc::new(Cell::new(false));
    let flag = Rc::clone(&call_off);
    let future = Box::pin(async move {
        let len = bytes.len();
        let (result, rest) = {
            let mut write = std::pin::pin!(stream.write(bytes));
            std::future::poll_fn(|cx| match flag.get() {
                true => Poll::Ready(write.as_mut().cancel()),
                false => write.as_mut().poll(cx),
            })
            .await
        };
        (stream, ends, result, len - rest.remaining())
    });
    UnderWay { future, call_off }
}

type Told = (Outcome, u64, u64);

const SKIPPED: Told = (Outcome::Skipped, 0, 0);
const READER: usize = 0;
const WRITER: usize = 1;

const WAIT: Told = (Outcome::Wait, 0, 0);
const DONE: Told = (Outcome::Done, 0, 0);

/// What becomes of a reader after a read, and what is told of that.
async fn after_read((stream, ends, result, bytes): ReadDone) -> (Reader, Told) {
    match result {
        StreamResult::Dropped if bytes.is_empty() => {
            drop(stream);
            let told = match ends.await {
                Ok(()) => (Outcome::Closed, 0, 0),
                Err(code) => failed(code),
            };
            (Reader::Ended(told), told)
        }
        _ if bytes.is_empty() => (Reader::Idle(stream, ends), WAIT),
        _ => (Reader::Idle(stream, ends), (Outcome::Done, bytes.len() as u64, hash(&bytes))),
    }
}

async fn after_write((stream, ends, result, n): WriteDone) -> (Writer, Told) {
    match result {
        StreamResult::Dropped => {
            drop(stream);
            let told = match ends.await {
                Err(ErrorCode::BrokenPipe) => (Outcome::Closed, n as u64, 0),
                Err(code) => failed(code),
                Ok(()) => (Outcome::Io, 0, 0),
            };
            (Writer::Ended(told), told)
        }
        _ => (Writer::Idle(stream, ends), (Outcome::Done, n as u64, 0)),
    }
}

impl Guest {
    fn tell(&mut self, op: Op, slot: usize, (outcome, n, hash): Told) {
        Entry { op, slot, outcome, n, hash }.write_to(&mut self.report);
    }

    async fn make(&mut self, call: Call) {
        let told = self.made(call).await;
        self.tell(call.op, call.slot, told);
    }

    async fn made(&mut self, Call { op, slot, to, size }: Call) -> Told {
        match op {
            Op::Create => self.create(slot % ANONYMOUS),
            Op::OpenReader => self.open_reader(slot),
            Op::OpenWriter => self.open_writer(slot),
            Op::Read => self.read(slot, size).await,
            Op::ReadWhenReady => {
                yield_async().await;
                self.read(slot, size).await
            }
            Op::CancelRead => self.cancel_read(slot).await,
            Op::Write => self.write(slot, size).await,
            Op::CancelWrite => self.cancel_write(slot).await,
            Op::Flush | Op::FlushAll => {
                for _ in 0..=size % 4 {
                    yield_async().await;
                }
                DONE
            }
            Op::DropReader => match &self.readers[slot] {
                Reader::None => SKIPPED,
                _ => {
                    let told = self.cancel_read(slot).await;
                    self.tell(Op::CancelRead, slot, told);
                    self.readers[slot] = Reader::None;
                    DONE
                }
            },
            Op::DropWriter => match &self.writers[slot] {
                Writer::None => SKIPPED,
                _ => {
                    let told = self.cancel_write(slot).await;
                    self.tell(Op::CancelWrite, slot, told);
                    self.writers[slot] = Writer::None;
                    DONE
                }
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
            Op::Poll => self.poll().await,
            Op::Move | Op::MoveWhenReady => self.hand_on(slot, to),
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

    async fn read(&mut self, slot: usize, size: usize) -> Told {
        let mut reading = match mem::take(&mut self.readers[slot]) {
            Reader::None => return SKIPPED,
            Reader::End(end) => {
                let (stream, ends) = PipeReader::read_via_stream(end);
                start_read(stream, ends, size)
            }
            Reader::Idle(stream, ends) => start_read(stream, ends, size),
            Reader::Reading(reading) => reading,
            Reader::Ended(told) => {
                self.readers[slot] = Reader::Ended(told);
                return told;
            }
        };
        let told;
        (self.readers[slot], told) = match reading.look().await {
            Some(done) => after_read(done).await,
            None => (Reader::Reading(reading), WAIT),
        };
        told
    }

    async fn cancel_read(&mut self, slot: usize) -> Told {
        let told;
        (self.readers[slot], told) = match mem::take(&mut self.readers[slot]) {
            Reader::Reading(reading) => after_read(reading.call_off()).await,
            other => (other, SKIPPED),
        };
        told
    }

    async fn write(&mut self, slot: usize, size: usize) -> Told {
        let offered = self.offered;
        let piece = || piece(offered, size);
        let (mut writing, is_new) = match mem::take(&mut self.writers[slot]) {
            Writer::None => return SKIPPED,
            Writer::End(end) => {
                let (stream, data) = wit_stream::new();
                let ends = PipeWriter::write_via_stream(end, data);
                (start_write(stream, ends, piece()), true)
            }
            Writer::Idle(stream, ends) => (start_write(stream, ends, piece()), true),
            Writer::Writing(writing) => (writing, false),
            Writer::Ended(told) => {
                self.writers[slot] = Writer::Ended(told);
                return told;
            }
        };
        if is_new {
            self.offered += size as u64;
        }
        let told;
        (self.writers[slot], told) = match writing.look().await {
            Some(done) => after_write(done).await,
            None => (Writer::Writing(writing), WAIT),
        };
        (told.0, told.1, u64::from(is_new))
    }

    async fn cancel_write(&mut self, slot: usize) -> Told {
        let told;
        (self.writers[slot], told) = match mem::take(&mut self.writers[slot]) {
            Writer::Writing(writing) => after_write(writing.call_off()).await,
            other => (other, SKIPPED),
        };
        told
    }

    /// A bit for each idle reader whose read of nothing completes at once.
    async fn poll(&mut self) -> Told {
        let mut ready = 0;
        for slot in 0..SLOTS {
            let (stream, ends) = match mem::take(&mut self.readers[slot]) {
                Reader::Idle(stream, ends) => (stream, ends),
                other => {
                    self.readers[slot] = other;
                    continue;
                }
            };
            let mut reading = start_read(stream, ends, 0);
            let (done, is_ready) = match reading.look().await {
                Some(done) => (done, true),
                None => (reading.call_off(), false),
            };
            ready |= u64::from(is_ready) << slot;
            let told;
            (self.readers[slot], told) = after_read(done).await;
            if told != WAIT {
                self.tell(Op::Read, slot, told);
            }
        }
        (if ready == 0 { Outcome::Wait } else { Outcome::Done }, ready, ready)
    }

    fn hand_on(&mut self, from: usize, to: usize) -> Told {
        let ready = matches!(self.readers[from], Reader::End(_) | Reader::Idle(..))
            && matches!(self.writers[to], Writer::End(_));
        if !ready {
            return SKIPPED;
        }
        let Writer::End(writer) = mem::take(&mut self.writers[to]) else { return SKIPPED };
        let (stream, ends) = match mem::take(&mut self.readers[from]) {
            Reader::End(end) => PipeReader::read_via_stream(end),
            Reader::Idle(stream, ends) => (stream, ends),
            _ => return SKIPPED,
        };
        self.handed_on.push((PipeWriter::write_via_stream(writer, stream), Some(ends)));
        DONE
    }

    /// Lets all writes come to their end and closes all writers, while all that is left is read.
    async fn finish(mut self) -> Vec<u8> {
        for slot in 0..SLOTS {
            if self.opened[slot].contains(&true) && !self.ensure_both(slot).await {
                // Whoever waits for the other end would wait for ever.
                self.tell(Op::OpenReader, slot, SKIPPED);
                return self.report;
            }
        }
        let report = RefCell::new(mem::take(&mut self.report));
        let tell = |op, slot, (outcome, n, hash): Told| {
            Entry { op, slot, outcome, n, hash }.write_to(&mut report.borrow_mut());
        };
        let mut all: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        for (slot, writer) in self.writers.into_iter().enumerate() {
            all.push(Box::pin(async move {
                if let Writer::Writing(writing) = writer {
                    let (_writer, told) = after_write(writing.future.await).await;
                    tell(Op::Write, slot, told);
                }
                tell(Op::DropWriter, slot, DONE);
            }));
        }
        for (slot, mut reader) in self.readers.into_iter().enumerate() {
            all.push(Box::pin(async move {
                loop {
                    // One of no bytes tells nothing.
                    let may_be_nothing = matches!(reader, Reader::Reading(_));
                    let reading = match reader {
                        Reader::None | Reader::Ended(_) => return,
                        Reader::End(end) => {
                            let (stream, ends) = PipeReader::read_via_stream(end);
                            start_read(stream, ends, 1 << 16)
                        }
                        Reader::Idle(stream, ends) => start_read(stream, ends, 1 << 16),
                        Reader::Reading(reading) => reading,
                    };
                    let told;
                    (reader, told) = after_read(reading.future.await).await;
                    if told != WAIT || !may_be_nothing {
                        tell(Op::Read, slot, told);
                    }
                }
            }));
        }
        join_all(all).await;
        report.into_inner()
    }

    /// Sees to it that a named pipe has had both its ends, so that whoever waits for it comes to an end.
    async fn ensure_both(&mut self, slot: usize) -> bool {
        for end in [READER, WRITER] {
            // One that was dropped may hold its place until the host has seen that.
            for _ in 0..1000 {
                match (self.opened[slot][end], end) {
                    (true, _) => break,
                    (false, READER) => self.open_reader(slot),
                    (false, _) => self.open_writer(slot),
                };
                yield_async().await;
            }
            if !self.opened[slot][end] {
                return false;
            }
        }
        // A FIFO's writer that gave up before the reader came was none. With a reader there, the next one is
        // one at once.
        if slot == FIFO && matches!(self.writers[slot], Writer::End(_) | Writer::Idle(..)) {
            self.writers[slot] = Writer::None;
        }
        let (reader, writer) = (&self.readers[slot], &self.writers[slot]);
        if slot != FIFO || !matches!(writer, Writer::None) {
            // A write that began after the reader had left waits for the next one.
            let nobody = matches!(reader, Reader::None | Reader::Ended(_));
            return slot != FIFO || !matches!(writer, Writer::Writing(_)) || !nobody;
        }
        for _ in 0..1000 {
            match named::open_writer(name(slot)) {
                Ok(_) => return true,
                Err(_) => yield_async().await,
            }
        }
        // All that it may have open are in use.
        false
    }
}

fn asked(result: Result<u64, ErrorCode>) -> Told {
    match result {
        Ok(n) => (Outcome::Done, n, 0),
        Err(code) => failed(code),
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
