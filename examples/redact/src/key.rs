//! Values of keys that say that they are secret.

use crate::bytes::Kind;
use crate::view::{Undecided, View};

/// The names that the keys of secrets end in, without `_` and `-`, which are those that end in these
/// two letters.
const fn names(ending: &[u8; 2]) -> &'static [&'static [u8]] {
    match ending {
        b"en" => &[b"token"],
        b"et" => &[b"secret"],
        b"ey" => &[b"apikey", b"accesskey", b"secretkey", b"privatekey"],
        b"on" => &[b"authorization"],
        b"rd" => &[b"password"],
        b"se" => &[b"passphrase"],
        b"wd" => &[b"passwd"],
        _ => &[],
    }
}

/// What says that there is no value.
const NO_VALUES: [&[u8]; 8] =
    [b"null", b"true", b"false", b"nil", b"none", b"None", b"True", b"False"];

/// How the value of a header `Authorization` begins, and what follows: RFC 9110, 11.6.2.
const SCHEMES: [(&[u8], Kind); 9] = [
    (b"apikey", Kind::Line),
    (b"aws4-hmac-sha256", Kind::Line),
    (b"basic", Kind::Value),
    (b"bearer", Kind::Value),
    (b"digest", Kind::Line),
    (b"negotiate", Kind::Value),
    (b"ntlm", Kind::Value),
    (b"signature", Kind::Line),
    (b"token", Kind::Line),
];

/// Longer than all of them.
const LONGEST: usize = 20;
/// As many backslashes as strings within strings within strings need before a quote.
const SLASHES: usize = 7;

/// Where to expect a secret value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// What follows the `:` or `=`.
    pub(crate) from: usize,
    /// It may come after blanks.
    pub(crate) blanks: bool,
}

/// Whether the word from `start` to `end` is a secret's key, and a `:` or `=` follows.
pub(crate) fn key(view: View<'_>, start: usize, end: usize) -> Result<Option<Expected>, Undecided> {
    let next = view.at(end)?;
    let second = view.bytes.get(end + 1).copied();
    if !may_follow([next, second.unwrap_or(b' ')]) || !is_key(&view.bytes[start..end]) {
        return Ok(None);
    }
    let closing = |byte| matches!(byte, b'"' | b'\'' | b']' | b'\\');
    let closed = view.while_(end, SLASHES + 2, closing)?;
    let at = view.blanks(closed)?;
    Ok(match (view.at(at)?, view.at(at + 1)?) {
        (b'=', b'=' | b'>') | (b':', b'=') => Some(Expected { from: at + 2, blanks: true }),
        // `password= user=bob` has no value.
        (b'=', _) => Some(Expected { from: at + 1, blanks: at > closed }),
        (b':', b':') => None,
        (b':', _) if view.bytes[end..closed].contains(&b']') => None,
        (b':', _) => Some(Expected { from: at + 1, blanks: true }),
        _ => None,
    })
}

/// Whether a `:` or `=` may come, where these two bytes follow a key.
pub(crate) fn may_follow(bytes: [u8; 2]) -> bool {
    Kind::AfterKey.has(bytes[0]) && (bytes[0] != b' ' || Kind::AfterKey.has(bytes[1]))
}

/// Whether `word` is a secret's key.
pub(crate) fn is_key(word: &[u8]) -> bool {
    let word = match word {
        // `user[password]` in a URL.
        [rest @ .., b'%', b'5', b'd' | b'D'] => rest,
        _ => word,
    };
    let [.., last_but_one, last] = word else { return false };
    names(&[last_but_one | b' ', last | b' ']).iter().any(|name| {
        let mut letters = word.iter().rev().filter(|byte| !matches!(byte, b'_' | b'-'));
        let mut name = name.iter().rev();
        name.all(|name| letters.next().is_some_and(|byte| byte.eq_ignore_ascii_case(name)))
    })
}

/// What stands where a secret value is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// None. What follows from here on is text.
    None(usize),
    /// One that begins here, and is made of this.
    Bare(usize, Kind),
    /// One that begins here, after its quote.
    Quoted(usize, Quote),
}

/// The value at `at`.
pub(crate) fn value(view: View<'_>, at: usize) -> Result<Value, Undecided> {
    if let Some((from, quote)) = opening(view, at)? {
        return Ok(Value::Quoted(from, quote));
    }
    let end = view.run(at, LONGEST, Kind::Value)?;
    let first = &view.bytes[at..end];
    if first.is_empty() || NO_VALUES.contains(&first) {
        return Ok(Value::None(end));
    }
    let scheme = SCHEMES.iter().find(|(scheme, _)| first.eq_ignore_ascii_case(scheme));
    let (from, run) = match scheme {
        Some((_, run)) => {
            let next = view.while_(end, usize::MAX, |byte| byte == b' ')?;
            let alone = next == end || !Kind::Value.has(view.at(next)?);
            if alone { (at, Kind::Value) } else { (next, *run) }
        }
        None => (at, Kind::Value),
    };
    // More keys and values, or what has been masked before.
    let opens = matches!(view.at(from)?, b'[' | b'{' | b'(');
    Ok(if opens { Value::None(from) } else { Value::Bare(from, run) })
}

/// The quote that a value at `at` begins with: in a list, perhaps, or of Python's `b'...'`.
fn opening(view: View<'_>, at: usize) -> Result<Option<(usize, Quote)>, Undecided> {
    let before = match view.at(at)? {
        b'[' => 1,
        b'b' | b'r' | b'u' if matches!(view.at(at + 1)?, b'"' | b'\'') => 1,
        _ => 0,
    };
    let slashed = view.while_(at + before, SLASHES, |byte| byte == b'\\')?;
    let mark = view.at(slashed)?;
    let quote = Quote { mark, slashes: slashed - at - before, seen: 0, masked: false };
    Ok(matches!(mark, b'"' | b'\'').then_some((slashed + 1, quote)))
}

/// Within a quoted value.
///
/// In a string within a string, a quote has one backslash, one level deeper three, then seven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote {
    /// `"` or `'`.
    pub(crate) mark: u8,
    /// How many backslashes there were before it when the value began.
    pub(crate) slashes: usize,
    /// How many have just been seen.
    pub(crate) seen: usize,
    /// The value has begun, and is masked.
    pub(crate) masked: bool,
}

impl Quote {
    /// Whether a mark after the backslashes that have been seen ends the value, or what is around
    /// it.
    pub(crate) fn closes(self) -> bool {
        self.seen < self.slashes || self.seen % (2 * (self.slashes + 1)) == self.slashes
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, Kind, Quote, Undecided, Value, View, is_key, key, names, value};

    fn view(text: &str) -> View<'_> {
        View::new(text.as_bytes(), 0, true)
    }

    #[test]
    fn keys() {
        for name in
            ["password", "PGPASSWORD", "api_key", "Api-Key", "apiKey", "AWS_SECRET_ACCESS_KEY"]
        {
            assert!(is_key(name.as_bytes()), "{name}");
        }
        for name in
            ["X-Auth-Token", "Proxy-Authorization", "clientSecret", "--token", "user%5Bpasswd%5D"]
        {
            assert!(is_key(name.as_bytes()), "{name}");
        }
        for name in ["tokens", "password_hash", "key", "monkey", "secretary", "authorized", "", "-"]
        {
            assert!(!is_key(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn all_names_end_as_keys_do() {
        let letters = || b'a'..=b'z';
        let mut count = 0;
        for ending in letters().flat_map(|first| letters().map(move |second| [first, second])) {
            for name in names(&ending) {
                assert!(name.ends_with(&ending) && is_key(name), "{}", name.escape_ascii());
                assert!(Kind::KeyEnd.has(ending[1]), "{}", name.escape_ascii());
                count += 1;
            }
        }
        assert_eq!(count, 10);
        assert!(Kind::KeyEnd.has(b'D'), "as in %5D");
    }

    #[test]
    fn what_follows_a_key() {
        let expected = |text| key(view(text), 0, 5).unwrap();
        let some = |from, blanks| Some(Expected { from, blanks });
        assert_eq!(expected("token=x"), some(6, false));
        assert_eq!(expected("token = x"), some(7, true));
        assert_eq!(expected("token: x"), some(6, true));
        assert_eq!(expected("token\" : \"x\""), some(8, true));
        assert_eq!(expected("token\\\":\\\"x\\\""), some(8, true));
        assert_eq!(expected("token\"=>\"x\""), some(8, true));
        assert_eq!(expected("token := x"), some(8, true));
        assert_eq!(expected("token]=x"), some(7, false));
        assert_eq!(expected("token\x1b[0m\x1b[2m=\x1b[0mx"), some(14, true));
        for text in ["token::Kind", "token expired", "token, x", "token]: x", "token", "token \nx"]
        {
            assert_eq!(expected(text), None, "{text}");
        }
        assert_eq!(key(View::new(b"token=", 0, false), 0, 5), Err(Undecided));
        assert_eq!(key(View::new(b"words ", 0, false), 0, 5), Ok(None));
    }

    #[test]
    fn bare_values() {
        let bare = |text| value(view(text), 0).unwrap();
        assert_eq!(bare("hunter2,"), Value::Bare(0, Kind::Value));
        assert_eq!(bare("Bearer abc"), Value::Bare(7, Kind::Value));
        assert_eq!(bare("Digest username=\"b\""), Value::Bare(7, Kind::Line));
        assert_eq!(bare("basic"), Value::Bare(0, Kind::Value));
        assert_eq!(bare("basic, x"), Value::Bare(0, Kind::Value));
        assert_eq!(bare("null,"), Value::None(4));
        assert_eq!(bare("nullify"), Value::Bare(0, Kind::Value));
        for text in ["", "\n", ",", "{\"a\":1}", "[token]", "[]", "(x)", "<x>", "\\n"] {
            assert_eq!(bare(text), Value::None(0), "{text}");
        }
        assert_eq!(bare("Bearer [token]"), Value::None(7));
        assert_eq!(value(View::new(b"Bear", 0, false), 0), Err(Undecided));
    }

    #[test]
    fn quoted_values() {
        let quote = |mark, slashes| Quote { mark, slashes, seen: 0, masked: false };
        let quoted = |text| value(view(text), 0).unwrap();
        assert_eq!(quoted("\"x\""), Value::Quoted(1, quote(b'"', 0)));
        assert_eq!(quoted("'x'"), Value::Quoted(1, quote(b'\'', 0)));
        assert_eq!(quoted("\\\"x\\\""), Value::Quoted(2, quote(b'"', 1)));
        assert_eq!(quoted("b'x'"), Value::Quoted(2, quote(b'\'', 0)));
        assert_eq!(quoted("[\"x\"]"), Value::Quoted(2, quote(b'"', 0)));
    }

    #[test]
    fn quotes_close_at_their_depth() {
        let closes = |slashes, seen| Quote { mark: b'"', slashes, seen, masked: true }.closes();
        assert_eq!([0, 1, 2, 3].map(|seen| closes(0, seen)), [true, false, true, false]);
        assert_eq!([0, 1, 2, 3, 5].map(|seen| closes(1, seen)), [true, true, false, false, true]);
        assert_eq!([2, 3, 7, 11].map(|seen| closes(3, seen)), [true, true, false, true]);
    }
}
