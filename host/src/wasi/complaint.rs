//! Recognizes what programs say just before they end because a pipe has failed.

/// Words of a line that is about the failure itself, in lower case: the texts of EPIPE, of a closed
/// stream, of a peer that is late.
const ABOUT: [&str; 6] =
    ["pipe", "closed", "timed out", "timedout", "input/output error", "i/o error"];

/// Beginnings of the lines around it: of panics in Rust and Go, of exceptions in Python and
/// JavaScript.
const AROUND: [&str; 9] = [
    "thread '",
    "note: ",
    "stack backtrace:",
    "traceback (most recent call last)",
    "exception ignored",
    "during handling of the above exception",
    "goroutine ",
    "panic:",
    "uncaught ",
];

/// Returns the lines of `said` that are about something else.
pub(super) fn left_of(said: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(said).to_lowercase();
    let is_about = |line: &str| ABOUT.iter().any(|words| line.contains(words));
    if !text.lines().any(is_about) {
        return said.into();
    }
    let belongs = |line: &str| {
        is_about(line)
            || line.trim().is_empty()
            || line.starts_with([' ', '\t'])
            || AROUND.iter().any(|words| line.starts_with(words))
    };
    let lines = said.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !belongs(&String::from_utf8_lossy(line).to_lowercase()))
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::left_of;

    #[test]
    fn complaints_go_and_the_rest_stays() {
        let panic = "\nthread 'main' (1) panicked at src/main.rs:3:5:\nfailed printing to stdout: Broken pipe \
                     (os error 64)\nnote: run with `RUST_BACKTRACE=1` environment variable\n";
        let python =
            "Traceback (most recent call last):\n  File \"a.py\", line 1\nBrokenPipeError: x\n";
        for (said, left) in [
            (panic, ""),
            (python, ""),
            ("cat: write error: Broken pipe\n", ""),
            ("Error: StreamError::Closed\n", ""),
            ("3 of 10 lines make no sense\n", "3 of 10 lines make no sense\n"),
            ("3 lines\nEPIPE\n", "3 lines\n"),
            (
                "thread 'main' panicked at x:\nindex out of bounds\n",
                "thread 'main' panicked at x:\nindex out of bounds\n",
            ),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8(left_of(said.as_bytes())).unwrap(), left, "{said}");
        }
    }
}
