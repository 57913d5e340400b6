//! A language server that marks each `TODO` of a text as information, and each `FIXME` as a warning.

mod server;

use std::io::{self, Write};

use pipehost_guest::records::{ContentLength, RecordReader, RecordWriter};
use pipehost_guest::serde_json;

use server::{Next, Server};

/// How large a message may be. An editor sends whole texts.
const MOST: usize = 16 << 20;

fn main() -> io::Result<()> {
    let framing = ContentLength::default();
    let mut input = RecordReader::new(pipehost_guest::input()?, framing.clone()).bound(MOST);
    let mut output = RecordWriter::new(pipehost_guest::output()?, framing);
    let mut server = Server::default();
    while let Some(message) = input.next()? {
        let next = match serde_json::from_slice(message) {
            Ok(message) => server.answer(&message),
            Err(error) => server.garbled(&error.to_string()),
        };
        match next {
            Next::Send(answers) => {
                for answer in answers {
                    output.put(answer.to_string().as_bytes())?;
                }
                // The editor waits.
                output.flush()?;
            }
            Next::Exit(status) => pipehost_guest::exit(status),
        }
    }
    // The editor has gone without a word.
    pipehost_guest::exit(1)
}
