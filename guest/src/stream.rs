//! `async` ends over the streams of WASI 0.3. See [`async_main!`](crate::async_main) for how to
//! start a program that uses them, and [`future`] for how to do several things at once.

mod async_io;
mod filter;
pub mod process;

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use wit_bindgen::{FutureReader, StreamRead, StreamReader, StreamResult, StreamWriter};

use crate::bindings::p3::types::{PipeReader, PipeWriter};
use crate::bindings::p3::{anonymous, cli, named, types, wit_stream};
use crate::error::of_open;
use crate::filter::{input_name, output_name};
use async_io::{Busy, ReadDone, WriteDone};

pub use filter::filter;
pub use futures::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};

/// The parts of the `futures` crate that a filter needs to do several things at once. The example of
/// [`pipe()`] uses one.
pub mod future {
    pub use futures::future::{Either, join, join_all, select, select_all, try_join, try_join_all};
}

/// How many bytes are read at a time if the caller does not say.
const BUFFER: usize = 128 * 1024;

/// Opens the granted pipe `name` for reading. Does not wait: reads wait for a writer.
///
/// See the example of [`async_main!`](crate::async_main).
///
/// # Errors
/// Those of [`crate::open_reader`].
pub fn open_reader(name: &str) -> io::Result<Reader> {
    named::open_reader(name).map(Reader::new).map_err(|code| of_open(code, name, false))
}

/// Opens the granted pipe `name` for writing. Does not wait: writes wait for a reader.
///
/// See the example of [`async_main!`](crate::async_main).
///
/// # Errors
/// Those of [`crate::open_writer`].
pub fn open_writer(name: &str) -> io::Result<Writer> {
    named::open_writer(name).map(Writer::new).map_err(|code| of_open(code, name, true))
}

/// Both ends of an anonymous pipe.
///
/// See the example of [`pipe()`].
#[derive(Debug)]
pub struct Pipe {
    /// The end from which bytes are read.
    pub reader: Reader,
    /// The end to which bytes are written.
    pub writer: Writer,
}

/// Makes an anonymous pipe: pipe(2).
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use pipehost_guest::stream::{future, pipe};
///
/// let both = pipe()?;
/// let (mut reader, mut writer, mut bytes) = (both.reader, both.writer, Vec::new());
/// let writing = async {
///     writer.write_all(vec![b'x'; 1 << 20]).await?;
///     writer.close().await
/// };
/// // Both at once: the pipe holds less than that.
/// future::try_join(writing, reader.read_to_end(&mut bytes)).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`crate::pipe()`].
pub fn pipe() -> io::Result<Pipe> {
    let (reader, writer) = anonymous::create()?;
    Ok(Pipe { reader: Reader::new(reader), writer: Writer::new(writer) })
}

/// Opens what a filter reads, as [`crate::input`] does.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use pipehost_guest::stream::{forward, input, output};
///
/// forward(input()?, output()?).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`open_reader`].
pub fn input() -> io::Result<Reader> {
    match input_name() {
        Some(name) => open_reader(&name),
        None => {
            let (stream, outcome) = cli::stdin::read_via_stream();
            let source = Source::Stream(stream, Some(Outcome::Stdio(outcome)));
            Ok(Reader { source, rest: Vec::new(), failed: None })
        }
    }
}

/// Opens what a filter writes, as [`crate::output`] does.
///
/// See the example of [`input`].
///
/// # Errors
/// Those of [`open_writer`].
pub fn output() -> io::Result<Writer> {
    match output_name() {
        Some(name) => open_writer(name),
        None => Ok(Writer { sink: Sink::Stdout, failed: None }),
    }
}

/// How a stream ended. The host tells that once it has ended.
#[derive(Debug)]
enum Outcome {
    Pipe(FutureReader<Result<(), types::ErrorCode>>),
    Stdio(FutureReader<Result<(), cli::types::ErrorCode>>),
}

impl Outcome {
    async fn wait(self) -> io::Result<()> {
        match self {
            Self::Pipe(outcome) => Ok(outcome.await?),
            Self::Stdio(outcome) => Ok(outcome.await?),
        }
    }
}

/// The reading end of a pipe. Dropping it closes it: the other side's next write meets EPIPE.
///
/// It is [`AsyncRead`], too, for what is written for that: `BufReader` and its lines, for example.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use pipehost_guest::stream::{open_reader, open_writer};
///
/// let (mut reader, mut writer) = (open_reader("in")?, open_writer("out")?);
/// let mut buf = Vec::new();
/// while reader.read(&mut buf).await? > 0 {
///     buf.make_ascii_uppercase();
///     buf = writer.write_all(buf).await?; // gives the buffer back, empty
/// }
/// writer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    source: Source,
    /// What was read for a [`AsyncRead::poll_read`] that has not come back for it.
    rest: Vec<u8>,
    /// The error of such a read that [`Reader::ready`] has met. The next read returns it.
    failed: Option<io::Error>,
}

#[derive(Debug)]
enum Source {
    End(PipeReader),
    Stream(StreamReader<u8>, Option<Outcome>),
    Busy(Busy<ReadDone>),
    Ended,
}

impl Reader {
    fn new(end: PipeReader) -> Self {
        Self { source: Source::End(end), rest: Vec::new(), failed: None }
    }

    /// Returns how many bytes can be read now without waiting. Call it before the first read.
    ///
    /// # Errors
    /// `Unsupported` once reading has begun, and for stdin.
    pub fn available(&self) -> io::Result<u64> {
        Ok(self.end()?.available()?)
    }

    /// Returns how many bytes the pipe can hold. Must be called before the first read.
    ///
    /// # Errors
    /// `Unsupported` once reading has begun, and for stdin.
    pub fn capacity(&self) -> io::Result<u64> {
        Ok(self.end()?.capacity()?)
    }

    fn end(&self) -> io::Result<&PipeReader> {
        match &self.source {
            Source::End(end) => Ok(end),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns the end itself, to be given away.
    pub(crate) fn into_end(self) -> io::Result<PipeReader> {
        match self.source {
            Source::End(end) => Ok(end),
            _ => Err(crate::error::in_use()),
        }
    }

    fn stream(&mut self) -> Option<&mut StreamReader<u8>> {
        if let Source::End(_) = self.source
            && let Source::End(end) = mem::replace(&mut self.source, Source::Ended)
        {
            let (stream, outcome) = PipeReader::read_via_stream(end);
            self.source = Source::Stream(stream, Some(Outcome::Pipe(outcome)));
        }
        match &mut self.source {
            Source::Stream(stream, _) => Some(stream),
            Source::End(_) | Source::Busy(_) | Source::Ended => None,
        }
    }

    /// Waits for bytes and appends some to `buf`: at most as many as it has room for, or 128 KiB if
    /// it has none. Returns how many; 0 at the end of file.
    ///
    /// Cancel safe: bytes that had arrived when the future is dropped are in `buf`.
    ///
    /// # Errors
    /// `TimedOut` if no writer came within the time that the operator set.
    pub async fn read(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        if buf.len() == buf.capacity() {
            buf.reserve(BUFFER);
        }
        let before = buf.len();
        poll_fn(|cx| self.poll_settled(cx)).await?;
        if !self.rest.is_empty() {
            let len = self.rest.len().min(buf.capacity() - before);
            buf.extend(self.rest.drain(..len));
            return Ok(len);
        }
        let Some(stream) = self.stream() else {
            return Ok(0);
        };
        let result = Reading { read: Some(Box::pin(stream.read(mem::take(buf)))), buf }.await;
        match result {
            StreamResult::Dropped => self.ended().await,
            StreamResult::Complete(_) | StreamResult::Cancelled => Ok(buf.len() - before),
        }
    }

    /// Reads everything up to the end of file.
    ///
    /// # Errors
    /// Those of [`Reader::read`].
    pub async fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        while self.read(buf).await? > 0 {}
        Ok(buf.len() - before)
    }

    /// Waits until a read can get on: there are bytes, the end of file, or an error, which the next read
    /// returns. Takes no bytes out. Cancel safe.
    pub async fn ready(&mut self) {
        if let Err(error) = poll_fn(|cx| self.poll_settled(cx)).await {
            self.failed = Some(error);
            return;
        }
        if self.rest.is_empty()
            && let Some(stream) = self.stream()
        {
            stream.read(Vec::new()).await;
        }
    }

    async fn ended(&mut self) -> io::Result<usize> {
        match mem::replace(&mut self.source, Source::Ended) {
            Source::Stream(stream, Some(outcome)) => {
                drop(stream);
                outcome.wait().await.map(|()| 0)
            }
            _ => Ok(0),
        }
    }
}

/// A read under way. It gives its buffer back, however it ends.
struct Reading<'a> {
    read: Option<Pin<Box<StreamRead<'a, u8>>>>,
    buf: &'a mut Vec<u8>,
}

impl Future for Reading<'_> {
    type Output = StreamResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StreamResult> {
        let Some(read) = &mut self.read else {
            return Poll::Ready(StreamResult::Cancelled);
        };
        let (result, buf) = ready!(read.as_mut().poll(cx));
        self.read = None;
        *self.buf = buf;
        Poll::Ready(result)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(mut read) = self.read.take() {
            let (_, buf) = read.as_mut().cancel();
            *self.buf = buf;
        }
    }
}

/// The writing end of a pipe. Dropping it closes it; [`Writer::close`] also returns how that went.
///
/// It is [`AsyncWrite`], too: what is written by that trait must be flushed, or the end be closed.
///
/// See the example of [`Reader`].
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    /// The error of a write that [`AsyncWrite::poll_write`] has accepted and [`Writer::ready`] has met. The
    /// next write, flush or close returns it.
    failed: Option<io::Error>,
}

#[derive(Debug)]
enum Sink {
    End(PipeWriter),
    Stdout,
    Stream(StreamWriter<u8>, Outcome),
    Busy(Busy<WriteDone>),
    Closed,
}

impl Writer {
    fn new(end: PipeWriter) -> Self {
        Self { sink: Sink::End(end), failed: None }
    }

    /// Returns how many bytes the pipe can hold. Must be called before the first write.
    ///
    /// # Errors
    /// `Unsupported` once writing has begun, for stdout, and while a named pipe has no reader.
    pub fn capacity(&self) -> io::Result<u64> {
        match &self.sink {
            Sink::End(end) => Ok(end.capacity()?),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns the end itself, to be given away.
    pub(crate) fn into_end(self) -> io::Result<PipeWriter> {
        match self.sink {
            Sink::End(end) => Ok(end),
            _ => Err(crate::error::in_use()),
        }
    }

    /// Begins to write the bytes of `data`.
    fn feed(self, data: StreamReader<u8>) -> Option<Outcome> {
        match self.sink {
            Sink::End(end) => Some(Outcome::Pipe(PipeWriter::write_via_stream(end, data))),
            Sink::Stdout => Some(Outcome::Stdio(cli::stdout::write_via_stream(data))),
            Sink::Stream(..) | Sink::Busy(_) | Sink::Closed => None,
        }
    }

    fn stream(&mut self) -> Option<&mut StreamWriter<u8>> {
        if let Sink::End(_) | Sink::Stdout = self.sink {
            let (writer, data) = wit_stream::new();
            let sink = mem::replace(&mut self.sink, Sink::Closed);
            let idle = Self { sink, failed: None };
            if let Some(outcome) = idle.feed(data) {
                self.sink = Sink::Stream(writer, outcome);
            }
        }
        match &mut self.sink {
            Sink::Stream(writer, _) => Some(writer),
            _ => None,
        }
    }

    /// Writes all of `bytes`, and returns their buffer, empty. When it returns, the kernel has all
    /// of them.
    ///
    /// If the future is dropped before that, it is not known how many bytes were written.
    ///
    /// # Errors
    /// `BrokenPipe` if the reader is gone, `TimedOut` if no reader came within the time that the
    /// operator set.
    pub async fn write_all(&mut self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        poll_fn(|cx| self.poll_settled(cx)).await?;
        let Some(stream) = self.stream() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut rest = stream.write_all(bytes).await;
        if rest.is_empty() {
            return Ok(rest);
        }
        rest.clear();
        self.end().await?;
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// Waits until a write can get on: there is room, or an error, which the next write or
    /// [`Writer::close`] returns. Cancel safe.
    pub async fn ready(&mut self) {
        if let Err(error) = poll_fn(|cx| self.poll_settled(cx)).await {
            self.failed = Some(error);
            return;
        }
        if let Some(stream) = self.stream() {
            stream.write(Vec::new()).await;
        }
    }

    /// Closes the end, and waits until the host has all bytes.
    ///
    /// # Errors
    /// Those of [`Writer::write_all`].
    pub async fn close(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_settled(cx)).await?;
        self.end().await
    }

    async fn end(&mut self) -> io::Result<()> {
        match mem::replace(&mut self.sink, Sink::Closed) {
            Sink::Stream(stream, outcome) => {
                drop(stream);
                outcome.wait().await
            }
            Sink::End(_) | Sink::Stdout | Sink::Busy(_) | Sink::Closed => Ok(()),
        }
    }
}

/// Copies everything from `reader` to `writer`, and returns how many bytes that was.
///
/// See the example of [`async_main!`](crate::async_main).
///
/// # Errors
/// Those of [`Reader::read`] and [`Writer::write_all`].
pub async fn copy(reader: &mut Reader, writer: &mut Writer) -> io::Result<u64> {
    let mut total = 0;
    let mut buf = Vec::with_capacity(BUFFER);
    loop {
        match reader.read(&mut buf).await? {
            0 => return Ok(total),
            n => total += n as u64,
        }
        buf = writer.write_all(buf).await?;
    }
}

/// Moves everything from `reader` to `writer` without showing it to the guest: the host moves the
/// bytes.
///
/// See the example of [`input`].
///
/// # Errors
/// Those of [`copy`].
pub async fn forward(mut reader: Reader, mut writer: Writer) -> io::Result<()> {
    poll_fn(|cx| reader.poll_settled(cx)).await?;
    if !reader.rest.is_empty()
        || matches!(writer.sink, Sink::Stream(..) | Sink::Busy(_) | Sink::Closed)
    {
        copy(&mut reader, &mut writer).await?;
        return writer.close().await;
    }
    if reader.stream().is_none() {
        return Ok(());
    }
    let Source::Stream(data, ended) = mem::replace(&mut reader.source, Source::Ended) else {
        return Ok(());
    };
    if let Some(outcome) = writer.feed(data) {
        outcome.wait().await?;
    }
    match ended {
        Some(outcome) => outcome.wait().await,
        None => Ok(()),
    }
}

/// Waits until one of `readers` has bytes or is at its end, and returns its index. Takes no bytes
/// out. Cancel safe.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use pipehost_guest::stream::{open_reader, ready_any};
///
/// let mut readers = [open_reader("a")?, open_reader("b")?];
/// let at = ready_any(&mut readers).await;
/// let mut buf = Vec::new();
/// readers[at].read(&mut buf).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Panics if `readers` is empty: that would wait for ever.
pub async fn ready_any(readers: &mut [Reader]) -> usize {
    let waiting = readers.iter_mut().map(|reader| Box::pin(reader.ready()));
    futures::future::select_all(waiting).await.1
}
