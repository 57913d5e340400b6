//! E-mail addresses: RFC 5322 as far as people have addresses, RFC 6531 for other alphabets.

use crate::bytes::Kind;
use crate::view::{Undecided, View};

/// What file and unit names with an `@` end in, and no domain does.
const NO_DOMAINS: [&[u8]; 14] = [
    b"css", b"gif", b"html", b"jpeg", b"jpg", b"js", b"json", b"png", b"service", b"slice",
    b"socket", b"svg", b"timer", b"webp",
];

/// Where the address begins and ends whose `@` is before `domain`, and whose local part is in
/// `text[from..at]`.
pub(crate) fn around(
    view: View<'_>,
    from: usize,
    at: usize,
    domain: usize,
) -> Result<Option<(usize, usize)>, Undecided> {
    let Some(end) = domain_end(view, domain)? else { return Ok(None) };
    let local = &view.bytes[from..at];
    let foreign = local.iter().rposition(|byte| matches!(byte, b'/' | b'~'));
    let start = foreign.map_or(0, |slash| slash + 1);
    let dots = local[start..].iter().take_while(|&&byte| byte == b'.').count();
    let start = from + start + dots;
    Ok((start < at).then_some((start, end)))
}

/// Where the longest domain that begins at `from` ends.
fn domain_end(view: View<'_>, from: usize) -> Result<Option<usize>, Undecided> {
    let mut best = None;
    let mut label = from;
    loop {
        let end = view.run(label, usize::MAX, Kind::Label)?;
        if end == label {
            return Ok(best);
        }
        let text = &view.bytes[label..end];
        if let (true, Some(len)) = (label > from, top_level(text)) {
            best = (!NO_DOMAINS.contains(&&text[..len])).then_some(label + len);
        }
        if view.at(end)? != b'.' {
            return Ok(best);
        }
        label = end + 1;
    }
}

/// How much of `label` can be a top-level domain.
fn top_level(label: &[u8]) -> Option<usize> {
    if label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--") {
        return Some(label.len());
    }
    let letters = label.iter().take_while(|&&byte| is_letter(byte)).count();
    let whole = label.get(letters).is_none_or(|byte| !byte.is_ascii_digit());
    (letters >= 2 && whole).then_some(letters)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::{Undecided, View, around};

    /// What is found around the first `@`.
    fn found(text: &str) -> Option<&str> {
        let at = text.find('@').unwrap();
        let view = View::new(text.as_bytes(), 0, true);
        around(view, 0, at, at + 1).unwrap().map(|(start, end)| &text[start..end])
    }

    #[test]
    fn addresses() {
        for text in [
            "bob@example.com",
            "b@x.io",
            "bob.b+logs_%-1@mail.example-host.co.uk",
            "jürgen@müller.example",
            "bob@example.xn--p1ai",
            "bob@1.2.3.example",
        ] {
            assert_eq!(found(text), Some(text));
        }
    }

    #[test]
    fn ends_where_the_domain_does() {
        assert_eq!(found("bob@example.com."), Some("bob@example.com"));
        assert_eq!(found("bob@example.com..."), Some("bob@example.com"));
        assert_eq!(found("bob@example.com-2024"), Some("bob@example.com"));
        assert_eq!(found("bob@example.com_old"), Some("bob@example.com"));
        assert_eq!(found("bob@example.com.1"), Some("bob@example.com"));
        assert_eq!(found("/home/~bob@example.com/"), Some("bob@example.com"));
        assert_eq!(found("...bob@example.com"), Some("bob@example.com"));
    }

    #[test]
    fn no_addresses() {
        for text in [
            "root@localhost",
            "vue@3.4.21",
            "lib@1.0.0-beta.2",
            "@example.com",
            "/@example.com",
            "logo@2x.png",
            "app@2x.min.js",
            "user@1000.service",
            "bob@",
            "bob@.com",
            "a@b.c",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn waits_for_the_end() {
        for text in ["bob@", "bob@example", "bob@example.com"] {
            let view = View::new(text.as_bytes(), 0, false);
            assert_eq!(around(view, 0, 3, 4), Err(Undecided), "{text}");
        }
    }
}
