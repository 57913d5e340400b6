//! Requests to end, as signals.

use std::io;

use signal_hook::iterator::Signals;

use super::super::Stop;

/// Begins to take requests to end, in place of ending by them, and gives them one after another, each time waiting
/// for the next: for a thread of its own. What whoever started this process has it ignore, as nohup(1) does, and a
/// shell for what it starts in the background, stays ignored.
///
/// # Errors
/// EMFILE and ENFILE where no descriptors are left.
pub(crate) fn stop_requests() -> io::Result<impl Iterator<Item = Stop> + Send> {
    let numbers = Stop::ALL.map(|stop| i32::from(stop.number()));
    let mut signals = Signals::new(numbers.into_iter().filter(|it| !super::is_ignored(*it)))?;
    Ok(std::iter::from_fn(move || {
        let signal = signals.forever().next()?;
        Stop::of_number(u8::try_from(signal).ok()?)
    }))
}
