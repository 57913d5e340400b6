//! Finds what a guest's file has that need not be compiled: its declaration of what it wants, and the names of its imports.

use std::borrow::Cow;
use std::collections::BTreeSet;

use memchr::memmem;
use wasmparser::{Parser, Payload};

/// The custom section of a declaration. Rust puts it into a core module, which is nested in a component.
pub(super) const NAME: &str = "pipehost:wants";

/// How many bytes all such sections of a guest may have together.
pub(super) const MOST_BYTES: usize = 16 * 1024;

/// How deep modules and components may be nested. Deeper ones are not looked at, and need not be held.
const DEEPEST: usize = 32;

/// How many imports are looked at, and how many characters of each name: they may be remembered.
const MOST_IMPORTS: usize = 200;
const MOST_CHARS: usize = 200;

/// Returns the bytes of a declaration, in the order of the file. They are empty if there is none, or if this is no guest. Takes almost
/// no time where there is none.
///
/// # Errors
/// Fails if there are more than [`MOST_BYTES`].
pub(super) fn declaration(guest: &[u8]) -> Result<Vec<u8>, String> {
    let mut found = Vec::new();
    if memmem::find(guest, NAME.as_bytes()).is_none() {
        return Ok(found);
    }
    let Some(binary) = binary(guest) else { return Ok(found) };
    for (_, payload) in pieces(&binary) {
        if let Payload::CustomSection(section) = payload
            && section.name() == NAME
        {
            found.extend_from_slice(section.data());
        }
        if found.len() > MOST_BYTES {
            return Err(format!("it has more than {MOST_BYTES} bytes"));
        }
    }
    Ok(found)
}

/// Returns the names of the imports, sorted: interfaces for a component, and `MODULE.NAME` for a module.
pub(super) fn imports(guest: &[u8]) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut add = |name: &str| {
        if names.len() < MOST_IMPORTS {
            names.insert(name.chars().take(MOST_CHARS).collect::<String>());
        }
    };
    let binary = binary(guest).unwrap_or_default();
    for payload in pieces(&binary).filter(|(depth, _)| *depth == 0).map(|(_, payload)| payload) {
        match payload {
            Payload::ImportSection(section) => {
                section
                    .into_imports()
                    .map_while(Result::ok)
                    .for_each(|import| add(&format!("{}.{}", import.module, import.name)));
            }
            Payload::ComponentImportSection(section) => {
                section.into_iter().map_while(Result::ok).for_each(|import| add(import.name.name));
            }
            _ => {}
        }
    }
    names.into_iter().collect()
}

/// Returns the pieces of a binary in their order, each with how deep it is nested, up to what is too deep or cannot be read: compiling it
/// will tell.
fn pieces(binary: &[u8]) -> impl Iterator<Item = (usize, Payload<'_>)> {
    let mut depth = 0_usize;
    let at_depth = move |payload| {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth, payload)
    };
    let read = Parser::new(0).parse_all(binary).map_while(Result::ok);
    read.map(at_depth).take_while(|(depth, _)| *depth <= DEEPEST)
}

/// Returns the binary form of a guest, or `None` for what is neither that nor its text.
fn binary(guest: &[u8]) -> Option<Cow<'_, [u8]>> {
    match guest.starts_with(b"\0asm") {
        true => Some(Cow::Borrowed(guest)),
        false => wat::parse_bytes(guest).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn it_is_found_however_deep() {
        let module = r#"(core module (@custom "pipehost:wants" "a") (@custom "other" "x"))"#;
        for (guest, found) in [
            (r#"(module (@custom "pipehost:wants" "a"))"#.to_owned(), "a"),
            (format!("(component {module})"), "a"),
            (format!(r#"(component (component {module}) {module})"#), "aa"),
            (r#"(module (@custom "other" "pipehost:wants"))"#.to_owned(), ""),
            ("(component)".to_owned(), ""),
            // Another file.
            ("pipehost:wants".to_owned(), ""),
        ] {
            assert_eq!(declaration(guest.as_bytes()).unwrap(), found.as_bytes(), "{guest}");
            let Ok(binary) = wat::parse_str(&guest) else { continue };
            assert_eq!(declaration(&binary).unwrap(), found.as_bytes(), "{guest}");
        }
        let nested =
            |depth: usize| format!("{}{module}{}", "(component ".repeat(depth), ")".repeat(depth));
        assert_eq!(declaration(&text(&nested(DEEPEST - 1))).unwrap(), b"a");
        assert_eq!(declaration(&text(&nested(DEEPEST + 1))).unwrap(), b"");
    }

    #[test]
    fn it_is_bounded() {
        let of = |length: usize| {
            text(&format!(r#"(module (@custom "pipehost:wants" "{}"))"#, "a".repeat(length)))
        };
        assert_eq!(declaration(&of(MOST_BYTES)).unwrap().len(), MOST_BYTES);
        assert!(declaration(&of(MOST_BYTES + 1)).is_err());
        let many = r#"(@custom "pipehost:wants" "aaaaaaaaaaaaaaaa")"#.repeat(MOST_BYTES / 16 + 1);
        assert!(declaration(&text(&format!("(module {many})"))).is_err());
    }

    #[test]
    fn imports_are_the_guests_own() {
        let module =
            r#"(module (import "b" "f" (func)) (import "a" "f" (func)) (import "b" "g" (func)))"#;
        assert_eq!(imports(&text(module)), ["a.f", "b.f", "b.g"]);
        let component = r#"(component (import "x:y/z" (instance)) (core module (import "c" "d" (func)))
            (import "x:y/w" (instance)))"#;
        assert_eq!(imports(&text(component)), ["x:y/w", "x:y/z"]);
        assert_eq!(imports(b""), Vec::<String>::new());
        let many: String =
            (0..300).map(|n| format!("(import \"{n}{}\" \"f\" (func))", "x".repeat(300))).collect();
        let many = imports(&text(&format!("(module {many})")));
        assert_eq!((many.len(), many[0].len()), (MOST_IMPORTS, MOST_CHARS));
    }

    proptest! {
        /// Damage anywhere is no panic.
        #[test]
        fn any_bytes_are_looked_at(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut guest = text(
                r#"(component (import "x:y/z" (instance)) (component
                     (core module (import "c" "d" (func)) (func) (@custom "pipehost:wants" "{}"))))"#,
            );
            for (at, byte) in damage {
                let at = at.index(guest.len());
                guest[at] = byte;
            }
            guest.truncate(cut.index(guest.len() + 1));
            let _ = (declaration(&guest), imports(&guest));
        }
    }
}
