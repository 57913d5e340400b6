//! The bindings of the WIT packages.

/// Natively, a test's.
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::mock::interfaces as p2;

/// Interfaces are as std has them, whole: the linker merges the two.
#[cfg(target_family = "wasm")]
pub(crate) mod p2 {
    #![allow(missing_docs, reason = "generated; the WIT has the documentation")]
    wit_bindgen::generate!({
        inline: "
            package pipehost:guest;

            world blocking {
                include pipehost:pipes/imports@0.2.0;
                import wasi:cli/stdin@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.0;
            }

            package wasi:cli@0.2.0 {
                interface stdin {
                    use wasi:io/streams@0.2.0.{input-stream};
                    get-stdin: func() -> input-stream;
                }
            }

            package wasi:clocks@0.2.0 {
                interface monotonic-clock {
                    use wasi:io/poll@0.2.0.{pollable};
                    type instant = u64;
                    type duration = u64;
                    now: func() -> instant;
                    resolution: func() -> duration;
                    subscribe-instant: func(when: instant) -> pollable;
                    subscribe-duration: func(when: duration) -> pollable;
                }
            }
        ",
        path: "wit-p2",
        world: "pipehost:guest/blocking",
        generate_all,
    });
    pub(crate) use pipehost::pipes::{anonymous, named, spawn, types};
    pub(crate) use wasi::cli::stdin;
    pub(crate) use wasi::clocks::monotonic_clock;
    pub(crate) use wasi::io::{poll, streams};
}

/// The bindings of `exit-with-code`: std has no function for it.
#[cfg(target_family = "wasm")]
pub(crate) mod exit {
    #![allow(missing_docs, reason = "generated; WASI has the documentation")]
    wit_bindgen::generate!({
        inline: "
            package wasi:cli@0.2.12;

            interface exit {
                exit: func(status: result);
                exit-with-code: func(status-code: u8);
            }

            world exits {
                import exit;
            }
        ",
        world: "wasi:cli/exits",
        generate_all,
    });
    pub(crate) use wasi::cli::exit::exit_with_code;
}

pub(crate) mod p3 {
    #![allow(missing_docs, reason = "generated; the WIT has the documentation")]
    wit_bindgen::generate!({
        inline: "
            package pipehost:guest;

            world imports {
                include pipehost:pipes/imports@0.3.0;
                import wasi:cli/stdin@0.3.0;
                import wasi:cli/stdout@0.3.0;
            }
        ",
        path: "wit-p3",
        world: "pipehost:guest/imports",
        generate_all,
    });
    pub(crate) use pipehost::pipes::{anonymous, named, spawn, types};
    pub(crate) use wasi::cli;
}
