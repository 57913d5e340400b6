//! Requests to end, from the console and from the system.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;

use super::super::Stop;
use super::calls::done;

static REQUESTS: Mutex<Option<Sender<Stop>>> = Mutex::new(None);

/// How long the handler keeps the system from ending this process. The system itself waits for 5 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes over the requests to end: Ctrl-C, Ctrl-Break, and the end of the console, of the session or of
/// the machine. Returns an iterator over them. Each step blocks until the next request, so it needs a
/// thread of its own.
///
/// # Errors
/// Those of `SetConsoleCtrlHandler`.
pub(crate) fn stop_requests() -> io::Result<impl Iterator<Item = Stop> + Send> {
    let (send, requests) = mpsc::channel();
    *REQUESTS.lock().unwrap_or_else(PoisonError::into_inner) = Some(send);
    // SAFETY: the handler stays for ever, and may be called on any thread.
    done(unsafe { SetConsoleCtrlHandler(Some(handle), 1) })?;
    Ok(std::iter::from_fn(move || requests.recv().ok()))
}

/// Called by the system, on a thread of its own.
unsafe extern "system" fn handle(event: u32) -> BOOL {
    let stop = match event {
        CTRL_C_EVENT => Stop::Interrupt,
        CTRL_BREAK_EVENT => Stop::Quit,
        CTRL_CLOSE_EVENT => Stop::HangUp,
        _ => Stop::Terminate,
    };
    let requests = REQUESTS.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = requests.as_ref().is_some_and(|requests| requests.send(stop).is_ok());
    drop(requests);
    if sent && !stop.is_typed() {
        // The system ends this process as soon as this returns.
        std::thread::sleep(PATIENCE);
    }
    sent.into()
}
