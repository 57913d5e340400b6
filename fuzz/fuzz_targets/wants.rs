//! What guests declare that they want, and what was allowed: read and put into words, and nothing granted.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pipehost::cli::fuzzing::wants(bytes));
