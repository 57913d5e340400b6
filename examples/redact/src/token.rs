//! Tokens that are known by how they look.

use crate::bytes::Kind;
use crate::view::{Undecided, View};

/// The shortest word that a token is looked for in.
pub(crate) const SHORTEST: usize = 20;
/// Shorter than any header of a JWT: `{"alg":"none"}` has 19 bytes.
const JWT_HEADER: usize = 16;
/// The shortest word after `Bearer` that is a token though it has no digit.
const BEARER_LETTERS: usize = 20;
/// The shortest word after `Bearer` that is a token.
const BEARER: usize = 8;
/// The longest of the letters and digits that a prefix begins with: `github`.
const LONGEST_PREFIX: usize = 6;
/// How far into a token its kind shows.
const ENOUGH: usize = 64;

/// What the tokens of well-known services begin with, how many bytes follow at least, and which.
const PREFIXES: [(&[u8], usize, Kind); 27] = [
    (b"AKIA", 16, Kind::Alnum),
    (b"ASIA", 16, Kind::Alnum),
    (b"AIza", 30, Kind::Token),
    (b"SG.", 40, Kind::Dotted),
    (b"dop_v1_", 32, Kind::Alnum),
    (b"gho_", 30, Kind::Alnum),
    (b"ghp_", 30, Kind::Alnum),
    (b"ghr_", 30, Kind::Alnum),
    (b"ghs_", 30, Kind::Alnum),
    (b"ghu_", 30, Kind::Alnum),
    (b"github_pat_", 22, Kind::Token),
    (b"glpat-", 20, Kind::Dotted),
    (b"hf_", 30, Kind::Alnum),
    (b"npm_", 30, Kind::Alnum),
    (b"pypi-", 32, Kind::Token),
    (b"rk_live_", 16, Kind::Alnum),
    (b"rk_test_", 16, Kind::Alnum),
    (b"sk_live_", 16, Kind::Alnum),
    (b"sk_test_", 16, Kind::Alnum),
    (b"sk-", 20, Kind::Token),
    (b"xapp-", 16, Kind::Token),
    (b"xoxa-", 16, Kind::Token),
    (b"xoxb-", 16, Kind::Token),
    (b"xoxe-", 16, Kind::Token),
    (b"xoxp-", 16, Kind::Token),
    (b"xoxr-", 16, Kind::Token),
    (b"xoxs-", 16, Kind::Token),
];

/// How long the prefix is that makes `text` begin with a token, and what the token goes on with.
/// `text` begins with `len` letters and digits.
pub(crate) fn prefixed(text: &[u8], len: usize) -> Option<(usize, Kind)> {
    // All prefixes end their part of the word, but for these of Amazon and Google.
    if !matches!(text.first()?, b'A' | b'S' | b'd' | b'g' | b'h' | b'n' | b'p' | b'r' | b's' | b'x')
        || len > LONGEST_PREFIX && !text.starts_with(b"A")
    {
        return None;
    }
    let (prefix, least, kind) = PREFIXES.iter().find(|(prefix, ..)| text.starts_with(prefix))?;
    let body = &text[prefix.len()..];
    let body = &body[..kind.run(&body[..body.len().min(ENOUGH)])];
    // Words of small letters are names, not tokens.
    let random = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    (body.len() >= *least && body.iter().any(random)).then_some((prefix.len(), *kind))
}

/// Whether `text` begins with the header of a JWT and more: RFC 7519. Else, how long what looked
/// like a header is.
pub(crate) fn jwt(text: &[u8]) -> Result<(), usize> {
    if !text.starts_with(b"eyJ") {
        return Err(0);
    }
    let header = Kind::Token.run(text);
    let dotted = matches!(text[header..], [b'.', next, ..] if Kind::Dotted.has(next));
    if header >= JWT_HEADER && dotted { Ok(()) } else { Err(header) }
}

/// Whether `word` says that a token follows.
pub(crate) fn is_bearer(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"bearer")
}

/// Where the token begins that follows the word `Bearer`, which ends at `end`.
pub(crate) fn bearer(view: View<'_>, end: usize) -> Result<Option<usize>, Undecided> {
    let from = view.while_(end, usize::MAX, |byte| byte == b' ')?;
    if from == end {
        return Ok(None);
    }
    let token = &view.bytes[from..view.run(from, ENOUGH, Kind::Bearer)?];
    let digit = token.iter().any(u8::is_ascii_digit);
    let likely = token.len() >= BEARER_LETTERS || token.len() >= BEARER && digit;
    Ok(likely.then_some(from))
}

/// Where the password begins and ends in `://user:password@host`, of which the `:` is at `colon`.
/// With the user, where that is a token or an address.
pub(crate) fn in_url(view: View<'_>, colon: usize) -> Result<Option<(usize, usize)>, Undecided> {
    for slash in 1..=2 {
        if view.at(colon + slash)? != b'/' {
            return Ok(None);
        }
    }
    let start = colon + 3;
    let host = view.run(start, usize::MAX, Kind::Dotted)?;
    if matches!(view.at(host)?, b'/' | b' ' | b'"') {
        // As it is with nearly all.
        return Ok(None);
    }
    let (mut user, mut end) = (None, None);
    let mut at = host;
    loop {
        match view.at(at)? {
            // A password with an @ of its own is wrong, and common.
            b'@' => end = Some(at),
            b':' if user.is_none() => user = Some(at),
            byte if byte <= b' ' || b"/?#\"'`<>\\\x7f".contains(&byte) => break,
            _ => {}
        }
        at += 1;
    }
    let (Some(user), Some(end)) = (user, end) else { return Ok(None) };
    if user + 1 >= end {
        return Ok(None);
    }
    let name = &view.bytes[start..user];
    let telling = name.contains(&b'@') || prefixed(name, Kind::Alnum.run(name)).is_some();
    Ok(Some((if telling { start } else { user + 1 }, end)))
}

#[cfg(test)]
mod tests {
    use super::{Kind, Undecided, View, bearer, in_url, jwt, prefixed};

    fn view(text: &str) -> View<'_> {
        View::new(text.as_bytes(), 0, true)
    }

    fn found(text: &str) -> Option<(usize, Kind)> {
        prefixed(text.as_bytes(), Kind::Alnum.run(text.as_bytes()))
    }

    #[test]
    fn prefixes() {
        for (prefix, body) in [
            ("AKIA", "IOSFODNN7EXAMPLE"),
            ("AIza", "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"),
            ("ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"),
            ("github_pat_", "11ABCDEFG0123456789_abcdefghij"),
            ("glpat-", "x1y2z3A4B5C6D7E8F9G0"),
            ("sk-", "proj-abcDEF123456_7890-abcdef"),
            ("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"),
            ("xoxb-", "123456789012-1234567890123-AbCdEfGhIjKlMnOp"),
        ] {
            assert!(found(&[prefix, body].concat()).is_some(), "{prefix}");
        }
    }

    #[test]
    fn names_that_begin_like_tokens() {
        for name in [
            "sk-spinner-circle-dots-long-name",
            "npm_config_user_agent_of_this",
            "hf_transformers_model_name_or_path",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "AKIA",
            "sk-SK",
            "skeleton",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
        assert_eq!(found(""), None);
    }

    #[test]
    fn jwts() {
        assert_eq!(jwt(b"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."), Ok(()));
        assert_eq!(jwt(b"eyJhbGciOiJkaXIifQ..iv.text.tag"), Ok(()));
        assert_eq!(jwt(b"eyJpZCI6MTIzNDU2Nzg5MH0"), Err(23));
        assert_eq!(jwt(b"eyJhbGciOiJub25lIn0. Next"), Err(19));
        assert_eq!(jwt(b"eyJ.a"), Err(3));
        assert_eq!(jwt(b"eye"), Err(0));
    }

    #[test]
    fn bearers() {
        assert_eq!(bearer(view("Bearer  abcdefg1"), 6), Ok(Some(8)));
        assert_eq!(bearer(view("Bearer mF_9.B5f-4.1JqM\n"), 6), Ok(Some(7)));
        assert_eq!(bearer(view("bearer abcdefghijklmnopqrst"), 6), Ok(Some(7)));
        for text in ["Bearer of bad news", "bearer authentication", "Bearer realm=\"x1\"", "Bearer"]
        {
            assert_eq!(bearer(view(text), 6), Ok(None), "{text}");
        }
        assert_eq!(bearer(View::new(b"Bearer abcdefg1", 0, false), 6), Err(Undecided));
    }

    #[test]
    fn passwords_in_urls() {
        let password = |text: &'static str| {
            let colon = text.find(':').unwrap();
            in_url(view(text), colon).unwrap().map(|(start, end)| &text[start..end])
        };
        assert_eq!(password("https://bob:hunter2@host/x"), Some("hunter2"));
        assert_eq!(password("redis://:hunter2@host"), Some("hunter2"));
        assert_eq!(password("https://bob:p@ss:w@host/a@b"), Some("p@ss:w"));
        assert_eq!(password("https://bob@example.com:pw@host"), Some("bob@example.com:pw"));
        let user =
            concat!("https://ghp_", "16C7e42F292c6912E7710c838347Ae178B4a:x-oauth-basic@host");
        assert_eq!(password(user), Some(&user[8..62]));
        for text in
            ["https://host:80/a@b", "ssh://git@host", "a:/b:c@d", "x://a:@b", "x://[::1]:80"]
        {
            assert_eq!(password(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_token_shows_early() {
        let long = format!("sk-1{}", "a".repeat(1000));
        assert_eq!(found(&long), Some((3, Kind::Token)));
    }
}
