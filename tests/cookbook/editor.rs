//! docs/cookbook/editor.md, with an editor of some lines of Python.

use std::io::Write;

use crate::recipe::{Kitchen, Recipe, demand};
use crate::support::*;

#[test]
fn the_recipe_for_an_editor() {
    let _dog = watchdog();
    demand(&[("python3", "python3")]);
    let recipe = Recipe::read("editor");
    recipe.cook(&recipe.kitchen(&["lsp-todo"]));
}

/// Runs the server on these bytes.
fn served(messages: &[u8]) -> Ended {
    let kitchen = Kitchen::new(&["lsp-todo"]);
    let mut command = kitchen.command("pipehost");
    command.args(["run", "lsp-todo.wasm"]).stdin(std::process::Stdio::piped());
    let mut running = command.start();
    let mut stdin = running.stdin();
    // It may end before all is written.
    let _ = stdin.write_all(messages);
    drop(stdin);
    running.end()
}

fn message(text: &str) -> String {
    format!("Content-Length: {}\r\n\r\n{text}", text.len())
}

#[test]
fn what_an_editor_may_do_wrong() {
    let _dog = watchdog();
    // Another header, lower case, and what is no JSON.
    let first = "content-type: x; charset=utf-8\r\ncontent-length: 5\r\n\r\nhello".to_owned();
    let ended = served((first + &message(r#"{"id":1,"method":"shutdown"}"#)).as_bytes());
    assert!(ended.stdout.contains("-32700") && ended.stdout.contains("\"id\":1"), "{ended:#?}");
    // It has gone without `exit`.
    ended.expect(1);
    for (broken, says) in [
        ("Content-Length: 5\r\n\r\nhel", "end"),
        ("Content-Length: many\r\n\r\n", "Content-Length"),
        ("Content-Length: 99999999999\r\n\r\n", ""),
    ] {
        let ended = served(broken.as_bytes()).expect(1);
        assert!(!ended.stderr.is_empty() && ended.stderr.contains(says), "{ended:#?}");
    }
    let text = "TODO\\n".repeat(200_000);
    let document = format!(r#"{{"textDocument":{{"uri":"file:///a","text":"{text}"}}}}"#);
    let open = format!(r#"{{"method":"textDocument/didOpen","params":{document}}}"#);
    let ended = served(message(&open).as_bytes()).expect(1);
    assert_eq!(ended.stdout.matches("\"message\":\"TODO\"").count(), 1000);
}
