//! The interfaces of `pipehost:pipes@0.2.0` and of what it uses, in memory: the same names, types and
//! functions as the bindings of the WIT have for a guest.
#![allow(dead_code, reason = "it has what the WIT has")]

pub(crate) mod types {
    use std::io::ErrorKind;
    use std::sync::{Arc, Mutex};

    use super::super::memory::{CAPACITY, ReadEnd, WriteEnd};
    use super::super::{Sink, Source};
    use super::streams::{Error, InputStream, OutputStream};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum ErrorCode {
        NotPermitted,
        InvalidName,
        LimitExceeded,
        BrokenPipe,
        TimedOut,
        InUse,
        Unsupported,
        Io,
    }

    #[derive(Debug)]
    pub(crate) enum PipeReader {
        Pipe(ReadEnd),
        Source(Arc<Mutex<Source>>),
    }

    impl PipeReader {
        pub(crate) fn available(&self) -> Result<u64, ErrorCode> {
            match self {
                Self::Pipe(end) => Ok(end.available() as u64),
                Self::Source(_) => Ok(0),
            }
        }

        pub(crate) fn capacity(&self) -> Result<u64, ErrorCode> {
            Ok(CAPACITY as u64)
        }

        pub(crate) fn read_via_stream(this: Self) -> InputStream {
            InputStream(this)
        }
    }

    #[derive(Debug)]
    pub(crate) enum PipeWriter {
        Pipe(WriteEnd),
        Sink(Arc<Sink>),
    }

    impl PipeWriter {
        pub(crate) fn capacity(&self) -> Result<u64, ErrorCode> {
            Ok(CAPACITY as u64)
        }

        pub(crate) fn write_via_stream(this: Self) -> OutputStream {
            OutputStream(this)
        }
    }

    pub(crate) fn pipe_error_code(error: &Error) -> Option<ErrorCode> {
        Some(match error.0 {
            ErrorKind::TimedOut => ErrorCode::TimedOut,
            ErrorKind::QuotaExceeded => ErrorCode::LimitExceeded,
            _ => ErrorCode::Io,
        })
    }
}

pub(crate) mod streams {
    use std::io::{self, ErrorKind, Write};
    use std::sync::Arc;

    use super::super::memory::{CAPACITY, Event, lock};
    use super::poll::Pollable;
    use super::types::{PipeReader, PipeWriter};
    use crate::TryRead;

    #[derive(Debug)]
    pub(crate) struct Error(pub(super) ErrorKind);

    impl Error {
        pub(crate) fn to_debug_string(&self) -> String {
            self.0.to_string()
        }
    }

    #[derive(Debug)]
    pub(crate) enum StreamError {
        LastOperationFailed(Error),
        Closed,
    }

    impl From<io::Error> for StreamError {
        fn from(error: io::Error) -> Self {
            match error.kind() {
                ErrorKind::BrokenPipe => Self::Closed,
                kind => Self::LastOperationFailed(Error(kind)),
            }
        }
    }

    #[derive(Debug)]
    pub(crate) struct InputStream(pub(super) PipeReader);

    impl InputStream {
        pub(crate) fn read(&self, len: u64) -> Result<Vec<u8>, StreamError> {
            let most = usize::try_from(len).unwrap_or(CAPACITY).min(CAPACITY);
            match &self.0 {
                PipeReader::Pipe(end) => end.take(most).ok_or(StreamError::Closed),
                PipeReader::Source(source) => {
                    let mut bytes = vec![0; most];
                    match lock(source).try_read(&mut bytes) {
                        Ok(0) if most > 0 => Err(StreamError::Closed),
                        Ok(read) => {
                            bytes.truncate(read);
                            Ok(bytes)
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Vec::new()),
                        Err(error) => Err(StreamError::LastOperationFailed(Error(error.kind()))),
                    }
                }
            }
        }

        pub(crate) fn blocking_read(&self, len: u64) -> Result<Vec<u8>, StreamError> {
            loop {
                let bytes = self.read(len)?;
                if !bytes.is_empty() {
                    return Ok(bytes);
                }
                self.subscribe().block();
                if len == 0 {
                    return Ok(bytes);
                }
            }
        }

        pub(crate) fn subscribe(&self) -> Pollable {
            Pollable(match &self.0 {
                PipeReader::Pipe(end) => end.subscribe(),
                PipeReader::Source(source) => Event::Source(Arc::clone(source)),
            })
        }
    }

    #[derive(Debug)]
    pub(crate) struct OutputStream(pub(super) PipeWriter);

    impl OutputStream {
        pub(crate) fn check_write(&self) -> Result<u64, StreamError> {
            let room = match &self.0 {
                PipeWriter::Pipe(end) => end.room(),
                PipeWriter::Sink(sink) => Some(sink.room().min(CAPACITY)).filter(|&room| room > 0),
            };
            room.map(|room| room as u64).ok_or(StreamError::Closed)
        }

        pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), StreamError> {
            match &self.0 {
                PipeWriter::Pipe(end) => end.put(bytes),
                PipeWriter::Sink(sink) => (**sink).clone().write_all(bytes)?,
            }
            Ok(())
        }

        pub(crate) fn blocking_flush(&self) -> Result<(), StreamError> {
            match &self.0 {
                PipeWriter::Pipe(end) => end.room().map(drop).ok_or(StreamError::Closed),
                PipeWriter::Sink(sink) => Ok((**sink).clone().flush()?),
            }
        }

        pub(crate) fn blocking_splice(
            &self,
            source: &InputStream,
            len: u64,
        ) -> Result<u64, StreamError> {
            let bytes = source.blocking_read(len)?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                self.subscribe().block();
                let room = usize::try_from(self.check_write()?).unwrap_or(CAPACITY);
                let (now, later) = rest.split_at(room.min(rest.len()));
                self.write(now)?;
                rest = later;
            }
            Ok(bytes.len() as u64)
        }

        pub(crate) fn subscribe(&self) -> Pollable {
            Pollable(match &self.0 {
                PipeWriter::Pipe(end) => end.subscribe(),
                PipeWriter::Sink(_) => Event::Now,
            })
        }
    }
}

pub(crate) mod poll {
    use super::super::memory::{Event, wait};

    #[derive(Debug)]
    pub struct Pollable(pub(super) Event);

    impl Pollable {
        pub(crate) fn block(&self) {
            wait(&[&self.0]);
        }
    }

    pub(crate) fn poll(pollables: &[&Pollable]) -> Vec<u32> {
        let events: Vec<_> = pollables.iter().map(|pollable| &pollable.0).collect();
        wait(&events).into_iter().map(|at| at as u32).collect()
    }
}

pub(crate) mod monotonic_clock {
    use std::time::{Duration, Instant};

    use super::super::memory::Event;
    use super::poll::Pollable;

    pub(crate) fn subscribe_duration(nanos: u64) -> Pollable {
        Pollable(Event::At(Instant::now() + Duration::from_nanos(nanos)))
    }
}

pub(crate) mod anonymous {
    use super::super::memory::pipe;
    use super::types::{ErrorCode, PipeReader, PipeWriter};

    pub(crate) fn create() -> Result<(PipeReader, PipeWriter), ErrorCode> {
        let (reader, writer) = pipe();
        Ok((PipeReader::Pipe(reader), PipeWriter::Pipe(writer)))
    }
}

pub(crate) mod named {
    use std::sync::Arc;

    use super::super::{Granted, HOST};
    use super::types::{ErrorCode, PipeReader, PipeWriter};

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Directions(u8);

    impl Directions {
        pub(crate) const READ: Self = Self(1);
        pub(crate) const WRITE: Self = Self(2);

        pub(crate) fn contains(self, other: Self) -> bool {
            self.0 & other.0 == other.0
        }
    }

    #[derive(Debug)]
    pub(crate) struct GrantedPipe {
        pub(crate) name: String,
        pub(crate) directions: Directions,
    }

    pub(crate) fn list() -> Vec<GrantedPipe> {
        let listed = |pipe: &Granted| {
            let read = pipe.reader.as_ref().map_or(0, |_| Directions::READ.0);
            let write = pipe.writer.as_ref().map_or(0, |_| Directions::WRITE.0);
            GrantedPipe { name: pipe.name.clone(), directions: Directions(read | write) }
        };
        HOST.with_borrow(|host| host.pipes.iter().map(listed).collect())
    }

    /// Opens an end that nobody has open.
    fn open<T>(name: &str, end: impl Fn(&Granted) -> Option<&Arc<T>>) -> Result<Arc<T>, ErrorCode> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || name.len() > 64 || !name.bytes().all(is_valid) {
            return Err(ErrorCode::InvalidName);
        }
        HOST.with_borrow(|host| {
            let granted = host.pipes.iter().find(|pipe| pipe.name == name).and_then(end);
            let end = granted.ok_or(ErrorCode::NotPermitted)?;
            match Arc::strong_count(end) {
                1 => Ok(Arc::clone(end)),
                _ => Err(ErrorCode::InUse),
            }
        })
    }

    pub(crate) fn open_reader(name: &str) -> Result<PipeReader, ErrorCode> {
        open(name, |pipe| pipe.reader.as_ref()).map(PipeReader::Source)
    }

    pub(crate) fn open_writer(name: &str) -> Result<PipeWriter, ErrorCode> {
        open(name, |pipe| pipe.writer.as_ref()).map(PipeWriter::Sink)
    }
}

pub(crate) mod stdin {
    use std::sync::{Arc, Mutex};

    use super::super::HOST;
    use super::streams::InputStream;
    use super::types::PipeReader;

    pub(crate) fn get_stdin() -> InputStream {
        let source = HOST.with_borrow_mut(|host| std::mem::take(&mut host.stdin));
        InputStream(PipeReader::Source(Arc::new(Mutex::new(source))))
    }
}

/// Not in the WIT: natively, stdout is std's, unless a test has it.
pub(crate) mod stdout {
    use std::sync::Arc;

    use super::super::HOST;
    use super::types::PipeWriter;

    pub(crate) fn of_test() -> Option<PipeWriter> {
        HOST.with_borrow(|host| host.stdout.clone().map(|sink| PipeWriter::Sink(Arc::new(sink))))
    }
}

/// Nothing may be started.
pub(crate) mod spawn {
    use super::poll::Pollable;
    use super::types::{ErrorCode, PipeReader, PipeWriter};

    #[derive(Debug)]
    pub(crate) enum ChildInput {
        Null,
        Inherited,
        Pipe(PipeReader),
    }

    #[derive(Debug)]
    pub(crate) enum ChildOutput {
        Null,
        Inherited,
        Pipe(PipeWriter),
    }

    #[derive(Debug)]
    pub(crate) enum PassedEnd {
        Reader(PipeReader),
        Writer(PipeWriter),
    }

    #[derive(Debug)]
    pub(crate) struct PassedPipe {
        pub(crate) name: String,
        pub(crate) end: PassedEnd,
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum ChildStatus {
        Exited(u8),
        Trapped,
        BrokenPipe,
        TimedOut,
        Killed,
        Signaled(u8),
        Failed,
    }

    /// There is none.
    #[derive(Debug)]
    pub(crate) enum Child {}

    impl Child {
        pub(crate) fn status(&self) -> Option<ChildStatus> {
            match *self {}
        }

        pub(crate) fn subscribe(&self) -> Pollable {
            match *self {}
        }

        pub(crate) fn kill(&self) {
            match *self {}
        }
    }

    pub(crate) fn list() -> Vec<String> {
        Vec::new()
    }

    pub(crate) fn spawn(
        _name: &str,
        _args: &[String],
        _stdin: ChildInput,
        _stdout: ChildOutput,
        _stderr: ChildOutput,
        _pipes: Vec<PassedPipe>,
    ) -> Result<Child, ErrorCode> {
        Err(ErrorCode::NotPermitted)
    }
}
