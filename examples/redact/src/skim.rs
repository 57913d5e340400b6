//! Past what is no secret at first sight, which is nearly all of a log.
//!
//! First by blocks: one bit for each byte tells what it is, and a few operations find all the words
//! of a block that may need a closer look. Then by words, of which only these are left.

use crate::bytes::{ESC, Kind};
use crate::{card, key, token};

/// As many bytes as a mask has bits.
const BLOCK: usize = 64;
/// As many masks as there are kinds of bytes.
const KINDS: usize = 8;

/// Finds what needs a closer look in one text.
pub(crate) struct Skim<'a> {
    text: &'a [u8],
    strict: bool,
    kinds: &'static [u64; 256],
    /// Where the block begins.
    base: usize,
    /// Up to where all of its words are known.
    known: usize,
    /// Its words.
    words: u64,
    /// A byte of each that may need a closer look, and what else does.
    hits: u64,
}

impl<'a> Skim<'a> {
    pub(crate) fn new(text: &'a [u8], strict: bool) -> Self {
        let kinds = if strict { &STRICT } else { &PLAIN };
        Self { text, strict, kinds, base: 0, known: 0, words: 0, hits: 0 }
    }

    /// Where the first byte from `at` on is that needs a closer look: that of a word, an ESC, or
    /// with `strict` a colon. The end of the text, where there is none.
    #[inline(never)]
    pub(crate) fn next(&mut self, mut at: usize) -> usize {
        loop {
            at = self.next_hit(at);
            let Some(&byte) = self.text.get(at) else { return at };
            if !Kind::Word.has(byte) {
                if byte == ESC || self.strict && byte == b':' {
                    return at;
                }
                at += 1;
                continue;
            }
            let end = at + Kind::Word.run(&self.text[at..]);
            let needed = match self.text.get(end..end + 2) {
                Some(&[next, second]) => {
                    needs_a_look(&self.text[at..end], [next, second], self.strict)
                }
                _ => true,
            };
            if needed {
                return at;
            }
            at = end;
        }
    }

    /// The next byte that may need a look, or the first of the word that it is in.
    fn next_hit(&mut self, mut at: usize) -> usize {
        loop {
            if at >= self.known {
                let Some(block) = self.text[at..].first_chunk() else { return at };
                self.scan(at, block);
            }
            // The block can have begun before.
            let hits = self.hits & (!0 << (at - self.base));
            if hits != 0 {
                let hit = hits.trailing_zeros() as usize;
                return at.max(self.base + word_start(self.words, hit));
            }
            at = self.known;
        }
    }

    #[inline(never)]
    fn scan(&mut self, at: usize, block: &[u8; BLOCK]) {
        let [words, digits, key_ends, after_keys, spaces, others, marks, rs] =
            masks(block, self.kinds);
        // Bit by bit: is that of the next byte, and of the one after that?
        let next = |mask: u64| mask >> 1;
        let second = |mask: u64| mask >> 2;
        let closing = after_keys & !spaces;
        let key = key_ends & (next(closing) | next(spaces) & second(after_keys));
        let email = words & next(marks & !words);
        let url = words & next(closing) & second(marks & words);
        let two = digits & digits << 1;
        let card = two & two << 2 & next(spaces) & second(digits);
        let bearer = rs & next(spaces);
        let address = if self.strict { words & next(closing) } else { 0 };
        self.hits = key | email | url | card | bearer | address | others | long(words);
        self.words = words;
        self.base = at;
        // What follows the last word may be in the next block.
        let last = match (words >> (BLOCK - 2)) & 0b11 {
            0 => BLOCK,
            0b01 => word_start(words, BLOCK - 2),
            _ => word_start(words, BLOCK - 1),
        };
        // A word that fills the block is a hit.
        self.known = at + if last == 0 { BLOCK } else { last };
    }
}

/// The first byte of the word of `words` that has the byte `at`, or `at`.
fn word_start(words: u64, at: usize) -> usize {
    let before = !words & ((1 << at) - 1);
    match words >> at & 1 {
        0 => at,
        _ => (u64::BITS - before.leading_zeros()) as usize,
    }
}

/// Where 13 bytes of a word begin.
fn long(words: u64) -> u64 {
    const { assert!(card::SHORTEST == 13) };
    let two = words & words >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & eight >> 5
}

/// For each kind, which bytes of `block` are of it.
fn masks(block: &[u8; BLOCK], kinds: &[u64; 256]) -> [u64; KINDS] {
    let mut masks = [0; KINDS];
    for (index, bytes) in block.chunks_exact(8).enumerate() {
        // Eight masks of eight bits.
        let mut bits = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            bits |= kinds[usize::from(byte)] << index;
        }
        for (kind, mask) in masks.iter_mut().enumerate() {
            *mask |= (bits >> (8 * kind) & 0xff) << (8 * index);
        }
    }
    masks
}

static PLAIN: [u64; 256] = kinds(false);
static STRICT: [u64; 256] = kinds(true);

/// What each byte is, one byte for each kind.
const fn kinds(strict: bool) -> [u64; 256] {
    let mut all = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let kinds: [bool; KINDS] = [
            Kind::Word.defines(byte),
            Kind::Digit.defines(byte),
            Kind::KeyEnd.defines(byte),
            Kind::AfterKey.defines(byte),
            byte == b' ',
            matches!(byte, b'%' | ESC) || strict && matches!(byte, b'.' | b':'),
            matches!(byte, b'@' | b'/'),
            matches!(byte, b'r' | b'R'),
        ];
        let mut kind = 0;
        while kind < KINDS {
            all[index] |= (kinds[kind] as u64) << (8 * kind);
            kind += 1;
        }
        index += 1;
    }
    all
}

/// Whether `word`, or the two bytes that follow it and what follows them, may be a secret or its
/// key. `false` is certain.
fn needs_a_look(word: &[u8], following: [u8; 2], strict: bool) -> bool {
    // An e-mail address or a key in a URL may have a `%`, and an IPv4 address has dots. A colon
    // follows the first part of an IPv6 address.
    let long = word.len() >= token::SHORTEST;
    let mixed = |&byte: &u8| byte == b'%' || strict && byte == b'.';
    if long || Kind::Digit.any(word) && (word.len() >= card::SHORTEST || word.iter().any(mixed)) {
        return true;
    }
    match following {
        [b'@', _] | [b':', b'/'] => return true,
        [b':', _] if strict => return true,
        [b' ', b'0'..=b'9'] if card::is_group(word) => return true,
        [b' ', _] if token::is_bearer(word) => return true,
        _ => {}
    }
    key::may_follow(following) && key::is_key(word)
}
