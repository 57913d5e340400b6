//! The tests for Windows: the built program on real named pipes, anonymous pipes and native commands. `.ci/windows`
//! runs them under wine.
#![cfg(windows)]
#![allow(missing_docs, clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod anonymous;
mod clients;
mod commands;
mod ends;
mod peer;
mod refusals;
#[path = "../support/running.rs"]
mod running;
mod servers;
mod standard;
mod stops;
mod support;
mod tools;
mod waiting;
