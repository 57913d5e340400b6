//! From one word to the next.

use crate::bytes::{ESC, Kind};
use crate::key::{self, Quote, Value};
use crate::skim::{Look, Shape, Skim};
use crate::view::{Undecided, View, WINDOW};
use crate::word::{Label, Secret, To, Word};
use crate::{strict, token};

/// Masks the secrets in a text that comes in pieces.
#[derive(Debug)]
pub struct Masker {
    strict: bool,
    mode: Mode,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Text,
    /// The key of a secret came last.
    Expecting {
        blanks: bool,
    },
    /// A secret that has been masked goes on.
    Run(Kind),
    /// A quoted secret goes on.
    Quoted(Quote),
}

impl Masker {
    /// A masker at the beginning of a text. `strict` masks IP addresses and random words, too.
    pub fn new(strict: bool) -> Self {
        Self { strict, mode: Mode::Text }
    }

    /// Appends to `out` what `text` becomes, as far as that is decided, and gives how many bytes
    /// that was. The rest, fewer than [`WINDOW`], has to come again with what follows it.
    ///
    /// `last`: nothing follows, and all of it is decided.
    pub fn mask(&mut self, text: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
        let mut output = Output { text, out, copied: 0 };
        let mut skim = Skim::new(text, self.strict);
        let mut at = 0;
        while at < text.len() {
            let next = match self.mode {
                Mode::Text => match skim.next(at) {
                    Look::Word(start, shape) => {
                        at = start;
                        self.word(&mut output, start, shape, last)
                    }
                    Look::Byte(start) => {
                        at = start;
                        self.byte(&mut output, start, last)
                    }
                    Look::Nothing => Ok(text.len()),
                },
                Mode::Expecting { blanks } => self.value(&mut output, at, blanks, last),
                Mode::Run(kind) => {
                    let end = at + kind.run(&text[at..]);
                    output.skip(at, end);
                    if end < text.len() {
                        self.mode = Mode::Text;
                    }
                    Ok(end)
                }
                Mode::Quoted(quote) => Ok(self.quoted(&mut output, at, quote)),
            };
            match next {
                Ok(next) => at = next,
                Err(Undecided) => break,
            }
        }
        output.copy(at);
        at
    }

    /// A colour, an escape, or what may be an IPv6 address. Gives where it ends.
    fn byte(&mut self, output: &mut Output<'_>, at: usize, last: bool) -> Result<usize, Undecided> {
        let view = View::new(output.text, at, last);
        match view.bytes[at] {
            ESC => return view.escape(at),
            b'\\' => return view.backslash(at),
            _ => {}
        }
        let Some(end) = strict::ipv6(view, at)? else { return Ok(at + 1) };
        output.label(at, Label::Address);
        output.skip(at, end);
        Ok(end)
    }

    /// The word that begins at `start`. Gives where it ends, or what has been masked with it.
    fn word(
        &mut self,
        output: &mut Output<'_>,
        start: usize,
        shape: Shape,
        last: bool,
    ) -> Result<usize, Undecided> {
        let view = View::new(output.text, start, last);
        let mut end = shape.end.min(view.bytes.len());
        if end == view.bytes.len() && view.open {
            return Err(Undecided);
        }
        if end - start == WINDOW {
            // No token and no address goes across a slash.
            let half = start + WINDOW / 2;
            let slash = view.bytes[half..].iter().rposition(|&byte| byte == b'/');
            end = slash.map_or(end, |slash| half + slash);
        }
        let (copied, len) = (output.copied, output.out.len());
        let within = self.strict || shape.digits > 0 || end - start >= token::SHORTEST;
        let end = self.secrets(output, Word::new(view, start, end), within);
        if end.is_err() {
            output.copied = copied;
            output.out.truncate(len);
        }
        end
    }

    /// Masks the secrets of a word, and gives where what is known ends. `within`: some may be in it.
    fn secrets(
        &mut self,
        output: &mut Output<'_>,
        mut word: Word<'_>,
        within: bool,
    ) -> Result<usize, Undecided> {
        let Word { view, start, end, .. } = word;
        while within && let Some(secret) = word.within(self.strict)? {
            word.from = self.hide(output, view, secret);
            if word.from > end || matches!(self.mode, Mode::Run(_)) {
                return Ok(word.from);
            }
        }
        if word.from < end
            && let Some(secret) = word.after()?
        {
            return Ok(self.hide(output, view, secret));
        }
        if let Some(expected) = key::key(view, start, end)? {
            self.mode = Mode::Expecting { blanks: expected.blanks };
            return Ok(expected.from);
        }
        // A colon after a word does not begin an address: `std::fade`.
        Ok(end + usize::from(self.strict && view.at(end)? == b':'))
    }

    /// Masks `secret`, and gives where that ends: at the end of the view, perhaps before its end.
    fn hide(&mut self, output: &mut Output<'_>, view: View<'_>, secret: Secret) -> usize {
        let end = match secret.to {
            To::End(end) => end,
            To::Run(body, kind) => {
                let end = body + kind.run(&view.bytes[body..]);
                if end == view.bytes.len() {
                    self.mode = Mode::Run(kind);
                }
                end
            }
        };
        output.label(secret.from, secret.label);
        output.skip(secret.from, end);
        end
    }

    /// What comes after a key, a byte or two at a time, so that a prompt need not wait.
    fn value(
        &mut self,
        output: &mut Output<'_>,
        at: usize,
        blanks: bool,
        last: bool,
    ) -> Result<usize, Undecided> {
        let view = View::new(output.text, at, last);
        match view.bytes[at] {
            b' ' | b'\t' if blanks => return Ok(at + 1),
            ESC => return view.escape(at),
            _ => {}
        }
        Ok(match key::value(view, at)? {
            Value::None(end) => {
                self.mode = Mode::Text;
                end
            }
            Value::Bare(from, kind) => {
                output.label(from, Label::Token);
                self.mode = Mode::Run(kind);
                from
            }
            Value::Quoted(from, quote) => {
                self.mode = Mode::Quoted(quote);
                from
            }
        })
    }

    /// Leaves out what is quoted, and gives where that ends.
    fn quoted(&mut self, output: &mut Output<'_>, at: usize, mut quote: Quote) -> usize {
        output.copy(at);
        for (index, &byte) in output.text[at..].iter().enumerate() {
            let closes = byte == quote.mark && quote.closes();
            if byte == b'\\' {
                quote.seen += 1;
            } else if closes || matches!(byte, b'\n' | b'\r') {
                // These are of the closing quote.
                let slashes = if closes { quote.seen.min(quote.slashes) } else { 0 };
                if quote.seen > slashes && !quote.masked {
                    Label::Token.write(output.out);
                }
                output.out.extend(std::iter::repeat_n(b'\\', slashes));
                output.copied = at + index;
                self.mode = Mode::Text;
                return at + index;
            } else {
                if !quote.masked {
                    Label::Token.write(output.out);
                    quote.masked = true;
                }
                quote.seen = 0;
            }
        }
        output.copied = output.text.len();
        self.mode = Mode::Quoted(quote);
        output.text.len()
    }
}

/// What `text` becomes.
struct Output<'a> {
    text: &'a [u8],
    out: &'a mut Vec<u8>,
    /// Up to here it is done.
    copied: usize,
}

impl Output<'_> {
    /// What is not done up to `to` stays as it is.
    fn copy(&mut self, to: usize) {
        self.out.extend_from_slice(&self.text[self.copied..to]);
        self.copied = to;
    }

    /// The bytes from `from` to `to` are left out.
    fn skip(&mut self, from: usize, to: usize) {
        self.copy(from);
        self.copied = to;
    }

    /// `label` stands before the byte at `at`.
    fn label(&mut self, at: usize, label: Label) {
        self.copy(at);
        label.write(self.out);
    }
}
