//! What the WIT package says, as Rust.

pub(crate) mod p2 {
    #![allow(missing_docs, reason = "generated; the WIT has the documentation")]
    wit_bindgen::generate!({
        path: "../wit/p2",
        world: "imports",
        generate_all,
    });
    pub(crate) use pipehost::pipes::{anonymous, named, spawn, types};
    pub(crate) use wasi::io::{poll, streams};
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
        path: "../wit/p3",
        world: "pipehost:guest/imports",
        generate_all,
    });
    pub(crate) use pipehost::pipes::{anonymous, named, spawn, types};
    pub(crate) use wasi::cli;
}
