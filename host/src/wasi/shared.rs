//! Ends that several handles of a guest may use: each `get-stdout` returns another handle to the
//! one stdout.

mod hush;
mod stream_slots;

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::complaint;
use crate::pipe::deferred;
use crate::pipe::{self, Fault, Reader, Transfer, TransferFault, Writer};
use crate::turn;
use hush::{Hush, HushState, LONGEST_HELD, MOMENT, MOST_HELD};
pub(crate) use stream_slots::{StreamSlot, Streams};

/// How many bytes must be deferrable for a permit to be given without asking the pipe: a page.
const LEAST_ROOM: usize = 4096;

/// A reader with several handles. The lock is held for system calls that do not block, and never
/// across an await.
#[derive(Clone, Debug)]
pub(crate) struct SharedReader {
    reader: Arc<Mutex<Reader>>,
    streams: Streams,
}

impl SharedReader {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader: Arc::new(Mutex::new(reader)), streams: Streams::default() }
    }

    /// Returns the same reader, for another guest.
    pub(crate) fn for_another(&self) -> Self {
        Self { reader: Arc::clone(&self.reader), streams: Streams::default() }
    }

    /// Locks the reader. Delivers the guest's deferred writes first, so that whatever the guest
    /// learns of the pipe, it learns after them.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Reader> {
        deferred::settle();
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the guest's streams over this end.
    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Returns the future of [`Reader::ready_after_would_block`].
    pub(crate) fn ready_after_would_block(
        &self,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.lock().ready_after_would_block()
    }

    /// Returns a future that resolves when a read can get on, or has failed. The future takes no
    /// bytes out and is cancel safe.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let reader = self.clone();
        async move {
            loop {
                let ready = {
                    let mut reader = reader.lock();
                    if reader.is_ready() {
                        return;
                    }
                    reader.ready()
                };
                ready.await;
                // An end that is ready is reported first, and only then is the turn given back.
                turn::goes_on().await;
            }
        }
    }
}

/// Moves bytes as [`pipe::transfer`] does.
pub(crate) fn try_transfer(
    reader: &SharedReader,
    writer: &SharedWriter,
    most: usize,
) -> Result<Transfer, TransferFault> {
    let moved = pipe::transfer(&mut reader.lock(), &mut writer.lock(), most);
    writer.attend();
    if matches!(moved, Err(TransferFault::Writing(_))) {
        writer.lock().is_told();
    }
    moved
}

/// Waits until some bytes of `reader` are on their way into `writer`, at most `most`, and returns
/// how many; `None` at the end of file. Cancel safe: bytes for which it waits have not moved yet.
///
/// # Errors
/// Those of [`pipe::transfer`]; `broken-pipe` also while there are no bytes to write.
pub(crate) async fn transfer(
    reader: &SharedReader,
    writer: &SharedWriter,
    most: usize,
) -> Result<Option<usize>, TransferFault> {
    let mut left = false;
    loop {
        // Two pipes that never make this wait would keep everything else on this thread waiting.
        turn::goes_on().await;
        match try_transfer(reader, writer, most)? {
            Transfer::Bytes(n) => return Ok(Some(n)),
            Transfer::End => return Ok(None),
            Transfer::NoRoom => writer.ready().await,
            // Checked only now: if the end of file had come first, that would have counted.
            Transfer::NoBytes if left => {
                let checked = writer.lock().check();
                writer.telling(checked).map_err(TransferFault::Writing)?;
                left = false;
            }
            Transfer::NoBytes => {
                let gone = writer.lock().gone();
                tokio::select! {
                    () = reader.ready() => {}
                    () = gone => left = true,
                }
            }
        }
    }
}

/// A writer with several handles, like [`SharedReader`].
#[derive(Clone, Debug)]
pub(crate) struct SharedWriter {
    writer: Arc<Mutex<Writer>>,
    /// Whether this guest has been permitted to write, and has not written yet. Another guest that
    /// shares the writer may have filled the pipe since.
    permitted: Arc<AtomicBool>,
    hush: Option<Arc<Hush>>,
    /// What is written may be deferred: it is a guest's stdout.
    defers: bool,
    streams: Streams,
}

impl SharedWriter {
    pub(crate) fn new(writer: Writer) -> Self {
        Self::of(Arc::new(Mutex::new(writer)))
    }

    /// Returns the same writer, hushed once `stdout` is broken, or once no peer came in time for
    /// `stdout` or `stdin`.
    pub(crate) fn hushed_by(&self, stdout: &Self, stdin: &SharedReader) -> Self {
        let hush = Hush {
            stdout_broken: stdout.lock().broken(),
            stdin_late: stdin.lock().late(),
            state: Mutex::new(HushState::Waiting),
        };
        Self { hush: Some(Arc::new(hush)), ..self.for_another() }
    }

    /// Returns the same writer, for another guest.
    pub(crate) fn for_another(&self) -> Self {
        Self { defers: self.defers, ..Self::of(Arc::clone(&self.writer)) }
    }

    /// The same writer, as a guest's stdout: what is written may be deferred.
    pub(crate) fn deferring(self) -> Self {
        Self { defers: true, ..self }
    }

    fn of(writer: Arc<Mutex<Writer>>) -> Self {
        let (permitted, streams) = (Arc::default(), Streams::default());
        Self { writer, permitted, hush: None, defers: false, streams }
    }

    /// Returns the guest's streams over this end.
    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Locks the writer. Delivers the guest's deferred writes first, to this end and to others.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        deferred::settle();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes as [`Writer::try_write`] does.
    pub(crate) fn try_write(&self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        if self.hold(buf) {
            return Ok(Some(buf.len()));
        }
        let (written, behind) = {
            let mut writer = self.lock();
            (writer.try_write(buf), writer.is_behind())
        };
        if behind {
            self.attend();
        }
        written
    }

    /// Writes as [`SharedWriter::try_write`] does. The bytes may be deferred: see [`deferred`].
    pub(crate) fn put(&self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        if self.defers && deferred::defer(&self.writer, buf) {
            return Ok(Some(buf.len()));
        }
        self.telling(self.try_write(buf))
    }

    /// Returns a permit as [`Writer::permit`] does.
    pub(crate) fn permit(&self) -> Result<usize, Fault> {
        let room = if self.defers { deferred::room(&self.writer) } else { 0 };
        // Less room than this is worth a system call.
        if room >= LEAST_ROOM {
            self.permitted.store(true, Ordering::Relaxed);
            return Ok(room);
        }
        let permit = self.lock().permit();
        let permit = self.telling(permit)?;
        self.permitted.store(permit > 0, Ordering::Relaxed);
        Ok(permit)
    }

    /// Accepts bytes as [`Writer::accept`] does. They may be deferred.
    pub(crate) fn accept(&self, bytes: &[u8]) -> Result<bool, Fault> {
        if self.defers && deferred::defer(&self.writer, bytes) {
            self.permitted.store(false, Ordering::Relaxed);
            return Ok(true);
        }
        if self.hold(bytes) {
            return Ok(true);
        }
        let accepted = match self.permitted.swap(false, Ordering::Relaxed) {
            true => self.lock().accept_permitted(bytes),
            false => self.lock().accept(bytes),
        };
        self.attend();
        self.telling(accepted)
    }

    /// Returns `told`, and notes that the guest is told if that is a failure.
    fn telling<T>(&self, told: Result<T, Fault>) -> Result<T, Fault> {
        if told.is_err() {
            self.lock().is_told();
        }
        told
    }

    /// Calls [`Writer::attend`].
    pub(crate) fn attend(&self) {
        Writer::attend(&self.writer);
    }

    /// Returns whether all that was accepted and not delivered is deferred, and so counts as flushed.
    pub(crate) fn is_deferred(&self) -> bool {
        deferred::is_deferred(&self.writer)
    }

    /// Delivers as [`Writer::try_flush`] does.
    ///
    /// Deferred bytes count as flushed: no process can tell that they are not.
    pub(crate) fn try_flush(&self) -> Result<bool, Fault> {
        if self.is_deferred() {
            return Ok(true);
        }
        let flushed = self.lock().try_flush();
        self.telling(flushed)
    }

    /// Returns [`Writer::is_terminal`].
    pub(crate) fn is_terminal(&self) -> bool {
        self.lock().is_terminal()
    }

    /// Returns whether some writes may be kept back. If so, the pipe must be written to only by
    /// [`SharedWriter::try_write`] and [`SharedWriter::accept`].
    pub(crate) fn is_hushed(&self) -> bool {
        self.hush.is_some()
    }

    /// Returns the future of [`Writer::ready_after_would_block`].
    pub(crate) fn ready_after_would_block(
        &self,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.lock().ready_after_would_block()
    }

    /// Returns a future that resolves when there is a permit to write, or writing has failed. The
    /// future is cancel safe.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let writer = self.clone();
        async move {
            loop {
                let ready = {
                    let mut writer = writer.lock();
                    match writer.permit() {
                        Ok(0) => writer.ready(),
                        Ok(_) | Err(_) => return,
                    }
                };
                ready.await;
                turn::goes_on().await;
            }
        }
    }

    /// Waits until all accepted bytes are in the kernel, and for no more than that: the pipe may
    /// stay full for as long as its reader likes. Cancel safe.
    pub(crate) async fn delivered(&self) -> Result<(), Fault> {
        loop {
            let ready = {
                if self.try_flush()? {
                    return Ok(());
                }
                self.lock().ready_after_would_block()
            };
            ready.await;
            turn::goes_on().await;
        }
    }

    /// Keeps `bytes` back if they may be a complaint about a failure. Returns whether it did.
    fn hold(&self, bytes: &[u8]) -> bool {
        let Some(hush) = &self.hush else {
            return false;
        };
        let failed = [&hush.stdout_broken, &hush.stdin_late].into_iter().filter_map(|it| it.get());
        let Some(failed) = failed.max() else {
            return false;
        };
        let is_late = failed.elapsed() > MOMENT;
        let mut state = hush.state();
        match &mut *state {
            // Another failure may follow, about which the guest may complain.
            HushState::Waiting if is_late => false,
            HushState::Waiting | HushState::Holding(_) if is_late => {
                drop(state);
                self.release();
                false
            }
            HushState::Waiting if bytes.len() <= MOST_HELD => {
                *state = HushState::Holding(bytes.to_vec());
                let (writer, hush) = (Arc::downgrade(&self.writer), Arc::downgrade(hush));
                tokio::spawn(async move {
                    tokio::time::sleep(LONGEST_HELD).await;
                    if let (Some(writer), Some(hush)) = (writer.upgrade(), hush.upgrade()) {
                        Self { hush: Some(hush), ..Self::of(writer) }.release();
                    }
                });
                true
            }
            HushState::Holding(held) if held.len() + bytes.len() <= MOST_HELD => {
                held.extend_from_slice(bytes);
                true
            }
            HushState::Waiting | HushState::Holding(_) => {
                drop(state);
                self.release();
                false
            }
            HushState::Over => false,
        }
    }

    /// Drops what was kept back, except lines about something else than the failure.
    pub(crate) fn discard(&self) {
        let Some(hush) = &self.hush else {
            return;
        };
        if let HushState::Holding(held) = &mut *hush.state() {
            *held = complaint::left_of(held);
        }
        self.release();
    }

    /// Shows what was kept back, and keeps back from now on what the next life of the guest says of a failure.
    pub(crate) fn hush_again(&self) {
        self.release();
        if let Some(hush) = &self.hush {
            *hush.state() = HushState::Waiting;
        }
    }

    /// Shows what was kept back, and keeps nothing back from now on. Never blocks.
    pub(crate) fn release(&self) {
        let Some(hush) = &self.hush else {
            return;
        };
        let state = mem::replace(&mut *hush.state(), HushState::Over);
        if let HushState::Holding(held) = state
            && !held.is_empty()
        {
            self.lock().enqueue(&held);
            self.attend();
        }
    }
}

// What a pipe holds is known on Linux.
#[cfg(all(test, not(feature = "portable")))]
mod tests {
    use super::*;
    use crate::pipe::{Journal, PendingWrites};
    use crate::sys;

    /// Bytes that one guest was permitted to write are taken, even if another guest has filled the
    /// pipe since. Bytes without a permit are not. On Windows, a writer is one piece ahead.
    #[cfg(all(test, unix))]
    #[tokio::test]
    async fn a_permit_is_kept_to_those_who_share() {
        use crate::pipe::PERMIT;
        let (_reader, writer) = sys::anonymous().unwrap();
        let room = usize::try_from(writer.capacity().unwrap()).unwrap();
        let writer = Writer::new(
            writer,
            None,
            crate::pipe::Label::Stderr,
            &PendingWrites::new(),
            &Journal::new(),
        );
        let one = SharedWriter::new(writer);
        let two = one.for_another();
        assert!(one.permit().unwrap() > 0 && two.permit().unwrap() > 0);
        let mut written = 0;
        while one.permit().unwrap() > 0 {
            assert!(one.accept(&[1; PERMIT]).unwrap());
            written += PERMIT;
            assert!(written <= 16 * room + PERMIT);
        }
        // One write goes beyond what there is room for, and no other.
        assert!(one.accept(b"x").unwrap());
        assert!(!one.accept(b"x").unwrap());
        assert!(two.accept(&[2; PERMIT]).unwrap());
        assert!(!two.accept(b"x").unwrap());
    }

    /// A complaint that was kept back, and is shown when more follows, uses up no permit.
    #[tokio::test]
    async fn what_was_kept_back_leaves_a_permit_as_it_is() {
        let writer = |end, label| {
            SharedWriter::new(Writer::new(end, None, label, &PendingWrites::new(), &Journal::new()))
        };
        let (stdin, _peer) = sys::anonymous().unwrap();
        let stdin = Reader::new(stdin, None, crate::pipe::Label::Stdin, &Journal::new());
        let (gone, stdout) = sys::anonymous().unwrap();
        let (_reader, stderr) = sys::anonymous().unwrap();
        drop(gone);
        let stdout = writer(stdout, crate::pipe::Label::Stdout);
        let stderr = writer(stderr, crate::pipe::Label::Stderr);
        let stderr = stderr.hushed_by(&stdout, &SharedReader::new(stdin));
        // Fills the pipe almost completely.
        let room = usize::try_from(stderr.lock().capacity().unwrap()).unwrap();
        let mut left = room - 4096;
        while left > 0 {
            left -= stderr.try_write(&vec![b'e'; left]).unwrap().unwrap();
        }
        assert!(stdout.try_write(b"x").is_err());
        assert!(stderr.accept(&[b'c'; MOST_HELD]).unwrap(), "it is kept back");
        let permit = stderr.permit().unwrap();
        assert!(permit > 0 && stderr.accept(&vec![b'm'; permit]).unwrap());
    }
}
