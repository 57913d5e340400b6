//! Payment card numbers: ISO/IEC 7812.

use crate::bytes::Kind;
use crate::view::{Undecided, View};

/// The shortest number.
pub(crate) const SHORTEST: usize = 13;
/// The longest number.
pub(crate) const LONGEST: usize = 19;
/// The first group of a number that comes in groups.
pub(crate) const GROUP: usize = 4;
/// The most groups that one comes in.
const GROUPS: usize = 5;

/// A card number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    /// Where it ends.
    pub(crate) end: usize,
    /// Its last digits.
    pub(crate) last: [u8; 4],
}

/// The card number whose first digit is at `at`.
pub(crate) fn card(view: View<'_>, at: usize) -> Result<Option<Card>, Undecided> {
    let mut lengths = [0; GROUPS];
    let mut count = 0;
    let mut end = at;
    let mut separator = None;
    let mut best = None;
    while count < GROUPS {
        let len = view.run(end, LONGEST + 1, Kind::Digit)? - end;
        (lengths[count], end) = (len, end + len);
        count += 1;
        if known_grouping(&lengths[..count])
            && is_card(&view.bytes[at..end])
            && ends_here(view, end)?
        {
            best = Some(end);
        }
        // Only a first group of four goes on, and all groups are parted alike.
        let byte = view.at(end)?;
        let parts = matches!(byte, b' ' | b'-') && separator.is_none_or(|same| same == byte);
        if len == 0 || lengths[0] != GROUP || !parts {
            break;
        }
        separator = Some(byte);
        end += 1;
    }
    let Some(end) = best else { return Ok(None) };
    let mut last = [b'0'; 4];
    for (last, digit) in last.iter_mut().rev().zip(digits_backwards(&view.bytes[at..end])) {
        *last = digit;
    }
    Ok(Some(Card { end, last }))
}

/// Whether `word` ends as a number that comes in groups begins.
pub(crate) fn is_group(word: &[u8]) -> bool {
    matches!(word, [.., b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'])
}

/// Nothing at `end` makes the digits before it a part of something longer.
fn ends_here(view: View<'_>, end: usize) -> Result<bool, Undecided> {
    Ok(match view.at(end)? {
        b'.' => !view.at(end + 1)?.is_ascii_digit(),
        byte => !byte.is_ascii_alphanumeric(),
    })
}

fn known_grouping(lengths: &[usize]) -> bool {
    match lengths {
        [SHORTEST..=LONGEST] => true,
        [4, 4, 4, 1..=4] | [4, 4, 4, 4, 1..=3] => true,
        // Diners and Amex.
        [4, 6, 4 | 5] => true,
        _ => false,
    }
}

/// Whether `number`, in groups or not, can be a card's.
fn is_card(number: &[u8]) -> bool {
    !matches!(number, [b'0' | b'1' | b'7', ..] | [b'2', b'0' | b'1', ..]) && luhn(number)
}

/// The check digit is right: ISO/IEC 7812-1, annex B.
fn luhn(number: &[u8]) -> bool {
    let mut sum = 0;
    for (index, digit) in digits_backwards(number).enumerate() {
        let value = u32::from(digit - b'0') << (index % 2);
        sum += if value > 9 { value - 9 } else { value };
    }
    sum % 10 == 0
}

/// The digits of `number`, without what parts its groups, from the last to the first.
fn digits_backwards(number: &[u8]) -> impl Iterator<Item = u8> {
    number.iter().rev().copied().filter(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::{Card, Undecided, View, card, luhn};

    fn whole(text: &str) -> Option<Card> {
        card(View::new(text.as_bytes(), 0, true), 0).unwrap()
    }

    fn end(text: &str) -> Option<usize> {
        whole(text).map(|card| card.end)
    }

    #[test]
    fn the_check_digit_counts() {
        assert!(luhn(b"4111111111111111"));
        assert!(luhn(b"79927398713"));
        assert!(!luhn(b"4111111111111112"));
        assert_eq!(end("4111111111111111"), Some(16));
        assert_eq!(end("4111111111111112"), None);
    }

    #[test]
    fn the_networks_numbers() {
        for (text, last) in [
            ("4222222222222", b"2222"),
            ("30569309025904", b"5904"),
            ("378282246310005", b"0005"),
            ("3782 822463 10005", b"0005"),
            ("3056-930902-5904", b"5904"),
            ("5555 5555 5555 4444", b"4444"),
            ("2223-0031-2200-3222", b"3222"),
            ("6011111111111117", b"1117"),
            ("6304 0000 0000 0000 00", b"0000"),
            ("6205500000000000004", b"0004"),
        ] {
            assert_eq!(whole(text), Some(Card { end: text.len(), last: *last }), "{text}");
        }
    }

    #[test]
    fn a_number_ends_where_its_card_does() {
        assert_eq!(end("4111111111111111, 200"), Some(16));
        assert_eq!(end("4111111111111111."), Some(16));
        assert_eq!(end("4111 1111 1111 1111 12/26"), Some(19));
        assert_eq!(end("4111 1111 1111 1111 1234 5678"), Some(19));
        assert_eq!(end("4111111111111111.5"), None);
        assert_eq!(end("4111111111111111a"), None);
        assert_eq!(end("41111111111111110000"), None);
    }

    #[test]
    fn not_all_groups_make_a_card() {
        assert_eq!(end("4111 1111-1111 1111"), None);
        assert_eq!(end("4111  1111 1111 1111"), None);
        assert_eq!(end("41111111 11111111"), None);
        assert_eq!(end("411 11111 1111 1111"), None);
    }

    #[test]
    fn points_in_time_are_no_cards() {
        // All of these pass the Luhn check.
        for text in ["1705312800009", "1705312800000007", "20240115103002", "0000000000000000"] {
            assert!(luhn(text.as_bytes()), "{text}");
            assert_eq!(end(text), None, "{text}");
        }
    }

    #[test]
    fn waits_for_the_end() {
        for text in ["41", "4111 ", "4111 1111 1111 1111", "4111111111111111."] {
            assert_eq!(card(View::new(text.as_bytes(), 0, false), 0), Err(Undecided), "{text}");
        }
    }
}
