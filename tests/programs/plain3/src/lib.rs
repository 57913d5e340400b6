//! A component of WASI 0.3 that knows nothing of pipehost.
#![allow(unsafe_code, reason = "the generated export; there is none by hand")]

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package pipehost:plain;

            world plain {
                import wasi:cli/stdin@0.3.0;
                import wasi:cli/stdout@0.3.0;
                export wasi:cli/run@0.3.0;
            }
        ",
        path: "../../../wit/p3/deps/wasi-cli.wit",
        world: "pipehost:plain/plain",
        generate_all,
    });
}

use bindings::exports::wasi::cli::run::Guest;
use bindings::wasi::cli::{stdin, stdout};
use bindings::{export, wit_stream};

struct Plain;

impl Guest for Plain {
    async fn run() -> Result<(), ()> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["forward"] => forward().await,
            ["copy-by", size] => copy(size.parse().expect("a number")).await,
            _ => panic!("unknown arguments {args:?}"),
        }
    }
}

/// Hands stdin to stdout, and sees nothing of it.
async fn forward() -> Result<(), ()> {
    let (data, read) = stdin::read_via_stream();
    let written = stdout::write_via_stream(data);
    written.await.map_err(|_| ())?;
    read.await.map_err(|_| ())
}

/// Copies stdin to stdout in reads of up to `size` bytes.
async fn copy(size: usize) -> Result<(), ()> {
    let (mut input, read) = stdin::read_via_stream();
    let (mut output, data) = wit_stream::new();
    let written = stdout::write_via_stream(data);
    let mut buf = Vec::with_capacity(size);
    loop {
        let (_, mut bytes) = input.read(buf).await;
        if bytes.is_empty() {
            break;
        }
        bytes = output.write_all(bytes).await;
        if !bytes.is_empty() {
            return Err(());
        }
        buf = bytes;
    }
    drop(output);
    written.await.map_err(|_| ())?;
    read.await.map_err(|_| ())
}

export!(Plain with_types_in bindings);
