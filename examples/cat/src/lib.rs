//! Passes its input on: from the pipe `in` (or stdin) to the pipe `out` (or stdout). It does not look at
//! it, so the host moves the bytes from one pipe to the other, and copies none where both are pipes.

use std::io;

use pipehost_guest::stream::{forward, input, output};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    if let Some(arg) = std::env::args().nth(1) {
        eprintln!("cat: has no use for the argument `{arg}`; it takes none");
        pipehost_guest::exit(2);
    }
    forward(input()?, output()?).await
}
