//! The library as the features leave it: a guest of each version that is built in runs, and a guest of
//! one that is left out is refused.
//!
//! Made for a run with some of the features: `cargo test --package pipehost --no-default-features
//! --features p2 --test reduced`. A guest of 0.3 that std is part of needs both `p2` and `p3`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use pipehost::{Engine, Guest, GuestLimits, Outcome, Pipes, Setup, pipes};
use pipehost_test_guests::{guest, module};

const TEXT: &str = "one\ntwo\n";

/// Runs the guest between two pipes. Returns what it wrote, and how it ended.
fn run(guest: &Path, args: &[&str]) -> Result<(String, Outcome), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::new().unwrap();
        let guest = Guest::from_file(&engine, guest).map_err(|error| error.to_string())?;
        let (stdin, mut to_guest) = std::io::pipe().unwrap();
        let (mut from_guest, stdout) = std::io::pipe().unwrap();
        to_guest.write_all(TEXT.as_bytes()).unwrap();
        drop(to_guest);
        let mut limits = GuestLimits::default();
        limits.timeout = Some(Duration::from_secs(30));
        let pipes = Pipes::builder().limits(limits).build();
        let stderr = pipes::standard(2).unwrap();
        let mut setup = Setup::between(pipes, stdin.into(), stdout.into(), stderr).unwrap();
        setup.wasi().arg("guest").args(args);
        let outcome = setup.run(&engine, &guest).await.map_err(|error| error.to_string())?;
        let mut text = String::new();
        from_guest.read_to_string(&mut text).unwrap();
        Ok((text, outcome))
    })
}

#[track_caller]
fn check(ran: Result<(String, Outcome), String>, is_built_in: bool) {
    match (ran, is_built_in) {
        (Ok((text, outcome)), true) => {
            assert_eq!(text, TEXT);
            assert!(matches!(outcome, Outcome::Exited(0)), "{outcome:?}");
        }
        (Err(line), false) => {
            // Without `p3`, the engine does not know the types of 0.3 either.
            let reasons = ["WASI", "wasi:", "component model async"];
            assert!(reasons.iter().any(|reason| line.contains(reason)), "{line}");
        }
        (ran, _) => panic!("built in: {is_built_in}, but {ran:?}"),
    }
}

#[test]
fn a_guest_of_0_1() {
    check(run(&module("plain"), &["copy"]), cfg!(feature = "p1"));
}

#[test]
fn a_guest_of_0_2() {
    check(run(&guest("plain"), &["copy"]), cfg!(feature = "p2"));
}

#[test]
fn a_guest_of_0_3() {
    check(run(&guest("plain3"), &["forward"]), cfg!(feature = "p3") && cfg!(feature = "p2"));
}
