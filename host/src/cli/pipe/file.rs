//! A pipeline that is kept in a file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::anyhow;
use serde::Deserialize;

use super::super::args::{GrantRef, GuestOptions};
use super::super::exit::{Failure, Status};
use super::super::granting::file_failure;
use super::super::mistake;
use super::super::part::MOST_PIPELINE_BYTES;
use super::super::source::Source;
use super::super::values::{self, StandardFifo, StdioSpec};
use super::line::outer_streams;
use super::plan::{EndRef, Job, Pipe, Plan, Stage, Streams, program_name, stage_name, usage};
use crate::sys;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    stage: Vec<StageTable>,
    #[serde(default)]
    pipes: toml::Table,
}

/// A stage. Its keys are the options of `pipehost run`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct StageTable {
    name: Option<String>,
    guest: Option<String>,
    args: Vec<String>,
    exec: Option<Vec<String>>,
    stdin: Option<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    fifo: Vec<String>,
    fd: Vec<String>,
    env: BTreeMap<String, String>,
    dir: Vec<String>,
    child: Vec<String>,
    grant_exec: Vec<String>,
    timeout: Option<String>,
    open_timeout: Option<String>,
    idle_timeout: Option<String>,
    max_bytes: Option<String>,
    rate: Option<String>,
    fuel: Option<u64>,
    max_memory: Option<String>,
    max_pipes: Option<usize>,
    max_children: Option<usize>,
    raw_terminal: bool,
}

/// Reads the file at `path`, which may be a FIFO, until `deadline`; `None` then.
pub(super) fn read(path: &Path, deadline: Option<Instant>) -> Result<Option<String>, Failure> {
    let bytes = match sys::read_file(path, MOST_PIPELINE_BYTES, deadline) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(None),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            return usage(format!(
                "{}: is larger than 1 MiB, which no pipeline is",
                path.display()
            ));
        }
        Err(error) => return Err(file_failure("-f", path, &error)),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => usage(format!("{}: is no text, which a pipeline's file is", path.display())),
    }
}

/// The pipeline in `text`, which is that of the file at `path`, whose folder its paths start from.
/// `common` holds for every guest.
pub(crate) fn plan(path: &Path, text: &str, common: &GuestOptions) -> Result<Plan, Failure> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    parse(text, folder.unwrap_or(Path::new(".")), common).map_err(|failure| Failure {
        error: anyhow!("{}: {:#}", path.display(), failure.error),
        ..failure
    })
}

pub(super) fn parse(text: &str, folder: &Path, common: &GuestOptions) -> Result<Plan, Failure> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        Failure { status: Status::Usage, error: anyhow!("{place}{}", of_parser(error.message())) }
    })?;
    if file.stage.is_empty() {
        return usage("there is no stage; write [[stage]] and below it guest = \"FILE\"".into());
    }
    let mut stages: Vec<Stage> = Vec::new();
    for (at, table) in file.stage.into_iter().enumerate() {
        let name = table.name.clone();
        let (program, job) = match table.job(folder, common) {
            Ok(job) => job,
            Err(text) => {
                let name = name.unwrap_or_else(|| (at + 1).to_string());
                return usage(format!("stage {name}: {text}"));
            }
        };
        let name = match name {
            None => stage_name(&program, &stages),
            Some(name) if name != stage_name(&name, &[]) => {
                return usage(format!(
                    "stage {}: `{name}` is no stage's name, which has letters, digits, `-` and `_`",
                    at + 1
                ));
            }
            Some(name) if stages.iter().any(|stage| stage.name == name) => {
                return usage(format!("two stages are called `{name}`; rename one"));
            }
            Some(name) => name,
        };
        stages.push(Stage { name, job });
    }
    let mut pipes = Vec::new();
    for (name, value) in &file.pipes {
        match pipe(name, value, &stages) {
            Ok(pipe) => pipes.push(pipe),
            Err(text) => return usage(format!("pipe {name}: {text}")),
        }
    }
    Plan::new(outer_streams(stages, common)?, pipes)
}

/// What the parser says is wrong; of an unknown key, which one may be meant.
fn of_parser(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else { return message.into() };
    let mut words = rest.split('`').step_by(2);
    let unknown = words.next().unwrap_or_default();
    let known: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    match mistake::nearest(unknown, known.iter().copied()) {
        Some(meant) => format!("unknown key `{unknown}`; did you mean `{meant}`?"),
        None => format!("unknown key `{unknown}`; there are {}", known.join(", ")),
    }
}

/// `NAME = "STAGE.END -> STAGE.END"`, or a table with `from`, `to` and `capacity`.
fn pipe(name: &str, value: &toml::Value, stages: &[Stage]) -> Result<Pipe, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        from: String,
        to: String,
        capacity: Option<String>,
    }
    const FORM: &str = "write \"STAGE.END -> STAGE.END\"";
    let table = match value {
        toml::Value::String(text) => {
            let (from, to) = text.split_once("->").ok_or(FORM)?;
            Table { from: from.trim().into(), to: to.trim().into(), capacity: None }
        }
        toml::Value::Table(table) => {
            table.clone().try_into().map_err(|error: toml::de::Error| of_parser(error.message()))?
        }
        _ => return Err(FORM.into()),
    };
    let end = |text: &str| {
        let (stage, end) = text.split_once('.').ok_or(FORM)?;
        let known = stages.iter().position(|known| known.name == stage);
        let names = || stages.iter().map(|stage| &*stage.name).collect::<Vec<_>>().join(", ");
        match known {
            Some(stage) => Ok(EndRef::new(stage, end)),
            None => Err(format!("there is no stage `{stage}`; there are {}", names())),
        }
    };
    let capacity = table.capacity.as_deref().map(values::size).transpose()?;
    Ok(Pipe { name: Some(name.into()), from: end(&table.from)?, to: end(&table.to)?, capacity })
}

impl StageTable {
    /// What it runs, and the name of that.
    fn job(self, folder: &Path, common: &GuestOptions) -> Result<(String, Job), String> {
        let stream = |text: &Option<String>, read: fn(String) -> Result<StdioSpec, String>| {
            Ok::<_, String>(text.clone().map(read).transpose()?.map(|spec| at(folder, spec)))
        };
        let streams = Streams {
            stdin: stream(&self.stdin, values::stdin)?,
            stdout: stream(&self.stdout, values::output)?,
            stderr: stream(&self.stderr, values::output)?,
        };
        match (&self.guest, &self.exec) {
            (None, None) => {
                Err("it runs nothing; write guest = \"FILE\" or exec = [\"COMMAND\"]".into())
            }
            (Some(_), Some(_)) => Err("it has guest and exec; write one of the two".into()),
            (None, Some(command)) if command.is_empty() => Err("exec is empty".into()),
            (None, Some(command)) => {
                let of_guests = Self {
                    name: None,
                    exec: None,
                    stdin: None,
                    stdout: None,
                    stderr: None,
                    ..self
                };
                if of_guests != Self::default() {
                    return Err(
                        "a native command has no keys but name, exec, stdin, stdout and stderr: \
                                the rest is for guests"
                            .into(),
                    );
                }
                let mut command: Vec<_> = command.iter().map(OsString::from).collect();
                command[0] = command_at(folder, &command[0]);
                let stderr = streams.stderr.or_else(|| common.stderr.clone());
                let streams = Streams { stderr, ..streams };
                Ok((program_name(&command), Job::Native { command, streams }))
            }
            (Some(guest), None) => {
                let source = guest_at(folder, guest);
                let source =
                    Source::of(&source).map_err(|failure| format!("{:#}", failure.error))?;
                let own = self.options(folder, streams)?;
                let options = Box::new(common.with_own(&own));
                if let Some(arg) = source.useless(&self.args) {
                    return Err(mistake::useless(&source.display(), arg, "file"));
                }
                Ok((source.program(), Job::Guest { source, args: self.args, options }))
            }
        }
    }

    fn options(&self, folder: &Path, streams: Streams) -> Result<GuestOptions, String> {
        let mut options = GuestOptions {
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
            timeout: self.timeout.as_deref().map(values::duration).transpose()?,
            open_timeout: self.open_timeout.as_deref().map(values::duration).transpose()?,
            idle_timeout: self.idle_timeout.as_deref().map(values::duration).transpose()?,
            max_bytes: self.max_bytes.as_deref().map(values::size).transpose()?,
            rate: self.rate.as_deref().map(values::rate).transpose()?,
            fuel: self.fuel,
            max_memory: self.max_memory.as_deref().map(values::size).transpose()?,
            max_pipes: self.max_pipes,
            max_children: self.max_children,
            raw_terminal: self.raw_terminal,
            ..GuestOptions::default()
        };
        for (name, value) in &self.env {
            if name.contains('=') {
                return Err(format!("env: `{name}` is no variable's name"));
            }
            options.env.push(values::env(&format!("{name}={value}"))?);
        }
        for text in &self.fifo {
            let mut fifo = values::fifo(text)?;
            fifo.path = fifo.path.map(|path| from(folder, &path));
            options.order.push(GrantRef::Fifo(options.fifo.len()));
            options.fifo.push(fifo);
        }
        for text in &self.fd {
            options.order.push(GrantRef::Fd(options.fd.len()));
            options.fd.push(values::fd(text)?);
        }
        for text in &self.dir {
            let mut dir = values::dir(text)?;
            dir.host = from(folder, &dir.host);
            options.dir.push(dir);
        }
        for text in &self.child {
            let mut child = values::child(text)?;
            child.guest = guest_at(folder, &child.guest.to_string_lossy());
            options.child.push(child);
        }
        for text in &self.grant_exec {
            let mut exec = values::exec(text)?;
            exec.program = command_at(folder, exec.program.as_ref()).to_string_lossy().into_owned();
            options.exec.push(exec);
        }
        Ok(options)
    }
}

/// A path of the file's, whose paths start from `folder`: as it is given where that is this one.
fn from(folder: &Path, path: &Path) -> PathBuf {
    match folder == Path::new(".") {
        true => path.into(),
        false => folder.join(path.strip_prefix(".").unwrap_or(path)),
    }
}

/// A command's path, from `folder` on; a name without a slash is looked for on PATH.
fn command_at(folder: &Path, program: &OsStr) -> OsString {
    match program.as_encoded_bytes().contains(&b'/') {
        true => from(folder, program.as_ref()).into(),
        false => program.into(),
    }
}

/// A guest's file, from `folder` on; `@NAME` is none.
fn guest_at(folder: &Path, guest: &str) -> PathBuf {
    match guest.starts_with('@') {
        true => guest.into(),
        false => from(folder, guest.as_ref()),
    }
}

fn at(folder: &Path, spec: StdioSpec) -> StdioSpec {
    match spec {
        StdioSpec::File(path) => StdioSpec::File(from(folder, &path)),
        StdioSpec::Fifo(spec) => {
            StdioSpec::Fifo(StandardFifo { path: from(folder, &spec.path), ..spec })
        }
        spec => spec,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Plan, String> {
        parse(text, Path::new("/folder"), &GuestOptions::default())
            .map_err(|failure| format!("{:#}", failure.error))
    }

    #[test]
    fn a_pipeline_in_full() {
        let plan = read(
            r#"
            [[stage]]
            name = "clean"
            guest = "./clean.wasm"
            args = ["--strict"]
            env = { LANG = "C" }
            fifo = ["in=x,r"]
            max-memory = "16M"
            timeout = "5s"
            idle-timeout = "2s"
            max-bytes = "1G"
            rate = "1M"
            fuel = 1000000000
            stdin = "null"

            [[stage]]
            name = "log"
            guest = "@cat"
            stdout = "log.txt"

            [[stage]]
            exec = ["sort", "-u"]
            stdin = "list.txt"

            [pipes]
            errors = { from = "clean.err", to = "log.in", capacity = "64K" }
            rest = "clean.stderr -> sort.fd3"
            "#,
        )
        .unwrap();
        assert_eq!(
            plan.stages.iter().map(|stage| &*stage.name).collect::<Vec<_>>(),
            ["clean", "log", "sort"]
        );
        let Job::Guest { source, options, args } = &plan.stages[0].job else { panic!() };
        assert_eq!(
            (source.display(), &args[..]),
            ("/folder/clean.wasm".into(), &["--strict".to_owned()][..])
        );
        assert_eq!(options.fifo[0].path.as_deref(), Some(Path::new("/folder/x")));
        assert_eq!(options.max_memory, Some(16 << 20));
        assert_eq!(options.idle_timeout, Some(std::time::Duration::from_secs(2)));
        assert_eq!((options.max_bytes, options.fuel), (Some(1 << 30), Some(1_000_000_000)));
        assert_eq!(options.rate.map(u64::from), Some(1 << 20));
        assert_eq!(plan.pipes[0].capacity, Some(64 << 10));
        // The two of the file, and stdout of `clean` into `log`; `sort` reads a file.
        assert_eq!(plan.pipes.len(), 3);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("", "no stage"),
            ("[[stage]]", "runs nothing"),
            ("[[stage]]\nguest = \"@cat\"\nexec = [\"cat\"]", "one of the two"),
            ("[[stage]]\nexec = []", "empty"),
            ("[[stage]]\nexec = [\"cat\"]\nmax-pipes = 3", "for guests"),
            ("[[stage]]\nguest = \"@nope\"", "no guest @nope"),
            ("[[stage]]\nguest = \"@cat\"\nmax-memory = \"12Q\"", "not a size"),
            ("[[stage]]\nguest = \"@cat\"\nrate = \"0\"", "rate of 0"),
            ("[[stage]]\nguest = \"@cat\"\nmax-bytes = \"x\"", "not a size"),
            ("[[stage]]\nguest = \"@cat\"\nidle-timeout = \"x\"", "length of time"),
            ("[[stage]]\nguest = \"@cat\"\nfuel = -1", "line 3: invalid value"),
            ("[[stage]]\nguest = \"@cat\"\nfoo = 1", "unknown key `foo`; there are name, guest"),
            ("[[stage]]\nguest = \"@cat\"\nmax_memroy = \"1M\"", "did you mean `max-memory`?"),
            ("[[stages]]\nguest = \"@cat\"", "unknown key `stages`; did you mean `stage`?"),
            ("[[stage]]\nguest = \"@cat\"\nargs = [\"x\"]", "no use for the argument `x`"),
            ("[[stage]]\nname = \"a.b\"\nguest = \"@cat\"", "no stage's name"),
            ("[[stage]]\nguest = \"@cat\"\n[pipes]\nx = \"cat.out\"", "STAGE.END"),
            ("[[stage]]\nguest = \"@cat\"\n[pipes]\nx = \"cat.out -> dog.in\"", "no stage `dog`"),
            ("[[stage]]\nguest = \"@cat\"\n[pipes]\nx = 1", "STAGE.END"),
            ("stage = 1", "line 1"),
        ];
        for (text, part) in cases {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in any::<String>()) {
            let _ = read(&text);
        }

        #[test]
        fn any_pipe_is_taken_or_refused(text in "[a-z.> -]{0,30}") {
            let _ = read(&format!("[[stage]]\nguest = \"@cat\"\n[pipes]\nx = '{text}'"));
        }
    }
}
