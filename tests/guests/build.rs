//! Builds the test programs and the examples for wasm32-wasip2, and one of them for wasm32-wasip1.

use std::env;
use std::path::Path;

mod build_guests;

const GUESTS: [&str; 25] = [
    "calls2",
    "calls3",
    "cat",
    "family2",
    "family3",
    "files2",
    "files3",
    "git-filter",
    "lines",
    "lsp-todo",
    "mcp-notes",
    "merge",
    "ping-pong",
    "plain",
    "plain3",
    "probe2",
    "probe3",
    "redact",
    "sdk2",
    "sdk3",
    "shell",
    "tee",
    "tidy",
    "upper",
    "wants2",
];

/// Those that are built as modules of WASI 0.1, too.
const MODULES: [&str; 1] = ["plain"];

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&here).ancestors().nth(2).expect("this is in tests/guests");
    let built = build_guests::build(root, "wasm32-wasip2", &GUESTS);
    let modules = build_guests::build(root, "wasm32-wasip1", &MODULES);
    for folder in ["examples", "tests/calls", "tests/programs"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build_guests.rs");
    println!("cargo::rustc-env=TEST_GUESTS={}", built.display());
    println!("cargo::rustc-env=TEST_MODULES={}", modules.display());
}
