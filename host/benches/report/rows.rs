//! The rows of the table: what is done, by whom, and the bar.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pipehost_test_guests::guest;

use crate::Effort;
use crate::flow::{Flow, Pipes};
use crate::pipelines;
use crate::programs::{Peer, Programs};
use crate::sandbox;

/// How much of something, and which way is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    BytesPerSecond,
    Seconds,
    Bytes,
}

/// What the ratio, ours by the peer's, should be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

pub(crate) type Measure = Box<dyn Fn(&Programs, Effort) -> f64>;

pub(crate) struct Row {
    pub name: String,
    pub against: &'static str,
    pub needs: Peer,
    pub unit: Unit,
    pub bar: Bar,
    pub ours: Measure,
    pub theirs: Measure,
}

impl Row {
    /// Pairs of our figure and the peer's, taken in turns; `None` where the peer is missing.
    pub(crate) fn measure(&self, programs: &Programs, effort: Effort) -> Option<Vec<(f64, f64)>> {
        if !programs.has(self.needs) {
            return None;
        }
        // Once each before: the caches fill.
        let warm =
            Effort { flow: Duration::from_millis(20), starts: 1, round_trips: 100, ..effort };
        (self.ours)(programs, warm);
        (self.theirs)(programs, warm);
        let pair = |turn: usize| match turn % 2 {
            0 => ((self.ours)(programs, effort), (self.theirs)(programs, effort)),
            _ => {
                let theirs = (self.theirs)(programs, effort);
                ((self.ours)(programs, effort), theirs)
            }
        };
        Some((0..effort.pairs).map(pair).collect())
    }
}

pub(crate) fn all() -> Vec<Row> {
    let large = |effort: Effort| Flow::new(Pipes::Large, effort.flow);
    let default = |effort: Effort| Flow::new(Pipes::Default, effort.flow);
    let mut rows = Vec::new();

    type Copy = (&'static str, fn(&Programs) -> Command);
    let copies: [Copy; 5] = [
        ("0.3 guest copying reader to writer", |it| it.on_pipes("probe3", &["copy", "in", "out"])),
        ("0.2 guest, io::copy over the SDK", |it| it.on_pipes("probe2", &["io-copy", "in", "out"])),
        ("0.2 guest, io::copy over stdio", |it| it.pipehost(&guest("plain"), &[], &["copy"])),
        ("0.2 guest, 64 KiB reads over the SDK", |it| {
            it.on_pipes("probe2", &["copy", "in", "out"])
        }),
        ("0.2 guest, 64 KiB reads over stdio", |it| {
            it.pipehost(&guest("plain"), &[], &["copy-by", "65536"])
        }),
    ];
    let bars = [1.0, 0.8, 0.8, 0.8, 0.8].map(Bar::AtLeast);
    for ((name, ours), bar) in copies.into_iter().zip(bars) {
        rows.push(flow(
            &format!("{name}, 1 MiB pipes"),
            "cat",
            Peer::Cat,
            bar,
            large,
            ours,
            Programs::cat,
        ));
    }
    for (name, ours) in copies {
        let bar = Bar::AtLeast(1.5);
        rows.push(flow(
            &format!("{name}, 64 KiB pipes"),
            "cat",
            Peer::Cat,
            bar,
            default,
            ours,
            Programs::cat,
        ));
    }
    // io::copy reads 8 KiB at a time: so much of cat's speed is left for it without a sandbox.
    for (name, ours) in [copies[1], copies[2]] {
        rows.push(flow(
            &format!("{name}, 1 MiB pipes"),
            "the same, native",
            Peer::Native,
            Bar::AtLeast(0.8),
            large,
            ours,
            |it| it.native(&["copy"]),
        ));
    }

    let wasmtime = |file: fn(&Programs) -> std::path::PathBuf, args: &'static [&'static str]| {
        let ours = move |it: &Programs| it.pipehost(&file(it), &[], args);
        let theirs = move |it: &Programs| it.wasmtime(&file(it), args);
        (ours, theirs)
    };
    let module = wasmtime(|it| it.module(65_536), &[]);
    let plain = wasmtime(|_| guest("plain"), &["copy"]);
    let by_64k = wasmtime(|_| guest("plain"), &["copy-by", "65536"]);
    let handed = wasmtime(|_| guest("plain3"), &["forward"]);
    let same = "wasmtime run, same file";
    for (size, of) in [("1 MiB", large as fn(Effort) -> Flow), ("64 KiB", default)] {
        let name = |what: &str| format!("{what}, {size} pipes");
        let bar = Bar::AtLeast(3.0);
        rows.push(flow(
            &name("unmodified 0.1 module, 64 KiB calls"),
            same,
            Peer::Wasmtime,
            bar,
            of,
            module.0,
            module.1,
        ));
        rows.push(flow(
            &name("unmodified 0.2 component, io::copy"),
            same,
            Peer::Wasmtime,
            bar,
            of,
            plain.0,
            plain.1,
        ));
        rows.push(flow(
            &name("unmodified 0.2 component, 64 KiB reads"),
            same,
            Peer::Wasmtime,
            bar,
            of,
            by_64k.0,
            by_64k.1,
        ));
        let bar = Bar::AtLeast(20.0);
        rows.push(flow(
            &name("unmodified 0.3 component, stdin handed to stdout"),
            same,
            Peer::Wasmtime,
            bar,
            of,
            handed.0,
            handed.1,
        ));
    }

    for (guest, program) in
        [("0.3 guest handing its stream over", "probe3"), ("0.2 guest that splices", "probe2")]
    {
        let ours = move |it: &Programs| it.on_pipes(program, &["forward", "in", "out"]);
        for (size, of) in [("1 MiB", large as fn(Effort) -> Flow), ("64 KiB", default)] {
            let bar = Bar::AtLeast(1.0);
            rows.push(flow(
                &format!("{guest}, plain peers, {size} pipes"),
                "pv -q",
                Peer::Pv,
                bar,
                move |effort| of(effort).plain(),
                ours,
                Programs::pv,
            ));
            let of = move |effort| of(effort).zero_copy();
            rows.push(flow(
                &format!("{guest}, zero-copy peers, {size} pipes"),
                "pv -q",
                Peer::Pv,
                bar,
                of,
                ours,
                Programs::pv,
            ));
        }
    }

    for (size, of) in [("1 MiB", large as fn(Effort) -> Flow), ("64 KiB", default)] {
        rows.push(flow(
            &format!("@upper, {size} pipes"),
            "the same code, native",
            Peer::Native,
            Bar::AtLeast(0.8),
            move |effort| of(effort).upper(),
            |it| it.pipehost(Path::new("@upper"), &[], &[]),
            |it| it.native(&["upper"]),
        ));
    }
    rows.push(flow(
        "0.2 guest with 256 idle pipes open, 1 MiB pipes",
        "without them",
        Peer::Native,
        Bar::AtLeast(0.95),
        large,
        |it| it.on_pipes("probe2", &["copy-beside", "256", "in", "out"]),
        |it| it.on_pipes("probe2", &["copy-beside", "0", "in", "out"]),
    ));

    rows.push(Row {
        name: "one byte there and back through two FIFOs, guest and native".into(),
        against: "native and native",
        needs: Peer::Native,
        unit: Unit::Seconds,
        bar: Bar::AtMost(1.5),
        ours: Box::new(|it, effort| {
            round_trip(it, effort, |from, to| {
                let fifos = [format!("in={from},r"), format!("out={to},w")];
                it.pipehost(&guest("ping-pong"), &["--fifo", &fifos[0], "--fifo", &fifos[1]], &[])
            })
        }),
        theirs: Box::new(|it, effort| {
            round_trip(it, effort, |from, to| it.native(&["echo", from, to]))
        }),
    });

    type Starts = (&'static str, fn(&Programs) -> Command, fn(&Programs) -> Command);
    let starts: [Starts; 3] = [
        (
            "run @cat < /dev/null",
            |it| it.pipehost(Path::new("@cat"), &[], &[]),
            // @cat imports pipehost:pipes, which wasmtime has not: its like without.
            |it| it.wasmtime(&guest("plain3"), &["copy-by", "65536"]),
        ),
        (
            "run of a 0.3 component < /dev/null",
            |it| it.pipehost(&guest("plain3"), &[], &["copy-by", "65536"]),
            |it| it.wasmtime(&guest("plain3"), &["copy-by", "65536"]),
        ),
        (
            "run of a 0.2 component < /dev/null",
            |it| it.pipehost(&guest("plain"), &[], &["copy"]),
            |it| it.wasmtime(&guest("plain"), &["copy"]),
        ),
    ];
    for (name, ours, theirs) in starts {
        let same = "wasmtime run";
        rows.push(Row {
            name: format!("start to end of {name}"),
            against: same,
            needs: Peer::Wasmtime,
            unit: Unit::Seconds,
            bar: Bar::AtMost(0.5),
            ours: Box::new(move |it, effort| start_to_end(ours(it), effort)),
            theirs: Box::new(move |it, effort| start_to_end(theirs(it), effort)),
        });
    }
    for (name, ours, theirs) in starts {
        rows.push(Row {
            name: format!("resident memory of {name}"),
            against: "wasmtime run",
            needs: Peer::Wasmtime,
            unit: Unit::Bytes,
            bar: Bar::AtMost(1.0),
            ours: Box::new(move |it, _| resident(ours(it))),
            theirs: Box::new(move |it, _| resident(theirs(it))),
        });
    }
    rows.push(Row {
        name: "resident memory of run @cat < /dev/null".into(),
        against: "16 MiB",
        needs: Peer::Native,
        unit: Unit::Bytes,
        bar: Bar::AtMost(1.0),
        ours: Box::new(move |it, _| resident(it.pipehost(Path::new("@cat"), &[], &[]))),
        theirs: Box::new(|_, _| 16.0 * 1024.0 * 1024.0),
    });
    rows.extend(pipelines::rows());
    rows.extend(sandbox::rows());
    rows
}

pub(crate) fn flow(
    name: &str,
    against: &'static str,
    needs: Peer,
    bar: Bar,
    of: impl Fn(Effort) -> Flow + Copy + 'static,
    ours: impl Fn(&Programs) -> Command + 'static,
    theirs: impl Fn(&Programs) -> Command + 'static,
) -> Row {
    Row {
        name: name.into(),
        against,
        needs,
        unit: Unit::BytesPerSecond,
        bar,
        ours: Box::new(move |it, effort| of(effort).rate(&mut ours(it))),
        theirs: Box::new(move |it, effort| of(effort).rate(&mut theirs(it))),
    }
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

/// Seconds for a whole run with nothing to do, the least of several: what interrupts only adds.
pub(crate) fn start_to_end(mut command: Command, effort: Effort) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let runs = (0..effort.starts).map(|_| {
        let started = Instant::now();
        assert!(command.status().unwrap().success(), "{command:?}");
        started.elapsed().as_secs_f64()
    });
    runs.fold(f64::INFINITY, f64::min)
}

/// The most memory that a run had resident, once a byte has gone through.
pub(crate) fn resident(mut command: Command) -> f64 {
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
