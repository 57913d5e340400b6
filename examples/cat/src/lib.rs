//! Passes its input on: from the pipe `in` (or stdin) to the pipe `out` (or stdout). It does not look at
//! it, so the host moves the bytes from one pipe to the other, and copies none where both are pipes.

use std::io;

use pipehost_guest::stream::{forward, input, output};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    forward(input()?, output()?).await
}
