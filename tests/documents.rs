//! Checks that the tests which the documents name exist.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Collects the names of all tests in Rust files below a folder.
fn functions(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                if let (true, Some(name)) = (is_test, name.and_then(|it| it.split('(').next())) {
                    into.insert(name.to_owned());
                }
                is_test = line.ends_with("test]") || is_test && !line.contains("fn ");
            }
        }
    }
}

/// Returns words between backticks that look like a test's name, including a `..` at the end.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|it| {
        let is_word =
            it.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b));
        is_word && it.matches('_').count() >= 2
    })
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let mut known = BTreeSet::new();
    for folder in ["tests", "host/src"] {
        functions(&top().join(folder), &mut known);
    }
    for document in ["SECURITY.md", "docs/reliability.md"] {
        let text = fs::read_to_string(top().join(document)).unwrap();
        let mut count = 0;
        for name in named(&text).filter(|name| *name != "row_NN_..") {
            count += 1;
            let is_there = match name.strip_suffix("..") {
                Some(start) => known.iter().any(|it| it.starts_with(start)),
                None => known.contains(name),
            };
            assert!(is_there, "{document} names {name}, and there is no such test");
        }
        assert!(count > 20, "{document}: {count} names were found");
    }
}

/// Each row has its own test.
#[test]
fn every_row_of_faults_has_a_test() {
    let mut known = BTreeSet::new();
    functions(&top().join("tests"), &mut known);
    let text = fs::read_to_string(top().join("docs/reliability.md")).unwrap();
    for row in 1..=55 {
        let line = text.lines().find(|line| line.starts_with(&format!("| {row} |"))).unwrap();
        let test = line.split('`').find(|it| it.starts_with("row_")).unwrap();
        assert!(test.contains(&format!("{row:02}")), "{line}");
        let number = format!("{row:02}_");
        let is_of_row =
            |it: &&String| it.strip_prefix("row_").is_some_and(|it| it.starts_with(&number));
        assert!(known.iter().find(is_of_row).is_some(), "row {row} has no test");
        // The files that the row names.
        let files = line.split(['|', ',', ';', ' ']).filter(|it| it.starts_with("tests/"));
        for file in files {
            assert!(top().join(file.trim()).exists(), "{line}");
        }
    }
}

/// A name that a file defines or exports, and the doc comment there.
struct Item {
    name: String,
    kind: Kind,
    doc: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Definition,
    Export,
    /// A `pub mod` with a file of its own.
    Module,
}

/// Returns the name of what is defined on this line: a type, also in a macro, or anything else that
/// is not in an `impl`.
fn defined(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let (kind, rest) = rest.strip_prefix("async ").unwrap_or(rest).split_once(' ')?;
    let is_type = ["struct", "enum", "trait"].contains(&kind);
    let is_other = !line.starts_with(' ') && ["fn", "type", "const"].contains(&kind);
    let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    (is_type || is_other).then_some(name)
}

/// Returns the names in `pub use path::{..};`, except those of other crates.
fn exports(statement: &str) -> Vec<&str> {
    let path = statement.trim_start_matches("pub use ").trim_end_matches([';', '}', ',', ' ']);
    if ["{wasmtime", "futures::", "{serde"].iter().any(|other| path.starts_with(other)) {
        return Vec::new();
    }
    let (_, names) = path.rsplit_once('{').or_else(|| path.rsplit_once("::")).unwrap();
    names.split(',').map(str::trim).collect()
}

/// Returns the public items of a file, without hidden ones.
fn items(file: &Path) -> Vec<Item> {
    let text = fs::read_to_string(file).unwrap();
    let is_open = |it: &str| it.matches('[').count() > it.matches(']').count();
    let (mut items, mut doc, mut is_hidden) = (Vec::new(), String::new(), false);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut whole = line.trim().to_owned();
        while whole.starts_with("#[") && is_open(&whole)
            || whole.starts_with("pub use ") && !whole.ends_with(';')
        {
            whole += lines.next().unwrap().trim();
        }
        if whole.starts_with("//") {
            doc += whole.strip_prefix("///").unwrap_or_default();
            continue;
        }
        if whole.starts_with("#[") {
            is_hidden |= whole == "#[doc(hidden)]";
            continue;
        }
        let module = line.strip_prefix("pub mod ").and_then(|it| it.strip_suffix(';'));
        let (kind, names) = match (defined(line), module) {
            (Some(name), _) => (Kind::Definition, vec![name]),
            (None, Some(name)) => (Kind::Module, vec![name]),
            (None, None) if whole.starts_with("pub use ") => (Kind::Export, exports(&whole)),
            (None, None) => (Kind::Definition, Vec::new()),
        };
        if !is_hidden {
            let item = |name: &str| Item { name: name.into(), kind, doc: doc.clone() };
            items.extend(names.into_iter().map(item));
        }
        (doc, is_hidden) = (String::new(), false);
    }
    items
}

/// Collects the names that a module makes public. `folder` has its submodules.
fn public(folder: &Path, file: &Path, into: &mut BTreeSet<String>) {
    for Item { name, kind, .. } in items(file) {
        let below = folder.join(&name);
        let is_folder = below.join("mod.rs").exists();
        match kind {
            Kind::Module if is_folder => public(&below, &below.join("mod.rs"), into),
            Kind::Module => public(&below, &below.with_extension("rs"), into),
            Kind::Definition | Kind::Export => _ = into.insert(name),
        }
    }
}

/// Returns the public items of all files below a folder. The command's are not exported.
fn all_items(folder: &Path) -> Vec<Item> {
    let paths = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut all = Vec::new();
    for path in paths.filter(|path| !path.ends_with("cli")) {
        if path.is_dir() {
            all.extend(all_items(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.extend(items(&path));
        }
    }
    all
}

#[test]
fn every_public_item_has_an_example_or_says_where_one_is() {
    for (source, least) in [("host/src", 100), ("guest/src", 20)] {
        let source = top().join(source);
        let mut names = BTreeSet::new();
        public(&source, &source.join("lib.rs"), &mut names);
        assert!(names.len() > least, "{} names were found: {names:?}", names.len());
        let all = all_items(&source);
        let has_example = |item: &&Item| item.doc.contains("```") || item.doc.contains("example");
        let is_shown = |name: &&String| {
            let is_it = |it: &&Item| it.name == **name && it.kind == Kind::Definition;
            let definitions: Vec<_> = all.iter().filter(is_it).collect();
            assert!(!definitions.is_empty(), "where is {name} defined?");
            definitions.iter().all(has_example)
        };
        let without: Vec<_> = names.iter().filter(|name| !is_shown(name)).collect();
        assert!(without.is_empty(), "these say nothing of an example: {without:?}");
    }
}
