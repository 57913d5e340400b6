//! Passes the pipe `in` (or stdin) on to the pipe `out` (or stdout), on the streams of WASI 0.3.

use std::io;

use pipehost_guest::stream::{copy, input, output};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    let mut input = input()?;
    let mut output = output()?;
    copy(&mut input, &mut output).await?;
    output.close().await
}
