//! A shell that can start nothing but what its operator grants it:
//!
//! ```sh
//! pipehost run shell.wasm --child upper=@upper --exec sort=sort -- -c 'sort -r < in | upper > out'
//! ```
//!
//! A line is a pipeline: names of children, each with its arguments, and `|` between them. The first may
//! read a granted pipe (`< NAME`), the last may write to one (`> NAME`); else they have the shell's own
//! stdin and stdout. Quotes keep words together. Without `-c LINE` it reads lines from stdin, and the
//! first child of each has nothing to read.
//!
//! It ends with 1 if the last line failed, as with `set -o pipefail`, and says then how each of its
//! children ended.

use std::io::{self, BufRead, Error, ErrorKind};

use pipehost_guest::process::{Child, Command, Stdio};
use pipehost_guest::{open_reader, open_writer, pipe};

mod line;

use line::Line;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let succeeded = match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let mut succeeded = true;
            for line in io::stdin().lock().lines() {
                succeeded = run(&line?, false).unwrap_or_else(|error| {
                    eprintln!("shell: {error}");
                    false
                });
            }
            succeeded
        }
        ["-c", line] => run(line, true)?,
        _ => return Err(Error::new(ErrorKind::InvalidInput, "usage: shell [-c LINE]")),
    };
    if !succeeded {
        std::process::exit(1);
    }
    Ok(())
}

/// Runs one line; whether it succeeded.
fn run(line: &str, has_stdin: bool) -> io::Result<bool> {
    let line = Line::parse(line).map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
    if line.stages.is_empty() {
        return Ok(true);
    }
    let mut input = match &line.input {
        Some(name) => Stdio::from(open_reader(name)?),
        None if has_stdin => Stdio::inherit(),
        None => Stdio::null(),
    };
    let mut running: Vec<(String, Child)> = Vec::new();
    let last = line.stages.len() - 1;
    for (at, words) in line.stages.into_iter().enumerate() {
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        let (output, next) = match &line.output {
            _ if at < last => {
                let both = pipe()?;
                (Stdio::from(both.writer), Stdio::from(both.reader))
            }
            Some(name) => (Stdio::from(open_writer(name)?), Stdio::null()),
            None => (Stdio::inherit(), Stdio::null()),
        };
        let child = Command::new(&name).args(words).stdin(input).stdout(output).spawn();
        // Those that run meet the end of file, or a broken pipe, in place of the one that does not.
        running.push((
            name.clone(),
            child.map_err(|error| Error::new(error.kind(), format!("{name}: {error}")))?,
        ));
        input = next;
    }
    let mut ended = Vec::new();
    for (name, child) in &mut running {
        ended.push((name.clone(), child.wait()?));
    }
    // Right to left: a child whose reader left, and which ended for that, has not failed.
    let failed = ended.iter().enumerate().rev().any(|(at, (_, status))| match status.code() {
        0 => false,
        141 => at == last,
        _ => true,
    });
    if failed {
        for (name, status) in ended {
            eprintln!("shell: {name}: {status}");
        }
    }
    Ok(!failed)
}
