//! Reads paths, each ended by a NUL as `find -print0` writes them, and writes two for each that has
//! blanks, control characters or other bytes of trouble in its last part: itself, and a harmless one.
//! `xargs -0 -n 2 mv --` renames the files.

use std::io::{self, BufRead, BufReader, BufWriter, Error, ErrorKind, Read, Write};

/// How long a path may be: PATH_MAX, with room to spare.
const MOST: u64 = 64 * 1024;

fn main() -> io::Result<()> {
    let output = pipehost_guest::output()?;
    tidy(BufReader::new(pipehost_guest::input()?), BufWriter::new(output))
}

fn tidy(mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut path = Vec::new();
    loop {
        path.clear();
        if (&mut input).take(MOST).read_until(0, &mut path)? == 0 {
            return output.flush();
        }
        if path.pop() != Some(0) {
            return Err(Error::new(ErrorKind::InvalidData, "a path has no NUL at its end"));
        }
        let tidied = harmless(&path);
        if tidied != path {
            for one in [&path, &tidied] {
                output.write_all(one)?;
                output.write_all(&[0])?;
            }
            // Whoever renames need not wait for the last one.
            output.flush()?;
        }
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
        tidy(&b"a b\0plain\0c\nd\0"[..], &mut out).unwrap();
        assert_eq!(out, b"a b\0a_b\0c\nd\0c_d\0");
        assert_eq!(tidy(&b"a b"[..], Vec::new()).unwrap_err().kind(), ErrorKind::InvalidData);
        let endless = vec![b'x'; 1 << 20];
        assert_eq!(tidy(&endless[..], Vec::new()).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
