//! Does what its arguments say with the streams of WASI 0.3, by what the SDK has beyond them.
//!
//! - `filter`: makes the ASCII letters of each line upper-case.
//! - `copy`: copies by the traits of `futures`.
//! - `lines`: sends each line that it reads twice, by the same traits.
//! - `turns`: reads in turns by both ways, and forwards the rest.

use std::io;

use pipehost_guest::records::Lines;
use pipehost_guest::stream::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, filter,
    forward, input, output,
};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("filter") => filter(Lines, |line, out| out.put(&line.to_ascii_uppercase())).await,
        Some("copy") => copy(input()?, output()?).await,
        Some("lines") => {
            let (mut input, mut output) = (BufReader::new(input()?), output()?);
            let mut line = String::new();
            while input.read_line(&mut line).await? > 0 {
                AsyncWriteExt::write_all(&mut output, line.repeat(2).as_bytes()).await?;
                output.flush().await?;
                line.clear();
            }
            AsyncWriteExt::close(&mut output).await
        }
        Some("turns") => {
            let (mut input, mut output) = (input()?, output()?);
            let mut bytes = [0; 3];
            let mut more = Vec::with_capacity(5);
            AsyncReadExt::read_exact(&mut input, &mut bytes).await?;
            AsyncWriteExt::write_all(&mut output, &bytes).await?;
            input.read(&mut more).await?;
            output.write_all(more).await?;
            forward(input, output).await
        }
        other => panic!("{other:?}"),
    }
}

/// For any ends.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buf = vec![0; 50_000];
    loop {
        match from.read(&mut buf).await? {
            0 => return to.close().await,
            n => to.write_all(&buf[..n]).await?,
        }
    }
}
