//! Words as a shell reads them.

use std::borrow::Cow;

/// Quotes a word for a shell.
pub(super) fn shell_quoted(word: &str) -> String {
    // No quoting makes a shell take a NUL.
    shlex::try_quote(word).map_or_else(|_| word.into(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::shell_quoted;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_quoted("./a-b.wasm"), "./a-b.wasm");
        for word in ["a b", "it's", "$x", "", "a\"b", "~", "日本"] {
            assert_eq!(shlex::split(&shell_quoted(word)).unwrap(), [word]);
        }
        assert_eq!(shell_quoted(""), "''");
    }
}
