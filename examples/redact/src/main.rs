//! Masks e-mail addresses, tokens, passwords and card numbers in a text log, from the pipe `in` (or
//! stdin) to the pipe `out` (or stdout). With `--strict` IP addresses and long random words, too; with
//! `--confirm` each line is confirmed.

mod confirmed;

use std::io::{self, Error, ErrorKind, Write};

use pipehost_guest::records::Filter;
use redact::{Masker, WINDOW};

const USAGE: &str = "\
usage: redact [--strict] [--confirm]

Copies a log and masks what should not stay in it:
  [email]         e-mail addresses
  [token]         JWTs, bearer tokens, tokens with a well-known prefix, passwords in URLs,
                  the values of keys such as password, secret, token, api_key, authorization
  [card ..1234]   payment card numbers, all but the last four digits

  --strict        masks IP addresses as [ip], and long words that look random as [token]
  --confirm       writes OK to the pipe `confirm` at the start, and for each line that is written:
                  what rsyslog's omprog asks for with confirmMessages
  --help          prints this
";

fn main() -> io::Result<()> {
    let (mut strict, mut confirm) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--strict" => strict = true,
            "--confirm" => confirm = true,
            "--help" | "-h" => return io::stdout().write_all(USAGE.as_bytes()),
            _ => {
                let advice = format!("unknown argument {argument:?}; type: redact --help");
                return Err(Error::new(ErrorKind::InvalidInput, advice));
            }
        }
    }

    if confirm {
        let (input, output) = (pipehost_guest::input()?, pipehost_guest::output()?);
        return confirmed::copy(strict, input, output, pipehost_guest::open_writer("confirm")?);
    }
    let mut masker = Masker::new(strict);
    let mut masked = Vec::new();
    // The masker leaves less than a window.
    Filter::open()?.bound(WINDOW).pieces(|text, is_last, out| {
        let done = masker.mask(text, is_last, &mut masked);
        out.put(&masked)?;
        masked.clear();
        Ok(done)
    })
}
