//! Passes on what comes from all granted pipes, as it comes: to the pipe `out`, or stdout.

use std::io;

use pipehost_guest::stream::{Reader, open_reader, output, ready_any};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    let granted = pipehost_guest::granted().into_iter();
    let readable = granted.filter(|pipe| pipe.directions.read);
    let readers: io::Result<Vec<Reader>> = readable.map(|pipe| open_reader(&pipe.name)).collect();
    let (mut readers, mut output) = (readers?, output()?);
    while !readers.is_empty() {
        let at = ready_any(&mut readers).await;
        let mut bytes = Vec::new();
        if readers[at].read(&mut bytes).await? == 0 {
            readers.swap_remove(at);
        } else {
            output.write_all(bytes).await?;
        }
    }
    output.close().await
}
