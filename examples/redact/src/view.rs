//! What may be looked at to decide something.

use crate::bytes::{ESC, Kind};

/// How many bytes may be needed at once to decide what is a secret: 64 KiB.
///
/// Bounds the memory that a line without an end can make a [`crate::Masker`] ask for.
pub const WINDOW: usize = 64 * 1024;

/// The bytes to come will tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Undecided;

/// The text up to a window from where something may begin, as far as it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) bytes: &'a [u8],
    /// More of it may come.
    pub(crate) open: bool,
}

impl<'a> View<'a> {
    /// The view from `from`. `last`: nothing comes after `text`.
    pub(crate) fn new(text: &'a [u8], from: usize, last: bool) -> Self {
        let end = from + WINDOW;
        Self { bytes: &text[..end.min(text.len())], open: !last && text.len() < end }
    }

    /// The byte at `at`. The end of the view looks like the end of a line.
    pub(crate) fn at(self, at: usize) -> Result<u8, Undecided> {
        match self.bytes.get(at) {
            Some(&byte) => Ok(byte),
            None if self.open => Err(Undecided),
            None => Ok(b'\n'),
        }
    }

    /// Where the bytes of `kind` that begin at `from` end, `most` bytes on at most.
    pub(crate) fn run(self, from: usize, most: usize, kind: Kind) -> Result<usize, Undecided> {
        self.ended(from, most, |bytes| kind.run(bytes))
    }

    /// Where the bytes that `holds` accepts end, `most` bytes on at most.
    pub(crate) fn while_(
        self,
        from: usize,
        most: usize,
        holds: impl Fn(u8) -> bool,
    ) -> Result<usize, Undecided> {
        let len = |bytes: &[u8]| bytes.iter().position(|&byte| !holds(byte));
        self.ended(from, most, |bytes| len(bytes).unwrap_or(bytes.len()))
    }

    fn ended(
        self,
        from: usize,
        most: usize,
        len: impl Fn(&[u8]) -> usize,
    ) -> Result<usize, Undecided> {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let rest = &rest[..rest.len().min(most)];
        match len(rest) {
            len if len == rest.len() && len < most && self.open => Err(Undecided),
            len => Ok(from + len),
        }
    }

    /// Where the escape sequence that begins at `at` ends: ECMA-48, 5.4. Other than ESC `[`, only
    /// the ESC.
    pub(crate) fn escape(self, at: usize) -> Result<usize, Undecided> {
        debug_assert_eq!(self.bytes[at], ESC);
        if self.at(at + 1)? != b'[' {
            return Ok(at + 1);
        }
        let last = self.while_(at + 2, 32, |byte| (b' '..=b'?').contains(&byte))?;
        Ok(if (b'@'..=b'~').contains(&self.at(last)?) { last + 1 } else { at + 1 })
    }

    /// Where the escape that begins at `at` ends, as in a string of JSON or C: a letter after a
    /// backslash is not of the word that follows.
    pub(crate) fn backslash(self, at: usize) -> Result<usize, Undecided> {
        Ok(match self.at(at + 1)? {
            b'u' => self.while_(at + 2, 4, |byte| byte.is_ascii_hexdigit())?,
            b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => at + 2,
            _ => at + 1,
        })
    }

    /// Where blanks and colours end.
    pub(crate) fn blanks(self, mut at: usize) -> Result<usize, Undecided> {
        loop {
            at = match self.at(at)? {
                b' ' | b'\t' => at + 1,
                ESC => self.escape(at)?,
                _ => return Ok(at),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Undecided, View, WINDOW};

    #[test]
    fn the_end_is_known_or_not() {
        let (open, closed) = (View::new(b"ab", 0, false), View::new(b"ab", 0, true));
        assert_eq!(open.at(1), Ok(b'b'));
        assert_eq!(open.at(2), Err(Undecided));
        assert_eq!(closed.at(2), Ok(b'\n'));
        assert_eq!(open.run(0, 9, Kind::Alnum), Err(Undecided));
        assert_eq!(open.run(0, 2, Kind::Alnum), Ok(2));
        assert_eq!(closed.run(0, 9, Kind::Alnum), Ok(2));
    }

    #[test]
    fn a_full_window_is_closed() {
        let text = [b'a'; WINDOW + 2];
        assert!(View::new(&text[..WINDOW], 1, false).open);
        assert!(!View::new(&text[..WINDOW + 1], 1, false).open);
        assert_eq!(View::new(&text, 1, false).bytes.len(), WINDOW + 1);
    }

    #[test]
    fn escapes_end_before_words() {
        let end = |text: &'static str| View::new(text.as_bytes(), 0, true).backslash(0);
        assert_eq!(end("\\nbob"), Ok(2));
        assert_eq!(end("\\\\nbob"), Ok(2));
        assert_eq!(end("\\u000abob"), Ok(6));
        assert_eq!(end("\\user"), Ok(2));
        assert_eq!(end("\\path"), Ok(1));
        assert_eq!(end("\\"), Ok(1));
    }

    #[test]
    fn colours_are_blank() {
        let view = View::new(b"\x1b[0m \x1b[1;31m= \x1b7\x1b[", 0, false);
        assert_eq!(view.blanks(0), Ok(12));
        assert_eq!(view.escape(14), Ok(15));
        assert_eq!(view.escape(16), Err(Undecided));
    }
}
