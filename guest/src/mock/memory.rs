//! Pipes in memory, and waiting for them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Source;

/// How many bytes a pipe holds.
pub(super) const CAPACITY: usize = 64 * 1024;

/// Locks, whatever happened to a thread that had the lock: a test that fails is to fail alone.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often any pipe has changed.
static CHANGES: Mutex<u64> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();

fn changed() {
    *lock(&CHANGES) += 1;
    CHANGED.notify_all();
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) bytes: VecDeque<u8>,
    pub(super) has_reader: bool,
    pub(super) has_writer: bool,
}

type Shared = Arc<Mutex<Pipe>>;

/// Makes a pipe.
pub(super) fn pipe() -> (ReadEnd, WriteEnd) {
    let pipe = Pipe { bytes: VecDeque::new(), has_reader: true, has_writer: true };
    let shared = Arc::new(Mutex::new(pipe));
    (ReadEnd(Arc::clone(&shared)), WriteEnd(shared))
}

#[derive(Debug)]
pub(crate) struct ReadEnd(Shared);

impl ReadEnd {
    pub(super) fn available(&self) -> usize {
        lock(&self.0).bytes.len()
    }

    /// Takes bytes out; `None` at the end of file.
    pub(super) fn take(&self, most: usize) -> Option<Vec<u8>> {
        let mut pipe = lock(&self.0);
        if pipe.bytes.is_empty() && !pipe.has_writer {
            return None;
        }
        let len = pipe.bytes.len().min(most);
        let bytes = pipe.bytes.drain(..len).collect();
        drop(pipe);
        changed();
        Some(bytes)
    }

    pub(super) fn subscribe(&self) -> Event {
        Event::Readable(Arc::clone(&self.0))
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        lock(&self.0).has_reader = false;
        changed();
    }
}

#[derive(Debug)]
pub(crate) struct WriteEnd(Shared);

impl WriteEnd {
    /// Returns how many bytes there is room for; `None` if the reader is gone.
    pub(super) fn room(&self) -> Option<usize> {
        let pipe = lock(&self.0);
        pipe.has_reader.then(|| CAPACITY - pipe.bytes.len())
    }

    pub(super) fn put(&self, bytes: &[u8]) {
        lock(&self.0).bytes.extend(bytes);
        changed();
    }

    pub(super) fn subscribe(&self) -> Event {
        Event::Writable(Arc::clone(&self.0))
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        lock(&self.0).has_writer = false;
        changed();
    }
}

/// What can be waited for.
#[derive(Debug)]
pub(crate) enum Event {
    Now,
    Readable(Shared),
    Writable(Shared),
    Source(Arc<Mutex<Source>>),
    At(Instant),
}

impl Event {
    fn is_ready(&self) -> bool {
        match self {
            Self::Now => true,
            Self::Readable(pipe) => {
                let pipe = lock(pipe);
                !pipe.bytes.is_empty() || !pipe.has_writer
            }
            Self::Writable(pipe) => {
                let pipe = lock(pipe);
                pipe.bytes.len() < CAPACITY || !pipe.has_reader
            }
            Self::Source(source) => lock(source).is_ready(),
            Self::At(time) => *time <= Instant::now(),
        }
    }
}

/// Waits for at least one of `events`, and returns the places of all that are there.
pub(super) fn wait(events: &[&Event]) -> Vec<usize> {
    loop {
        let before = *lock(&CHANGES);
        let ready = events.iter().enumerate().filter(|(_, event)| event.is_ready());
        let ready: Vec<_> = ready.map(|(at, _)| at).collect();
        if !ready.is_empty() {
            return ready;
        }
        let mut has_source = false;
        for event in events {
            if let Event::Source(source) = event {
                has_source = true;
                lock(source).go_on();
            }
        }
        if has_source {
            continue;
        }
        let times = events.iter().filter_map(|event| match event {
            Event::At(time) => Some(*time),
            _ => None,
        });
        let changes = lock(&CHANGES);
        if *changes != before {
            continue;
        }
        match times.min() {
            Some(time) => {
                let left = time.saturating_duration_since(Instant::now());
                drop(CHANGED.wait_timeout(changes, left));
            }
            None => drop(CHANGED.wait(changes)),
        }
    }
}
