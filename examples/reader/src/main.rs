//! `reader GUEST FILE` tells how many lines and bytes a guest makes of a file, without async code.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};

use pipehost::{Engine, Guest, GuestLimits};
use reader::GuestReader;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [guest, file] = &args[..] else { return Err("usage: reader GUEST FILE".into()) };
    let engine = Engine::new()?;
    let guest = Guest::from_file(&engine, guest.as_ref())?;
    let input = GuestReader::start(&engine, &guest, File::open(file)?, GuestLimits::default())?;
    let (mut lines, mut bytes) = (0, 0);
    for line in BufReader::new(input).split(b'\n') {
        lines += 1;
        bytes += line?.len() + 1;
    }
    println!("{lines} lines, {bytes} bytes");
    Ok(())
}
