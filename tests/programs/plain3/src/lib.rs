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
                import wasi:cli/stderr@0.3.0;
                export wasi:cli/run@0.3.0;
            }
        ",
        path: "../../../wit/p3/deps/wasi-cli.wit",
        world: "pipehost:plain/plain",
        generate_all,
    });
}

use bindings::exports::wasi::cli::run::Guest;
use bindings::wasi::cli::{stderr, stdin, stdout};
use bindings::{export, wit_stream};

struct Plain;

impl Guest for Plain {
    async fn run() -> Result<(), ()> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["forward"] => forward().await,
            ["forward-to-stderr"] => forward_to_stderr().await,
            ["streams-to", output, ref rounds @ ..] => streams_to(output, rounds).await,
            ["copy-by", size] => copy(size.parse().expect("a number"), false).await,
            // Traps where what it reads says so.
            ["copy-or-trap"] => copy(4096, true).await,
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

/// As `forward`, to stderr.
async fn forward_to_stderr() -> Result<(), ()> {
    let (data, read) = stdin::read_via_stream();
    let written = stderr::write_via_stream(data);
    written.await.map_err(|_| ())?;
    read.await.map_err(|_| ())
}

/// Hands stdin to `output` again and again, and drops what it is told of that. Says so on stderr after
/// so many rounds, and waits for the end of stdin, which the first round must have moved.
async fn streams_to(output: &str, rounds: &[&str]) -> Result<(), ()> {
    let write = |data| match output {
        "stdout" => stdout::write_via_stream(data),
        _ => stderr::write_via_stream(data),
    };
    let (data, _) = stdin::read_via_stream();
    let first = write(data);
    let mut round = 0;
    for rounds in rounds {
        let rounds: u32 = rounds.parse().expect("a number");
        while round < rounds {
            let (data, _) = stdin::read_via_stream();
            drop(write(data));
            round += 1;
        }
        eprintln!("{round}");
    }
    let (mut data, read) = stdin::read_via_stream();
    let (_, bytes) = data.read(Vec::with_capacity(1)).await;
    eprintln!("{} {:?}", bytes.len(), read.await);
    first.await.map_err(|_| ())
}

/// Copies stdin to stdout in reads of up to `size` bytes.
async fn copy(size: usize, may_trap: bool) -> Result<(), ()> {
    let (mut input, read) = stdin::read_via_stream();
    let (mut output, data) = wit_stream::new();
    let written = stdout::write_via_stream(data);
    let mut buf = Vec::with_capacity(size);
    loop {
        let (_, mut bytes) = input.read(buf).await;
        if bytes.is_empty() {
            break;
        }
        let trap = bytes.windows(4).position(|word| may_trap && word == b"trap");
        bytes.truncate(trap.unwrap_or(bytes.len()));
        bytes = output.write_all(bytes).await;
        if trap.is_some() {
            std::process::abort();
        }
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
