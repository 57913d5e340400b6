//! Requests to end, as signals.

use std::io;

use signal_hook::iterator::Signals;

use super::super::Stop;

/// Takes over the signals that ask this process to end, and returns an iterator over them. Each step
/// blocks until the next request, so it needs a thread of its own. Signals that the parent process had
/// ignored stay ignored, as with nohup(1), or for a shell's background jobs.
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left.
pub(crate) fn stop_requests() -> io::Result<impl Iterator<Item = Stop> + Send> {
    let numbers = Stop::ALL.map(|stop| i32::from(stop.number()));
    let mut signals = Signals::new(numbers.into_iter().filter(|it| !super::is_ignored(*it)))?;
    Ok(std::iter::from_fn(move || {
        let signal = signals.forever().next()?;
        Stop::of_number(u8::try_from(signal).ok()?)
    }))
}
