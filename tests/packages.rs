//! The crates as they are published, and the library as a program embeds it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pipehost::{Engine, Guest, GuestLimits, Outcome, Pipes, Setup, pipes};
use support::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns all files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), PathBuf::from(entry.file_name()));
        // What Python leaves where it has run.
        if name.as_os_str() == "__pycache__" {
            continue;
        }
        match path.is_dir() {
            true => found.extend(files(&path).into_iter().map(|(at, text)| (name.join(at), text))),
            false => drop(found.insert(name, fs::read_to_string(&path).unwrap())),
        }
    }
    found
}

/// A published crate contains only its own files, so it has copies of the interfaces.
#[test]
fn copies_of_the_interfaces_are_equal() {
    for version in ["p2", "p3"] {
        let original = files(&root().join("wit").join(version));
        assert!(original.len() > 1);
        for copy in [format!("host/wit/{version}"), format!("guest/wit-{version}")] {
            let equal = files(&root().join(&copy)) == original;
            assert!(equal, "{copy} differs from wit/{version}; type .ci/bundle");
        }
    }
    let example = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let equal = example("host/examples/embed.rs") == example("examples/embed/src/main.rs");
    assert!(equal, "examples/embed differs from host/examples/embed.rs; type .ci/bundle");
}

/// The SDKs of other languages have the package's WIT, and the templates of `pipehost new` have the SDKs.
#[test]
fn copies_of_the_sdks_are_equal() {
    for (language, version) in [("c", "p2"), ("python", "p2"), ("js", "p3")] {
        let mut sdk = files(&root().join("guest").join(language));
        sdk.remove(Path::new("README.md"));
        let wit = files(&root().join("wit").join(version));
        for (path, text) in wit {
            let name = path.file_name().unwrap();
            let copy = sdk.remove(&Path::new("wit/deps").join(name));
            let equal = copy == Some(text);
            assert!(
                equal,
                "{name:?} of guest/{language} differs from wit/{version}; type .ci/bundle"
            );
        }
        let world = sdk.remove(Path::new("wit/world.wit")).unwrap();
        sdk.insert("world.wit".into(), world);
        let template = files(&root().join("host/templates").join(language).join("sdk"));
        assert!(
            template == sdk,
            "host/templates/{language}/sdk differs from guest/{language}; type .ci/bundle"
        );
    }
}

/// The bundled guests were built from the present examples/.
#[test]
fn bundled_guests_are_what_the_examples_give() {
    for name in ["cat", "lines", "tee", "upper"] {
        let bundled = fs::read(root().join(format!("host/guests/{name}.wasm"))).unwrap();
        let equal = bundled == fs::read(guest(name)).unwrap();
        assert!(
            equal,
            "host/guests/{name}.wasm is not what examples/{name} gives; type .ci/bundle"
        );
    }
}

#[test]
fn the_first_example_runs() {
    let _dog = watchdog();
    let folder = Path::new(env!("CARGO_BIN_EXE_pipehost")).parent().unwrap();
    let ended = Command::new(folder.join("examples/filter")).arg(guest("upper")).end().expect(0);
    assert_eq!(ended.stdout, "HELLO\nExited(0)\n");
}

#[tokio::test]
async fn a_time_limit_of_the_library_ends_a_guest() {
    let _dog = watchdog();
    let engine = Engine::new().unwrap();
    let spin = b"(module (func (export \"_start\") (loop (br 0))))";
    let spin = Guest::from_bytes(&engine, spin).unwrap();
    let waiting = Guest::from_file(&engine, &guest("cat")).unwrap();
    let limit = Duration::from_millis(200);
    for guest in [spin, waiting] {
        // Whose writer stays open, and says nothing.
        let (stdin, _silent) = std::io::pipe().unwrap();
        let null = || pipes::null().unwrap();
        let mut limits = GuestLimits::default();
        limits.timeout = Some(limit);
        let pipes = Pipes::builder().limits(limits).build();
        let setup = Setup::between(pipes, stdin.into(), null(), null()).unwrap();
        let begun = Instant::now();
        let outcome = setup.run(&engine, &guest).await.unwrap();
        assert!(matches!(outcome, Outcome::TimedOut(known) if known == limit), "{outcome:?}");
        assert!(begun.elapsed() >= limit);
    }
}
