//! Reads lines, and writes what `changed` makes of each.

use std::io;

use pipehost_guest::records::{Lines, filter};

fn main() -> io::Result<()> {
    filter(Lines, |line, out| out.put(&changed(line)))
}

/// Returns what is written for a line. Neither of them contains the line's end.
fn changed(line: &[u8]) -> Vec<u8> {
    line.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn letters_become_capitals() {
        assert_eq!(changed(b"hello, pipe 1"), b"HELLO, PIPE 1");
    }
}
