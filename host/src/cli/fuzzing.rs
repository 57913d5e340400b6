//! Parses what operators type, for the fuzz targets and the test that replays their corpora. Opens,
//! makes and starts nothing.

use std::ffi::OsString;
use std::path::Path;

use super::args::{Cli, Command, GuestOptions};
use super::exit::{Failure, Status};
use super::graph::Graph;
use super::{grants, mistake, pipe, values, wants};
use crate::limits;

/// Parses the first line as the values of options, and all lines as the arguments of a command line.
///
/// # Panics
/// If a message is not fit to be shown.
pub fn options(text: &str) {
    let value = text.lines().next().unwrap_or_default();
    answered(value, |value| values::fifo(value));
    answered(value, values::fd);
    answered(value, |value| values::stdin(value));
    answered(value, |value| values::stdout(value));
    answered(value, |value| values::stderr(value));
    answered(value, values::restart);
    answered(value, values::env);
    answered(value, |value| values::dir(value));
    answered(value, |value| values::child(value));
    answered(value, values::exec);
    answered(value, limits::size);
    answered(value, limits::duration);
    answered(value, limits::count);

    let args = std::iter::once("pipehost").chain(text.lines()).map(OsString::from);
    match Cli::of(args).map(|cli| cli.command) {
        Ok(Command::Pipe(args)) if args.file.is_none() => match pipe::checked_line(&args) {
            Ok(plan) => drawn(&plan.graph()),
            Err(failure) => refused(&failure),
        },
        Ok(_) => {}
        Err(error) => assert!(!mistake::line(&error, "run").is_empty(), "it says what is wrong"),
    }
}

/// Parses a pipeline's file as a plan, and draws it in every form.
///
/// # Panics
/// If a drawing is not fit to be shown.
pub fn pipeline(text: &str) {
    match pipe::checked(text) {
        Ok(plan) => drawn(&plan.graph()),
        Err(failure) => refused(&failure),
    }
}

/// Parses a file of grants, as one that was named and as one that was found.
///
/// # Panics
/// If a mistake is told without its line.
pub fn grants(text: &str) {
    for is_found in [false, true] {
        match grants::parsed(Path::new("pipehost.toml"), text, is_found) {
            Ok(file) => _ = file.kept_to_its_folder(),
            Err(error) => assert!(error.starts_with("line "), "{error}"),
        }
    }
}

/// Reads `bytes` as a guest's file, as the declaration in one, and as what is remembered.
///
/// # Panics
/// If something is not fit to be shown, or what is to be typed is no option.
pub fn wants(bytes: &[u8]) {
    for read in [wants::declared(bytes), wants::declared_in(bytes)] {
        for want in read.unwrap_or_default() {
            let texts = [want.text(), want.brief()];
            let is_plain = |text: &String| !text.contains(char::is_control);
            assert!(texts.iter().all(is_plain), "text without control characters: {texts:?}");
            let typed = want.typed();
            let words: Vec<_> =
                shlex::split(&typed).into_iter().flatten().map(Into::into).collect();
            assert!(GuestOptions::of(&words).is_ok(), "{typed} is an option");
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(error) = wants::remembered_in(text)
    {
        assert!(error.starts_with("line "), "{error}");
    }
}

fn answered<T>(value: &str, parser: impl FnOnce(&str) -> Result<T, String>) {
    if let Err(answer) = parser(value) {
        assert!(!answer.trim().is_empty(), "it says what is wrong with {value:?}");
    }
}

fn refused(failure: &Failure) {
    assert!(matches!(failure.status, Status::Usage | Status::Missing), "{failure:?}");
    assert!(!format!("{:#}", failure.error).trim().is_empty(), "it says what is wrong");
}

fn drawn(graph: &Graph) {
    let _ = graph.cycle();
    let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n');
    assert!(is_plain(&graph.text()), "text without control characters");
    let svg = graph.svg();
    assert!(is_plain(&svg) && svg.trim_end().ends_with("</svg>"), "a whole picture");
    assert!(graph.dot().trim_end().ends_with('}'), "a whole graph");
}
