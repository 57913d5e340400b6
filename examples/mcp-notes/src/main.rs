//! A server of the Model Context Protocol: a model lists, reads, searches and adds notes, which are the
//! files in one folder.
//!
//! `pipehost run mcp-notes.wasm --dir notes::/notes,ro` lets it read that folder. It does not look
//! whether a path leads elsewhere, nor whether it may write: the host does, and what that refuses is
//! the tool's error.

mod notes;

use std::io;
use std::path::PathBuf;

use pipehost_guest::mcp::{Reply, Server, Tool};
use pipehost_guest::serde::Deserialize;
use pipehost_guest::serde_json::{Value, json};

use notes::Notes;

/// Where the host puts the folder.
const FOLDER: &str = "/notes";

/// How long a message of the client's may be.
const BOUND: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(crate = "pipehost_guest::serde")]
struct Named {
    name: PathBuf,
}

#[derive(Deserialize)]
#[serde(crate = "pipehost_guest::serde")]
struct Wanted {
    text: String,
}

#[derive(Deserialize)]
#[serde(crate = "pipehost_guest::serde")]
struct Added {
    name: PathBuf,
    text: String,
}

fn main() -> io::Result<()> {
    let notes = Notes::new(FOLDER);
    let reads = json!({ "readOnlyHint": true, "openWorldHint": false });
    let list = Tool::new("list_notes", "Lists the names of all notes").annotations(reads.clone());
    let read = Tool::new("read_note", "Reads a note")
        .required("name", "string", "The note's name")
        .annotations(reads.clone());
    let search = Tool::new("search_notes", "Finds the lines of all notes that contain a text")
        .required("text", "string", "The text")
        .annotations(reads);
    let add = Tool::new("add_note", "Adds lines to a note, which is made where there is none")
        .required("name", "string", "The note's name")
        .required("text", "string", "The lines");
    eprintln!("mcp-notes: serves {FOLDER}");
    Server::new("notes", env!("CARGO_PKG_VERSION"))
        .bound(BOUND)
        .instructions("Notes of the user's. Search them before you answer a question about plans.")
        .tool(list, |_: Value, _| notes.list().map(|names| Reply::text(names.join("\n"))))
        .tool(read, |Named { name }, _| notes.read(&name))
        .tool(search, |Wanted { text }, call| {
            let mut done = 0.0;
            let found = notes.search(&text, || {
                done += 1.0;
                call.progress(done, None, "");
                !call.is_cancelled()
            });
            found.map(|lines| Reply::text(lines.join("\n")))
        })
        .tool(add, |Added { name, text }, _| {
            notes.add(&name, &text).map(|()| Reply::text("It is there now."))
        })
        .run()
}
