//! What a `main` of Rust's does, and libFuzzer's does not: the host counts on EPIPE.

/// To be called before anything else runs.
pub(crate) fn ignore() {
    // SAFETY: nothing else runs yet, and no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
