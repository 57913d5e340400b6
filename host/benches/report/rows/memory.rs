//! The rows about resident memory.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use pipehost_test_guests::guest;

use super::pipelines::pipeline;
use super::{Row, Theme};
use crate::figures::Unit;
use crate::programs::{Peer, Programs};

const MIB: f64 = 1024.0 * 1024.0;

/// So many stages, and so many more.
const FEW: usize = 2;
const MANY: usize = 64;
const ALL: usize = 256;

pub(super) fn theme() -> Theme {
    type Run = fn(&Programs) -> Command;
    let cat: Run = |it| it.pipehost(Path::new("@cat"), &[], &[]);
    let like_cat: Run = |it| it.wasmtime(&guest("plain3"), &["copy-by", "65536"]);
    let versus = |name: &str, ours: Run, theirs: Run| {
        Row::new(
            format!("resident memory of {name}"),
            Unit::Bytes,
            move |it, _| resident(ours(it)),
            move |it, _| resident(theirs(it)),
        )
        .against("wasmtime run", Peer::Wasmtime)
        .at_most(1.0)
    };
    let cats = |it: &Programs, stages| resident(pipeline(it, &vec!["@cat"; stages]));
    let rows = vec![
        Row::within(
            "resident memory of run @cat",
            Unit::Bytes,
            ("14 MiB", 14.0 * MIB),
            move |it, _| resident(cat(it)),
        ),
        versus("run @cat", cat, like_cat),
        versus(
            "run of a 0.3 component",
            |it| it.pipehost(&guest("plain3"), &[], &["copy-by", "65536"]),
            like_cat,
        ),
        versus(
            "run of a 0.2 component",
            |it| it.pipehost(&guest("plain"), &[], &["copy"]),
            |it| it.wasmtime(&guest("plain"), &["copy"]),
        ),
        Row::within(
            "resident memory of a pipeline of 256 idle @cat, for each",
            Unit::Bytes,
            ("4 MiB", 4.0 * MIB),
            move |it, _| cats(it, ALL) / ALL as f64,
        ),
        Row::within(
            "resident memory of each of 62 further @cat in a pipeline",
            Unit::Bytes,
            ("5 MiB", 5.0 * MIB),
            move |it, _| (cats(it, MANY) - cats(it, FEW)) / (MANY - FEW) as f64,
        ),
    ];
    Theme::new(
        "Memory",
        "The most that the process had resident until one byte had gone through, after which its guests wait.",
        rows,
    )
}

/// The most memory that a run had resident, once a byte has gone through.
fn resident(mut command: Command) -> f64 {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    input.write_all(b"\n").unwrap();
    output.read_exact(&mut [0]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    kib * 1024.0
}
