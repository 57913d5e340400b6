//! A terminal that one or several guests write to.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::escape::{Escaper, torn};
use super::overlay;
use crate::sys::End;

/// How many bytes from a guest are escaped at once. It bounds what waits here for a terminal that is
/// stopped.
pub(super) const AT_ONCE: usize = 16 * 1024;

/// One guest's stream to a terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) escaper: Escaper,
    screen: Arc<Screen>,
}

/// The state that all streams to one terminal share.
///
/// A terminal may take a part of a colour or of a character. The bytes that another guest writes next
/// must not complete it: a harmless `2J` after a harmless `ESC [` clears the screen. So the next writer
/// first writes that rest.
#[derive(Debug)]
struct Screen {
    device: u64,
    torn: Mutex<Vec<u8>>,
}

static SCREENS: Mutex<Vec<Weak<Screen>>> = Mutex::new(Vec::new());

/// True if other processes with guests of their own write to the same terminals.
static SHARED: AtomicBool = AtomicBool::new(false);

/// Makes streams to terminals escape colours too. A process that is one of several with a guest each
/// must call this before it opens anything: it does not know what another process leaves half written
/// on a terminal. Without colours, the next bytes cannot complete one.
pub(crate) fn share_terminals() {
    SHARED.store(true, Ordering::Relaxed);
}

impl Terminal {
    /// Makes a stream to the terminal behind `end`. Returns `None` if it is not a terminal.
    pub(super) fn of(end: &End) -> Option<Self> {
        let device = end.terminal()?;
        let mut screens = SCREENS.lock().unwrap_or_else(PoisonError::into_inner);
        screens.retain(|screen| screen.strong_count() > 0);
        let known = screens.iter().filter_map(Weak::upgrade).find(|it| it.device == device);
        let screen = known.unwrap_or_else(|| {
            let screen = Arc::new(Screen { device, torn: Mutex::default() });
            screens.push(Arc::downgrade(&screen));
            screen
        });
        let escaper = match SHARED.load(Ordering::Relaxed) {
            true => Escaper::colourless(),
            false => Escaper::default(),
        };
        Some(Self { escaper, screen })
    }

    /// Writes as much of `bytes`, which are escaped, as there is room for. The bytes that must follow
    /// at once are kept, and count as written.
    ///
    /// # Errors
    /// Those of [`End::write`].
    pub(super) fn write(&self, end: &End, bytes: &[u8]) -> io::Result<usize> {
        self.screen.write(bytes, |bytes| end.write(bytes))
    }

    /// Returns whether any stream to this terminal was cut and its rest is not written yet.
    pub(super) fn is_torn(&self) -> bool {
        !self.screen.torn.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Screen {
    fn write(
        &self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut lifted = overlay::lift();
        let mut begun = self.torn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lifted) = &mut lifted {
            begun.splice(0..0, lifted.rest());
        }
        while !begun.is_empty() {
            let n = write(&begun)?;
            begun.drain(..n);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let n = write(bytes)?;
        if let Some(lifted) = &mut lifted {
            lifted.wrote(&bytes[..n]);
        }
        let rest = torn(&bytes[..n], &bytes[n..]);
        begun.extend_from_slice(&bytes[n..n + rest]);
        Ok(n + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Two streams to a terminal that takes some bytes, or none: neither gets into the other's
        /// colours and characters, and each comes out whole.
        #[test]
        fn what_is_cut_goes_on_first(takes in prop::collection::vec(0..4_usize, 0..200)) {
            let streams = [&b"\x1b[31mred\x1b[0m\xe2\x82\xac"[..], b"2J\xc3\xa42J\xe2\x82\xac[m"];
            let screen = Screen { device: 0, torn: Mutex::default() };
            let (mut shown, mut left) = (Vec::new(), streams);
            for (turn, room) in takes.into_iter().chain(std::iter::repeat_n(64, 8)).enumerate() {
                let mut room = room;
                let rest = &mut left[turn % 2];
                let written = screen.write(rest, |bytes| match room.min(bytes.len()) {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    n => {
                        room -= n;
                        shown.extend_from_slice(&bytes[..n]);
                        Ok(n)
                    }
                });
                *rest = &rest[written.unwrap_or(0)..];
            }
            prop_assert_eq!(left, [b"", b""]);
            let shown = String::from_utf8(shown).expect("no character was cut");
            prop_assert_eq!(shown.matches("\x1b[31m").count(), 1);
            prop_assert_eq!(shown.matches("\x1b[0m").count(), 1);
            prop_assert_eq!(shown.len(), streams.concat().len());
        }
    }
}
