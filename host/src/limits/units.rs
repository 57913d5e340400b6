//! Reads and writes amounts as people do.

use std::fmt;
#[cfg(feature = "cli")]
use std::{num::NonZeroU64, time::Duration};

/// A number of bytes, written in the largest unit in which it is a whole number: `64K`, `1M`, `1000`.
pub(crate) struct Size(pub(crate) u64);

/// The units of sizes, and the power of two that each stands for.
const UNITS: [(u32, &str); 4] = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&&(shift, _): &&(u32, &str)| self.0 != 0 && self.0.is_multiple_of(1 << shift);
        match UNITS.iter().find(fits) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads a number of bytes: `4096`, `64K`, `1MiB`, `2GB`. All units are powers of 1024: M, MB and MiB
/// are the same.
#[cfg(feature = "cli")]
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.strip_suffix("iB").or(unit.strip_suffix('B')).unwrap_or(unit) {
        "" if unit == "iB" => None,
        "" => Some(0),
        "k" => Some(10),
        letter => UNITS.iter().find(|(_, unit)| *unit == letter).map(|(shift, _)| *shift),
    };
    let bytes = match (number.parse::<u64>(), shift) {
        (Ok(number), Some(shift)) => number.checked_mul(1u64 << shift),
        _ => None,
    };
    bytes.ok_or_else(|| format!("`{text}` is not a size; write bytes, or 64K, 1M, 2G"))
}

/// Reads a length of time: `5s`, `250ms`, `1m 30s`, or a number of seconds.
#[cfg(feature = "cli")]
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => Err(format!("`{text}` is too long a time")),
        };
    }
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a length of time; write 5s, 250ms or 1m30s"))
}

/// Reads a number of bytes a second, at least one: `1M`.
#[cfg(feature = "cli")]
pub(crate) fn rate(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(size(text)?)
        .ok_or_else(|| "at a rate of 0 nothing would ever move; write 64K, 1M, 2G".into())
}

/// Reads an amount of fuel.
#[cfg(feature = "cli")]
pub(crate) fn fuel(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not an amount of fuel; write 1000000000"))
}

/// Reads a number of pipes, or of children.
#[cfg(feature = "cli")]
pub(crate) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number; write 64"))
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_that_are_none_are_refused() {
        for bad in ["", "12Q", "K", "-1", "1.5M", "iB", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "0K", "12Q", "-1"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        for bad in ["", "-1", "1.5", "1M", "99999999999999999999"] {
            assert!(fuel(bad).is_err(), "{bad}");
        }
        for bad in ["", "-1", "5x", "s", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_are_what_they_say() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(64 << 10));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!((size("16MB"), size("16B"), size("1kB")), (Ok(16 << 20), Ok(16), Ok(1 << 10)));
        assert_eq!(rate("1K").map(NonZeroU64::get), Ok(1024));
        assert_eq!(fuel("1000000"), Ok(1_000_000));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in any::<String>()) {
            let _ = (size(&text), duration(&text), count(&text), rate(&text), fuel(&text));
        }

        #[test]
        fn sizes_are_what_they_say(n in 0u64..1 << 20, unit in 0usize..4) {
            let text = format!("{n}{}", ["", "K", "MiB", "G"][unit]);
            prop_assert_eq!(size(&text), Ok(n << (10 * unit)));
        }

        #[test]
        fn what_is_shown_reads_the_same(n in any::<u64>()) {
            prop_assert_eq!(size(&Size(n).to_string()), Ok(n));
        }
    }
}
