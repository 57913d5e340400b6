//! Files of grants: parsed and bounded, and nothing of them opened.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| pipehost::cli::fuzzing::grants(text));
