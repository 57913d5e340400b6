//! A pipe whose calls do not wait. Both ends that a guest has of one connection share it.
//!
//! Windows tells of a pipe's readiness only through calls that are under way. Reading nothing is such a
//! call: it is done when there are bytes, and takes none out. A write is handed to the kernel whole: if
//! the pipe has no room for it, it is under way, and the next one waits for it. So a writer is one piece
//! ahead of what the pipe can hold, and never more.

use std::io;
use std::os::windows::io::{AsRawHandle as _, OwnedHandle};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use windows_sys::Win32::Foundation::{
    ERROR_NO_DATA, ERROR_OPERATION_ABORTED, ERROR_PIPE_CONNECTED, HANDLE,
};
use windows_sys::Win32::Storage::FileSystem::{ReadFile, WriteFile};
use windows_sys::Win32::System::Pipes::{ConnectNamedPipe, GetNamedPipeInfo, PeekNamedPipe};

use super::calls::done;
use super::errors::{broken, copy_of, is_gone};
use super::overlapped::{Op, Started};

/// How many bytes are handed to the kernel at once. Bounds what is under way when the pipe is full.
const PIECE: usize = 64 * 1024;

/// How often a peer is looked for while bytes of it wait that hide that it has left.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A connection of a pipe, or one that is being waited for.
#[derive(Debug)]
pub(super) struct Channel {
    file: OnceLock<OwnedHandle>,
    calls: Mutex<Calls>,
    /// Wakes all who wait for anything here.
    notify: Arc<Notify>,
    connected: AtomicBool,
    /// Whether a reader has been told of the end of file.
    pub(super) ended: AtomicBool,
    /// Whether nobody here reads. What the peer sends is dropped then.
    only_written: bool,
}

#[derive(Debug)]
struct Calls {
    connect: Op,
    /// Reads nothing, to wait for bytes or for the peer's end.
    look: Op,
    read: Op,
    write: Op,
    /// What is being written.
    piece: Vec<u8>,
    /// Why the last write failed after it had been under way.
    lost: Option<io::Error>,
    /// Why nobody will ever connect.
    refused: Option<io::Error>,
}

impl Channel {
    /// Makes a channel without a file: see [`Channel::dialed`].
    ///
    /// # Errors
    /// Those of `CreateEventW`.
    pub(super) fn new(only_written: bool) -> io::Result<Self> {
        Ok(Self {
            file: OnceLock::new(),
            calls: Mutex::new(Calls {
                connect: Op::new()?,
                look: Op::new()?,
                read: Op::new()?,
                write: Op::new()?,
                piece: Vec::new(),
                lost: None,
                refused: None,
            }),
            notify: Arc::default(),
            connected: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            only_written,
        })
    }

    /// Makes a channel of an end of a pipe that has a peer.
    ///
    /// # Errors
    /// Those of [`Channel::new`].
    pub(super) fn connected(file: OwnedHandle) -> io::Result<Self> {
        let channel = Self::new(false)?;
        channel.dialed(Ok(file));
        Ok(channel)
    }

    /// Makes a channel of a server's end of a named pipe, and waits for a client.
    ///
    /// # Errors
    /// Those of `ConnectNamedPipe`.
    pub(super) fn listening(file: OwnedHandle, only_written: bool) -> io::Result<Self> {
        let channel = Self::new(only_written)?;
        let raw = channel.file.get_or_init(|| file).as_raw_handle();
        let started = {
            let mut calls = channel.calls();
            // SAFETY: one overlapped call, without memory of its own.
            unsafe {
                calls.connect.start(raw, Some(&channel.notify), |overlapped| {
                    ConnectNamedPipe(raw, overlapped)
                })
            }
        };
        match started {
            Ok(Started::UnderWay) => {}
            Ok(Started::Done(_)) => channel.connected.store(true, Ordering::Release),
            // A client was faster, and may have left already.
            Err(error) if has_met(&error) => channel.connected.store(true, Ordering::Release),
            Err(error) => return Err(error),
        }
        Ok(channel)
    }

    /// Tells that a client's end has been opened, or why it never will be.
    pub(super) fn dialed(&self, opened: io::Result<OwnedHandle>) {
        match opened {
            Ok(file) => {
                if self.file.set(file).is_ok() {
                    self.connected.store(true, Ordering::Release);
                }
            }
            Err(error) => self.calls().refused = Some(error),
        }
        self.notify.notify_waiters();
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the file, once there is one.
    pub(super) fn file(&self) -> Option<&OwnedHandle> {
        self.file.get()
    }

    fn raw(&self) -> HANDLE {
        self.file.get().map_or(null_mut(), |file| file.as_raw_handle())
    }

    /// Returns whether there is, or was, a peer.
    ///
    /// # Errors
    /// Says why there never will be one.
    pub(super) fn has_met(&self) -> io::Result<bool> {
        if self.connected.load(Ordering::Acquire) {
            return Ok(true);
        }
        let mut calls = self.calls();
        if let Some(refused) = &calls.refused {
            return Err(copy_of(refused));
        }
        match calls.connect.result(self.raw()) {
            None => return Ok(self.connected.load(Ordering::Acquire)),
            Some(Err(error)) if !has_met(&error) => {
                calls.refused = Some(copy_of(&error));
                return Err(error);
            }
            Some(_) => {}
        }
        drop(calls);
        self.connected.store(true, Ordering::Release);
        Ok(true)
    }

    /// Resolves when there is a peer, or never will be one. Cancel safe.
    pub(super) async fn met(&self) {
        loop {
            let mut woken = std::pin::pin!(self.notify.notified());
            woken.as_mut().enable();
            if !matches!(self.has_met(), Ok(false)) {
                return;
            }
            woken.await;
        }
    }

    /// Returns how many bytes can be read; `None` if the peer is gone and all is read.
    ///
    /// # Errors
    /// Those of `PeekNamedPipe`, among them the lack of the right to read.
    pub(super) fn waiting(&self) -> io::Result<Option<u64>> {
        let mut waiting = 0;
        // SAFETY: asks for the number only.
        let asked = unsafe {
            done(PeekNamedPipe(self.raw(), null_mut(), 0, null_mut(), &raw mut waiting, null_mut()))
        };
        match asked {
            Ok(()) => Ok(Some(waiting.into())),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there: 0 bytes if the peer is gone, or has not come yet.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing yet; those of `ReadFile`.
    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.has_met()? {
            return Ok(0);
        }
        let most = match self.waiting()? {
            None => {
                self.ended.store(true, Ordering::Relaxed);
                return Ok(0);
            }
            Some(0) => return Err(io::ErrorKind::WouldBlock.into()),
            Some(waiting) => buf.len().min(usize::try_from(waiting).unwrap_or(usize::MAX)),
        };
        let raw = self.raw();
        let mut calls = self.calls();
        // SAFETY: `buf` lives, and the call is done or called off before this returns.
        let started = unsafe {
            calls.read.start(raw, None, |overlapped| {
                let length = u32::try_from(most).unwrap_or(u32::MAX);
                ReadFile(raw, buf.as_mut_ptr(), length, null_mut(), overlapped)
            })
        };
        let read = match started {
            // Another process that shares the pipe took the bytes first.
            Ok(Started::UnderWay) => calls.read.call_off(raw).unwrap_or(Ok(0)),
            Ok(Started::Done(n)) => Ok(n),
            Err(error) => Err(error),
        };
        match read {
            Err(error) if is_gone(&error) => Ok(0),
            Err(error) if is_called_off(&error) => Err(io::ErrorKind::WouldBlock.into()),
            // A message of no bytes is not the end of file.
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            read => read,
        }
    }

    /// Hands a piece of `buf` to the kernel.
    ///
    /// # Errors
    /// `WouldBlock` if the piece before is still under way, `BrokenPipe` if the peer is gone; those of
    /// `WriteFile`.
    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let raw = self.raw();
        let mut calls = self.calls();
        if !settled(&mut calls, raw)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Calls { write, piece, .. } = &mut *calls;
        piece.clear();
        piece.extend_from_slice(&buf[..buf.len().min(PIECE)]);
        if piece.is_empty() {
            // To the reader, a message of no bytes could look like the end of file.
            return Ok(0);
        }
        // SAFETY: the piece is not changed before the call is done, and lives as long as the channel,
        // which calls it off when it is dropped.
        let started = unsafe {
            write.start(raw, Some(&self.notify), |overlapped| {
                let length = u32::try_from(piece.len()).unwrap_or(0);
                WriteFile(raw, piece.as_ptr(), length, null_mut(), overlapped)
            })
        };
        match started.map_err(broken)? {
            Started::Done(n) => Ok(n),
            Started::UnderWay => Ok(piece.len()),
        }
    }

    /// Returns whether the kernel has all that was written.
    ///
    /// # Errors
    /// Those of the last write.
    pub(super) fn has_settled(&self) -> io::Result<bool> {
        settled(&mut self.calls(), self.raw())
    }

    /// Returns whether the peer has been there and is gone, and nothing is left to read.
    pub(super) fn is_left(&self) -> bool {
        if !matches!(self.has_met(), Ok(true)) {
            return false;
        }
        if self.only_written {
            self.drop_bytes();
        }
        matches!(self.waiting(), Ok(None))
    }

    /// Drops what a peer sends to an end that nobody reads. It would hide that the peer has left.
    fn drop_bytes(&self) {
        let mut bytes = [0; 4096];
        for _ in 0..PIECE / bytes.len() {
            if !matches!(self.read(&mut bytes), Ok(1..)) {
                return;
            }
        }
    }

    /// Returns whether a read can get on now.
    ///
    /// # Errors
    /// Those of [`Channel::has_met`] and [`Channel::waiting`].
    pub(super) fn is_readable(&self) -> io::Result<bool> {
        Ok(self.has_met()? && self.waiting()? != Some(0))
    }

    /// Waits until a read can get on. Cancel safe.
    ///
    /// # Errors
    /// Those of [`Channel::is_readable`].
    pub(super) async fn readable(&self) -> io::Result<()> {
        loop {
            let mut woken = std::pin::pin!(self.notify.notified());
            woken.as_mut().enable();
            if self.is_readable()? {
                return Ok(());
            }
            match self.has_met()? && !self.look()? {
                // A message of no bytes.
                true => tokio::task::yield_now().await,
                false => woken.await,
            }
        }
    }

    /// Waits until a write can get on. Cancel safe.
    pub(super) async fn writable(&self) {
        loop {
            let mut woken = std::pin::pin!(self.notify.notified());
            woken.as_mut().enable();
            // The write that follows meets an error again.
            if !matches!(self.has_settled(), Ok(false)) {
                return;
            }
            woken.await;
        }
    }

    /// Waits until the peer has left. Cancel safe.
    pub(super) async fn left(&self) {
        loop {
            let mut woken = std::pin::pin!(self.notify.notified());
            woken.as_mut().enable();
            if self.is_left() {
                return;
            }
            match self.look() {
                Ok(true) => woken.await,
                // Bytes wait that a reader may still want.
                Ok(false) => tokio::time::sleep(LOOK_AGAIN).await,
                // This end may not read: only a write tells.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Has those who wait woken when there are bytes, or the peer has left. Returns whether that is
    /// still to come.
    fn look(&self) -> io::Result<bool> {
        let raw = self.raw();
        let mut calls = self.calls();
        if calls.look.is_under_way() && calls.look.result(raw).is_none() {
            return Ok(true);
        }
        // SAFETY: no byte is read, so no memory is used.
        let started = unsafe {
            calls.look.start(raw, Some(&self.notify), |overlapped| {
                ReadFile(raw, NO_BYTES.as_ptr().cast_mut(), 0, null_mut(), overlapped)
            })
        };
        match started {
            Ok(Started::UnderWay) => Ok(true),
            Ok(Started::Done(_)) => Ok(false),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns how many bytes the pipe can hold.
    ///
    /// # Errors
    /// `Unsupported` if this end may not be asked.
    pub(super) fn capacity(&self, reads: bool) -> io::Result<u64> {
        let (mut output, mut input) = (0, 0);
        // SAFETY: two places for numbers.
        let asked = unsafe {
            GetNamedPipeInfo(self.raw(), null_mut(), &raw mut output, &raw mut input, null_mut())
        };
        match done(asked) {
            Ok(()) => Ok(if reads { input } else { output }.into()),
            Err(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

static NO_BYTES: [u8; 1] = [0];

impl Drop for Channel {
    fn drop(&mut self) {
        let raw = self.raw();
        let mut calls = self.calls();
        let Calls { connect, look, read, write, .. } = &mut *calls;
        for call in [connect, look, read, write] {
            call.call_off(raw);
        }
    }
}

/// Returns whether no write is under way.
fn settled(calls: &mut Calls, raw: HANDLE) -> io::Result<bool> {
    if let Some(error) = &calls.lost {
        return Err(copy_of(error));
    }
    if !calls.write.is_under_way() {
        return Ok(true);
    }
    match calls.write.result(raw) {
        None => Ok(false),
        Some(Ok(_)) => Ok(true),
        Some(Err(error)) => {
            let error = broken(error);
            calls.lost = Some(copy_of(&error));
            Err(error)
        }
    }
}

fn is_called_off(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_OPERATION_ABORTED.cast_signed())
}

/// Returns whether the error of a wait for a client says that one came.
fn has_met(error: &io::Error) -> bool {
    let met = [ERROR_PIPE_CONNECTED, ERROR_NO_DATA];
    error.raw_os_error().is_some_and(|number| met.contains(&number.cast_unsigned()))
}
