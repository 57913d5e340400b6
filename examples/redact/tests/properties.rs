//! What holds for any text.

use proptest::prelude::*;
use proptest::sample::select;
use redact::{Masker, WINDOW};

/// What `text` becomes, read in pieces of `sizes`, again and again.
fn masked(text: &[u8], sizes: &[usize], strict: bool) -> Vec<u8> {
    let mut masker = Masker::new(strict);
    let mut out = Vec::new();
    let (mut done, mut read) = (0, 0);
    for size in sizes.iter().cycle() {
        if read == text.len() {
            break;
        }
        read = text.len().min(read + size);
        done += masker.mask(&text[done..read], false, &mut out);
        assert!(read - done < WINDOW, "the masker holds back less than a window");
    }
    done += masker.mask(&text[done..], true, &mut out);
    assert_eq!(done, text.len(), "the end decides all");
    out
}

fn whole(text: &str) -> String {
    let out = masked(text.as_bytes(), &[text.len().max(1)], false);
    String::from_utf8_lossy(&out).into_owned()
}

/// A part of as many cases as are asked for.
fn config(part: u32) -> ProptestConfig {
    let all = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    ProptestConfig { cases: all.cases / part, ..all }
}

/// What secrets are made of, and what is around them.
const PIECES: [&str; 60] = [
    "bob",
    "@",
    "%40",
    "example",
    ".",
    "com",
    "x",
    "-",
    "_",
    "/",
    "~",
    "+",
    "%",
    "://",
    ":",
    "=",
    "==",
    "=>",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\"",
    "'",
    "\\",
    "\\\"",
    "\\\\",
    "[",
    "]",
    "{",
    "}",
    ",",
    "password",
    "Token",
    "api_key",
    "authorization",
    "Bearer",
    "Digest",
    "basic",
    "null",
    "eyJhbGciOiJub25lIn0",
    "eyJ",
    "ghp_",
    "16C7e42F292c6912E7710c838347Ae178B4a",
    "sk-",
    "AKIA",
    "IOSFODNN7EXAMPLE",
    "4111",
    "1111",
    "4111111111111111",
    "378282246310005",
    "10.0.0.1",
    "2001:db8::1",
    "::",
    "fe80",
    "d41d8cd98f00b204e9800998ecf8427e",
    "\x1b[",
    "\x1b[31m",
    "ü",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![Just(1), 1..8usize, 1..200usize], 1..8)
}

/// Text around which something is put, so that neither goes on in the other.
fn around() -> impl Strategy<Value = (String, String)> {
    let before = &["", " ", "\n", "<", "\"", "'", "(", "=", ",", "card:", "x=", "a/", "\u{1b}[1m"];
    let after = &["", " ", "\n", ">", "\"", "'", ")", ",", ";", "&x=1", "\r\n", ". ", "\u{1b}[0m"];
    ("[ -~\n]{0,40}", select(&before[..]), select(&after[..]), "[ -~\n]{0,40}").prop_map(
        |(text, before, after, more)| {
            let gap = if after.is_empty() { "" } else { more.as_str() };
            (format!("{text} {before}"), format!("{after}{gap}"))
        },
    )
}

fn card() -> impl Strategy<Value = String> {
    let first = select(&["22", "27", "30", "34", "37", "40", "51", "60", "62", "81", "97"][..]);
    (first, "[0-9]{10,16}", select(&["", " ", "-"][..])).prop_map(|(first, rest, separator)| {
        let digits = format!("{first}{rest}");
        let double = |digit: u32| digit * 2 / 10 + digit * 2 % 10;
        let weighed = digits.bytes().rev().enumerate().map(|(index, digit)| {
            let digit = u32::from(digit - b'0');
            if index % 2 == 0 { double(digit) } else { digit }
        });
        let digits = format!("{digits}{}", (10 - weighed.sum::<u32>() % 10) % 10);
        let groups: Vec<&str> = match digits.len() {
            15 => vec![&digits[..4], &digits[4..10], &digits[10..]],
            len => (0..len).step_by(4).map(|at| &digits[at..len.min(at + 4)]).collect(),
        };
        groups.join(separator)
    })
}

fn email() -> impl Strategy<Value = String> {
    let top = select(&["com", "org", "co.uk", "info", "xn--p1ai", "berlin"][..]);
    ("[a-z0-9_%+-]([a-z0-9._%+-]{0,12}[a-z0-9_%+-])?", "[a-z0-9][a-z0-9-]{0,10}", top)
        .prop_map(|(local, domain, top)| format!("{local}@{domain}.{top}"))
}

/// Words without a secret.
fn harmless() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-zA-Z]{1,15}",
        "[0-9]{1,3}",
        "[0-9]{2}:[0-9]{2}:[0-9]{2}",
        "20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3,9}Z",
        "1[0-9]{9}([0-9]{3}){0,3}",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "(/[a-z0-9_]{1,8}){1,5}",
        "[a-z]{1,8}=[a-z0-9]{1,10}",
        "\"[a-z]{1,8}\": [0-9]{1,10}",
        "https://[a-z]{1,8}\\.com/[a-z]{0,8}\\?[a-z]=[0-9]{1,4}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
    ];
    let gap = select(&[" ", " ", " ", ", ", "; ", " - ", "\n", "\t", " ["][..]);
    prop::collection::vec((word, gap), 0..40).prop_map(|words| {
        let keys = ["password", "passwd", "passphrase", "secret", "token", "bearer"];
        let allowed = |word: &String| {
            let word = word.to_lowercase();
            !keys.iter().any(|key| word.contains(key))
        };
        words.into_iter().filter(|(word, _)| allowed(word)).map(|(word, gap)| word + gap).collect()
    })
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn reads_make_no_difference(text in soup(), sizes in sizes(), strict: bool) {
        let all = masked(&text, &[text.len().max(1)], strict);
        let cut = masked(&text, &sizes, strict);
        prop_assert!(all == cut, "{:?}\n{:?}", all.escape_ascii().to_string(), cut.escape_ascii().to_string());
    }

    #[test]
    fn any_bytes_are_masked_the_same(text: Vec<u8>, sizes in sizes(), strict: bool) {
        prop_assert_eq!(masked(&text, &[text.len().max(1)], strict), masked(&text, &sizes, strict));
    }

    #[test]
    fn no_card_survives(card in card(), (before, after) in around()) {
        let out = whole(&format!("{before}{card}{after}"));
        prop_assert!(!out.contains(&card), "{}", out);
    }

    #[test]
    fn a_card_keeps_four_digits(card in card()) {
        let digits = card.replace([' ', '-'], "");
        prop_assert_eq!(whole(&card), format!("[card ..{}]", &digits[digits.len() - 4..]));
    }

    #[test]
    fn no_email_survives(email in email(), (before, after) in around()) {
        let out = whole(&format!("{before}{email}{after}"));
        prop_assert!(!out.contains(&email), "{}", out);
        prop_assert_eq!(whole(&email), "[email]");
    }

    #[test]
    fn no_password_survives(
        key in select(&["password=", "\"api_key\": \"", "Authorization: Bearer ", "token: '"][..]),
        value in "[A-Za-z0-9!@#$^*?.:/+=_-]{1,30}Q9",
        (before, after) in around(),
    ) {
        let out = whole(&format!("{before}\n{key}{value}{after}"));
        prop_assert!(!out.contains(&value), "{}", out);
    }

    #[test]
    fn harmless_text_stays(text in harmless()) {
        prop_assert_eq!(whole(&text), text);
    }
}

proptest! {
    #![proptest_config(config(4))]

    #[test]
    fn long_lines_are_cut_the_same(
        before in soup(),
        filler in select(&["a", "1", "aB3", "a.", "x-1_", "/a", "4111-1111-", "eyJ-", "\\", "token="][..]),
        len in WINDOW - 100..2 * WINDOW,
        after in soup(),
        sizes in prop::collection::vec(1000..2 * WINDOW, 1..4),
        strict: bool,
    ) {
        let filler = filler.repeat(len / filler.len());
        let text = [&before, filler.as_bytes(), &after].concat();
        let all = masked(&text, &[text.len()], strict);
        prop_assert!(all == masked(&text, &sizes, strict));
    }
}
