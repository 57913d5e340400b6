//! Sends messages there and back through two FIFOs, one byte at a time.
//!
//! - `ping-pong 1000`: writes a byte to the pipe `out`, waits for it on the pipe `in`, a thousand
//!   times, and prints how long a round trip took.
//! - `ping-pong`: the other side. Sends back each byte that comes, until the end of file.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::time::Instant;

fn main() -> io::Result<()> {
    let rounds = match std::env::args().nth(1) {
        Some(text) => {
            let usage = |_| Error::new(ErrorKind::InvalidInput, "usage: ping-pong [ROUNDS]");
            Some(text.parse::<u32>().map_err(usage)?)
        }
        None => None,
    };
    let mut input = pipehost_guest::open_reader("in")?;
    let mut output = pipehost_guest::open_writer("out")?;
    let mut byte = [0];

    let Some(rounds) = rounds else {
        while input.read(&mut byte)? > 0 {
            output.write_all(&byte)?;
        }
        return Ok(());
    };
    let started = Instant::now();
    for round in 0..rounds {
        let sent = [round as u8];
        output.write_all(&sent)?;
        input.read_exact(&mut byte)?;
        if byte != sent {
            return Err(Error::new(ErrorKind::InvalidData, "another byte came back"));
        }
    }
    let each = started.elapsed() / rounds.max(1);
    println!("{rounds} round trips, {each:?} each");
    Ok(())
}
