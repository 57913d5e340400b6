//! How fast pipehost is, as ratios against what else could do the same job, measured in one run.
//!
//! `cargo bench` prints a table, and writes it to docs/benchmarks.md with pictures beside it.
//! `cargo bench -- --quick` takes about two minutes and writes nothing. Words after that pick the rows
//! whose name contains one of them, or whose theme is one of them; they write nothing either.
//!
//! What is compared takes turns, pair by pair; a figure is the median of the pairs' ratios. What is
//! not installed is left out, and named.
#![allow(missing_docs, clippy::unwrap_used, reason = "a program that may end by panicking")]

mod chart;
mod figures;
mod flow;
mod native;
mod programs;
mod rows;
mod source;
mod table;
mod wat;

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
    /// How many bytes real programs read.
    log: usize,
}

const FULL: Effort = Effort {
    pairs: 9,
    flow: Duration::from_millis(600),
    round_trips: 20_000,
    starts: 20,
    log: 200_000_000,
};
const QUICK: Effort = Effort {
    pairs: 3,
    flow: Duration::from_millis(120),
    round_trips: 3_000,
    starts: 5,
    log: 20_000_000,
};
/// What is done once, unmeasured, before each row.
const WARM: Effort = Effort {
    pairs: 1,
    flow: Duration::from_millis(20),
    round_trips: 100,
    starts: 1,
    log: 1_000_000,
};

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
    let mut table = table::Table::new(&programs);
    for theme in rows::all(&programs) {
        let picked = |name: &str| {
            let picks =
                |word: &&str| name.contains(*word) || theme.title.eq_ignore_ascii_case(word);
            filters.is_empty() || filters.iter().any(picks)
        };
        table.begin(&theme, filters.is_empty());
        for row in theme.rows.iter().filter(|row| picked(&row.name)) {
            table.add(row, row.measure(&programs, effort).as_ref());
        }
    }
    if !filters.is_empty() || !options.is_empty() {
        return;
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for picture in &chart::PICTURES {
        picture.draw(&docs.join(picture.file), &programs, effort);
    }
    std::fs::write(docs.join("benchmarks.md"), table.markdown()).unwrap();
    println!("written: docs/benchmarks.md, and its pictures");
}
