//! The rows about programs that others have written, where they are found: a folder that the environment
//! variable PIPEHOST_BENCH_GUESTS names.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{SpliceFlags, splice};

use super::{Row, Theme};
use crate::Effort;
use crate::figures::{Cpu, Figure, Unit};
use crate::flow::{BLOCK, LARGE};
use crate::programs::{Peer, Programs};
use crate::source::random;

const VARIABLE: &str = "PIPEHOST_BENCH_GUESTS";

/// What `sort` holds in memory is more than a guest may have unasked.
const OPTIONS: [&str; 2] = ["--max-memory", "4G"];

const TOOLS: [&[&str]; 5] =
    [&["cat"], &["wc"], &["sort"], &["tr", "a-z", "A-Z"], &["head", "-n", "1000000"]];
const SEARCH: [&[&str]; 1] = [&["ERROR", "-"]];

const FILES: [(&str, &str, &[&[&str]]); 3] = [
    ("coreutils.wasm", "0.1 coreutils", &TOOLS),
    ("p2/coreutils.wasm", "0.2 coreutils", &TOOLS),
    ("rg.wasm", "rg", &SEARCH),
];

pub(super) fn theme(programs: &Programs) -> Theme {
    let mut theme = Theme::new(
        "Real programs",
        "Programs of others, as they are, from the folder that PIPEHOST_BENCH_GUESTS names. Each reads a log of \
         200 MB from a pipe, `sort` of 20 MB, as it holds all of it in memory; the figure is that by the time from start to end. What comes out must be the same.",
        Vec::new(),
    );
    let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        theme.left_out.push(format!("real programs, as {VARIABLE} names no folder of them"));
        return theme;
    };
    for (file, what, tools) in FILES {
        let path = folder.join(file);
        if !path.exists() {
            theme.left_out.push(format!("{file}, as {} lacks it", folder.display()));
            continue;
        }
        for args in tools {
            let name = format!("{what}, {}", args.join(" "));
            if programs.has(Peer::Wasmtime) {
                let hosts =
                    [programs.pipehost(&path, &OPTIONS, args), programs.wasmtime(&path, args)];
                if let Some(failed) = hosts.into_iter().find_map(failure) {
                    theme.left_out.push(format!("{name}, as it failed: {failed}"));
                    continue;
                }
            }
            theme.rows.push(row(name, &path, args));
        }
    }
    theme
}

fn row(name: String, path: &Path, args: &'static [&'static str]) -> Row {
    let (ours, theirs) = (path.to_owned(), path.to_owned());
    let length = move |effort: Effort| if args == ["sort"] { effort.log / 10 } else { effort.log };
    Row::new(
        name,
        Unit::BytesPerSecond,
        move |it, effort| run(it.pipehost(&ours, &OPTIONS, args), args, length(effort)),
        move |it, effort| run(it.wasmtime(&theirs, args), args, length(effort)),
    )
    .against("wasmtime run, same file", Peer::Wasmtime)
    .at_least(1.5)
}

/// Why a command fails with one line to read, if it does.
fn failure(mut command: Command) -> Option<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(b"an ERROR\n");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).lines().next().map(str::to_owned);
    (!output.status.success()).then(|| said.unwrap_or(output.status.to_string()))
}

/// Bytes of the log that a run reads per second, from its start to its end.
///
/// # Panics
/// Where it fails, or writes something else than a run with the same arguments before.
fn run(mut command: Command, args: &'static [&'static str], length: usize) -> Figure {
    type Outputs = HashMap<(&'static [&'static str], usize), blake3::Hash>;
    static OUTPUTS: Mutex<Option<Outputs>> = Mutex::new(None);
    let log = log();
    let before = Cpu::now();
    let started = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let hash = thread::scope(|scope| {
        scope.spawn(move || {
            let mut at = 0;
            while (at as usize) < length {
                let most = LARGE.min(length - at as usize);
                // `head` leaves early.
                if splice(log, Some(&mut at), &input, None, most, SpliceFlags::empty()).is_err() {
                    break;
                }
            }
        });
        let mut hasher = blake3::Hasher::new();
        let mut buf = vec![0; BLOCK];
        loop {
            match output.read(&mut buf).unwrap() {
                0 => break hasher.finalize(),
                n => drop(hasher.update(&buf[..n])),
            }
        }
    });
    let status = child.wait().unwrap();
    let took = started.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    let mut outputs = OUTPUTS.lock().unwrap();
    let first = *outputs.get_or_insert_default().entry((args, length)).or_insert(hash);
    assert_eq!(hash, first, "{command:?} wrote something else");
    let value = length as f64 / took.as_secs_f64();
    Figure { value, per_cpu: Some(before.since(length as u64)) }
}

/// A log, in memory, at least as long as the longest that is asked for.
fn log() -> &'static File {
    static LOG: OnceLock<File> = OnceLock::new();
    LOG.get_or_init(|| {
        let mut next = random();
        let mut text = String::new();
        while text.len() < crate::FULL.log {
            let (hour, minute, second) = (next() % 24, next() % 60, next() % 60);
            let level = ["INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"][next() as usize % 6];
            let (worker, request, took) = (next() % 64, next(), next() % 10_000);
            text.push_str(&format!(
                "2025-06-01T{hour:02}:{minute:02}:{second:02}Z {level} worker-{worker} \
                 request {request:08x} took {took} us\n"
            ));
        }
        let mut file = File::from(memfd_create("log", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(text.as_bytes()).unwrap();
        file
    })
}
