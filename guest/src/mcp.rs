//! A server of the [Model Context Protocol](https://modelcontextprotocol.io) on stdin and stdout: tools
//! as functions. For the feature `mcp`.
//!
//! ```no_run
//! use pipehost_guest::mcp::{Server, Tool};
//! use pipehost_guest::serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! # #[serde(crate = "pipehost_guest::serde")]
//! struct Count {
//!     text: String,
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     let count = Tool::new("count_words", "Counts the words of a text")
//!         .required("text", "string", "The text");
//!     Server::new("counter", env!("CARGO_PKG_VERSION"))
//!         .tool(count, |count: Count, _call| {
//!             Ok::<_, std::io::Error>(count.text.split_whitespace().count().to_string())
//!         })
//!         .run()
//! }
//! ```
//!
//! A client starts it by `pipehost run counter.wasm`.
//!
//! The server answers `initialize`, `ping`, `tools/list`, `tools/call` and `logging/setLevel`, for the
//! versions 2024-11-05 to 2025-11-25 of the protocol, one message a line. It calls one tool at a time:
//! requests that come meanwhile wait. It
//! - ends with success at the end of its input, and when the client no longer reads;
//! - answers what is no JSON, no request, an unknown method or wrong parameters with an error, and goes
//!   on. So it does with a message of more than 4 MiB ([`Server::bound`]), of which it keeps nothing, and
//!   with a batch of more than 100 messages;
//! - answers a tool's error, and arguments that are not what the tool takes, with a result that
//!   [says so](Reply::error), as the model can act on that;
//! - does not answer a request that was cancelled.
//!
//! Nothing but the server may write to stdout: what is for people goes to stderr, by `eprintln!`, or to
//! the client, by [`Call::log`].

mod call;
mod connection;
mod message;
mod tool;

use std::fmt::Display;
use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

pub use call::{Call, Level};
pub use tool::{Reply, Tool};

use crate::{Input, Output, TryRead};
use connection::Connection;
use message::{Failure, Incoming, Request};

/// The versions of the protocol, the newest first.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// How many bytes a message may have if nobody says: a client that never ends one must not fill the
/// memory, and JSON takes a multiple of its text.
const BOUND: usize = 4 << 20;

/// A server, and the tools that it has.
///
/// ```
/// use pipehost_guest::mcp::{Reply, Server, Tool};
/// use pipehost_guest::mock::{Sink, Source};
/// use pipehost_guest::serde_json::Value;
///
/// // A test without a host.
/// let request = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello"}}"#;
/// let sink = Sink::new();
/// Server::new("greeter", "1.0")
///     .tool(Tool::new("hello", "Greets"), |_: Value, _call| Ok::<_, String>("hello"))
///     .serve(Source::new().send(request), sink.clone())?;
/// assert!(sink.text().contains(r#"{"text":"hello","type":"text"}"#));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "it runs with `run` or `serve`"]
pub struct Server<'a> {
    info: Value,
    instructions: Option<String>,
    tools: Vec<Entry<'a>>,
    bound: usize,
}

struct Entry<'a> {
    tool: Tool,
    #[expect(clippy::type_complexity, reason = "the type of one field")]
    run: Box<dyn FnMut(Value, &mut Call<'_>) -> Reply + 'a>,
}

impl<'a> Server<'a> {
    /// Makes a server without tools. Its name and its version are for people to read.
    pub fn new(name: &str, version: &str) -> Self {
        let info = json!({ "name": name, "version": version });
        Self { info, instructions: None, tools: Vec::new(), bound: BOUND }
    }

    /// Sets what a model is to know about the use of all tools together.
    pub fn instructions(mut self, text: &str) -> Self {
        self.instructions = Some(text.to_owned());
        self
    }

    /// Sets how many bytes a message may have, 4 MiB if this is not called. While a message is being
    /// read and understood, it takes a multiple of that.
    pub fn bound(mut self, bytes: usize) -> Self {
        self.bound = bytes;
        self
    }

    /// Adds a tool. `run` is called with the arguments, as the type that it takes: any that serde can
    /// read from an object, or [`Value`].
    ///
    /// An error of its is shown to the model.
    ///
    /// # Panics
    /// Panics if there is a tool of that name.
    pub fn tool<T, R, E>(
        mut self,
        tool: Tool,
        mut run: impl FnMut(T, &mut Call<'_>) -> Result<R, E> + 'a,
    ) -> Self
    where
        T: DeserializeOwned,
        R: Into<Reply>,
        E: Display,
    {
        assert!(self.find(tool.name()).is_none(), "there are two tools `{}`", tool.name());
        let run = move |arguments, call: &mut Call<'_>| match serde_json::from_value(arguments) {
            Ok(arguments) => match run(arguments, call) {
                Ok(reply) => reply.into(),
                Err(error) => Reply::error(error),
            },
            Err(error) => Reply::error(format!("invalid arguments: {error}")),
        };
        self.tools.push(Entry { tool, run: Box::new(run) });
        self
    }

    /// Serves the client on stdin and stdout, until the input ends.
    ///
    /// # Errors
    /// Those of reading and writing, but for a client that no longer reads.
    pub fn run(self) -> io::Result<()> {
        self.serve(Input::stdin(), Output::stdout())
    }

    /// Serves a client on other ends, as [`Server::run`] does.
    ///
    /// # Errors
    /// Those of [`Server::run`].
    pub fn serve(mut self, input: impl TryRead, output: impl Write) -> io::Result<()> {
        let mut connection = Connection::new(input, output, self.bound);
        let served = self.converse(&mut connection);
        match served {
            Err(error) if connection.is_gone() && error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(())
            }
            served => served,
        }
    }

    fn converse<R: TryRead, W: Write>(
        &mut self,
        connection: &mut Connection<R, W>,
    ) -> io::Result<()> {
        while let Some(message) = connection.next()? {
            match message {
                Incoming::One(message) => {
                    if let Some(answer) = self.answer(message, connection)? {
                        connection.send(&answer)?;
                    }
                }
                Incoming::Batch(messages) => {
                    let mut answers = Vec::new();
                    for message in messages {
                        answers.extend(self.answer(message, connection)?);
                    }
                    if !answers.is_empty() {
                        connection.send(&answers.into())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the answer to a message, if it gets one.
    fn answer<R: TryRead, W: Write>(
        &mut self,
        message: Value,
        connection: &mut Connection<R, W>,
    ) -> io::Result<Option<Value>> {
        let request = match Request::of(message) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(None),
            Err((id, failure)) => return Ok(Some(failure.answer(id))),
        };
        let Some(id) = request.id else {
            // All other notifications ask for nothing.
            if request.method == message::CANCELLED {
                connection.cancel(&request.params);
            }
            return Ok(None);
        };
        let result = match &*request.method {
            "initialize" => self.initialize(&request.params),
            "ping" => Ok(json!({})),
            "tools/list" => self.list(&request.params),
            "tools/call" => match self.call(&id, request.params, connection)? {
                Some(result) => result,
                None => return Ok(None),
            },
            "logging/setLevel" => match request.params.get("level").and_then(Level::of) {
                Some(level) => {
                    connection.set_level(level);
                    Ok(json!({}))
                }
                None => Err(Failure::params("`level` is not a level of logging")),
            },
            method => Err(Failure::method(method)),
        };
        Ok(Some(match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(failure) => failure.answer(id),
        }))
    }

    fn initialize(&self, params: &Map<String, Value>) -> Result<Value, Failure> {
        let Some(asked) = params.get("protocolVersion").and_then(Value::as_str) else {
            return Err(Failure::params("`protocolVersion` is missing"));
        };
        // A client that does not know the version that it is offered leaves.
        let version = VERSIONS.into_iter().find(|&it| it == asked).unwrap_or(VERSIONS[0]);
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": { "tools": {}, "logging": {} },
            "serverInfo": self.info,
        });
        if let Some(text) = &self.instructions {
            result["instructions"] = text.as_str().into();
        }
        Ok(result)
    }

    fn list(&self, params: &Map<String, Value>) -> Result<Value, Failure> {
        if params.get("cursor").is_some_and(|cursor| !cursor.is_null()) {
            return Err(Failure::params(
                "`cursor` is none of this server's: all tools are one page",
            ));
        }
        let tools: Vec<_> = self.tools.iter().map(|entry| entry.tool.describe()).collect();
        Ok(json!({ "tools": tools }))
    }

    /// Returns the outcome of a call; `None` if it was cancelled.
    fn call<R: TryRead, W: Write>(
        &mut self,
        id: &Value,
        mut params: Map<String, Value>,
        connection: &mut Connection<R, W>,
    ) -> io::Result<Option<Result<Value, Failure>>> {
        let Some(Value::String(name)) = params.remove("name") else {
            return Ok(Some(Err(Failure::params("`name` of the tool is missing"))));
        };
        let Some(index) = self.find(&name) else {
            return Ok(Some(Err(Failure::params(&format!("unknown tool: {name}")))));
        };
        let arguments = match params.remove("arguments") {
            None | Some(Value::Null) => json!({}),
            Some(arguments @ Value::Object(_)) => arguments,
            Some(_) => return Ok(Some(Err(Failure::params("`arguments` is not an object")))),
        };
        let token = params.get("_meta").and_then(|meta| meta.get("progressToken")).cloned();
        connection.begin(id.clone());
        let mut call = Call::new(connection, token);
        let reply = (self.tools[index].run)(arguments, &mut call);
        let is_cancelled = connection.end()?;
        Ok((!is_cancelled).then(|| Ok(reply.into_result())))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.tools.iter().position(|entry| entry.tool.name() == name)
    }
}

#[cfg(test)]
mod tests;
