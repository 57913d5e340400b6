//! A guest that says what it wants: adds up the numbers of a pipe, into another pipe, with a word from its environment.

use std::io::{self, BufRead as _, BufReader, Write as _};

pipehost_guest::wants! {
    reader "numbers": "one \"number\" in each line";
    writer "sums";
    env "GREETING": "what is put before the sum";
}

fn main() -> io::Result<()> {
    let mut sum = 0_u64;
    for line in BufReader::new(pipehost_guest::open_reader("numbers")?).lines() {
        sum += line?.trim().parse::<u64>().unwrap_or(0);
    }
    let greeting = std::env::var("GREETING").unwrap_or_default();
    writeln!(pipehost_guest::open_writer("sums")?, "{greeting} {sum}")
}
