//! Exit statuses of one's own.

use std::io::{self, Write as _};

use crate::bindings::exit::exit_with_code;

/// Ends the program with this status, 0 to 255, after flushing stdout.
///
/// [`std::process::exit`] makes every status but 0 a 1 in WASI 0.2 and 0.3. This needs a host that has
/// `exit-with-code` of `wasi:cli/exit@0.2.12`, as pipehost does; others refuse to start a program that
/// calls it. No destructors run: drop what holds bytes back before.
pub fn exit(code: u8) -> ! {
    // Nobody is left to be told.
    let _ = io::stdout().flush();
    exit_with_code(code);
    // The host does not return.
    std::process::exit(code.into())
}
