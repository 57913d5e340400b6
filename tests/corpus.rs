//! Replays the inputs that the fuzz targets have found: no input may make the host panic, or report
//! what is not true of pipes.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "support/calls.rs"]
mod calls;
#[path = "support/component.rs"]
mod component;

use std::fs;
use std::path::Path;
use std::time::Duration;

use pipehost_test_calls::Version;
use support::*;

/// Returns the inputs of a fuzz target, with their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let input = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).unwrap())
    };
    let mut inputs: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| input(entry.unwrap())).collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "{} has a corpus", folder.display());
    inputs
}

/// Runs `input` on each input, and says which one fails.
fn replay(target: &str, mut input: impl FnMut(&[u8])) {
    for (name, bytes) in corpus(target) {
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| input(&bytes)));
        assert!(passed.is_ok(), "fuzz/corpus/{target}/{name} fails");
    }
}

#[test]
fn the_corpus_of_options_passes() {
    let _dog = watchdog();
    replay("options", |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            pipehost::cli::fuzzing::options(text);
        }
    });
}

#[test]
fn the_corpus_of_pipelines_passes() {
    let _dog = watchdog();
    replay("pipeline", |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            pipehost::cli::fuzzing::pipeline(text);
        }
    });
}

#[test]
fn the_corpus_of_grants_passes() {
    let _dog = watchdog();
    replay("grants", |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            pipehost::cli::fuzzing::grants(text);
        }
    });
}

#[test]
fn the_corpus_of_wants_passes() {
    let _dog = watchdog();
    replay("wants", pipehost::cli::fuzzing::wants);
}

#[test]
fn the_corpus_of_components_passes() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let host = component::Host::new();
    let mut ran = 0;
    replay("component", |bytes| ran += u32::from(host.try_run(bytes)));
    // It is no corpus of damaged files alone.
    assert!(ran >= 5, "{ran} of them ran");
}

#[test]
fn the_corpus_of_calls_passes() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let dir = Dir::new();
    let caller = calls::Caller::new(&dir.path("."), guest).without_counting();
    let mut received = 0;
    replay("calls", |bytes| {
        let Some((first, program)) = bytes.split_first() else { return };
        let version = if first & 1 == 0 { Version::V0_2 } else { Version::V0_3 };
        received += caller.check(version, program).unwrap().received;
    });
    assert!(received > 100_000, "{received} bytes went through pipes");
}
