//! Reads a table of a TOML file whose keys are the options of a guest: a stage of a pipeline's file, or
//! a file of grants. They are read as `pipehost run` reads its options.

mod paths;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use toml::{Spanned, Value};

use super::args::{GuestOptions, KnownOption, Takes};
use super::mistake;
pub(super) use paths::{command_at, guest_at};

/// A table in a file.
pub(super) type Table = BTreeMap<Spanned<String>, Value>;

/// The key for the option `--exec`: the key `exec` is what a stage runs.
pub(super) const GRANT_EXEC: &str = "grant-exec";

/// A table's keys, in the order of the file.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    entries: Vec<Entry<'a>>,
    /// Where the table begins, for messages about all of it.
    start: Place<'a>,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    key: String,
    value: Value,
    place: Place<'a>,
}

/// An offset in the text of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

impl Place<'_> {
    /// Says what is wrong there.
    pub(super) fn refused(self, why: &str) -> String {
        format!("line {}: {why}", self.line())
    }

    /// Returns the number of its line, from 1.
    fn line(self) -> usize {
        1 + self.text[..self.offset].matches('\n').count()
    }
}

impl<'a> Keys<'a> {
    /// Makes this of a table in `text`.
    pub(super) fn of(table: Spanned<Table>, text: &'a str) -> Self {
        let start = Place { text, offset: table.span().start };
        Self::new(table.into_inner(), start)
    }

    /// Makes this of the whole of `text`. The error names the line.
    pub(super) fn of_text(text: &'a str) -> Result<Self, String> {
        let table: Table = toml::from_str(text).map_err(|error| refused(&error, text, ""))?;
        Ok(Self::new(table, Place { text, offset: 0 }))
    }

    fn new(table: Table, start: Place<'a>) -> Self {
        let entry = |(key, value): (Spanned<String>, Value)| {
            let place = Place { offset: key.span().start, ..start };
            Entry { key: key.into_inner(), value, place }
        };
        let mut entries: Vec<_> = table.into_iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.place.offset);
        Self { entries, start }
    }

    /// Says what is wrong with the whole table.
    pub(super) fn refused(&self, why: &str) -> String {
        self.start.refused(why)
    }

    /// Takes a key and its value out, if it is there.
    pub(super) fn take(&mut self, key: &str) -> Option<Entry<'a>> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// Returns the lines of the options that are left, by the names of the options.
    pub(super) fn lines(&self) -> BTreeMap<String, usize> {
        let line = |entry: &Entry<'_>| (option_of(&entry.key).to_owned(), entry.place.line());
        self.entries.iter().map(line).collect()
    }

    /// Reads the keys that are left as a command line. Relative paths start from `folder`. `own` are
    /// the keys of the table that are not options.
    pub(super) fn options(&self, folder: &Path, own: &[&str]) -> Result<GuestOptions, String> {
        let known = GuestOptions::known();
        let mut words = Vec::new();
        for entry in &self.entries {
            let option = option_of(&entry.key);
            match known.iter().find(|it| it.name == option && entry.key != "exec") {
                Some(known) => words.extend(entry.words(known)?),
                None if entry.key == "exec" && !own.contains(&"exec") => {
                    return entry.wrong(&format!("write {GRANT_EXEC} = [\"NAME=COMMAND\"]"));
                }
                None => {
                    let options = known.iter().map(KnownOption::key);
                    let keys: Vec<_> = own.iter().copied().chain(options).collect();
                    return Err(entry.refused(&unknown_key(&entry.key, &keys)));
                }
            }
        }
        let options = GuestOptions::of(&words).map_err(|error| self.told(&error))?;
        Ok(paths::from_folder(options, folder))
    }

    /// Names the wrong key, and says why it is wrong.
    fn told(&self, error: &clap::Error) -> String {
        let option = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(text)) => {
                text.split([' ', '=', '[']).next().unwrap_or_default()
            }
            _ => "",
        };
        let option = option.trim_start_matches('-');
        let why = match error.source() {
            Some(cause) => cause.to_string(),
            None => mistake::line(error, "run"),
        };
        match self.entries.iter().find(|entry| option_of(&entry.key) == option) {
            Some(entry) => entry.refused(&format!("{}: {why}", entry.key)),
            None => why,
        }
    }
}

impl KnownOption {
    /// Returns the option's key in a file.
    pub(super) fn key(&self) -> &str {
        if self.name == "exec" { GRANT_EXEC } else { &self.name }
    }
}

/// Returns the option that a key stands for.
fn option_of(key: &str) -> &str {
    if key == GRANT_EXEC { "exec" } else { key }
}

impl Entry<'_> {
    /// Says what is wrong with the key.
    pub(super) fn refused(&self, why: &str) -> String {
        self.place.refused(why)
    }

    /// Names the key, and says what to write.
    pub(super) fn wrong<T>(&self, remedy: &str) -> Result<T, String> {
        Err(self.refused(&format!("{}: {remedy}", self.key)))
    }

    /// Returns the number of its line, from 1.
    pub(super) fn line(&self) -> usize {
        self.place.line()
    }

    pub(super) fn string(&self) -> Result<String, String> {
        match &self.value {
            Value::String(text) => self.typeable(text.clone()),
            _ => self.wrong("write a string"),
        }
    }

    /// Returns the text, if it could be typed on a command line. What has a NUL ends there for the system, and would be
    /// another text for a guest.
    fn typeable(&self, text: String) -> Result<String, String> {
        if text.contains('\0') {
            return self
                .wrong("it holds a NUL (\\u0000), which no text of an option can; leave that out");
        }
        Ok(text)
    }

    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        let texts = match &self.value {
            Value::Array(items) => items.iter().map(text).collect(),
            _ => None,
        };
        let texts: Vec<_> = texts.map_or_else(|| self.wrong("write a list of strings"), Ok)?;
        texts.into_iter().map(|text| self.typeable(text)).collect()
    }

    /// Returns the option as it would be typed, once for each value.
    fn words(&self, known: &KnownOption) -> Result<Vec<OsString>, String> {
        let option = &known.name;
        let values = match (&self.value, known.takes) {
            (Value::Boolean(true), Takes::Nothing | Takes::MaybeAmount) => {
                return Ok(vec![format!("--{option}").into()]);
            }
            (Value::Boolean(false), Takes::Nothing | Takes::MaybeAmount) => return Ok(Vec::new()),
            (_, Takes::Nothing) => return self.wrong("write true or false"),
            (Value::String(text), Takes::Amount | Takes::MaybeAmount | Takes::Text) => {
                vec![text.clone()]
            }
            (Value::Integer(number), Takes::Amount | Takes::MaybeAmount) => {
                vec![number.to_string()]
            }
            (_, Takes::MaybeAmount) => {
                return self.wrong("write true, false, a string or a number");
            }
            (_, Takes::Amount) => return self.wrong("write a string or a number"),
            (_, Takes::Text) => return self.wrong("write a string"),
            (Value::Table(table), Takes::List) if option == "env" => self.variables(table)?,
            (Value::String(text), Takes::List) => vec![text.clone()],
            (_, Takes::List) => self.list()?,
        };
        let typed = |value| Ok(format!("--{option}={}", self.typeable(value)?).into());
        values.into_iter().map(typed).collect()
    }

    fn variables(&self, table: &toml::Table) -> Result<Vec<String>, String> {
        let mut variables = Vec::new();
        for (name, value) in table {
            if name.contains('=') {
                return self.wrong(&format!("`{name}` is no variable's name"));
            }
            match value {
                Value::String(value) => variables.push(format!("{name}={value}")),
                _ => return self.wrong(&format!("write a string for `{name}`")),
            }
        }
        Ok(variables)
    }
}

/// Describes why `text` could not be read, with the line. `form` says how tables of it are written.
pub(super) fn refused(error: &toml::de::Error, text: &str, form: &str) -> String {
    let why = of_parser(error.message(), form);
    // Without a span it is about the whole.
    let offset = error.span().map_or(0, |span| span.start);
    Place { text, offset }.refused(&why)
}

/// Returns the parser's message. For an unknown key, suggests one that may be meant.
pub(super) fn of_parser(message: &str, form: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return match message.strip_prefix("invalid type: ") {
            Some(rest) if rest.ends_with("expected a sequence") => form.into(),
            Some(rest) if rest.contains(" as i128") => "this number is too large".into(),
            _ => message.into(),
        };
    };
    let mut words = rest.split('`').step_by(2);
    let unknown = words.next().unwrap_or_default();
    let known: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    unknown_key(unknown, &known)
}

/// Returns the message for an unknown key.
fn unknown_key(unknown: &str, known: &[&str]) -> String {
    match mistake::nearest(unknown, known.iter().copied()) {
        Some(meant) => format!("unknown key `{unknown}`; did you mean `{meant}`?"),
        None => format!("unknown key `{unknown}`; there are {}", known.join(", ")),
    }
}
