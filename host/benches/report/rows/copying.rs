//! The rows about unmodified programs that copy stdin to stdout.

use pipehost_test_guests::{guest, module};

use super::{DEFAULT, LARGE, Row, Theme};
use crate::programs::Peer;
use crate::source::Source;

pub(super) fn theme() -> Theme {
    let mut rows = Vec::new();
    for (version, file) in [("0.2", guest("plain")), ("0.1", module("plain"))] {
        for (what, source, bar) in
            [("text", Source::Lines(80), 0.85), ("zeros", Source::Zeros, 0.7)]
        {
            for (pipes, of) in [DEFAULT, LARGE] {
                let name = format!("{version} guest, io::copy over stdio, {what}, {pipes}");
                let flow = move |effort| of(effort).of(source);
                let (ours, theirs) = (file.clone(), file.clone());
                rows.push(
                    Row::flow(
                        &name,
                        flow,
                        move |it| it.pipehost(&ours, &[], &["copy"]),
                        |it| it.native(&["plain", "copy"]),
                    )
                    .against("the same source, native", Peer::Native)
                    .at_least(bar),
                );
                let ours = file.clone();
                rows.push(
                    Row::flow(
                        &name,
                        flow,
                        move |it| it.pipehost(&ours, &[], &["copy"]),
                        move |it| it.wasmtime(&theirs, &["copy"]),
                    )
                    .against("wasmtime run, same file", Peer::Wasmtime)
                    .at_least(1.3),
                );
            }
        }
    }
    Theme::new(
        "Copying over stdio",
        "`io::copy` from stdin to stdout, 8 KiB at a time. Text is lines of 80 bytes, which `Stdout` writes up to \
         the last line feed of each piece; of zeros it writes pieces whole. The native program is kept from \
         splice(2), which a guest does not have.",
        rows,
    )
}
