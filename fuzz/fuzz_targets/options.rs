//! What is typed: the values of options, and whole command lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| pipehost::cli::fuzzing::options(text));
