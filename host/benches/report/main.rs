//! How fast pipehost is, as ratios against what else could do the same job, measured in one run.
//!
//! `cargo bench` prints a table, and writes it to docs/benchmarks.md with a picture beside it.
//! `cargo bench -- --quick` takes less than two minutes and writes nothing. Words after that pick
//! the rows that contain one of them; they write nothing either.
//!
//! What is compared takes turns, pair by pair; a figure is the median of the pairs' ratios. What is
//! not installed is left out, and named.
#![allow(missing_docs, clippy::unwrap_used, reason = "a program that may end by panicking")]

mod chart;
mod flow;
mod native;
mod pipelines;
mod programs;
mod rows;
mod sandbox;
mod table;

use std::path::Path;
use std::time::Duration;

use programs::Programs;

/// How long and how often things are measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pairs: usize,
    flow: Duration,
    round_trips: u32,
    starts: u32,
}

const FULL: Effort =
    Effort { pairs: 9, flow: Duration::from_millis(600), round_trips: 20_000, starts: 20 };
const QUICK: Effort =
    Effort { pairs: 5, flow: Duration::from_millis(150), round_trips: 3_000, starts: 5 };

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--native", program, rest @ ..] = &words[..] {
        return native::main(program, rest);
    }
    let (options, filters): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with("--"));
    let effort = match options[..] {
        [] => FULL,
        ["--quick"] => QUICK,
        _ => panic!("usage: cargo bench [-- [--quick] [WORD]...]"),
    };
    let programs = Programs::find();
    for missing in programs.missing() {
        println!("left out, as it is not on the PATH: {missing}");
    }
    let mut table = table::Table::new(&programs);
    for row in rows::all() {
        if filters.is_empty() || filters.iter().any(|word| row.name.contains(word)) {
            table.add(&row, row.measure(&programs, effort));
        }
    }
    if !filters.is_empty() || !options.is_empty() {
        return;
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    chart::draw(&docs.join("throughput.svg"), &programs, effort);
    std::fs::write(docs.join("benchmarks.md"), table.markdown()).unwrap();
    println!("written: docs/benchmarks.md, docs/throughput.svg");
}
