//! Builds the examples, and the README's guest, outside of this repository.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

/// Runs cargo, without a network, on the crate in `folder`, with the versions that this repository
/// locks.
fn cargo(folder: &Path, args: &[&str]) {
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(args).arg("--offline").current_dir(folder);
    cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("copies"));
    let ended = cargo.end();
    assert_eq!(ended.code, Some(0), "{}: {}", folder.display(), ended.stderr);
}

#[test]
fn examples_work_where_they_are_copied_to() {
    let _dog = watchdog_after(Duration::from_secs(600));
    let (root, mut seen) = (root(), 0);
    for entry in fs::read_dir(root.join("examples")).unwrap().flatten() {
        let Ok(manifest) = fs::read_to_string(entry.path().join("Cargo.toml")) else { continue };
        let dir = Dir::new();
        // As its comment says.
        let manifest = manifest.replace("../..", root.to_str().unwrap());
        assert!(!manifest.contains("workspace = true"), "{}", entry.path().display());
        dir.file("Cargo.toml", manifest);
        fs::create_dir(dir.path("src")).unwrap();
        for source in fs::read_dir(entry.path().join("src")).unwrap().flatten() {
            fs::copy(source.path(), dir.path("src").join(source.file_name())).unwrap();
        }
        cargo(&dir.path("."), &["tree", "--quiet"]);
        seen += 1;
    }
    assert!(seen >= 9, "{seen} examples");
}

/// Returns the README's blocks of this language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = readme.split(&begin).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_guest_of_the_readme_builds_outside() {
    let _dog = watchdog_after(Duration::from_secs(600));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let manifest =
        blocks(&readme, "toml").into_iter().find(|it| it.contains("pipehost-guest")).unwrap();
    let program = blocks(&readme, "rust").into_iter().find(|it| it.contains("fn main")).unwrap();
    let dir = Dir::new();
    dir.file("Cargo.toml", manifest.replace("../pipehost", root().to_str().unwrap()));
    fs::create_dir(dir.path("src")).unwrap();
    fs::write(dir.path("src/main.rs"), program).unwrap();
    cargo(&dir.path("."), &["check", "--target=wasm32-wasip2"]);
}
