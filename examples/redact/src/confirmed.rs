//! Line by line, with an answer for each: what is confirmed is written.

use std::io::{self, Read, Write};

use redact::{Masker, WINDOW};

/// Copies `input` to `output`, masked, and writes `OK` to `replies`: once at the start, and then for
/// each line that `output` has taken. Whoever sends a line and has no `OK` for it yet can send it to
/// the next process.
///
/// Each line is masked by itself, and so decided when it has ended: its sender may wait for the
/// answer before it sends the next one. A line without an end is written at the end of the input,
/// and not confirmed.
pub fn copy(
    strict: bool,
    mut input: impl Read,
    mut output: impl Write,
    mut replies: impl Write,
) -> io::Result<()> {
    reply(&mut replies, 1)?;
    let mut masker = Masker::new(strict);
    let mut masked = Vec::new();
    // Of a line that is longer, a window at most stays undecided.
    let mut buf = vec![0; 2 * WINDOW];
    let mut held = 0;
    loop {
        let n = input.read(&mut buf[held..])?;
        let filled = held + n;
        let (mut at, mut lines) = (0, 0);
        while let Some(length) = buf[at..filled].iter().position(|&byte| byte == b'\n') {
            let end = at + length + 1;
            masker.mask(&buf[at..end], true, &mut masked);
            masker = Masker::new(strict);
            (at, lines) = (end, lines + 1);
        }
        if n == 0 || filled - at > WINDOW {
            at += masker.mask(&buf[at..filled], n == 0, &mut masked);
        }
        output.write_all(&masked)?;
        output.flush()?;
        reply(&mut replies, lines)?;
        if n == 0 {
            return Ok(());
        }
        masked.clear();
        buf.copy_within(at..filled, 0);
        held = filled - at;
    }
}

fn reply(replies: &mut impl Write, lines: usize) -> io::Result<()> {
    if lines > 0 {
        replies.write_all("OK\n".repeat(lines).as_bytes())?;
        replies.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one line at a read, and looks that all lines before were confirmed.
    struct Sender<'a> {
        lines: std::slice::Iter<'a, &'a str>,
        sent: usize,
        replies: &'a std::cell::RefCell<Vec<u8>>,
    }

    impl Read for Sender<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            assert_eq!(self.replies.borrow().len(), "OK\n".len() * (self.sent + 1));
            let Some(line) = self.lines.next() else { return Ok(0) };
            buf[..line.len()].copy_from_slice(line.as_bytes());
            self.sent += usize::from(line.ends_with('\n'));
            Ok(line.len())
        }
    }

    struct Replies<'a>(&'a std::cell::RefCell<Vec<u8>>);

    impl Write for Replies<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_is_confirmed_before_the_next() {
        let replies = Default::default();
        let lines = [
            "plain\n",
            "Bearer\n",
            "password:\n",
            "token=\"abc\n",
            "4111 1111\n",
            "\n",
            "by bob@exa",
            "mple.com\n",
            "no end",
        ];
        let mut out = Vec::new();
        let sender = Sender { lines: lines.iter(), sent: 0, replies: &replies };
        copy(false, sender, &mut out, Replies(&replies)).unwrap();
        let masked = "plain\nBearer\npassword:\ntoken=\"[token]\n4111 1111\n\nby [email]\nno end";
        assert_eq!(String::from_utf8(out).unwrap(), masked);
    }

    #[test]
    fn a_line_may_be_longer_than_what_is_held() {
        let long =
            format!("{}bob@example.com{}\nshort\n", "x ".repeat(90_000), " y".repeat(90_000));
        let (mut out, mut replies) = (Vec::new(), Vec::new());
        copy(false, long.as_bytes(), &mut out, &mut replies).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, long.replace("bob@example.com", "[email]"));
        assert_eq!(replies, b"OK\nOK\nOK\n");
    }
}
