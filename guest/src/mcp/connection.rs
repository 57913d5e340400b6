//! The two ends between a server and its client.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use serde_json::{Map, Value, json};

use super::call::{Level, Peer};
use super::message::{CANCELLED, Failure, Incoming, Messages, Request, parse};
use crate::TryRead;
use crate::records::{Lines, Malformed, RecordError, RecordReader, RecordWriter};

/// How many messages may wait while a tool runs. More stay in the pipe, and the client waits.
const WAITING: usize = 64;

pub(super) struct Connection<R, W: Write> {
    reader: RecordReader<R, Messages>,
    writer: RecordWriter<W, Lines>,
    bound: usize,
    /// What came while a tool ran, and how long it was.
    waiting: VecDeque<(Incoming, usize)>,
    has_ended: bool,
    /// The bound that a message is longer than whose end has not come. It is answered then.
    refused: Option<usize>,
    level: Level,
    running: Option<Value>,
    is_cancelled: bool,
    /// The first error of reading or writing while a tool runs.
    failed: Option<io::Error>,
    is_gone: bool,
}

impl<R: TryRead, W: Write> Connection<R, W> {
    pub(super) fn new(input: R, output: W, bound: usize) -> Self {
        Self {
            reader: RecordReader::new(input, Messages::default()).bound(bound),
            writer: RecordWriter::new(output, Lines),
            bound,
            waiting: VecDeque::new(),
            has_ended: false,
            refused: None,
            level: Level::Debug,
            running: None,
            is_cancelled: false,
            failed: None,
            is_gone: false,
        }
    }

    /// Whether the client no longer reads.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub(super) fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Waits for the next message; `None` at the end of the input.
    pub(super) fn next(&mut self) -> io::Result<Option<Incoming>> {
        if let Some((message, _)) = self.waiting.pop_front() {
            return Ok(Some(message));
        }
        loop {
            if self.refused.is_some() {
                self.reader.skip()?;
                self.answer_refused()?;
            }
            let read = self.reader.next().map(|line| line.map(Self::understand));
            match read {
                Ok(None) => return Ok(None),
                Ok(Some(None)) => {}
                Ok(Some(Some((Ok(message), _)))) => return Ok(Some(message)),
                Ok(Some(Some((Err(failure), _)))) => self.send(&failure.answer(Value::Null))?,
                Err(error) => self.refuse(error)?,
            }
        }
    }

    /// Takes a line apart, which is not empty.
    fn understand(line: &[u8]) -> Option<(Result<Incoming, Failure>, usize)> {
        let is_empty = line.iter().all(u8::is_ascii_whitespace);
        (!is_empty).then(|| (parse(line), line.len()))
    }

    /// Notes that a message is too long; other errors are passed on.
    fn refuse(&mut self, error: io::Error) -> io::Result<()> {
        match RecordError::of(&error).map(RecordError::why) {
            Some(Malformed::TooLong { bound }) => self.refused = Some(*bound),
            _ => return Err(error),
        }
        Ok(())
    }

    /// Answers a message that is too long, of which all has come now: its id may be at its end.
    fn answer_refused(&mut self) -> io::Result<()> {
        let Some(bound) = self.refused.take() else { return Ok(()) };
        let why = format!("the message is longer than {bound} bytes");
        let id = self.reader.framing().id();
        self.send(&Failure::request(&why).answer(id))
    }

    pub(super) fn send(&mut self, message: &Value) -> io::Result<()> {
        let sent = self.writer.put_json(message).and_then(|()| self.writer.flush());
        self.is_gone |= matches!(&sent, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        sent
    }

    /// A call begins.
    pub(super) fn begin(&mut self, id: Value) {
        self.running = Some(id);
        self.is_cancelled = false;
    }

    /// A call has ended. Whether it was cancelled.
    pub(super) fn end(&mut self) -> io::Result<bool> {
        self.look();
        self.running = None;
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(self.is_cancelled),
        }
    }

    /// Does what a cancelling notification says: the call that runs is told, one that waits is
    /// forgotten.
    pub(super) fn cancel(&mut self, params: &Map<String, Value>) {
        let Some(id) = params.get("requestId") else { return };
        self.is_cancelled |= self.running.as_ref() == Some(id);
        self.waiting.retain(|(waiting, _)| match waiting {
            Incoming::One(message) => {
                message.get("id") != Some(id) || message.get("method").is_none()
            }
            Incoming::Batch(_) => true,
        });
    }

    /// Returns how many messages wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what has come, without waiting.
    fn look(&mut self) {
        if self.failed.is_none()
            && let Err(error) = self.take_all()
        {
            self.failed = Some(error);
        }
    }

    fn take_all(&mut self) -> io::Result<()> {
        let mut held: usize = self.waiting.iter().map(|(_, len)| len).sum();
        while !self.has_ended && self.waiting.len() < WAITING && held < self.bound {
            if self.refused.is_some() {
                match self.reader.try_skip() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    skipped => skipped?,
                }
                self.answer_refused()?;
            }
            let read = self.reader.try_next().map(|line| line.map(Self::understand));
            match read {
                Ok(None) => self.has_ended = true,
                Ok(Some(None)) => {}
                Ok(Some(Some((Ok(Incoming::One(message)), len)))) => {
                    if let Some(message) = self.react(message)? {
                        held += len;
                        self.waiting.push_back((Incoming::One(message), len));
                    }
                }
                Ok(Some(Some((Ok(batch), len)))) => {
                    held += len;
                    self.waiting.push_back((batch, len));
                }
                Ok(Some(Some((Err(failure), _)))) => self.send(&failure.answer(Value::Null))?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.refuse(error)?,
            }
        }
        Ok(())
    }

    /// Acts at once on what must not wait for a tool. Returns the message if it can.
    fn react(&mut self, message: Value) -> io::Result<Option<Value>> {
        let method = message.get("method").and_then(Value::as_str);
        if !matches!(method, Some("ping" | CANCELLED)) {
            return Ok(Some(message));
        }
        match Request::of(message) {
            Ok(Some(Request { id: Some(id), method, .. })) if method == "ping" => {
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": {} }))?;
            }
            Ok(Some(Request { id: None, method, params })) if method == CANCELLED => {
                self.cancel(&params);
            }
            Ok(_) => {}
            Err((id, failure)) => self.send(&failure.answer(id))?,
        }
        Ok(None)
    }
}

impl<R: TryRead, W: Write> Peer for Connection<R, W> {
    fn is_cancelled(&mut self) -> bool {
        self.look();
        self.is_cancelled || self.has_ended || self.failed.is_some()
    }

    fn notify(&mut self, method: &str, params: Value) {
        if self.failed.is_some() {
            return;
        }
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.failed = self.send(&message).err();
    }

    fn level(&self) -> Level {
        self.level
    }
}
