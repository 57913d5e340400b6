//! The rows about what a frame costs.

use pipehost_test_guests::guest;

use super::{DEFAULT, Row, Theme};
use crate::programs::Peer;
use crate::source::Source;

pub(super) fn theme() -> Theme {
    let mut rows = Vec::new();
    for (version, file, how) in [
        ("0.2", guest("plain"), &["copy-64k"][..]),
        ("0.3", guest("plain3"), &["copy-by", "65536"]),
    ] {
        for (records, source, frame) in [
            ("lines of 80 bytes", Source::Lines(80), "frame=lines"),
            ("JSON of 100 bytes", Source::Json(100), "frame=json"),
            ("JSON of 1000 bytes", Source::Json(1000), "frame=json"),
        ] {
            let flow = move |effort| (DEFAULT.1)(effort).of(source);
            let (framed, plain) = (file.clone(), file.clone());
            rows.push(
                Row::flow(
                    format!("{version} guest, 64 KiB at a time, {records}"),
                    flow,
                    move |it| it.pipehost(&framed, &["--stdout", frame], how),
                    move |it| it.pipehost(&plain, &[], how),
                )
                .against("the same without a frame", Peer::Native),
            );
        }
    }
    let line = |frame: &'static [&'static str]| {
        let file = guest("plain");
        move |it: &crate::programs::Programs| it.pipehost(&file, frame, &["echo-lines"])
    };
    rows.push(
        Row::flow(
            "0.2 guest, `println!` of lines of 80 bytes",
            |effort| (DEFAULT.1)(effort).of(Source::Lines(80)),
            line(&["--stdout", "frame=lines"]),
            line(&[]),
        )
        .against("the same without a frame", Peer::Native),
    );
    Theme::new(
        "Frames",
        "What `--stdout frame=..` costs: each record is looked at, and goes to the kernel in pieces of up to PIPE_BUF \
         bytes, so that none is mixed with another writer's. JSON is parsed, and no value is built.",
        rows,
    )
}
