//! One call that does not wait: started, found to be done later, or called off.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle as _, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use tokio::sync::Notify;
use windows_sys::Win32::Foundation::{
    ERROR_IO_INCOMPLETE, ERROR_IO_PENDING, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEINWAITTHREAD,
    WT_EXECUTEONLYONCE,
};
use windows_sys::core::BOOL;

use super::calls::{done, taken};

/// A place for one call at a time. While a call is under way, the kernel writes to it.
pub(super) struct Op {
    overlapped: Box<UnsafeCell<OVERLAPPED>>,
    event: OwnedHandle,
    under_way: bool,
    wake: Option<Wake>,
}

// SAFETY: the pointers in it are the kernel's, or the event, which any thread may use.
unsafe impl Send for Op {}

/// What a call that was started has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// It is done, and has moved this many bytes.
    Done(usize),
    /// It is under way.
    UnderWay,
}

impl Op {
    /// Makes a place without a call.
    ///
    /// # Errors
    /// Those of `CreateEventW`.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no security attributes and no name.
        let event = unsafe { taken(CreateEventW(null(), 1, 0, null()))? };
        // SAFETY: zeroes are a valid OVERLAPPED.
        let mut overlapped: OVERLAPPED = unsafe { std::mem::zeroed() };
        overlapped.hEvent = event.as_raw_handle();
        let overlapped = Box::new(UnsafeCell::new(overlapped));
        Ok(Self { overlapped, event, under_way: false, wake: None })
    }

    /// Returns whether a call is under way, as far as was asked.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Makes a call on `file`. With `notify`, all who wait there are woken when a call that is under way
    /// is done.
    ///
    /// # Errors
    /// The call's.
    ///
    /// # Safety
    /// `call` makes one overlapped call on `file`, and what it reads or writes lives until the call is
    /// done. No call is under way here.
    pub(super) unsafe fn start(
        &mut self,
        file: HANDLE,
        notify: Option<&Arc<Notify>>,
        call: impl FnOnce(*mut OVERLAPPED) -> BOOL,
    ) -> io::Result<Started> {
        debug_assert!(!self.under_way);
        self.wake = None;
        if call(self.overlapped.get()) == 0 {
            // SAFETY: asks for the error of the call.
            match unsafe { GetLastError() } {
                ERROR_IO_PENDING => {}
                error => return Err(io::Error::from_raw_os_error(error.cast_signed())),
            }
        }
        self.under_way = true;
        match self.result(file) {
            Some(result) => result.map(Started::Done),
            None => {
                if let Some(notify) = notify {
                    self.wake = Some(Wake::when(&self.event, notify)?);
                }
                Ok(Started::UnderWay)
            }
        }
    }

    /// Returns what the call under way has come to, once; `None` while it is not done, and if there is
    /// none.
    pub(super) fn result(&mut self, file: HANDLE) -> Option<io::Result<usize>> {
        self.under_way.then(|| self.ask(file, false))?
    }

    fn ask(&mut self, file: HANDLE, wait: bool) -> Option<io::Result<usize>> {
        let mut moved = 0;
        // SAFETY: the call was made with this OVERLAPPED, which lives.
        let answer = unsafe {
            done(GetOverlappedResult(file, self.overlapped.get(), &raw mut moved, wait.into()))
        };
        match answer {
            Err(error) if error.raw_os_error() == Some(ERROR_IO_INCOMPLETE.cast_signed()) => None,
            answer => {
                self.under_way = false;
                self.wake = None;
                Some(answer.map(|()| moved as usize))
            }
        }
    }

    /// Calls the call off, and waits until the kernel no longer uses its memory. Returns its result if it
    /// was done before.
    pub(super) fn call_off(&mut self, file: HANDLE) -> Option<io::Result<usize>> {
        if !self.under_way {
            return None;
        }
        // SAFETY: as in `ask`. It fails if the call is done already.
        unsafe { CancelIoEx(file, self.overlapped.get()) };
        self.ask(file, true)
    }
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Op").field("under_way", &self.under_way).finish_non_exhaustive()
    }
}

/// Wakes those who wait at a [`Notify`] when an object is signalled: once, from a thread of the system's
/// pool. Dropping it wakes them, too: whoever finds first that a call is done drops it, and others may
/// still wait for that.
#[derive(Debug)]
pub(super) struct Wake {
    wait: HANDLE,
    context: *mut Arc<Notify>,
}

// SAFETY: any thread may unregister the wait, and the context is a `Notify`, which is Sync.
unsafe impl Send for Wake {}
// SAFETY: a shared reference to it can do nothing.
unsafe impl Sync for Wake {}

impl Wake {
    /// Has `notify` woken when `object` is signalled.
    ///
    /// # Errors
    /// Those of `RegisterWaitForSingleObject`.
    pub(super) fn when(object: &OwnedHandle, notify: &Arc<Notify>) -> io::Result<Self> {
        let context = Box::into_raw(Box::new(Arc::clone(notify)));
        let mut made = Self { wait: null_mut(), context };
        // SAFETY: the context lives until `drop` has unregistered the wait. The object stays open as
        // long: its owner drops this first.
        unsafe {
            done(RegisterWaitForSingleObject(
                &raw mut made.wait,
                object.as_raw_handle(),
                Some(wake),
                context.cast(),
                INFINITE,
                WT_EXECUTEONLYONCE | WT_EXECUTEINWAITTHREAD,
            ))?;
        }
        Ok(made)
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        // SAFETY: with this value, the call returns once no callback runs. The context is freed after
        // that, once.
        unsafe {
            if !self.wait.is_null() {
                UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE);
            }
            Box::from_raw(self.context).notify_waiters();
        }
    }
}

unsafe extern "system" fn wake(context: *mut c_void, _timed_out: bool) {
    // SAFETY: it is the context of `Wake::when`, which lives.
    let notify = unsafe { &*context.cast::<Arc<Notify>>() };
    notify.notify_waiters();
}
