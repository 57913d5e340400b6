//! What the filter does to a file: the indents of its lines.

/// How many spaces a tab is in the folder.
pub const WIDTH: usize = 4;

/// Which way a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the folder into the repository: spaces become tabs.
    Clean,
    /// From the repository into the folder: tabs become spaces.
    Smudge,
}

/// Changes a file that comes in pieces.
#[derive(Debug)]
pub struct Indents {
    way: Way,
    /// At the start of a line: how many spaces are held back. `None` behind an indent.
    held: Option<usize>,
}

impl Indents {
    /// At the start of a file.
    pub fn new(way: Way) -> Self {
        Self { way, held: Some(0) }
    }

    /// Appends to `out` what `text` becomes. Fewer than [`WIDTH`] spaces may be held back.
    pub fn change(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            self.held = match (self.held, byte, self.way) {
                (Some(held), b' ', Way::Clean) if held + 1 == WIDTH => {
                    out.push(b'\t');
                    Some(0)
                }
                (Some(held), b' ', Way::Clean) => Some(held + 1),
                (Some(_), b'\t', Way::Smudge) => {
                    out.extend([b' '; WIDTH]);
                    Some(0)
                }
                (held, byte, _) => {
                    out.extend(std::iter::repeat_n(b' ', held.unwrap_or(0)));
                    out.push(byte);
                    // A tab among spaces is a part of the indent.
                    (byte == b'\n' || byte == b'\t' && held.is_some()).then_some(0)
                }
            };
        }
    }

    /// Appends what was held back at the end of the file, and begins another.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend(std::iter::repeat_n(b' ', self.held.unwrap_or(0)));
        self.held = Some(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(way: Way, text: &str, piece: usize) -> String {
        let (mut indents, mut out) = (Indents::new(way), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            indents.change(piece, &mut out);
        }
        indents.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_indents_change() {
        for (folder, repository) in [
            ("", ""),
            ("a    b\tc\n", "a    b\tc\n"),
            ("    a\n        b\n", "\ta\n\t\tb\n"),
            ("      a", "\t  a"),
            ("    \n\n   x\n", "\t\n\n   x\n"),
            ("        ", "\t\t"),
            ("   ", "   "),
        ] {
            for piece in 1..5 {
                assert_eq!(changed(Way::Clean, folder, piece), repository, "{folder:?}");
                assert_eq!(changed(Way::Smudge, repository, piece), folder, "{repository:?}");
            }
        }
    }

    /// What comes out of the repository goes back as it was: else git would show a change at once.
    #[test]
    fn what_was_cleaned_stays_clean() {
        for text in ["\t\ta\n", "  \t x\n", "     \t    y", "\t \t    \t", "a\n \tb\n"] {
            let clean = changed(Way::Clean, text, 3);
            let there_and_back = changed(Way::Clean, &changed(Way::Smudge, &clean, 3), 3);
            assert_eq!(there_and_back, clean, "{text:?}");
        }
    }
}
