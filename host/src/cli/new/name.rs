//! What a plugin may be called: what a crate may, and nothing that means a path.

/// The longest name, in bytes.
const LONGEST: usize = 64;

/// What cargo refuses, or a system takes for a device.
const TAKEN: [&str; 85] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "aux",
    "await",
    "become",
    "box",
    "break",
    "build",
    "con",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "nul",
    "override",
    "pipehost-guest",
    "pipehost_guest",
    "priv",
    "prn",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "com1",
    "com2",
    "com3",
    "com4",
    "com5",
    "com6",
    "com7",
    "com8",
    "com9",
    "lpt1",
    "lpt2",
    "lpt3",
    "lpt4",
    "lpt5",
    "lpt6",
    "lpt7",
    "lpt8",
    "lpt9",
];

/// Checks a plugin's name. The error is one line.
pub(super) fn check(name: &str) -> Result<(), String> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if name.contains(['/', '\\']) {
        return Err(format!(
            "`{name}` is a path; give a name, and make the plugin in the folder where it is to be"
        ));
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(fits) {
        return Err(format!(
            "`{name}` is not a plugin's name, which is made of lowercase letters, digits, `-` and `_`, a letter \
             first{}",
            alike(name)
        ));
    }
    if name.len() > LONGEST {
        return Err(format!(
            "a plugin's name has at most {LONGEST} letters, and this one {}",
            name.len()
        ));
    }
    if TAKEN.contains(&name) {
        return Err(format!("`{name}` cannot be a plugin's name; how about `{name}-plugin`?"));
    }
    Ok(())
}

/// Suggests a name that is spelt as `name`, if there is one.
fn alike(name: &str) -> String {
    let word: String = name.trim().to_ascii_lowercase().replace([' ', '.'], "-");
    match word != name && check(&word).is_ok() {
        true => format!("; how about `{word}`?"),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_crates() {
        for name in ["a", "redact", "my-plugin", "my_plugin2", &"a".repeat(64)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, told) in [
            ("", "is not a plugin's name"),
            ("../x", "is a path"),
            ("/etc", "is a path"),
            ("a\\b", "is a path"),
            ("..", "is not a plugin's name"),
            (".hidden", "is not a plugin's name"),
            ("-rf", "is not a plugin's name"),
            ("1st", "is not a plugin's name"),
            ("My Plugin", "how about `my-plugin`?"),
            ("grün", "is not a plugin's name"),
            ("a\nb", "is not a plugin's name"),
            ("fn", "how about `fn-plugin`?"),
            ("test", "how about `test-plugin`?"),
            ("nul", "how about `nul-plugin`?"),
            ("com9", "how about `com9-plugin`?"),
            ("lpt3", "how about `lpt3-plugin`?"),
            (&"a".repeat(65), "at most 64"),
        ] {
            let error = check(name).unwrap_err();
            assert!(error.contains(told), "{name}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_names_one_folder_here(name in ".{0,70}") {
            if check(&name).is_ok() {
                let path = std::path::Path::new(&name);
                prop_assert_eq!(path.components().count(), 1);
                let is_plain = matches!(path.components().next(), Some(std::path::Component::Normal(_)));
                prop_assert!(is_plain && !name.contains(char::is_whitespace));
            }
        }
    }
}
