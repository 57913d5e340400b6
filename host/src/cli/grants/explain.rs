//! Shows what a run would be granted, and where each grant and limit is from.

use anyhow::Context as _;
use clap::parser::ValueSource;
use serde::Serialize;

use super::super::args::{ExplainForm, GuestOptions, RunArgs, SandboxMode};
use super::super::exit::{Failure, OrStatus, Status};
use super::super::output::print;
use super::super::shown::values;
use super::Granted;
use super::file::GrantsFile;
use crate::limits::{DEFAULT_MAX_CHILDREN, DEFAULT_MAX_MEMORY, DEFAULT_MAX_PIPES, Size};
use crate::pipe::{quoted, quoted_json, quoted_name};

/// What a run would be granted, as `--explain=json` prints it. Its fields are part of the interface.
#[derive(Debug, Serialize)]
struct Report {
    /// Of these fields and their meaning.
    version: u32,
    guest: String,
    /// What the guest's SHA-256 must be, and is; null if nobody has said.
    sha256: Option<String>,
    /// The file of grants that is used, if there is one.
    file: Option<FileReport>,
    /// The file that remembers what it was allowed before, if that is used.
    allowed: Option<String>,
    /// The guest's arguments.
    args: Vec<Row>,
    /// What it is given: each value of each option, in the order in which the guest sees them.
    grants: Vec<Row>,
    /// The options by which nothing is granted.
    not_granted: Vec<String>,
    /// What the guest declares that it wants, in words, and is not granted.
    wanted: Vec<String>,
    limits: Vec<Row>,
    /// About this process, not about the guest.
    process: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    /// Whether it was found beside the guest, and not named by `--grants`.
    found: bool,
}

/// A value, and where it is from.
#[derive(Debug, Serialize)]
struct Row {
    option: String,
    /// As it is typed; null for a limit that there is not.
    value: Option<String>,
    origin: Origin,
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
enum Origin {
    CommandLine,
    File {
        path: String,
        line: usize,
    },
    /// The operator has said so before.
    Allowed {
        path: String,
    },
    Environment {
        variable: &'static str,
    },
    Default,
}

impl Origin {
    /// The line of a key.
    fn of_file(file: &GrantsFile, key: &str) -> Self {
        let line = file.lines.get(key).copied().unwrap_or(1);
        Self::File { path: file.path.display().to_string(), line }
    }
}

/// Prints what the run would be granted, and runs nothing. `wanted` is what the guest declares and would not be granted.
///
/// # Errors
/// Fails if the guest's bytes are not those that the file is for: nothing would be granted then.
pub(in crate::cli) fn explain(
    granted: &Granted,
    args: &RunArgs,
    form: ExplainForm,
    wanted: Vec<String>,
) -> Result<Status, Failure> {
    if let Some(pin) = &granted.pin {
        pin.check(&granted.source, &granted.source.read_soon()?)?;
    }
    let report = Report { wanted, ..Report::of(granted, args) };
    print(&match form {
        ExplainForm::Text => report.text(),
        ExplainForm::Json => {
            let json =
                serde_json::to_string_pretty(&report).context("JSON").or_status(Status::Io)?;
            quoted_json(&json).into_owned() + "\n"
        }
    })
}

/// Returns what a guest has of a limit, or of a standard stream, if nobody says anything. `None` for
/// a limit: there is none.
fn default_of(option: &str) -> Option<String> {
    match option {
        "stdin" | "stdout" | "stderr" => Some("inherit".into()),
        "max-memory" => Some(Size(DEFAULT_MAX_MEMORY).to_string()),
        "max-pipes" => Some(DEFAULT_MAX_PIPES.to_string()),
        "max-children" => Some(DEFAULT_MAX_CHILDREN.to_string()),
        _ => None,
    }
}

/// Options, with what tells where one of them is from.
type Layer<'a> = (GuestOptions, Box<dyn Fn(&str) -> Origin + 'a>);

/// Returns the values of an option, and where they are from. What comes later in `layers` takes the place of single values.
fn rows(option: &str, is_list: bool, layers: &[Layer<'_>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (options, origin) in layers {
        let own = values(options, option).unwrap_or_default();
        if !is_list && !own.is_empty() {
            rows.clear();
        }
        rows.extend(own.into_iter().map(|value| Row {
            option: option.to_owned(),
            value: Some(value),
            origin: origin(option),
        }));
    }
    rows
}

impl Report {
    fn of(granted: &Granted, args: &RunArgs) -> Self {
        let file = granted.file.as_ref();
        let mut layers: Vec<Layer<'_>> = Vec::new();
        if let Some((path, left)) = &granted.allowed {
            let origin = || Origin::Allowed { path: path.display().to_string() };
            layers.push((left.clone(), Box::new(move |_| origin())));
        }
        if let Some(file) = file {
            let left = file.options.beside(&args.options);
            layers.push((left, Box::new(|option| Origin::of_file(file, option))));
        }
        layers.push((args.options.clone(), Box::new(|_| Origin::CommandLine)));
        let limits = GuestOptions::limits();
        let mut report = Self {
            version: 1,
            guest: granted.source.display(),
            sha256: granted.pin.as_ref().map(super::Pin::text),
            file: file.map(|file| FileReport {
                path: file.path.display().to_string(),
                found: file.is_found,
            }),
            allowed: granted.allowed.as_ref().map(|(path, _)| path.display().to_string()),
            args: Vec::new(),
            grants: Vec::new(),
            not_granted: Vec::new(),
            wanted: Vec::new(),
            limits: Vec::new(),
            process: vec![sandbox(args)],
        };
        for (at, arg) in granted.args.iter().enumerate() {
            let origin = match file {
                Some(file) if at < file.args.len() => Origin::of_file(file, "args"),
                _ => Origin::CommandLine,
            };
            report.args.push(Row { option: "args".into(), value: Some(arg.clone()), origin });
        }
        for known in GuestOptions::known() {
            let mut rows = rows(&known.name, known.is_list(), &layers);
            let is_limit = limits.contains(&known.name);
            let default = default_of(&known.name);
            if rows.is_empty() && (is_limit || default.is_some()) {
                let option = known.name.clone();
                rows.push(Row { option, value: default, origin: Origin::Default });
            }
            match is_limit {
                true => report.limits.extend(rows),
                false if rows.is_empty() => report.not_granted.push(known.name),
                false => report.grants.extend(rows),
            }
        }
        report
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", quoted_name(&self.guest));
        if let Some(sum) = &self.sha256 {
            text += &format!("  its SHA-256 is {sum}, as the file says\n");
        }
        match &self.file {
            Some(file) => {
                let how = if file.found { "found beside the guest" } else { "by --grants" };
                text += &format!("  with the file {}, {how}\n", quoted_name(&file.path));
            }
            None => text += "  without a file of grants\n",
        }
        if let Some(path) = &self.allowed {
            text += &format!("  with what you have allowed it before, in {}\n", quoted_name(path));
        }
        for (title, rows) in [
            ("arguments", &self.args),
            ("grants", &self.grants),
            ("limits", &self.limits),
            ("process", &self.process),
        ] {
            if !rows.is_empty() {
                text += &format!("\n{title}:\n{}", table(rows));
            }
        }
        text += &format!("\nnot granted: {}\n", self.not_granted.join(", "));
        if !self.wanted.is_empty() {
            text += &format!(
                "\nit says that it wants, and is not granted:\n  {}\n",
                self.wanted.join("\n  ")
            );
        }
        // The names come from files: they may hold any character.
        quoted(&text).into_owned()
    }
}

/// Returns where the mode of the sandbox is from, with the mode.
fn sandbox(args: &RunArgs) -> Row {
    let mode = match args.sandbox.sandbox {
        SandboxMode::Auto => "auto",
        SandboxMode::Require => "require",
        SandboxMode::Off => "off",
    };
    let origin = match args.sandbox.from {
        Some(ValueSource::CommandLine) => Origin::CommandLine,
        Some(ValueSource::EnvVariable) => Origin::Environment { variable: "PIPEHOST_SANDBOX" },
        _ => Origin::Default,
    };
    Row { option: "sandbox".into(), value: Some(mode.into()), origin }
}

/// Writes rows as a table. Values that are very long push what follows them to the right.
fn table(rows: &[Row]) -> String {
    const WIDEST: usize = 40;
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let value = match row.value.as_deref() {
                None => "none",
                Some("") if row.option == "raw-terminal" => "yes",
                Some("") => "\"\"",
                Some(value) => value,
            };
            let origin = match &row.origin {
                Origin::CommandLine => "command line".to_owned(),
                Origin::File { path, line } => {
                    format!("{}, line {line}", quoted_name(path))
                }
                Origin::Environment { variable } => format!("environment, {variable}"),
                Origin::Allowed { path } => format!("allowed before, {}", quoted_name(path)),
                Origin::Default => "default".to_owned(),
            };
            (&row.option, quoted_name(value).into_owned(), origin)
        })
        .collect();
    let width = |of: fn(&(&String, String, String)) -> usize| cells.iter().map(of).max();
    let first = width(|(option, ..)| option.chars().count()).unwrap_or(0);
    let second = width(|(_, value, _)| value.chars().count()).unwrap_or(0).min(WIDEST);
    let line = |(option, value, origin): &(&String, String, String)| {
        format!("  {option:first$}  {value:second$}  {origin}\n")
    };
    cells.iter().map(line).collect()
}
