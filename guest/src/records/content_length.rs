//! The base protocol of the Language Server Protocol.

use super::{Framing, Malformed, Scan};

/// Records with a header that says `Content-Length: N`, as language servers and debug adapters
/// speak.
///
/// ```
/// use pipehost_guest::records::{ContentLength, RecordReader, RecordWriter};
///
/// let mut out = Vec::new();
/// RecordWriter::new(&mut out, ContentLength::default()).put(b"{}")?;
/// assert_eq!(out, b"Content-Length: 2\r\n\r\n{}");
/// let mut messages = RecordReader::new(&out[..], ContentLength::default());
/// assert_eq!(messages.next()?, Some(&b"{}"[..]));
/// assert_eq!(messages.next()?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Other header fields are read over. A header has at most 8 KiB, and its lines may end without a
/// carriage return.
#[derive(Clone, Debug, Default)]
pub struct ContentLength {
    header: Vec<u8>,
    /// How long the content is, once the header has ended, and how much of it is missing.
    content: Option<usize>,
}

/// How long a header may be: a peer that never ends it must not fill the memory.
const HEADER: usize = 8 * 1024;

impl Framing for ContentLength {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        let mut at = 0;
        let missing = match self.content {
            Some(missing) => missing,
            None => loop {
                let Some(&byte) = bytes.get(at) else {
                    return Ok(Scan::More { head: self.header.len(), needs: 0 });
                };
                if self.header.len() == HEADER {
                    let why = format!("has a header of more than {HEADER} bytes");
                    return Err(Malformed::Other(why));
                }
                self.header.push(byte);
                at += 1;
                if byte == b'\n' && ends(&self.header) {
                    break length(&self.header)?;
                }
            },
        };
        let head = self.header.len();
        let here = bytes.len() - at;
        if here < missing {
            self.content = Some(missing - here);
            return Ok(Scan::More { head, needs: missing - here });
        }
        self.header.clear();
        self.content = None;
        Ok(Scan::End { len: at + missing, head, tail: 0 })
    }

    fn end(&mut self) -> Result<(), Malformed> {
        Err(Malformed::CutOff)
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", record.len()).as_bytes());
        out.extend_from_slice(record);
        Ok(())
    }
}

/// Whether a header that ends in a newline ends in an empty line.
fn ends(header: &[u8]) -> bool {
    header.ends_with(b"\n\r\n") || header.ends_with(b"\n\n") || matches!(header, b"\n" | b"\r\n")
}

/// Returns the length that a header says.
fn length(header: &[u8]) -> Result<usize, Malformed> {
    let other = |why: &str| Malformed::Other(why.to_owned());
    let header = str::from_utf8(header).map_err(|_| other("has a header that is not UTF-8"))?;
    let mut found = None;
    for line in header.lines().filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            let line: String = line.chars().take(40).collect();
            return Err(Malformed::Other(format!("has a header with the line {line:?}")));
        };
        if !name.trim().eq_ignore_ascii_case("content-length") {
            continue;
        }
        let value = value.trim();
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // What is too large for a number is too large for any bound.
        let length = is_number.then(|| value.parse().unwrap_or(usize::MAX));
        match (length, found) {
            (None, _) => return Err(other("has a Content-Length that is not a number")),
            (Some(_), Some(_)) => return Err(other("has two headers Content-Length")),
            (Some(length), None) => found = Some(length),
        }
    }
    found.ok_or_else(|| other("has a header without Content-Length"))
}
