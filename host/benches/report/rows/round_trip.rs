//! The row about how long a byte takes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Command;
use std::time::Instant;

use pipehost_test_guests::guest;

use super::{Row, Theme};
use crate::Effort;
use crate::figures::Unit;
use crate::programs::{Peer, Programs};

pub(super) fn theme() -> Theme {
    let row = Row::new(
        "one byte there and back through two FIFOs, guest and native",
        Unit::Seconds,
        |it, effort| {
            round_trip(it, effort, |from, to| {
                let fifos = [format!("in={from},r"), format!("out={to},w")];
                it.pipehost(&guest("ping-pong"), &["--fifo", &fifos[0], "--fifo", &fifos[1]], &[])
            })
        },
        |it, effort| round_trip(it, effort, |from, to| it.native(&["echo", from, to])),
    );
    let rows = vec![row.against("native and native", Peer::Native).at_most(1.25)];
    Theme::new("Round trip", "A native program sends a byte and waits for it.", rows)
}

/// Seconds for a byte to the program and back.
fn round_trip(programs: &Programs, effort: Effort, echo: impl Fn(&str, &str) -> Command) -> f64 {
    let folder = programs.folder("fifos");
    let [there, back] = ["there", "back"].map(|name| {
        let path = folder.join(name);
        let _ = fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    });
    let mut child = echo(there.to_str().unwrap(), back.to_str().unwrap()).spawn().unwrap();
    let mut output = File::options().write(true).open(&there).unwrap();
    let mut input = File::open(&back).unwrap();
    let mut rounds = |count: u32| {
        for round in 0..count {
            let mut byte = [0];
            output.write_all(&[round as u8]).unwrap();
            input.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [round as u8]);
        }
    };
    rounds(100);
    let started = Instant::now();
    rounds(effort.round_trips);
    let took = started.elapsed();
    drop(output);
    assert!(child.wait().unwrap().success());
    took.as_secs_f64() / f64::from(effort.round_trips)
}
