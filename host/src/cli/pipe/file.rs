//! Reads a pipeline from a file.

mod stage_table;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use anyhow::anyhow;
use serde::Deserialize;
use toml::Spanned;

use super::super::args::GuestOptions;
use super::super::exit::{Failure, Status};
use super::super::keys::{self, Table};
use super::super::launching::file_failure;
use super::super::named_files::{folder_of, reached};
use super::super::part::MOST_PIPELINE_BYTES;
use super::line::outer_streams;
use super::plan::{EndRef, Pipe, Plan, Stage, stage_name, usage};
use crate::limits;
use crate::sys;
use stage_table::StageTable;

/// How the tables of a pipeline's file are written.
const STAGES: &str = "stages are written [[stage]], each with its keys below it";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    stage: Vec<Spanned<Table>>,
    #[serde(default)]
    pipes: toml::Table,
}

/// Reads the file at `path`, which may be a FIFO. Returns `None` if that takes until `deadline`.
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

/// Checks that no guest can write to the file, as the next run could then be another one.
pub(super) fn check_out_of_reach(path: &Path, plan: &Plan) -> Result<(), Failure> {
    let Some(how) = reached(path, plan.writable_folders()) else { return Ok(()) };
    let error = anyhow!("-f {}: a guest could write to it, {how}", path.display());
    Err(Failure { status: Status::NotPermitted, error })
}

/// Makes the plan of `text`, which the file at `path` holds. The paths in it start from that file's
/// folder. `common` holds for every guest.
pub(crate) fn plan(path: &Path, text: &str, common: &GuestOptions) -> Result<Plan, Failure> {
    parse(text, folder_of(path), common).map_err(|failure| Failure {
        error: anyhow!("{}: {:#}", path.display(), failure.error),
        ..failure
    })
}

pub(super) fn parse(text: &str, folder: &Path, common: &GuestOptions) -> Result<Plan, Failure> {
    let file: File = toml::from_str(text).map_err(|error| Failure {
        status: Status::Usage,
        error: anyhow!(keys::refused(&error, text, STAGES)),
    })?;
    if file.stage.is_empty() {
        return usage("there is no stage; write [[stage]] and below it guest = \"FILE\"".into());
    }
    let mut stages: Vec<Stage> = Vec::new();
    for (at, table) in file.stage.into_iter().enumerate() {
        let mut table = StageTable::of(table, text);
        let name = table.name().or_else(usage)?;
        let (program, job) = match table.job(folder, common) {
            Ok(job) => job,
            Err(text) if text.starts_with("line ") => return usage(text),
            Err(text) => {
                let name = name.unwrap_or_else(|| (at + 1).to_string());
                return usage(table.refused(&format!("stage {name}: {text}")));
            }
        };
        let name = match name {
            None => stage_name(&program, &stages),
            Some(name) if name != stage_name(&name, &[]) => {
                return usage(table.refused(&format!(
                    "`{name}` is no stage's name, which has letters, digits, `-` and `_`"
                )));
            }
            Some(name) if stages.iter().any(|stage| stage.name == name) => {
                let text = format!("two stages are called `{name}`; rename one");
                return usage(table.refused(&text));
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

/// Reads a pipe: `NAME = "STAGE.END -> STAGE.END"`, or a table with `from`, `to` and `capacity`.
fn pipe(name: &str, value: &toml::Value, stages: &[Stage]) -> Result<Pipe, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        from: String,
        to: String,
        capacity: Option<toml::Value>,
    }
    const FORM: &str = "write \"STAGE.END -> STAGE.END\"";
    let table = match value {
        toml::Value::String(text) => {
            let (from, to) = text.split_once("->").ok_or(FORM)?;
            Table { from: from.trim().into(), to: to.trim().into(), capacity: None }
        }
        toml::Value::Table(table) => table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| keys::of_parser(error.message(), STAGES))?,
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
    let capacity = match table.capacity {
        None => None,
        Some(toml::Value::String(text)) => Some(limits::size(&text)?),
        Some(toml::Value::Integer(bytes)) => Some(limits::size(&bytes.to_string())?),
        Some(_) => return Err("capacity: write a string or a number".into()),
    };
    Ok(Pipe { name: Some(name.into()), from: end(&table.from)?, to: end(&table.to)?, capacity })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Plan, String> {
        parse(text, Path::new("/folder"), &GuestOptions::default())
            .map_err(|failure| format!("{:#}", failure.error))
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn a_pipeline_in_full() {
        use super::super::job::GuestJob;

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
        let GuestJob { source, plan: options } = plan.stages[0].job.kind().guest().unwrap();
        assert_eq!(
            (source.display(), &options.args[..]),
            ("/folder/clean.wasm".into(), &["--strict".to_owned()][..])
        );
        assert_eq!(options.fifos().next().unwrap().path.as_deref(), Some(Path::new("/folder/x")));
        assert_eq!(options.limits.max_memory, Some(16 << 20));
        assert_eq!(options.limits.idle_timeout, Some(std::time::Duration::from_secs(2)));
        assert_eq!(
            (options.limits.max_bytes, options.limits.fuel),
            (Some(1 << 30), Some(1_000_000_000))
        );
        assert_eq!(options.limits.rate.map(u64::from), Some(1 << 20));
        assert_eq!(plan.pipes[0].capacity, Some(64 << 10));
        // The two pipes of the file, and stdout of `clean` into `log`. `sort` reads a file.
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
            ("[[stage]]\nguest = \"@cat\"\nfuel = -1", "line 3: fuel: `-1` is not an amount"),
            ("[[stage]]\nguest = 1", "line 2: guest: write a string"),
            (
                "[[stage]]\nguest = \"@cat\"\nraw-terminal = \"x\"",
                "line 3: raw-terminal: write true or",
            ),
            (
                "[[stage]]\nguest = \"@cat\"\ntimeout = 1.5",
                "line 3: timeout: write a string or a number",
            ),
            (
                "[[stage]]\nguest = \"@cat\"\ntimeout = []",
                "line 3: timeout: write a string or a number",
            ),
            ("[[stage]]\nguest = \"@cat\"\nstdout = 1", "line 3: stdout: write a string"),
            ("[stage]\nguest = \"@cat\"", "line 1: stages are written [[stage]]"),
            (
                "[[stage]]\nexec = [\"cat\"]\nmax-memory = 99999999999999999999",
                "line 3: this number is too large",
            ),
            ("[[stage]]\nname = \"a b\"\nexec = [\"cat\"]", "line 1: `a b` is no stage's name"),
            ("[[stage]]\nguest = \"@cat\"\ntimeout = [\"1s\", \"2s\"]", "line 3: timeout: "),
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
