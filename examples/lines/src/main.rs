//! Numbers lines, from the pipe `in` (or stdin) to the pipe `out` (or stdout), as `cat -n` does.

use std::io::{self, BufRead, BufReader, BufWriter, Write};

fn main() -> io::Result<()> {
    if let Some(arg) = std::env::args().nth(1) {
        eprintln!("lines: has no use for the argument `{arg}`; it takes none");
        pipehost_guest::exit(2);
    }
    let mut input = BufReader::with_capacity(64 * 1024, pipehost_guest::input()?);
    let mut output = BufWriter::with_capacity(64 * 1024, pipehost_guest::output()?);
    let mut number = 0u64;
    let mut at_start = true;
    loop {
        if input.buffer().is_empty() {
            // About to wait: whoever reads should have the lines that there were.
            output.flush()?;
        }
        // Line by line as far as it goes, so that no line has to fit the memory.
        let piece = input.fill_buf()?;
        if piece.is_empty() {
            return output.flush();
        }
        let end = piece.iter().position(|&byte| byte == b'\n').map_or(piece.len(), |at| at + 1);
        if at_start {
            number += 1;
            write!(output, "{number:6}\t")?;
        }
        output.write_all(&piece[..end])?;
        at_start = piece[end - 1] == b'\n';
        input.consume(end);
    }
}
