//! Writes its words as a line into a granted pipe: `plugin-name PIPE WORD...`

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [pipe, words @ ..] = &args[..] else {
        eprintln!("usage: plugin-name PIPE WORD...");
        pipehost_guest::exit(2);
    };
    say(words, pipehost_guest::open_writer(pipe)?)
}

fn say(words: &[String], mut to: impl Write) -> io::Result<()> {
    writeln!(to, "{}", words.join(" "))?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::say;

    #[test]
    fn words_become_a_line() {
        let mut written = Vec::new();
        say(&["hello".into(), "pipe".into()], &mut written).unwrap();
        assert_eq!(written, b"hello pipe\n");
    }
}
