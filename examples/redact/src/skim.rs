//! Past what is no secret at first sight, which is nearly all of a log.

use crate::bytes::{AFTER_KEY, COLON, DIGIT, DOT, ESCAPE, KEY_END, PERCENT, Run, WORD, class};
use crate::{card, token};

/// Where the first byte from `at` on is that needs a closer look: that of a word, an ESC, and with
/// `strict` a colon. The end of `text`, where there is none.
pub(crate) fn skim(text: &[u8], mut at: usize, strict: bool) -> usize {
    let stops = WORD | ESCAPE | if strict { COLON } else { 0 };
    loop {
        at += gap(&text[at..], stops);
        let (end, seen) = word_end(text, at);
        if end == at || end + 1 >= text.len() || needs_a_look(text, at, end, seen, strict) {
            return at;
        }
        at = end;
    }
}

/// How many bytes `text` begins with that are none of `stops`.
fn gap(text: &[u8], stops: u16) -> usize {
    text.iter().position(|&byte| class(byte) & stops != 0).unwrap_or(text.len())
}

/// Where the word that begins at `start` ends, and all that its bytes are.
pub(crate) fn word_end(text: &[u8], start: usize) -> (usize, u16) {
    let mut seen = 0;
    for (index, &byte) in text[start..].iter().enumerate() {
        let class = class(byte);
        if class & WORD == 0 {
            return (start + index, seen);
        }
        seen |= class;
    }
    (text.len(), seen)
}

/// Whether the word from `start` to `end`, or what follows it, may be a secret or its key.
///
/// `false` is right for certain. Two bytes follow the word.
#[inline]
fn needs_a_look(text: &[u8], start: usize, end: usize, seen: u16, strict: bool) -> bool {
    let (len, last) = (end - start, class(text[end - 1]));
    let (next, second) = (text[end], text[end + 1]);
    let long = len >= token::SHORTEST || len >= card::SHORTEST && seen & DIGIT != 0;
    // A part of an IPv4 address. A colon follows the first part of an IPv6 address.
    let address = strict && seen & DIGIT != 0 && seen & DOT != 0;
    if long || address || seen & PERCENT != 0 {
        return true;
    }
    match next {
        b'@' => return true,
        b':' if strict || second == b'/' => return true,
        b' ' if Run::Alnum.holds(second) => {
            // A card's first group, or `Bearer`. As nothing else matters here, no key.
            let card = last & class(second) & DIGIT != 0;
            return card || len == 6 && matches!(text[start], b'B' | b'b');
        }
        _ => {}
    }
    last & KEY_END != 0 && class(next) & AFTER_KEY != 0 || next == b' ' && len == 6
}
