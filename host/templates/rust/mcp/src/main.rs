//! A server of the Model Context Protocol: tools as functions.

use std::io;

use pipehost_guest::mcp::{Server, Tool};
use pipehost_guest::serde::Deserialize;

#[derive(Deserialize)]
#[serde(crate = "pipehost_guest::serde")]
struct Count {
    text: String,
}

fn main() -> io::Result<()> {
    server().run()
}

fn server() -> Server<'static> {
    let count = Tool::new("count_words", "Counts the words of a text")
        .required("text", "string", "The text");
    Server::new("plugin-name", env!("CARGO_PKG_VERSION")).tool(count, |count: Count, _call| {
        Ok::<_, String>(words(&count.text).to_string())
    })
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use super::{server, words};
    use pipehost_guest::mock::{Sink, Source};

    #[test]
    fn words_are_counted() {
        assert_eq!(words(" two  words\n"), 2);
    }

    #[test]
    fn a_call_is_answered() {
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count_words","arguments":{"text":"a b c"}}}"#;
        let answers = Sink::new();
        server()
            .serve(Source::new().send(request), answers.clone())
            .unwrap();
        assert!(
            answers.text().contains(r#""text":"3""#),
            "{}",
            answers.text()
        );
    }
}
