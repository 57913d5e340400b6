//! What the terminal at stderr can show.

use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;

/// Returns whether the handle is a terminal's.
pub(crate) fn is_terminal(handle: &OwnedFd) -> bool {
    handle.is_terminal()
}

/// A terminal at stderr on which the host may move the cursor.
#[derive(Debug)]
pub(crate) struct Drawing(());

impl Drawing {
    /// Returns `None` if stderr is no terminal, or one that is known to understand nothing but text: `TERM=dumb`.
    pub(crate) fn start() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        (io::stderr().is_terminal() && !is_dumb).then_some(Self(()))
    }

    /// Returns the number of columns and of rows now, if the terminal says: TIOCGWINSZ of ioctl_tty(2).
    pub(crate) fn size(&self) -> Option<(u16, u16)> {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
    }
}
