//! What the server answers, as values of JSON: version 3.17 of the Language Server Protocol.

use pipehost_guest::serde_json::{Value, json};

/// How many marks a text gets: more help nobody, and each takes memory.
const MARKS: usize = 1000;

/// What follows a message.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// These messages, perhaps none.
    Send(Vec<Value>),
    /// The end, with this status.
    Exit(u8),
}

/// Whether the editor has asked for the end.
#[derive(Default)]
pub struct Server {
    is_shut_down: bool,
}

impl Server {
    /// Answers a message.
    pub fn answer(&mut self, message: &Value) -> Next {
        let (method, params) = (message["method"].as_str().unwrap_or(""), &message["params"]);
        let id = &message["id"];
        let document = &params["textDocument"];
        match method {
            // Whole texts (1), again with each change.
            "initialize" => answer(id, json!({ "capabilities": { "textDocumentSync": 1 } })),
            "textDocument/didOpen" => marks(document, &document["text"]),
            "textDocument/didChange" => marks(document, &params["contentChanges"][0]["text"]),
            "textDocument/didClose" => marks(document, &Value::Null),
            "shutdown" => {
                self.is_shut_down = true;
                answer(id, Value::Null)
            }
            "exit" => Next::Exit(if self.is_shut_down { 0 } else { 1 }),
            // A notification that says nothing here, or an answer.
            _ if id.is_null() || method.is_empty() => Next::Send(Vec::new()),
            _ => failure(id, -32601, &format!("no method {method}")),
        }
    }

    /// Answers what is no JSON.
    pub fn garbled(&self, why: &str) -> Next {
        failure(&Value::Null, -32700, why)
    }
}

fn answer(id: &Value, result: Value) -> Next {
    Next::Send(vec![json!({ "jsonrpc": "2.0", "id": id, "result": result })])
}

fn failure(id: &Value, code: i32, message: &str) -> Next {
    let error = json!({ "code": code, "message": message });
    Next::Send(vec![json!({ "jsonrpc": "2.0", "id": id, "error": error })])
}

/// Tells the editor of all marks in a text, which take the place of those before.
fn marks(document: &Value, text: &Value) -> Next {
    let mut found = Vec::new();
    for (number, line) in text.as_str().unwrap_or("").lines().enumerate() {
        for (word, severity) in [("FIXME", 2), ("TODO", 3)] {
            let Some(at) = line.find(word).filter(|_| found.len() < MARKS) else { continue };
            // Positions count units of UTF-16.
            let start = line[..at].encode_utf16().count();
            let point = |character: usize| json!({ "line": number, "character": character });
            found.push(json!({
                "range": { "start": point(start), "end": point(start + word.len()) },
                "severity": severity,
                "source": "lsp-todo",
                "message": line[at..].trim_end(),
            }));
        }
    }
    let params = json!({ "uri": document["uri"], "diagnostics": found });
    let method = "textDocument/publishDiagnostics";
    Next::Send(vec![json!({ "jsonrpc": "2.0", "method": method, "params": params })])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation() {
        let mut server = Server::default();
        let mut sent = |message: Value| match server.answer(&message) {
            Next::Send(mut answers) => answers.pop().unwrap_or(Value::Null),
            Next::Exit(status) => json!(status),
        };
        let open = |text: &str| {
            let document = json!({ "uri": "file:///a", "text": text });
            let method = "textDocument/didOpen";
            json!({ "jsonrpc": "2.0", "method": method, "params": { "textDocument": document } })
        };
        assert_eq!(sent(json!({ "id": 1, "method": "initialize" }))["id"], 1);
        assert_eq!(sent(json!({ "method": "initialized", "params": {} })), Value::Null);
        let marked = sent(open("fine\n\u{1f600} TODO: this \n"));
        let first = &marked["params"]["diagnostics"][0];
        assert_eq!(first["range"]["start"], json!({ "line": 1, "character": 3 }));
        assert_eq!(first["message"], "TODO: this");
        assert_eq!(sent(open(""))["params"]["diagnostics"], json!([]));
        assert_eq!(sent(json!({ "id": "x", "method": "hover" }))["error"]["code"], -32601);
        assert_eq!(sent(json!({ "id": 2, "result": null })), Value::Null);
        assert_eq!(sent(json!({ "method": "exit" })), 1);
        assert_eq!(sent(json!({ "id": 3, "method": "shutdown" }))["result"], Value::Null);
        assert_eq!(sent(json!({ "method": "exit" })), 0);
    }
}
