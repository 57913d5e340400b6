//! `pipehost inspect`: shows what a guest is, and what it needs.

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use super::args::InspectArgs;
use super::compile::engine_for;
use super::exit::{Failure, OrStatus, Status};
use super::output::print;
use super::shell::shell_quoted;
use super::source::Source;
use super::wants::{self, Want};
use crate::guest::Guest;
use crate::interfaces::{Interface, is_provided_module};
use crate::pipe;

/// The report, as `--json` prints it. Its fields are part of the interface.
#[derive(Debug, Serialize)]
struct Report {
    guest: String,
    /// `component` or `module`.
    kind: &'static str,
    /// The version of WASI that starts the guest; null if it cannot be started.
    wasi: Option<String>,
    imports: Vec<Import>,
    exports: Vec<String>,
    /// Whether `pipehost run` can run it.
    runnable: bool,
    /// The command that grants what it needs; null if it cannot be run.
    run: Option<String>,
    /// What it declares that it wants, in the form of a declaration. That grants nothing.
    wants: Vec<Value>,
    /// The same in words.
    #[serde(skip)]
    wanted: Vec<String>,
    /// Options that it may have a use for.
    may_use: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Import {
    name: String,
    /// Whether pipehost provides it.
    provided: bool,
}

pub(crate) fn main(args: &InspectArgs) -> Result<Status, Failure> {
    let source = Source::of(&args.guest)?;
    let engine = engine_for(&args.cache, [])?;
    let bytes = source.read()?;
    let wants = wants::told(&source, wants::declared(&bytes)).unwrap_or_default();
    let report = Report::of(&source.compile(&bytes, &engine)?, &source, &wants);
    let text = match args.json {
        true => {
            let json =
                serde_json::to_string_pretty(&report).context("JSON").or_status(Status::Io)?;
            pipe::quoted_json(&json).into_owned() + "\n"
        }
        false => report.text(),
    };
    print(&text)
}

impl Report {
    fn of(guest: &Guest, source: &Source, wants: &[Want]) -> Self {
        let shown = source.display();
        let parsed = |name: &String| name.parse::<Interface>().ok();
        let provided = |name: &String| match guest.is_component() {
            true => parsed(name).is_some_and(|interface| interface.is_provided()),
            false => is_provided_module(name),
        };
        let imports: Vec<_> = guest
            .imports()
            .iter()
            .map(|name| Import { name: name.clone(), provided: provided(name) })
            .collect();
        let uses = |package: &str, name: &str| {
            guest.imports().iter().filter_map(parsed).any(|it| it.is(package, name))
        };
        let runnable = guest.version().is_some() && imports.iter().all(|import| import.provided);
        let mut run = format!("pipehost run {}", shell_quoted(&shown));
        if !wants.is_empty() {
            let typed: Vec<_> = wants.iter().map(Want::typed).collect();
            run = format!("{run} {}", typed.join(" "));
        } else if uses("pipehost:pipes", "named") {
            run += " --fifo in=PATH,r --fifo out=PATH,w";
        }
        let mut may_use = Vec::new();
        if uses("pipehost:pipes", "spawn") {
            may_use.push("--child NAME=GUEST");
            may_use.push("--exec NAME=COMMAND");
        }
        if uses("wasi:filesystem", "preopens") || !guest.is_component() {
            may_use.push("--dir HOST[::GUEST][,ro]");
        }
        if uses("wasi:cli", "environment") || !guest.is_component() {
            may_use.push("--env NAME=VALUE");
            if source.takes_arguments() {
                may_use.push("-- ARGS...");
            }
        }
        Self {
            guest: shown,
            kind: if guest.is_component() { "component" } else { "module" },
            wasi: guest.version().map(|version| version.to_string()),
            imports,
            exports: guest.exports().to_vec(),
            runnable,
            run: runnable.then_some(run),
            wants: wants.iter().map(Want::json).collect(),
            wanted: wants.iter().map(Want::brief).collect(),
            may_use,
        }
    }

    fn text(&self) -> String {
        let guest = pipe::quoted_name(&self.guest);
        let mut text = match &self.wasi {
            Some(version) => format!("{guest}: a {} for WASI {version}\n", self.kind),
            None => format!("{guest}: a {} that exports no wasi:cli/run\n", self.kind),
        };
        if !self.imports.is_empty() {
            text += "\nimports:\n";
        }
        for Import { name, provided } in &self.imports {
            let missing = if *provided { "" } else { "   (not provided by pipehost)" };
            text += &format!("  {}{missing}\n", pipe::quoted_name(name));
        }
        if !self.exports.is_empty() {
            text += "\nexports:\n";
        }
        for name in &self.exports {
            text += &format!("  {}\n", pipe::quoted_name(name));
        }
        if !self.wanted.is_empty() {
            text += "\nit says that it wants (which grants nothing):\n";
        }
        for want in &self.wanted {
            text += &format!("  {want}\n");
        }
        let sockets = |import: &Import| import.name.starts_with("wasi:sockets/");
        if self.imports.iter().any(sockets) {
            text += "\nit may ask for sockets (wasi:sockets), which are all refused: there is no network\n";
        }
        if let Some(run) = &self.run {
            text += &format!("\nrun it with:\n  {}\n", pipe::quoted_name(run));
            text += "\nit reads stdin: `< FILE` and `--stdin FILE` work with any guest\n";
            if !self.may_use.is_empty() {
                text += &format!("\nit may have a use for: {}\n", self.may_use.join("  "));
            }
        }
        // The names come from the guest: they may hold any character.
        pipe::quoted(&text).into_owned()
    }
}
