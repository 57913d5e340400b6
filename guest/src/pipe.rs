//! Blocking ends over WASI 0.2.

use std::io::{self, Read, Write};
use std::mem;
use std::time::Duration;

use crate::bindings::p2::streams::{InputStream, OutputStream, StreamError};
use crate::bindings::p2::types::{PipeReader, PipeWriter};
use crate::bindings::p2::{anonymous, monotonic_clock, named, poll, stdin};
use crate::error::{of_open, of_stream};

/// A granted pipe.
///
/// See the example of [`granted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The name by which it is opened.
    pub name: String,
    /// Which of its ends may be opened.
    pub directions: Directions,
}

/// Which ends of a pipe may be opened.
///
/// See the example of [`granted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directions {
    /// Whether [`open_reader`] is permitted.
    pub read: bool,
    /// Whether [`open_writer`] is permitted.
    pub write: bool,
}

/// Returns the pipes that the operator granted, in the order in which they were named.
///
/// ```no_run
/// for pipe in pipehost_guest::granted() {
///     let ways = pipe.directions;
///     println!("{}: read {}, write {}", pipe.name, ways.read, ways.write);
/// }
/// ```
pub fn granted() -> Vec<Granted> {
    let directions = |flags: named::Directions| Directions {
        read: flags.contains(named::Directions::READ),
        write: flags.contains(named::Directions::WRITE),
    };
    let list = named::list().into_iter();
    list.map(|pipe| Granted { name: pipe.name, directions: directions(pipe.directions) }).collect()
}

/// Opens the granted pipe `name` for reading. Does not block: the first read waits for a writer.
///
/// See the example of [the crate](crate).
///
/// # Errors
/// `InvalidInput` if `name` is not a valid name, `PermissionDenied` if it is not granted,
/// `ResourceBusy` if this end is open already, `QuotaExceeded` at the operator's limit.
pub fn open_reader(name: &str) -> io::Result<Reader> {
    named::open_reader(name).map(Reader::new).map_err(|code| of_open(code, name, false))
}

/// Opens the granted pipe `name` for writing. Does not block: the first write waits for a reader.
///
/// See the example of [the crate](crate).
///
/// # Errors
/// Those of [`open_reader`].
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
/// # fn main() -> std::io::Result<()> {
/// use std::io::{Read, Write};
///
/// let mut both = pipehost_guest::pipe()?;
/// both.writer.write_all(b"hello")?;
/// drop(both.writer); // or the reader waits for more
/// let mut text = String::new();
/// both.reader.read_to_string(&mut text)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `QuotaExceeded` at the operator's or the system's limit.
pub fn pipe() -> io::Result<Pipe> {
    let (reader, writer) = anonymous::create()?;
    Ok(Pipe { reader: Reader::new(reader), writer: Writer::new(writer) })
}

/// The reading end of a pipe. Dropping it closes it: the other side's next write meets EPIPE.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use std::io::{ErrorKind, Read};
///
/// let mut reader = pipehost_guest::open_reader("in")?;
/// let mut buf = [0; 4096];
/// let read = match reader.try_read(&mut buf) {
///     Err(error) if error.kind() == ErrorKind::WouldBlock => reader.read(&mut buf)?, // waits
///     read => read?,
/// };
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    source: Source,
}

#[derive(Debug)]
enum Source {
    End(PipeReader),
    Stream(InputStream),
    /// Only while an end becomes a stream.
    Between,
}

impl Reader {
    fn new(end: PipeReader) -> Self {
        Self { source: Source::End(end) }
    }

    /// Returns standard input, which is a stream from the start.
    pub(crate) fn stdin() -> Self {
        Self { source: Source::Stream(stdin::get_stdin()) }
    }

    /// Returns the end itself, to be given away.
    pub(crate) fn into_end(self) -> io::Result<PipeReader> {
        match self.source {
            Source::End(end) => Ok(end),
            _ => Err(crate::error::in_use()),
        }
    }

    fn stream(&mut self) -> &InputStream {
        if let Source::End(_) = self.source
            && let Source::End(end) = mem::replace(&mut self.source, Source::Between)
        {
            self.source = Source::Stream(PipeReader::read_via_stream(end));
        }
        match &self.source {
            Source::Stream(stream) => stream,
            Source::End(_) | Source::Between => unreachable!("the end has become a stream above"),
        }
    }

    /// Returns how many bytes can be read now without waiting. Call it before the first read.
    ///
    /// # Errors
    /// `Unsupported` once reading has begun.
    pub fn available(&self) -> io::Result<u64> {
        Ok(self.end()?.available()?)
    }

    /// Returns how many bytes the pipe can hold. Must be called before the first read.
    ///
    /// # Errors
    /// `Unsupported` once reading has begun.
    pub fn capacity(&self) -> io::Result<u64> {
        Ok(self.end()?.capacity()?)
    }

    fn end(&self) -> io::Result<&PipeReader> {
        match &self.source {
            Source::End(end) => Ok(end),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads the bytes that are there, without waiting. Returns `Ok(0)` at the end of file.
    ///
    /// # Errors
    /// `WouldBlock` if there are none; else those of [`Read::read`].
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match taken(self.stream().read(buf.len() as u64), buf)? {
            Some(0) if !buf.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read.unwrap_or(0)),
        }
    }
}

/// Reads without waiting.
///
/// See the example of [`Reader`].
pub trait TryRead: Read {
    /// Reads the bytes that are there, without waiting. Returns `Ok(0)` at the end of file.
    ///
    /// # Errors
    /// `WouldBlock` if there are none; else those of [`Read::read`].
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
}

/// Bytes in memory are there.
impl TryRead for &[u8] {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(buf)
    }
}

impl<T: TryRead + ?Sized> TryRead for &mut T {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).try_read(buf)
    }
}

impl TryRead for Reader {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_read(buf)
    }
}

impl Read for Reader {
    /// Waits for bytes and reads some. Returns `Ok(0)` at the end of file.
    ///
    /// # Errors
    /// `TimedOut` if no writer came within the time that the operator set.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        // If bytes are there already, a call that cannot wait costs less.
        match taken(self.stream().read(buf.len() as u64), buf)? {
            Some(0) => Ok(taken(self.stream().blocking_read(buf.len() as u64), buf)?.unwrap_or(0)),
            read => Ok(read.unwrap_or(0)),
        }
    }
}

/// Copies the bytes that were read into `buf`, and returns how many; `None` at the end of file.
fn taken(read: Result<Vec<u8>, StreamError>, buf: &mut [u8]) -> io::Result<Option<usize>> {
    match read {
        Ok(bytes) => {
            buf[..bytes.len()].copy_from_slice(&bytes);
            Ok(Some(bytes.len()))
        }
        Err(StreamError::Closed) => Ok(None),
        Err(error) => Err(of_stream(error)),
    }
}

/// The writing end of a pipe. Dropping it closes it; what was written before is delivered.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use std::io::Write;
///
/// let mut writer = pipehost_guest::open_writer("out")?;
/// writeln!(writer, "one line")?;
/// writer.flush()?; // the kernel has it now
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    End(PipeWriter),
    Stream(OutputStream),
    /// Only while an end becomes a stream.
    Between,
}

impl Writer {
    pub(crate) fn new(end: PipeWriter) -> Self {
        Self { sink: Sink::End(end) }
    }

    /// Returns the end itself, to be given away.
    pub(crate) fn into_end(self) -> io::Result<PipeWriter> {
        match self.sink {
            Sink::End(end) => Ok(end),
            _ => Err(crate::error::in_use()),
        }
    }

    fn stream(&mut self) -> &OutputStream {
        if let Sink::End(_) = self.sink
            && let Sink::End(end) = mem::replace(&mut self.sink, Sink::Between)
        {
            self.sink = Sink::Stream(PipeWriter::write_via_stream(end));
        }
        match &self.sink {
            Sink::Stream(stream) => stream,
            Sink::End(_) | Sink::Between => unreachable!("the end has become a stream above"),
        }
    }

    /// Returns how many bytes the pipe can hold. Must be called before the first write.
    ///
    /// # Errors
    /// `Unsupported` once writing has begun, and while a named pipe has no reader.
    pub fn capacity(&self) -> io::Result<u64> {
        match &self.sink {
            Sink::End(end) => Ok(end.capacity()?),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes as many bytes as there is room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; else those of [`Write::write`].
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let stream = self.stream();
        let permit = stream.check_write().map_err(of_stream)?;
        let n = buf.len().min(usize::try_from(permit).unwrap_or(usize::MAX));
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        stream.write(&buf[..n]).map_err(of_stream)?;
        Ok(n)
    }
}

impl Write for Writer {
    /// Waits for room and writes some bytes. They are delivered, even if the writer is dropped
    /// right after.
    ///
    /// # Errors
    /// `BrokenPipe` if the reader is gone, `TimedOut` if no reader came within the time that the
    /// operator set.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match self.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream().subscribe().block();
                }
                result => return result,
            }
        }
    }

    /// Waits until the kernel has all bytes that were written.
    ///
    /// # Errors
    /// Those of [`Write::write`].
    fn flush(&mut self) -> io::Result<()> {
        match &self.sink {
            Sink::Stream(stream) => stream.blocking_flush().map_err(of_stream),
            _ => Ok(()),
        }
    }
}

/// Moves everything from `reader` to `writer`, and returns how many bytes that was. The host moves
/// them, without copying if it can, and the guest sees none of them.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use pipehost_guest::{forward, open_reader, open_writer};
///
/// let bytes = forward(open_reader("in")?, open_writer("out")?)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`Read::read`] and [`Write::write`].
pub fn forward(mut reader: Reader, mut writer: Writer) -> io::Result<u64> {
    let mut total = 0;
    loop {
        match writer.stream().blocking_splice(reader.stream(), u64::MAX) {
            Ok(n) => total += n,
            // One of the two has come to its end. Asking the writer tells which.
            Err(StreamError::Closed) => {
                writer.stream().check_write().map_err(of_stream)?;
                writer.flush()?;
                return Ok(total);
            }
            Err(error) => return Err(of_stream(error)),
        }
    }
}

/// An end that can be waited for: a [`Reader`] until it has bytes or is at its end, a [`Writer`]
/// until it has room or its reader is gone.
///
/// See the example of [`wait`].
pub trait Readiness {
    #[doc(hidden)]
    fn subscribe(&mut self) -> poll::Pollable;
}

impl Readiness for Reader {
    fn subscribe(&mut self) -> poll::Pollable {
        self.stream().subscribe()
    }
}

impl Readiness for Writer {
    fn subscribe(&mut self) -> poll::Pollable {
        self.stream().subscribe()
    }
}

impl<T: Readiness + ?Sized> Readiness for &mut T {
    fn subscribe(&mut self) -> poll::Pollable {
        (**self).subscribe()
    }
}

/// Waits until at least one of `ends` is ready, and returns the indices of all that are: poll(2).
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let mut a = pipehost_guest::open_reader("a")?;
/// let mut b = pipehost_guest::open_reader("b")?;
/// for ready in pipehost_guest::wait(&mut [&mut a, &mut b]) {
///     println!("{} has something", ["a", "b"][ready]);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Panics if `ends` is empty: that would wait for ever.
pub fn wait(ends: &mut [&mut dyn Readiness]) -> Vec<usize> {
    assert!(!ends.is_empty(), "waiting for nothing never ends");
    poll(ends, None)
}

/// Waits as [`wait`] does, but no longer than `time`: returns nothing if none is ready then. Of no time,
/// it only looks.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use std::time::Duration;
///
/// let mut input = pipehost_guest::input()?;
/// if pipehost_guest::wait_for(&mut [&mut input], Duration::from_secs(1)).is_empty() {
///     eprintln!("nothing for a second");
/// }
/// # Ok(())
/// # }
/// ```
pub fn wait_for(ends: &mut [&mut dyn Readiness], time: Duration) -> Vec<usize> {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    poll(ends, Some(monotonic_clock::subscribe_duration(nanos)))
}

fn poll(ends: &mut [&mut dyn Readiness], timer: Option<poll::Pollable>) -> Vec<usize> {
    let mut pollables: Vec<_> = ends.iter_mut().map(|end| end.subscribe()).collect();
    let count = pollables.len();
    pollables.extend(timer);
    let ready = poll::poll(&pollables.iter().collect::<Vec<_>>());
    ready.into_iter().map(|index| index as usize).filter(|&index| index < count).collect()
}
