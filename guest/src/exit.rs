//! Ends a program with any status.

use std::io::{self, Write as _};

/// Ends the program with this status, 0 to 255, after flushing stdout.
///
/// [`std::process::exit`] makes every status but 0 a 1 in WASI 0.2 and 0.3. This function needs a
/// host that has `exit-with-code` of `wasi:cli/exit@0.2.12`, as pipehost does; other hosts refuse
/// to start a program that calls it. No destructors run: first drop values that hold bytes back.
///
/// ```no_run
/// if std::env::args().count() != 2 {
///     eprintln!("usage: upper TEXT");
///     pipehost_guest::exit(2);
/// }
/// ```
pub fn exit(code: u8) -> ! {
    // The program ends, so it cannot act on an error.
    let _ = io::stdout().flush();
    #[cfg(target_family = "wasm")]
    crate::bindings::exit::exit_with_code(code);
    // The host does not return.
    std::process::exit(code.into())
}
