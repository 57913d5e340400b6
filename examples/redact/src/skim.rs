//! Past what is no secret at first sight, which is nearly all of a log.
//!
//! First by blocks: one bit for each byte tells what it is, and a few operations find all the words
//! of a block that may need a closer look. Then by words, of which only these are left.

use crate::bytes::{ESC, Kind};
use crate::{card, key, strict, token};

/// As many bytes as a mask has bits.
const BLOCK: usize = 64;
/// As many masks as there are kinds of bytes.
const KINDS: usize = 8;

/// What needs a closer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// An ESC or a backslash, or with `strict` two colons: here.
    Byte(usize),
    /// A word that begins here.
    Word(usize, Shape),
    /// Nothing up to the end of the text.
    Nothing,
}

/// What is known about a word at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Where it ends. At the end of the text, more of it may come.
    pub(crate) end: usize,
    /// How many digits it has.
    pub(crate) digits: usize,
    /// How many `%` it has, or with `strict` dots.
    others: usize,
}

/// Finds what needs a closer look in one text.
pub(crate) struct Skim<'a> {
    text: &'a [u8],
    strict: bool,
    kinds: &'static [u64; 256],
    /// Where the block begins.
    base: usize,
    /// Up to where all of its words are known.
    known: usize,
    /// Its bytes that are in words.
    words: u64,
    digits: u64,
    others: u64,
    /// A byte of each word that may need a closer look, and what else does.
    hits: u64,
}

impl<'a> Skim<'a> {
    pub(crate) fn new(text: &'a [u8], strict: bool) -> Self {
        let kinds = if strict { &STRICT } else { &PLAIN };
        let (base, known) = (0, 0);
        Self { text, strict, kinds, base, known, words: 0, digits: 0, others: 0, hits: 0 }
    }

    /// What is the first from `at` on that needs a closer look.
    pub(crate) fn next(&mut self, mut at: usize) -> Look {
        loop {
            at = self.next_hit(at);
            let Some(&byte) = self.text.get(at) else { return Look::Nothing };
            if !Kind::Word.has(byte) {
                let colons = self.text.get(at + 1).is_none_or(|&second| second == b':');
                if matches!(byte, ESC | b'\\') || self.strict && byte == b':' && colons {
                    return Look::Byte(at);
                }
                at += 1;
                continue;
            }
            let shape = self.shape(at);
            if self.needs_a_look(at, shape) {
                return Look::Word(at, shape);
            }
            at = shape.end;
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

    fn scan(&mut self, at: usize, block: &[u8; BLOCK]) {
        let [words, digits, key_ends, after_keys, spaces, others, marks, rs] =
            masks(block, self.kinds);
        // For each byte: is the next one of these, and the one after that?
        let next = |mask: u64| mask >> 1;
        let second = |mask: u64| mask >> 2;
        let closing = after_keys & !spaces;
        let key = key_ends & (next(closing) | next(spaces) & second(after_keys));
        let email = words & next(marks & !words);
        let url = words & next(closing) & second(marks & words);
        // The first group, or all.
        let two = digits & digits << 1;
        let group = two & two << 2 & !next(digits) & second(digits);
        let card = group | runs::<{ card::SHORTEST }>(digits);
        let bearer = rs & next(spaces);
        let token = runs::<{ token::SHORTEST }>(words);
        let address = if self.strict { words & next(closing) } else { 0 };
        self.hits = key | email | url | card | bearer | token | address | others;
        (self.words, self.digits, self.others) = (words, digits, others);
        self.base = at;
        // What follows the last word may be in the next block.
        let last = match words >> (BLOCK - 2) {
            0b00 => BLOCK,
            0b01 => word_start(words, BLOCK - 2),
            _ => word_start(words, BLOCK - 1),
        };
        // A word that fills the block is a hit.
        self.known = at + if last == 0 { BLOCK } else { last };
    }

    /// The shape of the word that begins at `at`.
    fn shape(&mut self, at: usize) -> Shape {
        if let Some(shape) = self.shape_in_block(at) {
            return shape;
        }
        // Most words that leave a block fit one of their own.
        if let Some(block) = self.text[at..].first_chunk() {
            self.scan(at, block);
            if let Some(shape) = self.shape_in_block(at) {
                return shape;
            }
        }
        let word = &self.text[at..];
        let word = &word[..Kind::Word.run(word)];
        let digits = word.iter().filter(|&&byte| Kind::Digit.has(byte)).count();
        let other = |&&byte: &&u8| byte == b'%' || self.strict && byte == b'.';
        Shape { end: at + word.len(), digits, others: word.iter().filter(other).count() }
    }

    fn shape_in_block(&self, at: usize) -> Option<Shape> {
        let offset = at - self.base;
        if offset >= BLOCK || self.base == self.known {
            return None;
        }
        let len = (!(self.words >> offset)).trailing_zeros() as usize;
        if offset + len >= BLOCK {
            return None;
        }
        let word = (1 << len) - 1;
        let count = |mask: u64| (mask >> offset & word).count_ones() as usize;
        Some(Shape { end: at + len, digits: count(self.digits), others: count(self.others) })
    }

    /// Whether the word from `at` on, or what follows it, may be a secret or its key. `false` is
    /// certain.
    fn needs_a_look(&self, at: usize, shape: Shape) -> bool {
        let Shape { end, digits, others } = shape;
        let Some(&[next, second]) = self.text.get(end..end + 2) else { return true };
        let word = &self.text[at..end];
        if word.len() >= token::SHORTEST || digits >= card::SHORTEST {
            return true;
        }
        // An e-mail address or a key in a URL may have a `%`, and an IPv4 address has dots.
        if digits > 0 && others > 0 && (self.strict && others >= 3 || word.contains(&b'%')) {
            return true;
        }
        match [next, second] {
            [b'@', _] | [b':', b'/'] => true,
            [b':', _] if self.strict && strict::may_go_on(&self.text[end..]) => true,
            [b' ', b'0'..=b'9'] if digits > 0 && card::is_group(word) => true,
            [b' ', _] if token::is_bearer(word) => true,
            following => key::may_follow(following) && key::is_key(word),
        }
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

/// Where `LEN` bytes of `mask` in a row begin.
fn runs<const LEN: usize>(mut mask: u64) -> u64 {
    let mut len = 1;
    while len < LEN {
        let more = len.min(LEN - len);
        mask &= mask >> more;
        len += more;
    }
    mask
}

/// For each kind, which bytes of `block` are of it.
fn masks(block: &[u8; BLOCK], kinds: &[u64; 256]) -> [u64; KINDS] {
    // For eight bytes each, eight masks of eight bits.
    let mut masks = [0; KINDS];
    for (mask, bytes) in masks.iter_mut().zip(block.as_chunks::<8>().0) {
        for (index, &byte) in bytes.iter().enumerate() {
            *mask |= kinds[usize::from(byte)] << index;
        }
    }
    // Byte by byte, rows become columns: first by quarters, then within them.
    for (step, low) in [(4, 0xffff_ffff), (2, 0xffff_0000_ffff), (1, 0xff_00ff_00ff_00ff)] {
        for row in (0..KINDS).filter(|row| row & step == 0) {
            let swapped = (masks[row] >> (8 * step) ^ masks[row + step]) & low;
            masks[row + step] ^= swapped;
            masks[row] ^= swapped << (8 * step);
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
            matches!(byte, b'%' | ESC | b'\\') || strict && matches!(byte, b'.' | b':'),
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
