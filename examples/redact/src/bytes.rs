//! Which bytes make up what.

/// A letter, a digit, or what joins them: what is between two other bytes is a word.
pub(crate) const WORD: u8 = 1;
/// A decimal digit.
pub(crate) const DIGIT: u8 = 2;
/// The byte that a colour begins with.
pub(crate) const ESCAPE: u8 = 4;
/// A colon: an IPv6 address can begin with two.
pub(crate) const COLON: u8 = 8;

/// ESC.
pub(crate) const ESC: u8 = 0x1b;

/// Which of the four each byte is.
pub(crate) static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'0'..=b'9' => WORD | DIGIT,
            b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => WORD,
            b'.' | b'_' | b'%' | b'+' | b'-' | b'/' | b'~' => WORD,
            ESC => ESCAPE,
            b':' => COLON,
            _ => 0,
        };
        byte += 1;
    }
    class
};

/// What a secret of unknown length is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_` and `-`.
    Token,
    /// The same, and dots.
    Dotted,
    /// Both alphabets of base64.
    Base64,
    /// What RFC 6750 has a bearer token made of.
    Bearer,
    /// What an unquoted value is made of.
    Value,
    /// All up to the end of the line.
    Line,
}

impl Run {
    pub(crate) fn holds(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Token => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => Self::Token.holds(byte) || byte == b'.',
            Self::Base64 => Self::Token.holds(byte) || matches!(byte, b'+' | b'/'),
            Self::Bearer => Self::Base64.holds(byte) || matches!(byte, b'.' | b'~' | b'='),
            Self::Value => byte > b' ' && !b",;&\"'`<>)]}\\\x7f".contains(&byte),
            Self::Line => !matches!(byte, b'\n' | b'\r'),
        }
    }

    /// How many bytes of it `bytes` begins with.
    pub(crate) fn len(self, bytes: &[u8]) -> usize {
        bytes.iter().position(|&byte| !self.holds(byte)).unwrap_or(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Run;

    #[test]
    fn runs_end_where_they_should() {
        assert_eq!(Run::Alnum.len(b"a1_b"), 2);
        assert_eq!(Run::Token.len(b"a_1-b.c"), 5);
        assert_eq!(Run::Dotted.len(b"a_1-b.c/d"), 7);
        assert_eq!(Run::Base64.len(b"ab+/8w==."), 6);
        assert_eq!(Run::Bearer.len(b"a.b~c== d"), 7);
        assert_eq!(Run::Value.len(b"p@ss:w0rd&user=1"), 9);
        assert_eq!(Run::Value.len("pässwört, x".as_bytes()), 10);
        assert_eq!(Run::Line.len(b"a \"b\", c\r\n"), 8);
        assert_eq!(Run::Line.len(b""), 0);
    }
}
