//! Escapes text from a guest that a person reads: removes what would act on a terminal, or make the
//! reader see something other than the text.
//!
//! Printable characters, newlines and tabs stay. On a terminal colours also stay, which are `ESC [
//! digits ; ... m`. Everything else is shown as `\r`, `\x1b` or `\u{202e}`, also a carriage return,
//! which would let one line hide another.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How many bytes a colour may have: a longer sequence is not a colour. It bounds what is kept until
/// the sequence is complete.
const LONGEST_COLOUR: usize = 64;

/// Resets colours and everything else that a colour can set.
const RESET: &[u8] = b"\x1b[0m";

/// The most bytes that [`Escaper::push`] can make of one.
#[cfg(test)]
const MOST_OF_ONE: usize = 4;

/// Escapes one stream of bytes, in pieces of any length.
#[derive(Debug, Default)]
pub(super) struct Escaper {
    /// The beginning of a character or of a colour that is not complete yet.
    begun: Vec<u8>,
    /// True if a colour may be set.
    coloured: bool,
    /// True if colours are escaped too.
    colourless: bool,
}

/// The first piece of a text.
enum Piece {
    /// This many bytes that may stay.
    Plain(usize),
    /// A colour of this many bytes.
    Colour(usize),
    /// A character of this many bytes that must be escaped.
    Shown(char, usize),
    /// A byte that is not text.
    Raw(u8),
    /// The beginning of a character or of a colour.
    Partial,
}

impl Escaper {
    /// Makes an escaper that also escapes colours.
    pub(super) fn colourless() -> Self {
        Self { colourless: true, ..Self::default() }
    }

    /// Returns whether all of `bytes`, which come next, stay unchanged.
    pub(super) fn passes(&self, bytes: &[u8]) -> bool {
        self.begun.is_empty() && plain(bytes) == bytes.len()
    }

    /// Escapes `bytes`, which come next, and appends the result to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = match self.begun.is_empty() {
            true => bytes,
            false => {
                self.begun.extend_from_slice(bytes);
                joined = std::mem::take(&mut self.begun);
                &joined[..]
            }
        };
        while !rest.is_empty() {
            match first(rest) {
                Piece::Partial => {
                    self.begun = rest.to_vec();
                    return;
                }
                piece => rest = self.show(piece, rest, out),
            }
        }
    }

    /// Escapes a beginning that will not be completed, appends it, and resets colours.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let begun = std::mem::take(&mut self.begun);
        let mut rest = &begun[..];
        while let Some(byte) = rest.first() {
            let piece = match first(rest) {
                Piece::Partial => Piece::Raw(*byte),
                piece => piece,
            };
            rest = self.show(piece, rest, out);
        }
        if std::mem::take(&mut self.coloured) {
            out.extend_from_slice(RESET);
        }
    }

    /// Returns whether [`Escaper::finish`] would append anything.
    pub(super) fn is_unfinished(&self) -> bool {
        self.coloured || !self.begun.is_empty()
    }

    /// Appends the first piece of `bytes`, and returns the bytes after it.
    fn show<'a>(&mut self, piece: Piece, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let length = match piece {
            Piece::Plain(n) => {
                out.extend_from_slice(&bytes[..n]);
                n
            }
            Piece::Colour(_) if self.colourless => {
                out.extend_from_slice(shown('\x1b').as_bytes());
                1
            }
            Piece::Colour(n) => {
                out.extend_from_slice(&bytes[..n]);
                self.coloured = !matches!(&bytes[2..n - 1], b"" | b"0");
                n
            }
            Piece::Shown(c, n) => {
                out.extend_from_slice(shown(c).as_bytes());
                n
            }
            Piece::Raw(byte) => {
                out.extend_from_slice(raw(byte).as_bytes());
                1
            }
            Piece::Partial => 0,
        };
        &bytes[length..]
    }
}

/// Counts the bytes at the beginning that are plain ASCII and may stay.
fn plain(bytes: &[u8]) -> usize {
    let acts = |byte: &u8| !matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    bytes.iter().position(acts).unwrap_or(bytes.len())
}

/// Returns the first piece of `bytes`, which must not be empty.
fn first(bytes: &[u8]) -> Piece {
    let n = plain(bytes);
    if n > 0 {
        return Piece::Plain(n);
    }
    if bytes[0] == 0x1b {
        return colour(bytes);
    }
    // A character has four bytes at most.
    let window = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(window) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => {
            return Piece::Partial;
        }
        Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(c) if acts(c) => Piece::Shown(c, c.len_utf8()),
        Some(c) => Piece::Plain(c.len_utf8()),
        // Overlong forms, halves of surrogate pairs and codes beyond Unicode are not text either.
        None => Piece::Raw(bytes[0]),
    }
}

/// Returns the first piece of bytes that begin with ESC, as [`first`] does.
fn colour(bytes: &[u8]) -> Piece {
    let window = &bytes[..bytes.len().min(LONGEST_COLOUR)];
    let escape = Piece::Shown('\x1b', 1);
    match window.get(1) {
        None => return Piece::Partial,
        Some(b'[') => {}
        Some(_) => return escape,
    }
    let parameters = window[2..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';'));
    let end = 2 + parameters.count();
    match window.get(end) {
        Some(b'm') if conceals(&window[2..end]) => escape,
        Some(b'm') => Piece::Colour(end + 1),
        Some(_) => escape,
        None if window.len() == LONGEST_COLOUR => escape,
        None => Piece::Partial,
    }
}

/// Returns whether the parameters of a colour ask for 8, which is invisible text.
fn conceals(parameters: &[u8]) -> bool {
    let is_eight =
        |it: &[u8]| matches!(it, [zeroes @ .., b'8'] if zeroes.iter().all(|it| *it == b'0'));
    let mut rest = parameters.split(|byte| *byte == b';');
    while let Some(parameter) = rest.next() {
        if is_eight(parameter) {
            return true;
        }
        if matches!(parameter, b"38" | b"48" | b"58") {
            // Skip the number of a colour, or its parts.
            let skipped = match rest.next() {
                Some(b"5") => 1,
                Some(b"2") => 3,
                Some(other) if is_eight(other) => return true,
                _ => 0,
            };
            rest.by_ref().take(skipped).for_each(drop);
        }
    }
    false
}

/// Returns whether a character acts on a terminal, reorders or hides text, or ends a line invisibly.
/// Joiners stay: scripts and emoji need them.
fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Marks and overrides of direction.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2066}'..='\u{2069}' => true,
        // Separators of lines and paragraphs.
        '\u{2028}' | '\u{2029}' => true,
        // Invisible characters: spaces without width, operators, old controls, annotations, tags.
        '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        '\u{180e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        // Soft hyphens, joiners that join nothing, fillers, more selectors than any script has.
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => true,
        '\u{e0100}'..='\u{e01ef}' => true,
        // Codes that are not characters.
        '\u{fdd0}'..='\u{fdef}' => true,
        c if u32::from(c) & 0xfffe == 0xfffe => true,
        c => c.is_control(),
    }
}

fn shown(c: char) -> String {
    match c {
        '\n' => "\\n".into(),
        '\t' => "\\t".into(),
        '\r' => "\\r".into(),
        c if c.is_ascii() => format!("\\x{:02x}", u32::from(c)),
        c => format!("\\u{{{:x}}}", u32::from(c)),
    }
}

fn raw(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

/// Escapes a text that quotes a guest, a file or a name, for a message of several lines. Escapes
/// colours too.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    quote(text, |c, out| out.push_str(&shown(c)))
}

/// Escapes a text as [`quoted`] does, for one line: other white space becomes a space.
pub(crate) fn quoted_in_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\t', '\r']) {
        return quoted(text);
    }
    Cow::Owned(quoted(&text.replace(['\n', '\t', '\r'], " ")).into_owned())
}

/// Escapes a name from a guest or a file, for a text of several lines: the name cannot forge one of
/// them.
pub(crate) fn quoted_name(name: &str) -> Cow<'_, str> {
    if !name.contains(acts_on_reader) {
        return Cow::Borrowed(name);
    }
    let show = |c| if acts_on_reader(c) { shown(c) } else { String::from(c) };
    Cow::Owned(name.chars().map(show).collect())
}

/// Returns whether a character of a name must be escaped, as it does more than show itself.
pub(crate) fn acts_on_reader(c: char) -> bool {
    acts(c) || c.is_control()
}

/// Returns JSON of the same meaning, with such characters in JSON's escapes.
pub(crate) fn quoted_json(json: &str) -> Cow<'_, str> {
    quote(json, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Cannot fail: it writes to a string.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn quote(text: &str, mut show: impl FnMut(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match acts(c) {
            true => show(c, &mut out),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Counts the first bytes of `rest` that must follow `before` directly, so that no other bytes come in
/// between: the rest of a character or of a colour that was cut. `before` and `rest` come from
/// [`Escaper::push`].
pub(super) fn torn(before: &[u8], rest: &[u8]) -> usize {
    let tail = &before[before.len().saturating_sub(LONGEST_COLOUR)..];
    if let Some(at) = tail.iter().rposition(|byte| *byte == 0x1b)
        && !tail[at..].contains(&b'm')
    {
        return rest.iter().position(|byte| *byte == b'm').map_or(0, |at| at + 1);
    }
    rest.iter().take_while(|byte| matches!(byte, 0x80..=0xbf)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> Vec<u8> {
        let (mut escaper, mut out) = (Escaper::default(), Vec::new());
        escaper.push(bytes, &mut out);
        escaper.finish(&mut out);
        out
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(escaped(bytes)).unwrap()
    }

    /// Returns whether the text has only colours and what else may go to a terminal.
    fn is_harmless(shown: &[u8]) -> bool {
        let mut text = std::str::from_utf8(shown).expect("it is text").to_owned();
        while let Some(at) = text.find('\x1b') {
            let Some(rest) = text[at..].strip_prefix("\x1b[") else { return false };
            let Some((parameters, _)) = rest.split_once('m') else { return false };
            if !parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';') {
                return false;
            }
            let end = at + 2 + parameters.len() + 1;
            text.replace_range(at..end, "");
        }
        let hidden = |c| {
            matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}' | '\u{e0001}')
        };
        text.chars().all(|c| (!c.is_control() || c == '\n' || c == '\t') && !hidden(c))
    }

    #[test]
    fn text_that_nobody_sees_is_no_colour() {
        for hidden in
            ["\x1b[8m", "\x1b[1;08m", "\x1b[38;8m", "\x1b[38;5;1;8m", "\x1b[38;2;1;2;3;8m"]
        {
            assert_eq!(text(hidden.as_bytes()), hidden.replace('\x1b', "\\x1b"));
        }
        for colour in ["\x1b[38;5;8m", "\x1b[48;2;8;8;8m", "\x1b[58;5;8;1m", "\x1b[18m", "\x1b[80m"]
        {
            assert_eq!(text(colour.as_bytes()), format!("{colour}\x1b[0m"));
        }
    }

    #[test]
    fn where_terminals_are_shared_colours_are_shown() {
        let (mut escaper, mut out) = (Escaper::colourless(), Vec::new());
        escaper.push(b"\x1b[1mbold", &mut out);
        escaper.push(b"\x1b[", &mut out);
        escaper.finish(&mut out);
        assert_eq!(out, b"\\x1b[1mbold\\x1b[");
    }

    #[test]
    fn every_byte_and_every_mark() {
        for byte in 0..=0xff_u8 {
            let stays = matches!(byte, b' '..=b'~' | b'\n' | b'\t');
            assert_eq!(escaped(&[byte]) == [byte], stays, "{byte:#x}");
        }
        let marks = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{85}', '\u{9b}'];
        let unseen = ['\u{ad}', '\u{34f}', '\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];
        let none = ['\u{fdd0}', '\u{ffff}', '\u{1fffe}', '\u{10ffff}', '\u{e0100}', '\u{e01ef}'];
        let marks = marks.into_iter().chain(unseen).chain(none);
        for mark in marks.chain('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            assert_eq!(text(mark.to_string().as_bytes()), format!("\\u{{{:x}}}", u32::from(mark)));
        }
    }

    #[test]
    fn what_is_seen_for_it() {
        for (bytes, seen) in [
            (&b"a\rb\x07\x7f\0"[..], "a\\rb\\x07\\x7f\\x00"),
            (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            (b"\x1b[2J\x1b[?1049h\x1bc", "\\x1b[2J\\x1b[?1049h\\x1bc"),
            (b"\x1b[>4;2m\x1b[1 q\x1b[m", "\\x1b[>4;2m\\x1b[1 q\x1b[m"),
            (b"\x9b31m\xc2\x9b31m", "\\x9b31m\\u{9b}31m"),
            // Overlong ESC and /, half of a surrogate pair, beyond Unicode.
            (b"\xc0\x9b\xc0\xaf", "\\xc0\\x9b\\xc0\\xaf"),
            (b"\xed\xa0\x80\xf5\x80", "\\xed\\xa0\\x80\\xf5\\x80"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            // Cut off.
            (b"\xe2\x80", "\\xe2\\x80"),
            (b"\x1b[31", "\\x1b[31"),
            (b"\x1b", "\\x1b"),
        ] {
            assert_eq!(text(bytes), seen, "{bytes:?}");
        }
        let too_long = format!("\x1b[{}m", "1;".repeat(40));
        assert!(text(too_long.as_bytes()).starts_with("\\x1b[1;"));
    }

    #[test]
    fn colours_stay_and_are_set_back() {
        assert_eq!(text(b"\x1b[1;31mred"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(text(b"\x1b[31mred\x1b[0m plain"), "\x1b[31mred\x1b[0m plain");
        assert_eq!(text(b"\x1b[mplain"), "\x1b[mplain");
    }

    #[test]
    fn messages_have_no_colours_and_one_line() {
        assert_eq!(quoted("a\x1b[31m\nb\u{202e}"), "a\\x1b[31m\nb\\u{202e}");
        assert_eq!(quoted_in_line("a\nb\tc\r\x1b"), "a b c \\x1b");
        assert_eq!(quoted_json("\"\u{202e}\u{7f}\u{e0001}\""), r#""\u202e\u007f\udb40\udc01""#);
        assert!(matches!(quoted("häuser"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_cut_is_known() {
        for (before, rest, n) in [
            (&b"a\x1b["[..], &b"31mtext"[..], 3),
            (b"a\x1b", b"[31mtext", 4),
            (b"a\x1b[31m", b"text", 0),
            (b"a\xe2", b"\x82\xac.", 2),
            (b"a", b"b", 0),
            (b"", b"b", 0),
        ] {
            assert_eq!(torn(before, rest), n, "{before:?} {rest:?}");
        }
    }

    /// Generates bytes of which many have a meaning.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<Vec<u8>>(),
            "\\PC{0,4}".prop_map(String::into_bytes),
            "\x1b\\[[0-9;]{0,4}[mHJ]".prop_map(String::into_bytes),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            prop::sample::select(vec![&b"\x1b"[..], b"\x1b[", b"\xe2\x80", b"\xae", b"\xc2", b"m"])
                .prop_map(<[u8]>::to_vec),
            proptest::char::range('\u{2000}', '\u{206f}').prop_map(|c| c.to_string().into_bytes()),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_that_acts_comes_out(bytes in bytes()) {
            let out = escaped(&bytes);
            prop_assert!(is_harmless(&out), "{:?}", String::from_utf8_lossy(&out));
            prop_assert!(out.len() <= MOST_OF_ONE * bytes.len() + RESET.len());
        }

        #[test]
        fn however_it_is_cut(bytes in bytes(), cuts in prop::collection::vec(0..40_usize, 0..20)) {
            let (mut escaper, mut out) = (Escaper::default(), Vec::new());
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                let before = out.len();
                let passes = escaper.passes(piece);
                escaper.push(piece, &mut out);
                prop_assert!(!passes || out[before..] == *piece);
                // The output never ends in the middle of a character or colour.
                prop_assert!(is_harmless(&out));
                rest = more;
            }
            escaper.push(rest, &mut out);
            escaper.finish(&mut out);
            prop_assert_eq!(out, escaped(&bytes));
        }

        #[test]
        fn text_stays(text in "[ -~äß€\n\t\u{200d}\u{1f600}]{0,40}") {
            prop_assert_eq!(escaped(text.as_bytes()), text.as_bytes());
            prop_assert_eq!(quoted(&text), text.as_str());
        }
    }
}
