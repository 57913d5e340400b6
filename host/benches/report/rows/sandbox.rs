//! The rows about what confining this process costs.

use std::path::Path;
use std::process::Command;

use pipehost_test_guests::{guest, module};

use super::start::start_to_end;
use super::{DEFAULT, LARGE, Row, Theme};
use crate::figures::Unit;
use crate::programs::{Peer, Programs};
use crate::source::Source;

const ON: [&str; 2] = ["--sandbox", "auto"];
const OFF: [&str; 2] = ["--sandbox", "off"];

pub(super) fn theme() -> Theme {
    type Guest = fn(&Programs, &[&str]) -> Command;
    let relays: [(&str, Guest); 3] = [
        ("0.1 module, 64 KiB calls", |it, options| it.pipehost(&it.relay(65_536), options, &[])),
        ("0.2 component, 64 KiB reads", |it, options| {
            it.pipehost(&guest("plain"), options, &["copy-by", "65536"])
        }),
        ("0.3 component, stdin handed to stdout", |it, options| {
            it.pipehost(&guest("plain3"), options, &["forward"])
        }),
    ];
    let lines: [(&str, Guest); 2] = [
        ("0.2 guest, lines of 80 bytes", |it, options| {
            it.pipehost(&guest("plain"), options, &["echo-lines"])
        }),
        ("0.1 guest, lines of 80 bytes", |it, options| {
            it.pipehost(&module("plain"), options, &["echo-lines"])
        }),
    ];
    let text = |effort| (DEFAULT.1)(effort).of(Source::Lines(80));
    let mut rows = Vec::new();
    for (name, relay) in relays {
        let name = format!("{name}, in the sandbox, {}", LARGE.0);
        rows.push(Row::flow(name, LARGE.1, move |it| relay(it, &ON), move |it| relay(it, &OFF)));
    }
    for (name, echo) in lines {
        let name = format!("{name}, in the sandbox, {}", DEFAULT.0);
        let row = Row::flow(name, text, move |it| echo(it, &ON), move |it| echo(it, &OFF));
        rows.push(row.shown_in(Unit::LinesPerSecond(80)));
    }
    let off = |row: Row| row.against("--sandbox off", Peer::Native).at_least(0.98);
    let mut rows: Vec<Row> = rows.into_iter().map(off).collect();

    rows.push(Row::within(
        "further time that run @cat < /dev/null takes with the sandbox",
        Unit::Seconds,
        ("2 ms", 0.002),
        |it, effort| {
            let of = |options: &[&str]| {
                start_to_end(it.pipehost(Path::new("@cat"), options, &[]), effort)
            };
            of(&ON) - of(&OFF)
        },
    ));
    rows.push(
        Row::new(
            "start to end of pipe --isolate @cat ! @cat < /dev/null",
            Unit::Seconds,
            |it, effort| start_to_end(two_stages(it, &["--isolate"]), effort),
            |it, effort| start_to_end(two_stages(it, &[]), effort),
        )
        .against("without --isolate", Peer::Native)
        .at_most(4.0),
    );
    Theme::new("Sandbox", "`--sandbox auto`, which is the default, against `--sandbox off`.", rows)
}

fn two_stages(programs: &Programs, options: &[&str]) -> Command {
    let mut command = programs.ours("pipe");
    command.args(options).args(["@cat", "!", "@cat"]);
    command
}
