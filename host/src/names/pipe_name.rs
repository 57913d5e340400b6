//! The names under which pipes are granted.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
const MAX_LEN: usize = 64;

/// A pipe's name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, so never a path.
///
/// ```
/// # fn main() -> Result<(), pipehost::InvalidName> {
/// use pipehost::{InvalidName, PipeName};
///
/// let name: PipeName = "requests.2".parse()?;
/// assert_eq!(name.as_str(), "requests.2");
/// assert_eq!("/tmp/requests".parse::<PipeName>(), Err(InvalidName));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PipeName(String);

/// The text is not a pipe's name.
///
/// See the example of [`PipeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pipe's name has 1 to 64 letters, digits, `.`, `_` or `-`, and begins with a letter or digit"
)]
pub struct InvalidName;

impl FromStr for PipeName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let goes_on_well =
            bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if starts_well && goes_on_well && text.len() <= MAX_LEN {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName)
        }
    }
}

impl PipeName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_edges_of_the_form() {
        for good in ["a", "0", "in", "a.b_c-d", &"x".repeat(64)] {
            assert!(good.parse::<PipeName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "-a", "_a", "../x", "/x", "a/b", "a\0", "ä", "a b", &"x".repeat(65)] {
            assert_eq!(bad.parse::<PipeName>(), Err(InvalidName), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_matches_the_form_is_a_name(text in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}") {
            let name: PipeName = text.parse().unwrap();
            prop_assert_eq!(name.as_str(), text);
        }

        #[test]
        fn no_name_is_a_path_or_an_option(text in any::<String>()) {
            if let Ok(name) = text.parse::<PipeName>() {
                prop_assert!(!name.as_str().contains(['/', '\0', ',', '=']));
                prop_assert!(!name.as_str().starts_with(['.', '-']));
            }
        }
    }
}
