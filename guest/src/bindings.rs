//! The bindings of the WIT packages.

pub(crate) mod p2 {
    #![allow(missing_docs, reason = "generated; the WIT has the documentation")]
    wit_bindgen::generate!({
        path: "wit-p2",
        world: "imports",
        generate_all,
    });
    pub(crate) use pipehost::pipes::{anonymous, named, spawn, types};
    pub(crate) use wasi::io::{poll, streams};
}

/// The bindings of `exit-with-code`: std has no function for it.
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
