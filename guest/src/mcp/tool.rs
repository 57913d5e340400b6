//! What a tool is, and what it returns.

use std::fmt::Display;

use serde_json::{Value, json};

/// What a client is told of a tool: its name, what it does, what it takes.
///
/// ```
/// use pipehost_guest::mcp::Tool;
/// use pipehost_guest::serde_json::json;
///
/// let read = Tool::new("read", "Reads a file of the folder")
///     .required("path", "string", "The file, from the folder on")
///     .optional("lines", "integer", "How many lines; all if not given")
///     .annotations(json!({ "readOnlyHint": true }));
/// // Or with a JSON Schema.
/// let sum = Tool::new("sum", "Adds numbers").input(json!({
///     "type": "object",
///     "properties": { "numbers": { "type": "array", "items": { "type": "number" } } },
///     "required": ["numbers"],
/// }));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a server is given it with `Server::tool`"]
pub struct Tool {
    name: String,
    description: Value,
}

impl Tool {
    /// Makes a tool without arguments. Its name has letters, digits, `_`, `-`, `.` and `/`.
    pub fn new(name: &str, description: &str) -> Self {
        let schema = json!({ "type": "object", "properties": {} });
        let told = json!({ "name": name, "description": description, "inputSchema": schema });
        Self { name: name.to_owned(), description: told }
    }

    /// Sets the name that people see.
    pub fn title(self, title: &str) -> Self {
        self.with("title", title.into())
    }

    /// Sets the JSON Schema of the arguments, of an object. The server does not check them by it.
    pub fn input(self, schema: Value) -> Self {
        self.with("inputSchema", schema)
    }

    /// Sets the JSON Schema of what [`Reply::structured`] returns.
    pub fn output(self, schema: Value) -> Self {
        self.with("outputSchema", schema)
    }

    /// Sets hints for the client, such as `readOnlyHint`.
    pub fn annotations(self, hints: Value) -> Self {
        self.with("annotations", hints)
    }

    /// Adds an argument of this type of JSON Schema: `string`, `number`, `integer`, `boolean`,
    /// `array` or `object`.
    pub fn optional(mut self, name: &str, kind: &str, description: &str) -> Self {
        let argument = json!({ "type": kind, "description": description });
        self.description["inputSchema"]["properties"][name] = argument;
        self
    }

    /// Adds an argument that must be given.
    pub fn required(mut self, name: &str, kind: &str, description: &str) -> Self {
        self = self.optional(name, kind, description);
        match &mut self.description["inputSchema"]["required"] {
            Value::Array(names) => names.push(name.into()),
            none => *none = json!([name]),
        }
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.description[key] = value;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn describe(&self) -> &Value {
        &self.description
    }
}

/// What a tool returns. Text becomes one by itself, and so does JSON, as structured content.
///
/// ```
/// use pipehost_guest::mcp::Reply;
/// use pipehost_guest::serde_json::json;
///
/// let text = Reply::from("two words");
/// let structured = Reply::from(json!({ "words": 2 }));
/// let both = Reply::text("first").and(json!({ "type": "text", "text": "second" }));
/// let error = Reply::error("there is no such file");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    content: Vec<Value>,
    structured: Option<Value>,
    is_error: bool,
}

impl Reply {
    /// Returns text.
    pub fn text(text: impl Display) -> Self {
        Self::default().and(json!({ "type": "text", "text": text.to_string() }))
    }

    /// Returns JSON that a program understands, and the same as text for those that do not.
    pub fn structured(value: Value) -> Self {
        Self { structured: Some(value.clone()), ..Self::text(value) }
    }

    /// Returns an error, which the model is shown so that it can do better.
    pub fn error(text: impl Display) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// Adds a block of content, as the protocol has it: an image, a resource.
    #[must_use]
    pub fn and(mut self, block: Value) -> Self {
        self.content.push(block);
        self
    }

    pub(super) fn into_result(self) -> Value {
        let mut result = json!({ "content": self.content, "isError": self.is_error });
        if let Some(structured) = self.structured {
            result["structuredContent"] = structured;
        }
        result
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        // Structured content is an object.
        match value {
            Value::Object(_) => Self::structured(value),
            Value::String(text) => Self::text(text),
            value => Self::text(value),
        }
    }
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Self::default()
    }
}
