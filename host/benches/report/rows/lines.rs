//! The rows about programs that read and write line by line.

use pipehost_test_guests::{guest, module};

use super::{DEFAULT, Row, Theme};
use crate::figures::Unit;
use crate::programs::Peer;
use crate::source::Source;

const ECHO: [&str; 1] = ["echo-lines"];

pub(super) fn theme() -> Theme {
    let mut rows = Vec::new();
    for (version, file) in [("0.2", guest("plain")), ("0.1", module("plain"))] {
        for bytes in [8, 80] {
            let name = format!("{version} guest, lines of {bytes} bytes");
            let flow = move |effort| (DEFAULT.1)(effort).of(Source::Lines(bytes));
            let (ours, theirs) = (file.clone(), file.clone());
            rows.push(
                Row::flow(
                    &name,
                    flow,
                    move |it| it.pipehost(&ours, &[], &ECHO),
                    |it| it.native(&["plain", "echo-lines"]),
                )
                .against("the same source, native", Peer::Native)
                .at_least(1.0)
                .shown_in(Unit::LinesPerSecond(bytes)),
            );
            let ours = file.clone();
            rows.push(
                Row::flow(
                    &name,
                    flow,
                    move |it| it.pipehost(&ours, &[], &ECHO),
                    move |it| it.wasmtime(&theirs, &ECHO),
                )
                .against("wasmtime run, same file", Peer::Wasmtime)
                .at_least(4.0)
                .shown_in(Unit::LinesPerSecond(bytes)),
            );
        }
    }
    Theme::new(
        "Lines",
        "Guests that know nothing of pipehost read by `lines()` and write by `println!`. The length of a line \
         includes its line feed; the pipes begin with 64 KiB.",
        rows,
    )
}
