//! The traits of the `futures` crate for the ends.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::{BUFFER, Reader, Sink, Source, Writer};

/// An operation under way that a `poll_` function has begun. It has the end while it runs, and gives
/// it back.
pub(super) struct Busy<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Busy<T> {
    fn new(operation: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(operation))
    }
}

impl<T> fmt::Debug for Busy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Busy")
    }
}

/// What a read gives back: the end, and the bytes.
pub(super) type ReadDone = (Source, io::Result<Vec<u8>>);

impl Reader {
    /// Begins to read so many bytes.
    fn begin(&mut self, most: usize) {
        let source = mem::replace(&mut self.source, Source::Ended);
        self.source = Source::Busy(Busy::new(async move {
            let mut reader = Self { source, rest: Vec::new(), failed: None };
            let mut bytes = Vec::with_capacity(most);
            let read = reader.read(&mut bytes).await;
            (reader.source, read.map(|_| bytes))
        }));
    }

    /// Ends a read that is under way. What it read is in `rest`.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if let Source::Busy(Busy(read)) = &mut self.source {
            let (source, bytes) = ready!(read.as_mut().poll(cx));
            self.source = source;
            self.rest = bytes?;
        }
        Poll::Ready(Ok(()))
    }
}

/// A read that is dropped before it is over loses nothing: the next one has its bytes.
impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_settled(cx))?;
        if self.rest.is_empty() && !matches!(self.source, Source::Ended) {
            self.begin(buf.len().min(BUFFER));
            ready!(self.poll_settled(cx))?;
        }
        let len = buf.len().min(self.rest.len());
        buf[..len].copy_from_slice(&self.rest[..len]);
        self.rest.drain(..len);
        Poll::Ready(Ok(len))
    }
}

/// What a write gives back: the end, and how it went.
pub(super) type WriteDone = (Sink, io::Result<()>);

impl Writer {
    fn begin(&mut self, operation: impl AsyncFnOnce(&mut Self) -> io::Result<()> + 'static) {
        let sink = mem::replace(&mut self.sink, Sink::Closed);
        self.sink = Sink::Busy(Busy::new(async move {
            let mut writer = Self { sink, failed: None };
            let done = operation(&mut writer).await;
            (mem::replace(&mut writer.sink, Sink::Closed), done)
        }));
    }

    /// Ends a write that is under way.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if let Sink::Busy(Busy(write)) = &mut self.sink {
            let (sink, done) = ready!(write.as_mut().poll(cx));
            self.sink = sink;
            return Poll::Ready(done);
        }
        Poll::Ready(Ok(()))
    }
}

/// A write takes the bytes, and one more waits until they are written: flush or close the end, or its
/// dropping loses the last.
impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_settled(cx))?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = buf[..buf.len().min(BUFFER)].to_vec();
        let len = bytes.len();
        self.begin(async move |writer| writer.write_all(bytes).await.map(drop));
        match self.poll_settled(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(len)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_settled(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_settled(cx))?;
        if !matches!(self.sink, Sink::Closed) {
            self.begin(async |writer| writer.end().await);
        }
        self.poll_settled(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use futures::io::AsyncReadExt;

    use super::*;

    /// Returns the outcome of what waits for nothing.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn error() -> io::Error {
        io::ErrorKind::TimedOut.into()
    }

    #[test]
    fn the_error_of_an_accepted_write_is_kept() {
        let writer = || {
            let failing = Busy::new(async { (Sink::Closed, Err(error())) });
            let mut writer = Writer { sink: Sink::Busy(failing), failed: None };
            // Twice, as a loop may do.
            now(writer.ready());
            now(writer.ready());
            writer
        };
        assert_eq!(now(writer().close()).unwrap_err().kind(), error().kind());
        let mut writer = writer();
        assert_eq!(now(writer.write_all(vec![0])).unwrap_err().kind(), error().kind());
        assert_eq!(now(writer.write_all(vec![0])).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_error_of_a_read_is_kept() {
        let reader = || {
            let failing = Busy::new(async { (Source::Ended, Err(error())) });
            let source = Source::Busy(failing);
            let mut reader = Reader { source, rest: Vec::new(), failed: None };
            now(reader.ready());
            now(reader.ready());
            reader
        };
        let mut buf = Vec::new();
        let mut first = reader();
        assert_eq!(now(first.read(&mut buf)).unwrap_err().kind(), error().kind());
        assert_eq!(now(first.read(&mut buf)).unwrap(), 0);
        let mut second = reader();
        let mut byte = [0; 1];
        let read = AsyncReadExt::read(&mut second, &mut byte);
        assert_eq!(now(read).unwrap_err().kind(), error().kind());
    }
}
