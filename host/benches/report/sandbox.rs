//! The rows about what confining this process costs.

use std::path::Path;

use pipehost_test_guests::guest;

use crate::Effort;
use crate::flow::{Flow, Pipes};
use crate::programs::{Peer, Programs};
use crate::rows::{Bar, Row, Unit, flow, start_to_end};

const OFF: [&str; 2] = ["--sandbox", "off"];

pub(crate) fn rows() -> Vec<Row> {
    let large = |effort: Effort| Flow::new(Pipes::Large, effort.flow);
    let mut rows = vec![Row {
        name: "further time that run @cat < /dev/null takes with the sandbox".into(),
        against: "2 ms",
        needs: Peer::Native,
        unit: Unit::Seconds,
        bar: Bar::AtMost(1.0),
        ours: Box::new(|it, effort| {
            let of = |options: &[&str]| {
                start_to_end(it.pipehost(Path::new("@cat"), options, &[]), effort)
            };
            of(&[]) - of(&OFF)
        }),
        theirs: Box::new(|_, _| 0.002),
    }];
    type Relay = fn(&Programs, &[&str]) -> std::process::Command;
    let relays: [(&str, Relay); 3] = [
        ("0.1 module, 64 KiB calls", |it, options| it.pipehost(&it.module(65_536), options, &[])),
        ("0.2 component, 64 KiB reads", |it, options| {
            it.pipehost(&guest("plain"), options, &["copy-by", "65536"])
        }),
        ("0.3 component, stdin handed to stdout", |it, options| {
            it.pipehost(&guest("plain3"), options, &["forward"])
        }),
    ];
    for (name, relay) in relays {
        rows.push(flow(
            &format!("{name}, in the sandbox, 1 MiB pipes"),
            "--sandbox off",
            Peer::Native,
            Bar::AtLeast(0.98),
            large,
            move |it| relay(it, &[]),
            move |it| relay(it, &OFF),
        ));
    }
    rows.push(Row {
        name: "start to end of pipe --isolate @cat ! @cat < /dev/null".into(),
        against: "without --isolate",
        needs: Peer::Native,
        unit: Unit::Seconds,
        bar: Bar::AtMost(4.0),
        ours: Box::new(|it, effort| start_to_end(two_stages(it, &["--isolate"]), effort)),
        theirs: Box::new(|it, effort| start_to_end(two_stages(it, &[]), effort)),
    });
    rows
}

fn two_stages(programs: &Programs, options: &[&str]) -> std::process::Command {
    let mut command = programs.ours("pipe");
    command.args(options).args(["@cat", "!", "@cat"]);
    command
}
