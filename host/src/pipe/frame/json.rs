//! Whether bytes are one JSON text, without building a value.

use serde::de::IgnoredAny;

/// How deep arrays and objects may be nested: as deep as `serde_json` reads them, so that a reader which does it by
/// recursion is safe.
const MOST_DEPTH: usize = 127;

/// Returns whether `bytes` are one JSON text (RFC 8259) in UTF-8, nested at most [`MOST_DEPTH`] deep.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    let is_utf8 = || std::str::from_utf8(bytes).is_ok();
    is_utf8() && is_shallow(bytes) && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Returns whether JSON is nested at most [`MOST_DEPTH`] deep.
fn is_shallow(bytes: &[u8]) -> bool {
    let opens = |byte: &&u8| matches!(byte, b'[' | b'{');
    if bytes.iter().filter(opens).count() <= MOST_DEPTH {
        return true;
    }
    let (mut depth, mut in_string, mut rest) = (0_usize, false, bytes.iter());
    while let Some(byte) = rest.next() {
        match (in_string, byte) {
            (true, b'\\') => _ = rest.next(),
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') if depth == MOST_DEPTH => return false,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn what_parses_is_json() {
        for text in ["1", "null", " {} ", "[1, {\"a\": \"\\u00e4\"}]\r", "\"[[[\"", "-1e5"] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
        for text in
            ["", " ", "{", "{}{}", "[1,]", "{a: 1}", "'a'", "nul", "01", "\"\t\"", "\u{feff}1"]
        {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
        assert!(!is_json(b"\"\xff\"") && !is_json(b"\"\xed\xa0\x80\""));
    }

    #[test]
    fn what_is_nested_too_deep_is_none() {
        assert!(is_json(nested(MOST_DEPTH).as_bytes()));
        assert!(!is_json(nested(MOST_DEPTH + 1).as_bytes()));
        // Side by side, and in strings, is not deep.
        let flat = format!("[{}[]]", "[],".repeat(1000));
        assert!(is_json(flat.as_bytes()));
        let text = format!("[\"{}\\\"\"]", "[".repeat(1000));
        assert!(is_json(text.as_bytes()));
        // No matter how deep, it is not followed by recursion.
        assert!(!is_json("[".repeat(1 << 20).as_bytes()));
    }

    #[test]
    fn what_serde_reads_is_as_deep() {
        let read = |depth| serde_json::from_str::<serde_json::Value>(&nested(depth)).is_ok();
        assert!(read(MOST_DEPTH) && !read(MOST_DEPTH + 1));
    }
}
