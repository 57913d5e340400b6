//! JSON values, one after the other.

use super::{Framing, Malformed, Scan};

/// JSON values: one a line, or with any white space or none between them.
///
/// It finds where a value ends, and does not check it. [`Filter::json`](super::Filter::json) does, of
/// the feature `json`, and gives the function values in place of bytes. A value is written with a
/// newline after it.
///
/// ```
/// use pipehost_guest::records::{Json, RecordReader};
///
/// let mut values = RecordReader::new(&b"{\"a\": [1]}[2]\n\n 3 \"x\""[..], Json::default());
/// assert_eq!(values.next()?, Some(&b"{\"a\": [1]}"[..]));
/// assert_eq!(values.next()?, Some(&b"[2]"[..]));
/// assert_eq!(values.next()?, Some(&b"3"[..]));
/// assert_eq!(values.next()?, Some(&b"\"x\""[..]));
/// assert_eq!(values.next()?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json {
    place: Place,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    /// A number, `true`, `false`, `null`, or what is no JSON.
    Bare,
    /// As many arrays and objects.
    Inside(u64),
    /// A string, inside of as many.
    Text { depth: u64, escaped: bool },
}

/// White space, and the record separator of RFC 7464.
fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1e)
}

impl Framing for Json {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        if self.place == Place::Between {
            let gap = bytes.iter().take_while(|&&byte| is_gap(byte)).count();
            if gap > 0 {
                return Ok(Scan::Gap(gap));
            }
        }
        let mut place = self.place;
        for (at, &byte) in bytes.iter().enumerate() {
            let (next, len) = match (place, byte) {
                (Place::Between, b'"') => (Place::Text { depth: 0, escaped: false }, 0),
                (Place::Between, b'{' | b'[') => (Place::Inside(1), 0),
                (Place::Between, _) => (Place::Bare, 0),
                // A bare value ends where something else begins.
                (Place::Bare, b'"' | b'{' | b'[') => (Place::Between, at),
                (Place::Bare, byte) if is_gap(byte) => (Place::Between, at),
                (Place::Bare, _) => (Place::Bare, 0),
                (Place::Inside(depth), b'"') => (Place::Text { depth, escaped: false }, 0),
                (Place::Inside(depth), b'{' | b'[') => (Place::Inside(depth + 1), 0),
                (Place::Inside(1), b'}' | b']') => (Place::Between, at + 1),
                (Place::Inside(depth), b'}' | b']') => (Place::Inside(depth - 1), 0),
                (Place::Inside(depth), _) => (Place::Inside(depth), 0),
                (Place::Text { depth, escaped: true }, _) => {
                    (Place::Text { depth, escaped: false }, 0)
                }
                (Place::Text { depth, .. }, b'\\') => (Place::Text { depth, escaped: true }, 0),
                (Place::Text { depth: 0, .. }, b'"') => (Place::Between, at + 1),
                (Place::Text { depth, .. }, b'"') => (Place::Inside(depth), 0),
                (text, _) => (text, 0),
            };
            if next == Place::Between {
                self.place = next;
                return Ok(Scan::End { len, head: 0, tail: 0 });
            }
            place = next;
        }
        self.place = place;
        Ok(Scan::More { head: 0, needs: 0 })
    }

    fn end(&mut self) -> Result<(), Malformed> {
        match std::mem::take(&mut self.place) {
            Place::Between | Place::Bare => Ok(()),
            Place::Inside(_) | Place::Text { .. } => Err(Malformed::CutOff),
        }
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        out.reserve(record.len() + 1);
        out.extend_from_slice(record);
        out.push(b'\n');
        Ok(())
    }
}
