//! Reads a stage in a pipeline's file. Its keys are the options of `pipehost run`, and are read as
//! those are.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use toml::{Spanned, Value};

use super::super::super::args::GuestOptions;
use super::super::super::mistake;
use super::super::super::source::Source;
use super::super::plan::{Job, Streams, program_name};
use super::unknown_key;
use crate::launch::{StreamFifo, StreamSpec};

/// A table in the file.
pub(super) type Table = BTreeMap<Spanned<String>, Value>;

/// The keys that are not options.
const OWN_KEYS: [&str; 4] = ["name", "guest", "args", "exec"];

/// The key for the option `--exec`: the key `exec` is what the stage runs.
const GRANT_EXEC: &str = "grant-exec";

/// A stage's keys, in the order of the file.
#[derive(Debug)]
pub(super) struct StageTable(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    key: String,
    line: usize,
    value: Value,
}

impl StageTable {
    /// Makes this of `table`. `line_at` returns the line of an offset in the file.
    pub(super) fn of(table: Table, line_at: impl Fn(usize) -> usize) -> Self {
        let mut entries: Vec<_> = table
            .into_iter()
            .map(|(key, value)| (key.span().start, key.into_inner(), value))
            .collect();
        entries.sort_by_key(|(start, ..)| *start);
        let entry = |(start, key, value)| Entry { key, line: line_at(start), value };
        Self(entries.into_iter().map(entry).collect())
    }

    /// Takes the stage's name, if it has one.
    pub(super) fn name(&mut self) -> Result<Option<String>, String> {
        self.take("name").map(Entry::string).transpose()
    }

    /// Takes what the stage runs, and returns it with its program's name.
    pub(super) fn job(
        mut self,
        folder: &Path,
        common: &GuestOptions,
    ) -> Result<(String, Job), String> {
        let guest = self.take("guest").map(Entry::string).transpose()?;
        let exec = self.take("exec").map(Entry::strings).transpose()?;
        let args = self.take("args").map(Entry::strings).transpose()?.unwrap_or_default();
        let only_streams = args.is_empty()
            && self.0.iter().all(|it| matches!(&*it.key, "stdin" | "stdout" | "stderr"));
        let own = self.options(folder)?;
        match (guest, exec) {
            (None, None) => {
                Err("it runs nothing; write guest = \"FILE\" or exec = [\"COMMAND\"]".into())
            }
            (Some(_), Some(_)) => Err("it has guest and exec; write one of the two".into()),
            (None, Some(command)) if command.is_empty() => Err("exec is empty".into()),
            (None, Some(_)) if !only_streams => Err(
                "a native command has no keys but name, exec, stdin, stdout and stderr: the rest is \
                 for guests"
                    .into(),
            ),
            (None, Some(command)) => {
                let mut command: Vec<_> = command.iter().map(OsString::from).collect();
                command[0] = command_at(folder, &command[0]);
                let GuestOptions { stdin, stdout, stderr, .. } = own;
                let stderr = stderr.or_else(|| common.stderr.clone());
                let streams = Streams { stdin, stdout, stderr };
                Ok((program_name(&command), Job::Native { command, streams }))
            }
            (Some(guest), None) => {
                let source = guest_at(folder, guest.as_ref());
                let source =
                    Source::of(&source).map_err(|failure| format!("{:#}", failure.error))?;
                if let Some(arg) = source.useless(&args) {
                    return Err(mistake::useless(&source.display(), arg, "file"));
                }
                let plan = Box::new(common.with_own(&own).plan(&source, &args));
                Ok((source.program(), Job::Guest { source, plan }))
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.0.iter().position(|entry| entry.key == key)?;
        Some(self.0.remove(at))
    }

    /// Reads the remaining keys as a command line.
    fn options(&self, folder: &Path) -> Result<GuestOptions, String> {
        let known = GuestOptions::names();
        let mut words = Vec::new();
        for entry in &self.0 {
            let option = match &*entry.key {
                GRANT_EXEC => "exec",
                key => key,
            };
            match known.iter().find(|(name, _)| name == option && entry.key != "exec") {
                Some((_, takes_value)) => words.extend(entry.words(option, *takes_value)?),
                None => {
                    let options = known.iter().map(|(name, _)| &**name).filter(|it| *it != "exec");
                    let keys: Vec<_> =
                        OWN_KEYS.into_iter().chain(options).chain([GRANT_EXEC]).collect();
                    return Err(entry.refused(&unknown_key(&entry.key, &keys)));
                }
            }
        }
        let options = GuestOptions::of(&words).map_err(|error| self.told(&error))?;
        Ok(from_folder(options, folder))
    }

    /// Names the wrong key, and says why it is wrong.
    fn told(&self, error: &clap::Error) -> String {
        let option = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(text)) => text.split([' ', '=']).next().unwrap_or_default(),
            _ => "",
        };
        let key = match option.trim_start_matches('-') {
            "exec" => GRANT_EXEC,
            key => key,
        };
        let why = match error.source() {
            Some(cause) => cause.to_string(),
            None => mistake::line(error, "pipe"),
        };
        match self.0.iter().find(|entry| entry.key == key) {
            Some(entry) => entry.refused(&format!("{key}: {why}")),
            None => why,
        }
    }
}

impl Entry {
    fn refused(&self, why: &str) -> String {
        format!("line {}: {why}", self.line)
    }

    fn wrong<T>(&self, remedy: &str) -> Result<T, String> {
        Err(self.refused(&format!("{}: {remedy}", self.key)))
    }

    fn string(self) -> Result<String, String> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => self.wrong("write a string"),
        }
    }

    fn strings(self) -> Result<Vec<String>, String> {
        let Value::Array(items) = &self.value else {
            return self.wrong("write a list of strings");
        };
        let text = |item: &Value| item.as_str().map(str::to_owned);
        match items.iter().map(text).collect() {
            Some(texts) => Ok(texts),
            None => self.wrong("write a list of strings"),
        }
    }

    /// Returns the option as it would be typed, once for each value.
    fn words(&self, option: &str, takes_value: bool) -> Result<Vec<OsString>, String> {
        let values = match (&self.value, takes_value) {
            (Value::Boolean(true), false) => return Ok(vec![format!("--{option}").into()]),
            (Value::Boolean(false), false) => return Ok(Vec::new()),
            (_, false) => return self.wrong("write true or false"),
            (Value::String(text), _) => vec![text.clone()],
            (Value::Integer(number), _) => vec![number.to_string()],
            (Value::Array(items), _) => {
                match items.iter().map(|item| item.as_str().map(str::to_owned)).collect() {
                    Some(texts) => texts,
                    None => return self.wrong("write a list of strings"),
                }
            }
            (Value::Table(table), _) if option == "env" => self.variables(table)?,
            _ => return self.wrong("write a string, a number, or a list of strings"),
        };
        Ok(values.into_iter().map(|value| format!("--{option}={value}").into()).collect())
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

/// Makes the paths of `options` start from `folder`.
fn from_folder(mut options: GuestOptions, folder: &Path) -> GuestOptions {
    let streams = [&mut options.stdin, &mut options.stdout, &mut options.stderr];
    for spec in streams.into_iter().flatten() {
        match spec {
            StreamSpec::File(path) | StreamSpec::Fifo(StreamFifo { path, .. }) => {
                *path = from(folder, path);
            }
            StreamSpec::Inherit | StreamSpec::Null => {}
        }
    }
    for path in options.fifo.iter_mut().filter_map(|fifo| fifo.path.as_mut()) {
        *path = from(folder, path);
    }
    for dir in &mut options.dir {
        dir.host = from(folder, &dir.host);
    }
    for child in &mut options.child {
        child.guest = guest_at(folder, &child.guest);
    }
    for exec in &mut options.exec {
        exec.program = command_at(folder, exec.program.as_ref()).to_string_lossy().into_owned();
    }
    options
}

/// Makes a path of the file start from `folder`. Leaves it unchanged if that is the current folder.
fn from(folder: &Path, path: &Path) -> PathBuf {
    match folder == Path::new(".") {
        true => path.into(),
        false => folder.join(path.strip_prefix(".").unwrap_or(path)),
    }
}

/// Makes a command's path start from `folder`. A name without a slash stays, to be looked up on PATH.
fn command_at(folder: &Path, program: &OsStr) -> OsString {
    match program.as_encoded_bytes().contains(&b'/') {
        true => from(folder, program.as_ref()).into(),
        false => program.into(),
    }
}

/// Makes a guest's path start from `folder`. `@NAME` stays, as it is not a file.
fn guest_at(folder: &Path, guest: &Path) -> PathBuf {
    match guest.as_os_str().as_encoded_bytes().starts_with(b"@") {
        true => guest.into(),
        false => from(folder, guest),
    }
}
