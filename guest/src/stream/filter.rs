//! Filters of records on the streams of WASI 0.3.

use std::io::{self, ErrorKind, Write};
use std::mem;

use super::{Reader, Writer, input, output};
use crate::records::{Framing, RecordReader, RecordWriter};

/// How many bytes of answers are gathered before they are written.
const GATHERED: usize = 64 * 1024;

/// Calls `function` for each record of [`input`], as [`records::filter`](crate::records::filter())
/// does, and writes its answers to [`output`]. The function itself does not wait.
///
/// ```no_run
/// use pipehost_guest::records::Lines;
/// use pipehost_guest::stream::filter;
///
/// pipehost_guest::async_main!(run);
///
/// async fn run() -> std::io::Result<()> {
///     filter(Lines, |line, out| out.put(&line.to_ascii_uppercase())).await
/// }
/// # fn main() {}
/// ```
///
/// # Errors
/// Those of [`records::filter`](crate::records::filter()).
pub async fn filter<F: Framing + Clone>(
    framing: F,
    function: impl FnMut(&[u8], &mut RecordWriter<Vec<u8>, F>) -> io::Result<()>,
) -> io::Result<()> {
    let mut output = output()?;
    let mut gone = false;
    let run = each(input()?, &mut output, framing, function, &mut gone).await;
    match run {
        Ok(()) => match output.close().await {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            closed => closed,
        },
        Err(error) if gone && error.kind() == ErrorKind::BrokenPipe => Ok(()),
        failed => failed,
    }
}

async fn each<F: Framing + Clone>(
    mut input: Reader,
    output: &mut Writer,
    framing: F,
    mut function: impl FnMut(&[u8], &mut RecordWriter<Vec<u8>, F>) -> io::Result<()>,
    gone: &mut bool,
) -> io::Result<()> {
    let mut reader = RecordReader::new((), framing.clone());
    let mut out = RecordWriter::new(Vec::new(), framing);
    let mut read = Vec::new();
    loop {
        let record = match reader.buffered() {
            Ok(Some(record)) => record,
            Ok(None) => {
                write(&mut out, output, 0, gone).await?;
                read.clear();
                if input.read(&mut read).await? > 0 {
                    reader.push(&read);
                    continue;
                }
                let Some(record) = reader.last()? else { return Ok(()) };
                if !reader.is_terminated() {
                    out.open();
                }
                record
            }
            Err(error) => {
                let _ = write(&mut out, output, 0, gone).await;
                return Err(error);
            }
        };
        let result = function(reader.bytes(record), &mut out);
        let is_over = result.is_err() || out.is_stopped();
        let written = write(&mut out, output, if is_over { 0 } else { GATHERED }, gone).await;
        // The function's own error is told, even if nobody reads its last answers.
        result.and(written)?;
        if is_over {
            return Ok(());
        }
    }
}

/// Writes the answers that there are, if they are that many bytes.
async fn write<F: Framing>(
    out: &mut RecordWriter<Vec<u8>, F>,
    output: &mut Writer,
    least: usize,
    gone: &mut bool,
) -> io::Result<()> {
    if least == 0 {
        out.flush()?;
    }
    if out.output().is_empty() || out.output().len() < least {
        return Ok(());
    }
    let written = output.write_all(mem::take(out.output())).await;
    *gone |= matches!(&written, Err(error) if error.kind() == ErrorKind::BrokenPipe);
    let mut empty = written?;
    empty.clear();
    *out.output() = empty;
    Ok(())
}
