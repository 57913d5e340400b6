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
