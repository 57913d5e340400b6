//! Reads a stage in a pipeline's file. Its keys are the options of `pipehost run`, and are read as
//! those are.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use toml::{Spanned, Value};

use super::super::super::args::{GuestOptions, KnownOption, Takes};
use super::super::super::mistake;
use super::super::super::source::Source;
use super::super::job::{GuestJob, Job, NativeJob, Streams, program_name};
use super::unknown_key;
use crate::launch::{StreamFifo, StreamSpec};
use crate::sys;

/// A table in the file.
pub(super) type Table = BTreeMap<Spanned<String>, Value>;

/// The keys that are not options.
const OWN_KEYS: [&str; 4] = ["name", "guest", "args", "exec"];

/// The key for the option `--exec`: the key `exec` is what the stage runs.
const GRANT_EXEC: &str = "grant-exec";

/// A stage's keys, in the order of the file.
#[derive(Debug)]
pub(super) struct StageTable<'a> {
    entries: Vec<Entry<'a>>,
    /// Where the stage begins, for messages about all of it.
    start: Place<'a>,
}

#[derive(Debug)]
struct Entry<'a> {
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
        let line = 1 + self.text[..self.offset].matches('\n').count();
        format!("line {line}: {why}")
    }
}

impl<'a> StageTable<'a> {
    /// Makes this of a table in `text`.
    pub(super) fn of(table: Spanned<Table>, text: &'a str) -> Self {
        let place = |offset| Place { text, offset };
        let start = place(table.span().start);
        let entry = |(key, value): (Spanned<String>, Value)| {
            let place = place(key.span().start);
            Entry { key: key.into_inner(), value, place }
        };
        let mut entries: Vec<_> = table.into_inner().into_iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.place.offset);
        Self { entries, start }
    }

    /// Says what is wrong with the stage.
    pub(super) fn refused(&self, why: &str) -> String {
        self.start.refused(why)
    }

    /// Takes the stage's name, if it has one.
    pub(super) fn name(&mut self) -> Result<Option<String>, String> {
        self.take("name").map(Entry::string).transpose()
    }

    /// Takes what the stage runs, and returns it with its program's name.
    pub(super) fn job(
        &mut self,
        folder: &Path,
        common: &GuestOptions,
    ) -> Result<(String, Job), String> {
        let guest = self.take("guest").map(Entry::string).transpose()?;
        let exec = self.take("exec").map(|entry| entry.list()).transpose()?;
        let args = self.take("args").map(|entry| entry.list()).transpose()?.unwrap_or_default();
        let own = self.options(folder)?;
        let no_streams = GuestOptions { stdin: None, stdout: None, stderr: None, ..own.clone() };
        let only_streams = args.is_empty() && no_streams == GuestOptions::default();
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
                let (stdout, own_stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
                if stdout.frame.is_some() || own_stderr.shed.is_some() {
                    return Err("the keys frame, drop and max are for guests: the host does not see what \
                                a native command writes"
                        .into());
                }
                let stdout = stdout.to;
                let common = || common.stderr.as_ref().and_then(|it| it.to.clone());
                let stderr = own_stderr.to.or_else(common);
                let streams = Streams { stdin, stdout, stderr };
                Ok((program_name(&command), Job::Native(NativeJob { command, streams })))
            }
            (Some(guest), None) => {
                let source = guest_at(folder, guest.as_ref());
                let source =
                    Source::of(&source).map_err(|failure| format!("{:#}", failure.error))?;
                if let Some(arg) = source.useless(&args) {
                    return Err(mistake::useless(&source.display(), arg, "file"));
                }
                let plan = Box::new(common.with_own(&own).plan(&source, &args));
                Ok((source.program(), Job::Guest(GuestJob { source, plan })))
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<Entry<'a>> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// Reads the remaining keys as a command line.
    fn options(&self, folder: &Path) -> Result<GuestOptions, String> {
        let known = GuestOptions::known();
        let mut words = Vec::new();
        for entry in &self.entries {
            let option = match &*entry.key {
                GRANT_EXEC => "exec",
                key => key,
            };
            match known.iter().find(|it| it.name == option && entry.key != "exec") {
                Some(known) => words.extend(entry.words(known)?),
                None => {
                    let options = known.iter().map(|it| &*it.name).filter(|it| *it != "exec");
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
        match self.entries.iter().find(|entry| entry.key == key) {
            Some(entry) => entry.refused(&format!("{key}: {why}")),
            None => why,
        }
    }
}

impl Entry<'_> {
    fn refused(&self, why: &str) -> String {
        self.place.refused(why)
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

    fn list(&self) -> Result<Vec<String>, String> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        let texts = match &self.value {
            Value::Array(items) => items.iter().map(text).collect(),
            _ => None,
        };
        texts.map_or_else(|| self.wrong("write a list of strings"), Ok)
    }

    /// Returns the option as it would be typed, once for each value.
    fn words(&self, known: &KnownOption) -> Result<Vec<OsString>, String> {
        let option = &known.name;
        let values = match (&self.value, known.takes) {
            (Value::Boolean(true), Takes::Nothing) => {
                return Ok(vec![format!("--{option}").into()]);
            }
            (Value::Boolean(false), Takes::Nothing) => return Ok(Vec::new()),
            (_, Takes::Nothing) => return self.wrong("write true or false"),
            (Value::String(text), _) => vec![text.clone()],
            (Value::Integer(number), Takes::Amount) => vec![number.to_string()],
            (_, Takes::Amount) => return self.wrong("write a string or a number"),
            (_, Takes::Text) => return self.wrong("write a string"),
            (Value::Table(table), Takes::List) if option == "env" => self.variables(table)?,
            (_, Takes::List) => self.list()?,
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
    let outputs = [&mut options.stdout, &mut options.stderr].into_iter().flatten();
    let outputs = outputs.filter_map(|output| output.to.as_mut());
    for spec in options.stdin.iter_mut().chain(outputs) {
        match spec {
            StreamSpec::File(path) | StreamSpec::Append(path) => *path = from(folder, path),
            StreamSpec::Fifo(StreamFifo { path, .. }) => *path = pipe_at(folder, path),
            StreamSpec::Inherit | StreamSpec::Null => {}
        }
    }
    for path in options.fifo.iter_mut().filter_map(|fifo| fifo.path.as_mut()) {
        *path = pipe_at(folder, path);
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

/// Makes a named pipe's path start from `folder`, where pipes are files.
fn pipe_at(folder: &Path, path: &Path) -> PathBuf {
    if sys::PIPES_ARE_FILES { from(folder, path) } else { path.into() }
}

/// Makes a command's path start from `folder`. A name without a slash stays, to be looked up on PATH.
fn command_at(folder: &Path, program: &OsStr) -> OsString {
    match program.to_string_lossy().contains(std::path::is_separator) {
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
