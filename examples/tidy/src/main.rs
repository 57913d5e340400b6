//! Reads paths, each ended by a NUL as `find -print0` writes them, and writes two for each that has
//! blanks, control characters or other bytes of trouble in its last part: itself, and a harmless one.
//! `xargs -0 -n 2 mv --` renames the files.

use std::io::{self, Read, Write};

use pipehost_guest::records::{Filter, Framing, Malformed, Nul, Scan};

/// How long a path may be: PATH_MAX, with room to spare.
const MOST: usize = 64 * 1024;

fn main() -> io::Result<()> {
    tidy(Filter::open()?)
}

fn tidy(filter: Filter<impl Read, impl Write>) -> io::Result<()> {
    filter.bound(MOST).records(Whole, |path, out| {
        let tidied = harmless(path);
        if tidied == path {
            return Ok(());
        }
        out.put(path)?;
        out.put(&tidied)
    })
}

/// [`Nul`], but the last record needs its zero byte, too: of a path that was cut off, the beginning may
/// be that of another file.
#[derive(Clone)]
struct Whole;

impl Framing for Whole {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        Nul.scan(bytes)
    }

    fn end(&mut self) -> Result<(), Malformed> {
        Err(Malformed::CutOff)
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        Nul.put(record, out)
    }
}

/// Returns the path with a last part that no shell takes for anything else.
fn harmless(path: &[u8]) -> Vec<u8> {
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let mut tidied = path.to_vec();
    for (at, byte) in tidied[start..].iter_mut().enumerate() {
        let is_fine = byte.is_ascii_alphanumeric() || b"._+@%,=:-".contains(byte) || *byte >= 0x80;
        if !is_fine || at == 0 && *byte == b'-' {
            *byte = b'_';
        }
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn names() {
        for (before, after) in [
            ("./a b/c d", "./a b/c_d"),
            ("-rf", "_rf"),
            ("x/a\nb$(c)", "x/a_b__c_"),
            ("x/\u{e9}-1.txt", "x/\u{e9}-1.txt"),
            ("x/", "x/"),
            ("", ""),
        ] {
            assert_eq!(harmless(before.as_bytes()), after.as_bytes());
        }
    }

    #[test]
    fn pairs() {
        let mut out = Vec::new();
        tidy(Filter::between(&b"a b\0plain\0c\nd\0"[..], &mut out)).unwrap();
        assert_eq!(out, b"a b\0a_b\0c\nd\0c_d\0");
        let endless = vec![b'x'; 1 << 20];
        for (wrong, kind) in
            [(&b"a b"[..], ErrorKind::UnexpectedEof), (&endless, ErrorKind::InvalidData)]
        {
            let error = tidy(Filter::between(wrong, io::sink())).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
