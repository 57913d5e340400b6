//! Merges the lines of several pipes as they come, on the streams of WASI 0.3: from each pipe that
//! its arguments name (without arguments, from all that it may read) to the pipe `out`, or stdout.
//!
//! A line is written whole; which pipe's line comes first is up to their writers.

use std::io;

use pipehost_guest::stream::{Reader, open_reader, output, ready_any};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        let readable = pipehost_guest::granted().into_iter();
        names.extend(readable.filter(|pipe| pipe.directions.read).map(|pipe| pipe.name));
    }
    let mut readers =
        names.iter().map(|name| open_reader(name)).collect::<io::Result<Vec<Reader>>>()?;
    let mut lines = vec![Vec::new(); readers.len()];
    let mut output = output()?;
    while !readers.is_empty() {
        let at = ready_any(&mut readers).await;
        let line = &mut lines[at];
        let n = readers[at].read(line).await?;
        let whole = match n {
            0 => {
                readers.swap_remove(at);
                let mut last = lines.swap_remove(at);
                if !last.is_empty() {
                    last.push(b'\n');
                }
                last
            }
            _ => match line.iter().rposition(|&byte| byte == b'\n') {
                Some(end) => {
                    let rest = line.split_off(end + 1);
                    std::mem::replace(line, rest)
                }
                None => continue,
            },
        };
        if !whole.is_empty() {
            output.write_all(whole).await?;
        }
    }
    output.close().await
}
