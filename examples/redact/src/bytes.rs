//! Which bytes make up what.

/// ESC.
pub(crate) const ESC: u8 = 0x1b;

/// A kind of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Letters, digits, and what joins them: what is between two other bytes is a word.
    Word,
    /// Decimal digits.
    Digit,
    /// ASCII letters and digits.
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
    /// What a line is made of.
    Line,
    /// What is between two dots of a domain.
    Label,
    /// What an IPv4 address is made of.
    Ipv4,
    /// What an IPv6 address is made of.
    Ipv6,
    /// The letters that the keys of secrets end in.
    KeyEnd,
    /// What can come right after the key of a secret that has a value.
    AfterKey,
}

impl Kind {
    const ALL: [Self; 14] = [
        Self::Word,
        Self::Digit,
        Self::Alnum,
        Self::Token,
        Self::Dotted,
        Self::Base64,
        Self::Bearer,
        Self::Value,
        Self::Line,
        Self::Label,
        Self::Ipv4,
        Self::Ipv6,
        Self::KeyEnd,
        Self::AfterKey,
    ];

    /// Whether `byte` is of this kind. For constants: [`Kind::has`] is faster.
    pub(crate) const fn defines(self, byte: u8) -> bool {
        let alnum = byte.is_ascii_alphanumeric();
        match self {
            Self::Word => {
                alnum
                    || byte >= 0x80
                    || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'/' | b'~')
            }
            Self::Digit => byte.is_ascii_digit(),
            Self::Alnum => alnum,
            Self::Token => alnum || matches!(byte, b'_' | b'-'),
            Self::Dotted => alnum || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => alnum || matches!(byte, b'_' | b'-' | b'+' | b'/'),
            Self::Bearer => alnum || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'.' | b'~' | b'='),
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
            Self::Label => alnum || byte >= 0x80 || byte == b'-',
            Self::Ipv4 => byte.is_ascii_digit() || byte == b'.',
            Self::Ipv6 => byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'),
            Self::KeyEnd => matches!(byte | b' ', b'd' | b'e' | b'n' | b't' | b'y'),
            Self::AfterKey => {
                matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b']' | b':' | b'=' | ESC)
            }
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Whether `byte` is of this kind.
    #[inline]
    pub(crate) fn has(self, byte: u8) -> bool {
        KINDS[usize::from(byte)] & self.bit() != 0
    }

    /// How many bytes of this kind `bytes` begins with.
    #[inline]
    pub(crate) fn run(self, bytes: &[u8]) -> usize {
        let mut len = 0;
        // By eight: in a guest, a turn of a loop costs more than what is done in it.
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let mut others = 0u32;
            for (index, &byte) in eight.iter().enumerate() {
                others |= u32::from(!self.has(byte)) << index;
            }
            if others != 0 {
                return len + others.trailing_zeros() as usize;
            }
            len += 8;
        }
        len + rest.iter().position(|&byte| !self.has(byte)).unwrap_or(rest.len())
    }
}

/// Of which kinds each byte is, by [`Kind::bit`].
static KINDS: [u16; 256] = {
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut index = 0;
        while index < Kind::ALL.len() {
            if Kind::ALL[index].defines(byte as u8) {
                all[byte] |= Kind::ALL[index].bit();
            }
            index += 1;
        }
        byte += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn runs_end_where_they_should() {
        assert_eq!(Kind::Alnum.run(b"a1_b"), 2);
        assert_eq!(Kind::Token.run(b"a_1-b.c"), 5);
        assert_eq!(Kind::Dotted.run(b"a_1-b.c/d"), 7);
        assert_eq!(Kind::Base64.run(b"ab+/8w==."), 6);
        assert_eq!(Kind::Bearer.run(b"a.b~c== d"), 7);
        assert_eq!(Kind::Value.run(b"p@ss:w0rd&user=1"), 9);
        assert_eq!(Kind::Value.run("pässwört, x".as_bytes()), 10);
        assert_eq!(Kind::Line.run(b"a \"b\", c\r\n"), 8);
        assert_eq!(Kind::Line.run(b""), 0);
    }

    #[test]
    fn tables_say_what_the_definitions_do() {
        for byte in 0..=255 {
            for kind in Kind::ALL {
                assert_eq!(kind.has(byte), kind.defines(byte), "{kind:?} {byte}");
            }
        }
    }

    #[test]
    fn no_length_is_special() {
        for len in 0..30 {
            let mut text = vec![b'1'; 40];
            text[len] = b' ';
            assert_eq!(Kind::Digit.run(&text), len);
            assert_eq!(Kind::Digit.run(&text[..len]), len);
        }
    }
}
