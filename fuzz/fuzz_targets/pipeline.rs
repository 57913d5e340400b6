//! Pipelines from files: parsed, planned, checked and drawn, and nothing of them run.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| pipehost::cli::fuzzing::pipeline(text));
