//! The rows about granted pipes, and about moving bytes that the guest does not look at.

use std::path::{Path, PathBuf};

use pipehost_test_guests::guest;

use super::{DEFAULT, LARGE, Row, Theme};
use crate::programs::{Peer, Programs};

pub(super) fn theme() -> Theme {
    let mut rows = copies();
    rows.extend(unmodified());
    rows.extend(forwarding());
    for (pipes, of) in [LARGE, DEFAULT] {
        rows.push(
            Row::flow(
                format!("@upper, {pipes}"),
                move |effort| of(effort).upper(),
                |it| it.pipehost(Path::new("@upper"), &[], &[]),
                |it| it.native(&["upper"]),
            )
            .against("the same code, native", Peer::Native)
            .at_least(0.8),
        );
    }
    rows.push(
        Row::flow(
            "0.2 guest with 256 idle pipes open, 1 MiB pipes",
            LARGE.1,
            |it| it.on_pipes("probe2", &["copy-beside", "256", "in", "out"]),
            |it| it.on_pipes("probe2", &["copy-beside", "0", "in", "out"]),
        )
        .against("without them", Peer::Native)
        .at_least(0.95),
    );
    Theme::new(
        "Copying over pipes",
        "Guests with pipes that they are granted, 64 KiB at a time, and guests that hand their input on unread. \
         *Plain peers* write(2) what the program reads, *zero-copy peers* splice(2) what comes out away.",
        rows,
    )
}

fn copies() -> Vec<Row> {
    let copy = |name: &str, program: &'static str, (pipes, of): super::Sized, bar| {
        Row::flow(
            format!("{name}, {pipes}"),
            of,
            move |it| it.on_pipes(program, &["copy", "in", "out"]),
            Programs::cat,
        )
        .against("cat", Peer::Cat)
        .at_least(bar)
    };
    vec![
        copy("0.3 guest copying reader to writer", "probe3", LARGE, 1.0),
        copy("0.3 guest copying reader to writer", "probe3", DEFAULT, 1.3),
        copy("0.2 guest, 64 KiB reads over the SDK", "probe2", LARGE, 0.85),
    ]
}

fn unmodified() -> Vec<Row> {
    type Unmodified = (&'static str, fn(&Programs) -> PathBuf, &'static [&'static str], f64);
    let guests: [Unmodified; 2] = [
        ("unmodified 0.1 module, 64 KiB calls", |it| it.relay(65_536), &[], 3.0),
        (
            "unmodified 0.3 component, stdin handed to stdout",
            |_| guest("plain3"),
            &["forward"],
            20.0,
        ),
    ];
    let row = |(pipes, of): super::Sized, (name, file, args, bar): Unmodified| {
        Row::flow(
            format!("{name}, {pipes}"),
            of,
            move |it| it.pipehost(&file(it), &[], args),
            move |it| it.wasmtime(&file(it), args),
        )
        .against("wasmtime run, same file", Peer::Wasmtime)
        .at_least(bar)
    };
    let rows = |pipes| guests.map(|guest| row(pipes, guest));
    [LARGE, DEFAULT].into_iter().flat_map(rows).collect()
}

fn forwarding() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, program) in
        [("0.3 guest handing its stream over", "probe3"), ("0.2 guest that splices", "probe2")]
    {
        let ours = move |it: &Programs| it.on_pipes(program, &["forward", "in", "out"]);
        for (pipes, of) in [LARGE, DEFAULT] {
            let plain = move |effort| of(effort).plain();
            let row = Row::flow(format!("{name}, plain peers, {pipes}"), plain, ours, Programs::pv);
            rows.push(row.against("pv -q", Peer::Pv).at_least(1.0));
            let name = format!("{name}, zero-copy peers, {pipes}");
            let row = Row::flow(name, move |effort| of(effort).zero_copy(), ours, Programs::pv);
            rows.push(row.against("pv -q", Peer::Pv).at_least(1.0));
        }
    }
    rows
}
