//! Makes ASCII letters upper-case, from the pipe `in` (or stdin) to the pipe `out` (or stdout), on the
//! streams of WASI 0.3: the host reads into this guest's memory and writes out of it.

use std::io;

use pipehost_guest::stream::{input, output};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    if let Some(arg) = std::env::args().nth(1) {
        eprintln!("upper: has no use for the argument `{arg}`; it takes none");
        pipehost_guest::exit(2);
    }
    let mut input = input()?;
    let mut output = output()?;
    let mut buf = Vec::with_capacity(128 * 1024);
    while input.read(&mut buf).await? > 0 {
        make_upper(&mut buf);
        buf = output.write_all(buf).await?;
    }
    output.close().await
}

/// Sixteen bytes at a time: a component's engine has SIMD, but code is compiled for it only where
/// that is said.
#[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
fn make_upper(bytes: &mut [u8]) {
    bytes.make_ascii_uppercase();
}
