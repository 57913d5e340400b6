//! A filter for git: files have tabs as indents in the repository, and four spaces in the folder.
//!
//! - `git-filter clean`, `git-filter smudge`: changes one file, from stdin to stdout.
//! - `git-filter process`: changes all files of a git command, as `filter.<name>.process` asks.

mod indent;
mod pkt_line;
mod process;

use std::io::{self, BufReader, BufWriter, Read, Write};

use indent::{Indents, Way};

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (input, output) = (pipehost_guest::input()?, pipehost_guest::output()?);
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["clean"] => one(Way::Clean, input, output),
        ["smudge"] => one(Way::Smudge, input, output),
        ["process"] => process::serve(
            BufReader::with_capacity(64 * 1024, input),
            BufWriter::with_capacity(64 * 1024, output),
        ),
        _ => {
            eprintln!("usage: git-filter clean|smudge|process");
            pipehost_guest::exit(2);
        }
    }
}

/// Changes one file.
fn one(way: Way, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut indents = Indents::new(way);
    let (mut buf, mut changed) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let n = input.read(&mut buf)?;
        match n {
            0 => indents.finish(&mut changed),
            n => indents.change(&buf[..n], &mut changed),
        }
        output.write_all(&changed)?;
        changed.clear();
        if n == 0 {
            return output.flush();
        }
    }
}
