//! Where the secrets in a word, and right after it, are.

use crate::bytes::Kind;
use crate::view::{Undecided, View};
use crate::{card, email, strict, token};

/// What takes the place of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Address,
    /// The last four digits.
    Card([u8; 4]),
    Email,
    Token,
}

impl Label {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Address => out.extend_from_slice(b"[ip]"),
            Self::Card(last) => {
                out.extend_from_slice(b"[card ..");
                out.extend_from_slice(&last);
                out.push(b']');
            }
            Self::Email => out.extend_from_slice(b"[email]"),
            Self::Token => out.extend_from_slice(b"[token]"),
        }
    }
}

/// What is to be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) from: usize,
    pub(crate) to: To,
    pub(crate) label: Label,
}

/// Where a secret ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Here.
    End(usize),
    /// Where the bytes from here on are no longer of these, as far as that may be.
    Run(usize, Kind),
}

impl Secret {
    fn ending(label: Label, from: usize, end: usize) -> Self {
        Self { from, to: To::End(end), label }
    }

    fn token(from: usize, body: usize, kind: Kind) -> Self {
        Self { from, to: To::Run(body, kind), label: Label::Token }
    }
}

/// A word, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    pub(crate) view: View<'a>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where the part begins that has not been masked.
    pub(crate) from: usize,
    /// Where the part begins that can hold the header of a JWT. So no byte is tried twice.
    untried_jwt: usize,
    /// Where the parts begin that can look random.
    untried_random: [usize; 2],
}

impl<'a> Word<'a> {
    pub(crate) fn new(view: View<'a>, start: usize, end: usize) -> Self {
        Self { view, start, end, from: start, untried_jwt: start, untried_random: [start; 2] }
    }

    /// The first secret within the part that has not been masked.
    pub(crate) fn within(&mut self, strict: bool) -> Result<Option<Secret>, Undecided> {
        let mut at = self.from;
        while at < self.end {
            let (found, next) = match self.view.bytes[at..self.end] {
                // An encoded byte, as in a URL, parts what is around it.
                [b'%', b'4', b'0', ..] => (self.email(at, at + 3)?, at + 3),
                [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                    (None, at + 3)
                }
                // A part is letters and digits, and begins after another byte.
                ref rest => match Kind::Alnum.run(rest) {
                    0 => (None, at + 1),
                    len => (self.part(at, len, strict)?, at + len),
                },
            };
            if found.is_some() {
                return Ok(found);
            }
            at = next;
        }
        Ok(None)
    }

    /// The secret that begins with the part of `len` bytes that begins at `at`.
    fn part(&mut self, at: usize, len: usize, strict: bool) -> Result<Option<Secret>, Undecided> {
        let view = self.view;
        let fraction = at >= self.start + 2
            && view.bytes[at - 1] == b'.'
            && view.bytes[at - 2].is_ascii_digit();
        if view.bytes[at].is_ascii_digit()
            && !fraction
            && matches!(len, card::GROUP | card::SHORTEST..=card::LONGEST)
            && let Some(card) = card::card(view, at)?
        {
            return Ok(Some(Secret::ending(Label::Card(card.last), at, card.end)));
        }
        if self.end - at >= token::SHORTEST {
            let text = &view.bytes[at..self.end];
            if let Some((prefix, kind)) = token::prefixed(text, len) {
                return Ok(Some(Secret::token(at, at + prefix, kind)));
            }
            if at >= self.untried_jwt {
                match token::jwt(text) {
                    Ok(()) => return Ok(Some(Secret::token(at, at, Kind::Dotted))),
                    Err(len) => self.untried_jwt = at + len,
                }
            }
        }
        if !strict {
            return Ok(None);
        }
        let address = match view.at(at + len)? {
            b':' if len <= 4 && !fraction => strict::ipv6(view, at)?,
            b'.' if len <= 3 && !fraction => strict::ipv4(view, at)?,
            _ => None,
        };
        if let Some(end) = address {
            return Ok(Some(Secret::ending(Label::Address, at, end)));
        }
        Ok(self.random(at).map(|kind| Secret::token(at, at, kind)))
    }

    /// What the random word that begins at `at` is made of.
    fn random(&mut self, at: usize) -> Option<Kind> {
        if self.end - at < strict::RANDOM {
            return None;
        }
        // What begins with a slash is a path.
        let path = at > self.from && self.view.bytes[at - 1] == b'/';
        for (index, kind) in [Kind::Base64, Kind::Token].into_iter().enumerate() {
            if at < self.untried_random[index] || path && kind == Kind::Base64 {
                continue;
            }
            let text = &self.view.bytes[at..self.end];
            let text = &text[..kind.run(text)];
            self.untried_random[index] = at + text.len();
            if strict::is_random(text) {
                return Some(kind);
            }
        }
        None
    }

    /// The e-mail address whose `@` is at `at`, and whose domain begins at `domain`.
    fn email(&self, at: usize, domain: usize) -> Result<Option<Secret>, Undecided> {
        let found = email::around(self.view, self.from, at, domain)?;
        Ok(found.map(|(start, end)| Secret::ending(Label::Email, start, end)))
    }

    /// The secret that the end of the word and what follows make.
    pub(crate) fn after(&self) -> Result<Option<Secret>, Undecided> {
        let Self { view, end, .. } = *self;
        match view.at(end)? {
            b'@' => self.email(end, end + 1),
            b':' => {
                let found = token::in_url(view, end)?;
                Ok(found.map(|(start, end)| Secret::ending(Label::Token, start, end)))
            }
            b' ' if token::is_bearer(&view.bytes[self.start..end]) => {
                Ok(token::bearer(view, end)?.map(|from| Secret::token(from, from, Kind::Bearer)))
            }
            _ => Ok(None),
        }
    }
}
