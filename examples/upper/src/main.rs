//! Makes ASCII letters upper-case, from the pipe `in` (or stdin) to the pipe `out` (or stdout).

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut input = pipehost_guest::input()?;
    let mut output = pipehost_guest::output()?;
    let mut buf = vec![0; 64 * 1024];
    loop {
        let n = input.read(&mut buf)?;
        if n == 0 {
            return output.flush();
        }
        buf[..n].make_ascii_uppercase();
        output.write_all(&buf[..n])?;
    }
}
