//! What the console at stderr can show.

use std::os::windows::io::{AsRawHandle as _, OwnedHandle};

use windows_sys::Win32::System::Console::{CONSOLE_SCREEN_BUFFER_INFO, GetConsoleScreenBufferInfo};

use super::console::{Mode, has_colours, is_console};
use super::{Handle, standard};

/// Returns whether the handle is a console's.
pub(crate) fn is_terminal(handle: &Handle) -> bool {
    is_console(&handle.file)
}

/// A console at stderr on which the host may move the cursor. Dropping this sets it back.
#[derive(Debug)]
pub(crate) struct Drawing {
    stderr: OwnedHandle,
    _mode: Option<Mode>,
}

impl Drawing {
    /// Returns `None` if stderr is no console, or one that understands nothing but text.
    pub(crate) fn start() -> Option<Self> {
        let stderr = standard(2).ok()?.file;
        let mode = Mode::with_colours(&stderr);
        has_colours(&stderr).then_some(Self { stderr, _mode: mode })
    }

    /// Returns the number of columns and of rows now, if the console says.
    pub(crate) fn size(&self) -> Option<(u16, u16)> {
        let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
        // SAFETY: the handle is open, and there is a place for what is asked.
        let asked =
            unsafe { GetConsoleScreenBufferInfo(self.stderr.as_raw_handle(), &raw mut info) };
        let window = info.srWindow;
        let span = |from: i16, to: i16| u16::try_from(i32::from(to) - i32::from(from) + 1).ok();
        let size = (span(window.Left, window.Right)?, span(window.Top, window.Bottom)?);
        (asked != 0 && size.0 > 0 && size.1 > 0).then_some(size)
    }
}
