//! Which bytes make up what.

/// A letter, a digit, or what joins them: what is between two other bytes is a word.
pub(crate) const WORD: u16 = 1;
/// A decimal digit.
pub(crate) const DIGIT: u16 = 1 << 1;
/// What a colour begins with.
pub(crate) const ESCAPE: u16 = 1 << 2;
/// A colon: an IPv6 address can begin with two.
pub(crate) const COLON: u16 = 1 << 3;
/// A dot.
pub(crate) const DOT: u16 = 1 << 4;
/// What encodes another byte in a URL.
pub(crate) const PERCENT: u16 = 1 << 5;
/// A letter that a secret's key can end in.
pub(crate) const KEY_END: u16 = 1 << 6;
/// What can come right after a secret's key that has a value.
pub(crate) const AFTER_KEY: u16 = 1 << 7;

/// ESC.
pub(crate) const ESC: u8 = 0x1b;

/// All that a byte is.
#[inline]
pub(crate) fn class(byte: u8) -> u16 {
    CLASS[usize::from(byte)]
}

static CLASS: [u16; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = classify(byte as u8);
        byte += 1;
    }
    classes
};

const fn classify(byte: u8) -> u16 {
    let mut class = match byte {
        b'0'..=b'9' => WORD | DIGIT,
        b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => WORD,
        b'_' | b'+' | b'-' | b'/' | b'~' => WORD,
        b'.' => WORD | DOT,
        b'%' => WORD | PERCENT,
        ESC => ESCAPE,
        b':' => COLON,
        _ => 0,
    };
    if matches!(byte.to_ascii_lowercase(), b'd' | b'e' | b'n' | b't' | b'y') {
        class |= KEY_END;
    }
    if matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b']' | b':' | b'=' | ESC) {
        class |= AFTER_KEY;
    }
    let mut index = 0;
    while index < Run::ALL.len() {
        if Run::ALL[index].is_of(byte) {
            class |= Run::ALL[index].bit();
        }
        index += 1;
    }
    class
}

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
    const ALL: [Self; 7] = [
        Self::Alnum,
        Self::Token,
        Self::Dotted,
        Self::Base64,
        Self::Bearer,
        Self::Value,
        Self::Line,
    ];

    const fn bit(self) -> u16 {
        1 << (8 + self as u16)
    }

    const fn is_of(self, byte: u8) -> bool {
        let token = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Token => token,
            Self::Dotted => token || byte == b'.',
            Self::Base64 => token || matches!(byte, b'+' | b'/'),
            Self::Bearer => token || matches!(byte, b'+' | b'/' | b'.' | b'~' | b'='),
            Self::Value => !matches!(
                byte,
                0..=b' '
                    | b','
                    | b';'
                    | b'&'
                    | b'"'
                    | b'\''
                    | b'`'
                    | b'<'
                    | b'>'
                    | b')'
                    | b']'
                    | b'}'
                    | b'\\'
                    | 0x7f
            ),
            Self::Line => !matches!(byte, b'\n' | b'\r'),
        }
    }

    /// Whether `byte` is one of its bytes.
    #[inline]
    pub(crate) fn holds(self, byte: u8) -> bool {
        class(byte) & self.bit() != 0
    }

    /// How many of its bytes `bytes` begins with.
    #[inline]
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
