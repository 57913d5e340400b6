//! The rows about how long a run takes that has nothing to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use pipehost_test_guests::guest;

use super::{Row, Theme};
use crate::Effort;
use crate::figures::Unit;
use crate::programs::{Peer, Programs};

/// So many functions that their component has 2.5 MB.
const COLD: usize = 2_600;
/// So many functions that they are 10 MB when they are compiled.
const LARGE: usize = 5_700;

pub(super) fn theme() -> Theme {
    type Start = fn(&Programs) -> Command;
    // @cat imports pipehost:pipes, which wasmtime does not have: its like without.
    let like_cat: Start = |it| it.wasmtime(&guest("plain3"), &["copy-by", "65536"]);
    let versus = |name: &str, ours: Start, theirs: Start| {
        Row::new(
            format!("start to end of {name}"),
            Unit::Seconds,
            move |it, effort| start_to_end(ours(it), effort),
            move |it, effort| start_to_end(theirs(it), effort),
        )
        .against("wasmtime run", Peer::Wasmtime)
    };
    let rows = vec![
        versus("run @cat < /dev/null", cat, like_cat).at_most(0.35),
        versus("run @cat < /dev/null", cat, |it| it.bwrap("cat"))
            .against("cat in bwrap", Peer::Bwrap)
            .at_most(0.8),
        versus(
            "run of a 0.3 component < /dev/null",
            |it| it.pipehost(&guest("plain3"), &[], &["copy-by", "65536"]),
            like_cat,
        )
        .at_most(0.5),
        versus(
            "run of a 0.2 component < /dev/null",
            |it| it.pipehost(&guest("plain"), &[], &["copy"]),
            |it| it.wasmtime(&guest("plain"), &["copy"]),
        )
        .at_most(0.5),
        versus("run --fifo in=PATH of a 0.3 component < /dev/null", with_fifo, like_cat)
            .at_most(0.45),
        versus(
            "run --child other=@cat @cat < /dev/null",
            |it| it.pipehost(Path::new("@cat"), &["--child", "other=@cat"], &[]),
            like_cat,
        ),
        Row::within(
            "further time that 10 MB of compiled code take, beyond @cat",
            Unit::Seconds,
            ("4 ms", 0.004),
            |it, effort| {
                let large = start_to_end(it.pipehost(&it.large(LARGE), &[], &[]), effort);
                large - start_to_end(cat(it), effort)
            },
        ),
        Row::new(
            "first start to end of a 2.5 MB component, which is compiled",
            Unit::Seconds,
            |it, _| first_start(it, it.pipehost(&it.large(COLD), &[], &[])),
            |it, _| first_start(it, it.wasmtime(&it.large(COLD), &[])),
        )
        .against("wasmtime run, same file", Peer::Wasmtime)
        .at_most(1.0),
    ];
    Theme::new(
        "Start",
        "From fork(2) to the end, with nothing to read. The guest has been compiled before, but for the last row. \
         The FIFO and the child are granted, and not used. For `@cat`, `wasmtime run` is given a component of \
         WASI 0.3 that copies, as it lacks what `@cat` imports; `bwrap` is `bwrap --ro-bind / / --unshare-all cat`.",
        rows,
    )
}

fn cat(programs: &Programs) -> Command {
    programs.pipehost(Path::new("@cat"), &[], &[])
}

/// With a FIFO that is made and removed. @cat would read from it.
fn with_fifo(programs: &Programs) -> Command {
    let fifo = format!("in={}", programs.folder("fifos").join("unused").display());
    let mut command =
        programs.pipehost(&guest("plain3"), &["--fifo", &fifo], &["copy-by", "65536"]);
    // It warns that the guest did not open it.
    command.stderr(Stdio::null());
    command
}

/// Seconds for a whole run with nothing to do, the least of several: what interrupts only adds.
pub(super) fn start_to_end(mut command: Command, effort: Effort) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let runs = (0..effort.starts).map(|_| {
        let started = Instant::now();
        assert!(command.status().unwrap().success(), "{command:?}");
        started.elapsed().as_secs_f64()
    });
    runs.fold(f64::INFINITY, f64::min)
}

/// Seconds for a run with an empty cache.
fn first_start(programs: &Programs, mut command: Command) -> f64 {
    let cache = programs.folder("empty");
    fs::remove_dir_all(&cache).unwrap();
    command.env("XDG_CACHE_HOME", programs.folder("empty"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    assert!(command.status().unwrap().success(), "{command:?}");
    started.elapsed().as_secs_f64()
}
