//! One message of the host, and its forms: a line for stderr, a line with a time for a file, JSON.

use std::fmt::{Debug, Write as _};
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tracing::Level;
use tracing::field::{Field, Visit};

use super::super::without_error_numbers;
use crate::pipe::quoted;

/// A message, with all its texts escaped.
pub(super) struct Record<'a> {
    /// Whether it goes to stderr in any case.
    pub(super) said: bool,
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
    /// The names and fields of the spans that it is in, the outermost first.
    pub(super) spans: Vec<(&'a str, Map<String, Value>)>,
}

impl Record<'_> {
    /// Makes the message that says why pipehost ends.
    pub(super) fn error(message: String) -> Self {
        Record {
            said: true,
            level: Level::ERROR,
            target: "pipehost",
            message: shown(&message),
            fields: Map::new(),
            spans: Vec::new(),
        }
    }

    /// Returns the line for stderr: `pipehost: warning: ...`
    pub(super) fn line(&self, has_spans: bool) -> String {
        let level = if self.level == Level::WARN { "warning: " } else { "" };
        let from = if has_spans { self.from() } else { String::new() };
        format!("pipehost: {level}{from}{}\n", self.message)
    }

    /// Returns the line for a file, which several processes may share: `TIME pipehost[PID]: warning: ...`
    pub(super) fn stamped(&self) -> String {
        let (time, process) = (now(), std::process::id());
        let level = match self.level {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        format!("{time} pipehost[{process}]: {level}{}{}\n", self.from(), self.message)
    }

    /// Returns an object of JSON in one line.
    pub(super) fn json(&self) -> String {
        let spans = self.spans.iter().map(|(name, fields)| {
            let mut span = fields.clone();
            span.insert("name".into(), (*name).into());
            Value::Object(span)
        });
        let object = json!({
            "timestamp": now(),
            "pid": std::process::id(),
            "level": self.level.as_str(),
            "target": self.target,
            "message": self.message,
            "fields": self.fields,
            "spans": spans.collect::<Vec<_>>(),
        });
        format!("{object}\n")
    }

    /// Returns where the message comes from: `stage upper: pipe out: `. What is said names its stage itself.
    fn from(&self) -> String {
        let mut from = String::new();
        for (name, fields) in self.spans.iter().filter(|_| !self.said) {
            let value = fields.get(*name).and_then(Value::as_str).unwrap_or_default();
            // Cannot fail: it writes to a string.
            let _ = write!(from, "{name} {value}: ");
        }
        from
    }
}

fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

/// What tracing tells of a message or a span.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().into(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = shown(value),
            _ => self.add(field, shown(value).into()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

/// Returns a text as it is shown. It may quote a guest, its names and its functions. Further lines
/// are indented, so that a quoted text cannot look like a message of the host.
fn shown(text: &str) -> String {
    let text = without_error_numbers(text);
    quoted(text.trim_end_matches('\n')).replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_can_be_forged() {
        let forged = "x\npipehost: error: all is lost\r\n";
        let seen = "x\n    pipehost: error: all is lost\\r";
        assert_eq!(shown(forged), seen);
        assert_eq!(shown("one line (os error 2)\n"), "one line");
        let record = Record { level: Level::WARN, ..Record::error(forged.into()) };
        assert_eq!(record.line(true), format!("pipehost: warning: {seen}\n"));
        let json = record.json();
        assert_eq!(json.lines().count(), 1, "{json}");
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&read["message"], &read["level"]), (&seen.into(), &"WARN".into()));
    }

    #[test]
    fn text_says_where_a_message_comes_from() {
        let span = |name: &'static str, value: &str| {
            let mut fields = Map::new();
            fields.insert(name.into(), value.into());
            (name, fields)
        };
        let spans = vec![span("stage", "upper"), span("pipe", "out")];
        let record = Record { said: false, spans, ..Record::error("opened".into()) };
        assert_eq!(record.line(true), "pipehost: stage upper: pipe out: opened\n");
        assert_eq!(record.line(false), "pipehost: opened\n");
        let (process, line) = (std::process::id(), record.stamped());
        let end = format!(" pipehost[{process}]: error: stage upper: pipe out: opened\n");
        assert!(line.ends_with(&end), "{line}");
        let read: Value = serde_json::from_str(&record.json()).unwrap();
        assert_eq!(read["spans"][1], json!({ "name": "pipe", "pipe": "out" }));
    }
}
