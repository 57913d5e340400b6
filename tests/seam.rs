//! Checks that only `host/src/sys` knows the platform.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Words that name a platform.
const WORDS: [&str; 12] = [
    "cfg(unix)",
    "cfg(windows)",
    "target_os",
    "libc",
    "rustix",
    "signal_hook",
    "std::os",
    "OwnedFd",
    "RawFd",
    "AsFd",
    "\"/proc",
    "\"/dev",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().unwrap() != "sys" {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// Returns the lines before the tests, without comments, and without conditions for tests alone.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("#[cfg(all(test, "))
        .map(|(at, line)| (at + 1, line.split("//").next().unwrap()))
}

#[test]
fn nothing_outside_of_sys_names_a_platform() {
    let mut found = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    assert!(found.len() > 50, "{found:?}");
    // Compiled for tests alone.
    found.retain(|path| !path.ends_with("tests.rs") && !path.ends_with("cli/breakout.rs"));
    let mut named = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in code(&text) {
            for word in WORDS.iter().filter(|word| line.contains(**word)) {
                named.push(format!("{}:{at}: {word}", path.display()));
            }
        }
    }
    assert!(named.is_empty(), "{named:#?}");
}

#[test]
fn what_names_a_platform_is_found() {
    let text = "use std::os::fd::AsFd; // a word\n// libc\nlet x = \"/proc/self\";\n#[cfg(test)]\nuse libc;";
    let lines: Vec<_> = code(text)
        .filter(|(_, line)| WORDS.iter().any(|word| line.contains(word)))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(lines, [1, 3]);
}
