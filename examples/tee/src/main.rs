//! Writes what it reads from the pipe `in` (or stdin) to the pipe `out` (or stdout), and to each
//! pipe that its arguments name; without arguments, to all others that it may write and not read.
//!
//! As with tee(1), a pipe whose reader goes is left out from then on.

use std::io::{self, ErrorKind, Read, Write};

fn main() -> io::Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(option) = names.iter().find(|name| name.starts_with('-')) {
        eprintln!("tee: has no option `{option}`; its arguments are the names of pipes");
        pipehost_guest::exit(2);
    }
    if names.is_empty() {
        let others = pipehost_guest::granted()
            .into_iter()
            .filter(|pipe| pipe.directions.write && !pipe.directions.read && pipe.name != "out");
        names.extend(others.map(|pipe| pipe.name));
    }
    let mut input = pipehost_guest::input()?;
    let mut outputs: Vec<Box<dyn Write>> = vec![Box::new(pipehost_guest::output()?)];
    for name in &names {
        outputs.push(Box::new(pipehost_guest::open_writer(name)?));
    }

    let mut buf = vec![0; 64 * 1024];
    while !outputs.is_empty() {
        let n = input.read(&mut buf)?;
        let mut failed = None;
        outputs.retain_mut(|output| {
            let written = match n {
                0 => output.flush(),
                n => output.write_all(&buf[..n]),
            };
            match written {
                Ok(()) => true,
                Err(error) => {
                    if error.kind() != ErrorKind::BrokenPipe {
                        failed = Some(error);
                    }
                    false
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if n == 0 {
            return Ok(());
        }
    }
    Err(ErrorKind::BrokenPipe.into())
}
