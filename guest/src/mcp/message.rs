//! The messages of JSON-RPC 2.0.

use std::mem;

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::records::{Framing, Lines, Malformed, Scan};

/// The notification that nobody waits for an answer any more.
pub(super) const CANCELLED: &str = "notifications/cancelled";

/// How many messages a batch may have. All of its answers are held until the last one is there.
const BATCH: usize = 100;

/// What a line has.
#[derive(Debug)]
pub(super) enum Incoming {
    One(Value),
    /// Some messages, which are answered together: in the version 2025-03-26.
    Batch(Vec<Value>),
}

/// An error of the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    code: i32,
    message: String,
}

impl Failure {
    pub(super) fn parse(why: &str) -> Self {
        Self { code: -32700, message: format!("Parse error: {why}") }
    }

    pub(super) fn request(why: &str) -> Self {
        Self { code: -32600, message: format!("Invalid request: {why}") }
    }

    pub(super) fn method(name: &str) -> Self {
        Self { code: -32601, message: format!("Method not found: {}", shortened(name)) }
    }

    pub(super) fn params(why: &str) -> Self {
        Self { code: -32602, message: format!("Invalid params: {}", shortened(why)) }
    }

    pub(super) fn answer(self, id: Value) -> Value {
        let error = json!({ "code": self.code, "message": self.message });
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    }
}

/// What a client sent is repeated to it, but not all of it.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Takes a line apart.
pub(super) fn parse(line: &[u8]) -> Result<Incoming, Failure> {
    // As values, many small messages take far more memory than their text, so they are counted before.
    if line.trim_ascii_start().starts_with(b"[") {
        match serde_json::from_slice::<Vec<IgnoredAny>>(line) {
            Ok(messages) if messages.len() > BATCH => {
                let why = format!("the batch has more than {BATCH} messages");
                return Err(Failure::request(&why));
            }
            Ok(_) => {}
            Err(error) => return Err(Failure::parse(&error.to_string())),
        }
    }
    match serde_json::from_slice(line) {
        Ok(Value::Array(messages)) if messages.is_empty() => {
            Err(Failure::request("the batch is empty"))
        }
        Ok(Value::Array(messages)) => Ok(Incoming::Batch(messages)),
        Ok(message) => Ok(Incoming::One(message)),
        Err(error) => Err(Failure::parse(&error.to_string())),
    }
}

/// A request, or a notification.
#[derive(Debug)]
pub(super) struct Request {
    /// Not in a notification.
    pub(super) id: Option<Value>,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

impl Request {
    /// Returns the request that `message` is; `None` if it is an answer, for which nobody has asked.
    /// An error comes with the id to answer to.
    pub(super) fn of(message: Value) -> Result<Option<Self>, (Value, Failure)> {
        let Value::Object(mut message) = message else {
            return Err((Value::Null, Failure::request("it is not an object")));
        };
        let id = message.remove("id");
        let known = id.clone().filter(is_id).unwrap_or_default();
        let fail = |failure| Err((known.clone(), failure));
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return fail(Failure::request("`jsonrpc` is not \"2.0\""));
        }
        let method = match message.remove("method") {
            Some(Value::String(method)) => method,
            None if message.contains_key("result") || message.contains_key("error") => {
                return Ok(None);
            }
            _ => return fail(Failure::request("`method` is not a string")),
        };
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            return fail(Failure::request("`id` is neither a string nor a number"));
        }
        let params = match message.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            // A notification gets no answer, be it wrong.
            Some(_) if id.is_none() => return Ok(None),
            Some(_) => return fail(Failure::params("they are not an object")),
        };
        Ok(Some(Self { id, method, params }))
    }
}

fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_number()
}

/// Lines, of each of which the `id` is remembered: that of one which is too long to be kept is needed
/// for the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    place: Place,
    depth: u64,
    /// The last string of the outermost object: the key, where a colon follows.
    text: Vec<u8>,
    id: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    Text {
        escaped: bool,
    },
    /// The value of `id`.
    Id {
        quoted: bool,
        escaped: bool,
    },
}

/// How long an id is that is remembered, as text of JSON.
const ID: usize = 256;

impl Messages {
    /// Returns the id of the line that has ended last.
    pub(super) fn id(&mut self) -> Value {
        let id = serde_json::from_slice(&mem::take(&mut self.id)).unwrap_or_default();
        Some(id).filter(is_id).unwrap_or_default()
    }

    fn see(&mut self, byte: u8) {
        match (self.place, byte) {
            (Place::Between, b'"') => {
                self.place = Place::Text { escaped: false };
                self.text.clear();
            }
            (Place::Between, b'{' | b'[') => self.depth += 1,
            (Place::Between, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            (Place::Between, b':') if self.depth == 1 && self.text == b"id" => {
                self.id.clear();
                self.place = Place::Id { quoted: false, escaped: false };
            }
            (Place::Between, b',') => self.text.clear(),
            (Place::Between, _) => {}
            (Place::Text { escaped: false }, b'"') => self.place = Place::Between,
            (Place::Text { escaped }, byte) => {
                self.place = Place::Text { escaped: byte == b'\\' && !escaped };
                if self.depth == 1 && self.text.len() < 3 {
                    self.text.push(byte);
                }
            }
            (Place::Id { quoted: false, .. }, b',' | b'}' | b'{' | b'[') => {
                self.place = Place::Between;
                self.text.clear();
                self.see(byte);
            }
            (Place::Id { quoted, escaped }, byte) => {
                if self.id.len() < ID {
                    self.id.push(byte);
                }
                self.place = Place::Id {
                    quoted: quoted ^ (byte == b'"' && !escaped),
                    escaped: byte == b'\\' && !escaped,
                };
            }
        }
    }
}

impl Framing for Messages {
    fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Malformed> {
        let found = Lines.scan(bytes)?;
        let seen = match found {
            Scan::End { len, .. } => len,
            _ => bytes.len(),
        };
        for &byte in &bytes[..seen] {
            self.see(byte);
        }
        if seen > 0 && bytes[seen - 1] == b'\n' {
            let id = mem::take(&mut self.id);
            *self = Self { id, ..Self::default() };
        }
        Ok(found)
    }

    fn end(&mut self) -> Result<(), Malformed> {
        Lines.end()
    }

    fn put(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        Lines.put(record, out)
    }
}
