//! What is masked with `--strict` only.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::{self, FromStr};

use crate::bytes::Kind;
use crate::view::{Undecided, View};

/// The longest IPv6 address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const IPV6: usize = 45;
const IPV4: usize = 15;
/// The shortest word that can look random.
pub(crate) const RANDOM: usize = 32;
/// How many bytes such a word goes on in one kind, on average, at most.
const STRETCH: usize = 8;

/// Where the IPv6 address that begins at `at` ends.
pub(crate) fn ipv6(view: View<'_>, at: usize) -> Result<Option<usize>, Undecided> {
    // At first sight, a time of day looks like one.
    let long = |text: &[u8]| {
        text.iter().filter(|&&byte| byte == b':').count() == 7
            || text.windows(2).any(|two| two == b"::")
    };
    parsed::<Ipv6Addr>(view, at, IPV6, Kind::Ipv6, long)
}

/// Whether the colon that `text` begins with may be in an IPv6 address, or the first of two. The
/// colons of a time of day are not.
pub(crate) fn may_go_on(text: &[u8]) -> bool {
    let len = Kind::Ipv6.run(&text[..text.len().min(IPV6)]);
    // Seven colons, and as many parts between and after them.
    len >= 14 || len == text.len() || text[..len].windows(2).any(|two| two == b"::")
}

/// Where the IPv4 address that begins at `at` ends.
pub(crate) fn ipv4(view: View<'_>, at: usize) -> Result<Option<usize>, Undecided> {
    let dots = |text: &[u8]| text.iter().filter(|&&byte| byte == b'.').count();
    parsed::<Ipv4Addr>(view, at, IPV4, Kind::Ipv4, |text| dots(text) == 3)
}

fn parsed<A: FromStr>(
    view: View<'_>,
    at: usize,
    most: usize,
    kind: Kind,
    likely: impl Fn(&[u8]) -> bool,
) -> Result<Option<usize>, Undecided> {
    // One more for what ends a sentence, or what goes before a message.
    let end = view.run(at, most + 1, kind)?;
    if matches!(view.at(end)?, b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z') {
        return Ok(None);
    }
    let text = &view.bytes[at..end];
    let more = text.ends_with(b".") || text.ends_with(b":") && !text.ends_with(b"::");
    let end = end - usize::from(more);
    let text = &view.bytes[at..end];
    // `::` alone tells nothing.
    if !likely(text) || text == b"::" {
        return Ok(None);
    }
    let address = str::from_utf8(text).ok().and_then(|text| A::from_str(text).ok());
    Ok(address.map(|_| end))
}

/// Whether `word` is as long and mixed as keys and digests are.
pub(crate) fn is_random(word: &[u8]) -> bool {
    if word.len() < RANDOM {
        return false;
    }
    let (mut letters, mut digits, mut changes) = (false, false, 0);
    let mut last = None;
    for byte in word {
        let class = match byte {
            b'0'..=b'9' => 0,
            b'A'..=b'Z' => 1,
            b'a'..=b'z' => 2,
            _ => continue,
        };
        letters |= class != 0;
        digits |= class == 0;
        changes += usize::from(last.is_some_and(|last| last != class));
        last = Some(class);
    }
    letters && digits && changes * STRETCH >= word.len()
}

#[cfg(test)]
mod tests {
    use super::{Undecided, View, ipv4, ipv6, is_random, may_go_on};

    fn found(text: &str) -> Option<&str> {
        let view = View::new(text.as_bytes(), 0, true);
        let end = ipv6(view, 0).unwrap().or(ipv4(view, 0).unwrap());
        end.map(|end| &text[..end])
    }

    #[test]
    fn addresses() {
        for text in
            ["10.0.0.1", "255.255.255.255", "2001:db8::1", "::1", "fe80::", "::ffff:10.0.0.1"]
        {
            assert_eq!(found(text), Some(text));
        }
        assert_eq!(found("10.0.0.1:8080"), Some("10.0.0.1"));
        assert_eq!(found("10.0.0.1."), Some("10.0.0.1"));
        assert_eq!(found("2001:db8::1: gone"), Some("2001:db8::1"));
        assert_eq!(found("2001:db8::1]:443"), Some("2001:db8::1"));
        assert_eq!(found("fe80::1%eth0"), Some("fe80::1"));
    }

    #[test]
    fn no_addresses() {
        for text in [
            "12:34:56",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "::",
            "aa:bb:cc:dd:ee:ff",
            "::vector",
            "10.0.0.1a",
            "face",
            "1",
            "::add_one",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn most_colons_are_not_of_addresses() {
        for text in [":21:44 ", ":8080/", ": x", ":a:b:c:d:e:f "] {
            assert!(!may_go_on(text.as_bytes()), "{text}");
        }
        for text in [":2:3:4:5:6:7:8 ", "::1 ", ":db8::1 ", ":", ":21:44"] {
            assert!(may_go_on(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn waits_for_the_end() {
        for text in ["10.0.0.1", "2001:", "10.0"] {
            let view = View::new(text.as_bytes(), 0, false);
            assert_eq!(ipv6(view, 0).and(ipv4(view, 0)), Err(Undecided), "{text}");
        }
    }

    #[test]
    fn random_words() {
        for word in [
            "d41d8cd98f00b204e9800998ecf8427e",
            "550e8400-e29b-41d4-a716-446655440000",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert!(is_random(word.as_bytes()), "{word}");
        }
        for word in [
            "d41d8cd98f00b204e9800998ecf8427",
            "01234567890123456789012345678901",
            "abcdefghijklmnopqrstuvwxyzabcdefgh",
            "usr/lib/x86_64-linux-gnu/security/pam",
            "this-is-a-quite-long-name-of-a-pod-v2",
        ] {
            assert!(!is_random(word.as_bytes()), "{word}");
        }
    }
}
