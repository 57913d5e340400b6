//! Handles whose calls wait: what the parent process gave, and consoles. A thread makes the calls.
//!
//! The thread starts with the first read or write. It waits for a pipe's bytes without taking any out.
//! Of a console, it reads no more than a guest has asked for. Of what is written, it holds one piece.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::windows::io::{AsRawHandle as _, OwnedHandle};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;
use windows_sys::Win32::Storage::FileSystem::ReadFile;
use windows_sys::Win32::System::IO::CancelSynchronousIo;
use windows_sys::Win32::System::Pipes::PeekNamedPipe;

use super::calls::done;
use super::console;
use super::errors::{broken, copy_of, is_gone, not_open_for_this};
use super::handle::Handle;

/// How many bytes a thread holds at most.
const PIECE: usize = 64 * 1024;

/// How many bytes are fetched for a guest that waits, and has not said how many it wants.
const FETCH: usize = 4096;

/// The stack of a thread in bytes.
const STACK: usize = 128 * 1024;

/// How often a thread's call is called off.
const CALL_OFF: usize = 40;

/// What a thread does, and has come to.
#[derive(Debug)]
enum State {
    /// Nothing.
    Idle,
    /// It waits for bytes to come, and takes none.
    Looking,
    /// It reads up to so many bytes.
    Fetching(usize),
    /// It has read these bytes; those before the number were given away.
    Held(Vec<u8>, usize),
    /// It has met the end of file.
    Ended,
    /// It writes these bytes.
    Writing(Vec<u8>),
    Failed(io::Error),
    /// Nobody wants anything any more.
    Closed,
}

#[derive(Debug)]
struct Shared {
    file: File,
    console: bool,
    state: Mutex<State>,
    work: Condvar,
    notify: Notify,
    /// Whether the end is dropped, and only a piece must still be written.
    dropped: AtomicBool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what the thread has come to, unless nobody wants that any more.
    fn put(&self, new: State) {
        let mut state = self.state();
        if !matches!(*state, State::Closed) {
            *state = new;
        }
        drop(state);
        self.notify.notify_waiters();
    }
}

#[derive(Debug)]
struct Pump {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Pump {
    fn new(file: OwnedHandle, console: bool) -> Self {
        let shared = Shared {
            file: file.into(),
            console,
            state: Mutex::new(State::Idle),
            work: Condvar::new(),
            notify: Notify::new(),
            dropped: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Has the thread do `work`. Starts it first, if it is not there.
    fn ask(&self, state: &mut State, work: State) -> io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let named = std::thread::Builder::new().name("handle".into()).stack_size(STACK);
            *thread = Some(named.spawn(move || serve(&shared))?);
        }
        *state = work;
        self.shared.work.notify_one();
        Ok(())
    }

    async fn wait_for(&self, is_ready: impl Fn() -> bool) {
        loop {
            let mut woken = std::pin::pin!(self.shared.notify.notified());
            woken.as_mut().enable();
            if is_ready() {
                return;
            }
            woken.await;
        }
    }

    fn for_native(&self) -> io::Result<Handle> {
        Ok(self.shared.file.try_clone()?.into())
    }

    /// Has the call end in which the thread waits. The thread then sees that it has nothing to do, and
    /// closes the handle. It may be just about to make the call, and there is nothing to call off yet: so
    /// this tries until the thread is gone, for some 20 ms at most. A console's call may not be called
    /// off, and ends with the process.
    fn call_off(&self, thread: &JoinHandle<()>) {
        for attempt in 0..CALL_OFF {
            // SAFETY: the handle is of a thread that has not been joined.
            unsafe { CancelSynchronousIo(thread.as_raw_handle()) };
            if thread.is_finished() || self.shared.console {
                return;
            }
            match attempt < CALL_OFF / 2 {
                true => std::thread::yield_now(),
                false => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // The piece that is being written goes on.
        let mut state = self.shared.state();
        self.shared.dropped.store(true, Ordering::Relaxed);
        if !matches!(*state, State::Writing(_)) {
            *state = State::Closed;
        }
        drop(state);
        self.shared.work.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|_| matches!(*self.shared.state(), State::Closed)) {
            self.call_off(&thread);
        }
    }
}

/// The thread: does what it is asked, until it is dropped.
fn serve(shared: &Shared) {
    let mut decoder = console::Decoder::default();
    loop {
        let work = {
            let mut state = shared.state();
            loop {
                match &mut *state {
                    State::Closed => return,
                    State::Idle | State::Failed(_) if shared.dropped.load(Ordering::Relaxed) => {
                        return;
                    }
                    State::Looking => break Work::Look,
                    State::Fetching(most) => break Work::Fetch(*most),
                    State::Writing(piece) => break Work::Write(std::mem::take(piece)),
                    _ => {}
                }
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        shared.put(match work {
            Work::Look => match look(&shared.file) {
                Ok(()) => State::Idle,
                Err(error) if is_gone(&error) => State::Ended,
                Err(error) => State::Failed(not_open_for_this(error)),
            },
            Work::Fetch(most) => match fetch(shared, most) {
                Ok(bytes) if bytes.is_empty() => State::Ended,
                Ok(bytes) => State::Held(bytes, 0),
                Err(error) if is_gone(&error) => State::Ended,
                Err(error) => State::Failed(not_open_for_this(error)),
            },
            Work::Write(piece) => {
                let written = match shared.console {
                    true => console::write(&shared.file, decoder.decode(&piece)),
                    false => (&shared.file).write_all(&piece),
                };
                match written {
                    Ok(()) => State::Idle,
                    Err(error) => State::Failed(not_open_for_this(broken(error))),
                }
            }
        });
    }
}

enum Work {
    Look,
    Fetch(usize),
    Write(Vec<u8>),
}

/// Waits until the pipe has bytes, or no writer.
fn look(file: &File) -> io::Result<()> {
    let mut none = [0; 1];
    // SAFETY: reads no bytes. The handle is open.
    done(unsafe { ReadFile(file.as_raw_handle(), none.as_mut_ptr(), 0, null_mut(), null_mut()) })
}

fn fetch(shared: &Shared, most: usize) -> io::Result<Vec<u8>> {
    if shared.console {
        return console::read(&shared.file, most);
    }
    let mut bytes = vec![0; most.clamp(1, PIECE)];
    let n = (&shared.file).read(&mut bytes)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// A handle that is read.
#[derive(Debug)]
pub(super) struct Input(Pump);

impl Input {
    pub(super) fn new(file: OwnedHandle, console: bool) -> Self {
        Self(Pump::new(file, console))
    }

    /// Returns how many bytes wait in a pipe; `None` if it has no writer. Must not be called while the
    /// thread waits: the system would have this call wait, too.
    ///
    /// # Errors
    /// Fails if it is no pipe.
    fn waiting(&self) -> io::Result<Option<usize>> {
        let mut waiting = 0;
        let file = self.0.shared.file.as_raw_handle();
        // SAFETY: asks for the number only.
        let asked = unsafe {
            done(PeekNamedPipe(file, null_mut(), 0, null_mut(), &raw mut waiting, null_mut()))
        };
        match asked {
            Ok(()) => Ok(Some(waiting as usize)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the thread wait for bytes, if it does nothing. Returns how many there are already.
    fn look(&self, state: &mut State, most: usize) -> io::Result<usize> {
        match (&*state, self.waiting_if_idle(state)) {
            (State::Idle, Some(Ok(Some(0)))) => self.0.ask(state, State::Looking).map(|()| 0),
            (State::Idle, Some(Ok(Some(n)))) => Ok(n),
            (State::Idle, Some(Ok(None))) => {
                *state = State::Ended;
                Ok(0)
            }
            (State::Idle, _) => self.0.ask(state, State::Fetching(most)).map(|()| 0),
            _ => Ok(0),
        }
    }

    fn waiting_if_idle(&self, state: &State) -> Option<io::Result<Option<usize>>> {
        matches!(state, State::Idle).then(|| self.waiting())
    }

    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.shared.state();
        let waiting = self.look(&mut state, buf.len().clamp(1, PIECE))?;
        match &mut *state {
            State::Idle if waiting > 0 => {
                let most = buf.len().min(waiting);
                (&self.0.shared.file).read(&mut buf[..most])
            }
            State::Held(bytes, given) => {
                let n = buf.len().min(bytes.len() - *given);
                buf[..n].copy_from_slice(&bytes[*given..*given + n]);
                *given += n;
                if *given == bytes.len() {
                    *state = State::Idle;
                }
                Ok(n)
            }
            State::Ended => Ok(0),
            State::Failed(error) => Err(copy_of(error)),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Returns whether a read can get on. If not, has the thread wait for that.
    pub(super) fn is_ready(&self) -> bool {
        let mut state = self.0.shared.state();
        match self.look(&mut state, FETCH) {
            Ok(0) => matches!(*state, State::Held(..) | State::Ended | State::Failed(_)),
            // The read that follows meets an error again.
            Ok(_) | Err(_) => true,
        }
    }

    pub(super) async fn ready(&self) {
        self.0.wait_for(|| self.is_ready()).await;
    }

    pub(super) fn available(&self) -> u64 {
        let state = self.0.shared.state();
        match (&*state, self.waiting_if_idle(&state)) {
            (State::Held(bytes, given), _) => (bytes.len() - given) as u64,
            (_, Some(Ok(Some(n)))) => n as u64,
            _ => 0,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        let state = self.0.shared.state();
        match (&*state, self.waiting_if_idle(&state)) {
            (State::Ended, _) => true,
            (_, Some(Ok(waiting))) => waiting.is_none(),
            _ => false,
        }
    }

    pub(super) fn for_native(&self) -> io::Result<Handle> {
        match *self.0.shared.state() {
            // The command would miss these bytes.
            State::Held(..) | State::Fetching(_) => Err(io::ErrorKind::Unsupported.into()),
            _ => self.0.for_native(),
        }
    }
}

/// A handle that is written to.
#[derive(Debug)]
pub(super) struct Output(
    Pump,
    #[allow(dead_code, reason = "undone when it is dropped")] Option<console::Mode>,
);

impl Output {
    pub(super) fn new(file: OwnedHandle, console: bool) -> Self {
        let mode = console.then(|| console::Mode::with_colours(&file)).flatten();
        Self(Pump::new(file, console), mode)
    }

    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let mut state = self.0.shared.state();
        match &*state {
            State::Idle => {
                let piece = buf[..buf.len().min(PIECE)].to_vec();
                let n = piece.len();
                if n > 0 {
                    self.0.ask(&mut state, State::Writing(piece))?;
                }
                Ok(n)
            }
            State::Failed(error) => Err(copy_of(error)),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn has_settled(&self) -> io::Result<bool> {
        match &*self.0.shared.state() {
            State::Writing(_) => Ok(false),
            State::Failed(error) => Err(copy_of(error)),
            _ => Ok(true),
        }
    }

    pub(super) async fn ready(&self) {
        self.0.wait_for(|| !matches!(self.has_settled(), Ok(false))).await;
    }

    pub(super) fn for_native(&self) -> io::Result<Handle> {
        self.0.for_native()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Its thread may be about to wait for bytes just then, and would keep the pipe open for ever.
    #[test]
    fn a_reader_that_is_dropped_is_closed() {
        for turn in 0..300 {
            let (reader, _writer) = os_pipe::pipe().unwrap();
            let input = Input::new(reader.into(), false);
            assert!(!input.is_ready());
            let shared = Arc::downgrade(&input.0.shared);
            // From before the thread waits to well after.
            for _ in 0..turn {
                std::hint::spin_loop();
            }
            drop(input);
            let began = Instant::now();
            while shared.strong_count() > 0 {
                assert!(began.elapsed() < Duration::from_secs(5), "turn {turn}");
                std::thread::yield_now();
            }
        }
    }
}
