//! Names that a guest or a file chooses, and messages that a guest can cause: neither can pass for
//! something else.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use support::*;

#[test]
fn row_53_a_pipe_called_like_a_standard_stream_is_none() {
    let _dog = watchdog();
    for family in ["family2", "family3"] {
        for probe in PROBES {
            let child = format!("c={}", guest(probe).display());
            let wrote = |name: &str| {
                let args = ["--child", &child, "--", "deaf", "c", name, "write", name, "text"];
                run(family, args).end().expect(0)
            };
            // What a reader that left means to stdout, it means to no other pipe.
            for name in ["out", "stdout", "stderr", "stdin"] {
                let ended = wrote(name);
                assert_eq!(ended.stdout, "exit status: 1\n", "{family} {probe} {name}: {ended:?}");
                assert!(!ended.stderr.contains("pipehost: "), "{ended:?}");
            }
        }
    }
}
