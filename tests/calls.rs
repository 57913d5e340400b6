//! Makes random sequences of calls on pipes, and compares the results with a model of pipes.
//!
//! The sequences are the same each time, so that a failure means that something has changed.
//! `PIPEHOST_CALLS_SEED=N` chooses others.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "support/calls.rs"]
mod calls;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pipehost_test_calls::Version;
use pipehost_test_calls::program::Op;
use pipehost_test_calls::report::{Entry, Outcome};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use calls::Caller;
use support::*;

/// Makes the tests here take turns, as they count the descriptors of the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// Chooses a call: with few slots, so that calls meet, and sizes around those of pages, writes and
/// pipes.
fn call() -> impl Strategy<Value = [u8; 4]> {
    let op = prop_oneof![
        4 => Just(Op::Create),
        2 => Just(Op::OpenReader),
        2 => Just(Op::OpenWriter),
        8 => Just(Op::Read),
        8 => Just(Op::Write),
        1 => Just(Op::Flush),
        1 => Just(Op::FlushAll),
        1 => Just(Op::DropReader),
        1 => Just(Op::DropWriter),
        1 => Just(Op::Available),
        1 => Just(Op::Capacity),
        2 => Just(Op::Poll),
        2 => Just(Op::Move),
        1 => Just(Op::List),
        2 => Just(Op::CancelRead),
        20 => Just(Op::CancelWrite),
        2 => Just(Op::ReadWhenReady),
        1 => Just(Op::MoveWhenReady),
    ];
    let slot = prop_oneof![8 => 0..3u8, 4 => 4..7u8, 1 => 0..8u8];
    let size = prop_oneof![
        1 => Just(0u16), 2 => 1..20u16, 3 => 1..5000u16, 1 => Just(4096u16),
        2 => 60_000..=u16::MAX,
    ];
    (op, slot.clone(), slot, size, 0..4u8).prop_map(|(op, slot, to, size, shift)| {
        let [low, high] = size.to_le_bytes();
        [op as u8 | shift << 5, slot | to << 4, low, high]
    })
}

fn programs(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(call(), 1..most).prop_map(|calls| calls.concat())
}

fn seed() -> [u8; 32] {
    let number = std::env::var("PIPEHOST_CALLS_SEED").map_or(0, |number| number.parse().unwrap());
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&u64::to_le_bytes(number));
    seed
}

/// Runs `cases` programs. Returns how often each call was made, and how many bytes came out of
/// pipes.
fn follow(
    version: Version,
    cases: u32,
    programs: impl Strategy<Value = Vec<u8>>,
) -> ([u32; 18], u64) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _dog = watchdog_after(Duration::from_secs(300));
    let dir = Dir::new();
    let caller = Caller::new(&dir.path("."), guest);
    let (mut done, mut received) = ([0; 18], 0);
    // What hangs takes long to be shrunk.
    let config =
        Config { cases, failure_persistence: None, max_shrink_time: 40_000, ..Config::default() };
    let (done_by, received_by) = (Mutex::new(&mut done), Mutex::new(&mut received));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed());
    let outcome = TestRunner::new_with_rng(config, rng).run(&programs, |program| {
        let told = caller.check(version, &program).map_err(TestCaseError::fail)?;
        **received_by.lock().unwrap() += told.received;
        for entry in Entry::of_report(&told.report).map_err(TestCaseError::fail)? {
            if entry.outcome == Outcome::Done {
                done_by.lock().unwrap()[entry.op as usize] += 1;
            }
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{version:?}: {failure}");
    }
    (done, received)
}

#[test]
fn row_16_calls_of_0_2_follow_the_model() {
    let (done, received) = follow(Version::V0_2, 1500, programs(80));
    println!("{done:?}, {received} bytes");
    // None of them is left out, and they move something.
    assert!(done.iter().all(|count| *count > 10), "{done:?}");
    assert!(received > 10_000_000, "{received}");
}

#[test]
fn row_16_calls_of_0_3_follow_the_model() {
    let (done, received) = follow(Version::V0_3, 1500, programs(80));
    println!("{done:?}, {received} bytes");
    assert!(done.iter().all(|count| *count > 10), "{done:?}");
    assert!(received > 10_000_000, "{received}");
}
