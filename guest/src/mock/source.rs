//! What a guest reads.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

use super::Sink;
use crate::TryRead;

/// What a guest reads in a test. After all that it was told to do comes the end of file.
///
/// See the example of [the module](super).
#[derive(Debug, Default)]
pub struct Source {
    steps: VecDeque<Step>,
}

#[derive(Debug)]
enum Step {
    Send(VecDeque<u8>),
    Expect(Sink, Vec<u8>),
    Pause,
    Fail(ErrorKind),
}

impl Source {
    /// Makes a source that is at the end of file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `bytes`. One read gives no more than these, however long its buffer is.
    #[must_use]
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push_back(Step::Send(bytes.as_ref().iter().copied().collect()));
        self
    }

    /// Sends `bytes` in pieces of these sizes, which are repeated as long as there are bytes.
    ///
    /// # Panics
    /// Panics if all sizes are 0, or there are none.
    #[must_use]
    pub fn send_in_pieces(mut self, bytes: impl AsRef<[u8]>, sizes: &[usize]) -> Self {
        assert!(sizes.iter().any(|&size| size > 0), "pieces of no bytes never end");
        let mut rest = bytes.as_ref();
        for &size in sizes.iter().cycle().filter(|&&size| size > 0) {
            if rest.is_empty() {
                break;
            }
            let (piece, others) = rest.split_at(size.min(rest.len()));
            self = self.send(piece);
            rest = others;
        }
        self
    }

    /// Expects that the guest has flushed `bytes` to `sink`, beside what was expected of it before,
    /// and nothing else, when it reads on. The read panics if not: the peer would wait for ever.
    #[must_use]
    pub fn expect(mut self, sink: &Sink, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push_back(Step::Expect(sink.clone(), bytes.as_ref().to_vec()));
        self
    }

    /// Lets a read without waiting ([`TryRead`]) find nothing, once. One that waits goes on.
    #[must_use]
    pub fn pause(mut self) -> Self {
        self.steps.push_back(Step::Pause);
        self
    }

    /// Fails once, with this error.
    #[must_use]
    pub fn fail(mut self, kind: ErrorKind) -> Self {
        self.steps.push_back(Step::Fail(kind));
        self
    }
}

impl Source {
    /// Whether a read would not wait.
    pub(super) fn is_ready(&self) -> bool {
        match self.steps.front() {
            Some(Step::Pause) => false,
            Some(Step::Expect(sink, bytes)) => sink.has(bytes),
            Some(Step::Send(_) | Step::Fail(_)) | None => true,
        }
    }

    /// Does what a wait for bytes lets the peer do.
    pub(super) fn go_on(&mut self) {
        match self.steps.pop_front() {
            Some(Step::Pause) | None => {}
            Some(Step::Expect(sink, bytes)) => sink.expect(&bytes),
            Some(step) => self.steps.push_front(step),
        }
    }

    fn step(&mut self, buf: &mut [u8], waits: bool) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Send(mut bytes) => {
                    let read = bytes.read(buf)?;
                    if !bytes.is_empty() {
                        self.steps.push_front(Step::Send(bytes));
                    }
                    if read > 0 {
                        return Ok(read);
                    }
                }
                // What a peer waits for may still come, if this read does not wait.
                Step::Expect(sink, bytes) if !waits && !sink.has(&bytes) => {
                    self.steps.push_front(Step::Expect(sink, bytes));
                    return Err(ErrorKind::WouldBlock.into());
                }
                Step::Expect(sink, bytes) => sink.expect(&bytes),
                Step::Pause if waits => {}
                Step::Pause => return Err(ErrorKind::WouldBlock.into()),
                Step::Fail(kind) => return Err(kind.into()),
            }
        }
        Ok(0)
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.step(buf, true)
    }
}

impl TryRead for Source {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.step(buf, false)
    }
}
