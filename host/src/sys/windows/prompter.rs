//! The console, for questions to whoever sits there.

use std::io::{self, IsTerminal as _};

use super::write_message;

/// The console that both stdin and stderr are.
#[derive(Debug)]
pub(crate) struct Prompter(());

impl Prompter {
    /// Returns `None` if nobody would see a question, or could answer it.
    pub(crate) fn open() -> Option<Self> {
        (io::stdin().is_terminal() && io::stderr().is_terminal()).then_some(Self(()))
    }

    /// Writes `text`, as it is.
    ///
    /// # Errors
    /// None here.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        write_message(text.as_bytes());
        Ok(())
    }

    /// Writes `question`, and waits for a line, which is returned without its end. Returns `None` at the end of the input.
    ///
    /// # Errors
    /// Those of the system; `InvalidData` for what is no text.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        self.say(question)?;
        let mut line = String::new();
        match io::stdin().read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned())),
        }
    }
}
