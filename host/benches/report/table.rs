//! The tables, as lines while they are made and as Markdown.

use std::fmt::Write;

use crate::chart::PICTURES;
use crate::figures::{Pairs, Spread, Unit};
use crate::programs::Programs;
use crate::rows::{Row, Theme};

pub(crate) struct Table {
    versions: Vec<String>,
    left_out: Vec<String>,
    /// The theme that rows are added to, until its title has been printed.
    title: Option<&'static str>,
    sections: Vec<Section>,
}

struct Section {
    title: &'static str,
    about: &'static str,
    rows: Vec<Cells>,
}

type Cells = [String; 9];

const INTRODUCTION: &str = "\
# Benchmarks

Written by `cargo bench`; not to be edited by hand. Each ratio is ours by theirs, the median of nine pairs that took
turns; its spread is the least and the greatest ratio of a pair. Beside each figure stand the least and the greatest
of the nine. What comes out of a program is compared with what went in, byte by byte. The programs are fed by
splice(2) out of memory, so that the one that is measured has the most to do. Capacities are those that the pipes
begin with: pipehost makes 64 KiB ones larger.

*CPU ratio* compares what a second of processor time moves, user's and system's, of the program alone and of it *with
peers*, which feed it and read from it. As with the ratio before it, more is better. A program's start is a part of
it.

A bar is *met* if the median meets it, *near* if only some pair does, and *MISSED* if no pair does.
";

const HOW: &str = "
## To measure this yourself

```sh
apt-get install pv bubblewrap
cargo install wasmtime-cli --version 48.0.8 --locked
cargo bench                     # all of it, and this file; a quarter of an hour
cargo bench -- --quick lines    # some rows, less exactly; writes nothing
```

With `PIPEHOST_BENCH_GUESTS=FOLDER`, programs of others are measured as well: `coreutils.wasm` (of WASI 0.1) and
`p2/coreutils.wasm` (of 0.2) in that folder, and `rg.wasm`. In the sources of uutils 0.12.0 and of ripgrep 15.2.0, as
crates.io has them:

```sh
for target in wasm32-wasip1 wasm32-wasip2; do
    cargo build --release --target $target --no-default-features --features 'cat wc sort tr head' --bin coreutils
done
cargo build --release --target wasm32-wasip1    # rg
```
";

const HEAD: [&str; 9] =
    ["what", "ours", "against", "theirs", "ratio", "spread", "CPU ratio", "with peers", "bar"];

impl Table {
    pub(crate) fn new(programs: &Programs) -> Self {
        let missing = programs.missing().into_iter();
        let left_out: Vec<String> = missing
            .map(|name| format!("{name}, as it is not installed, or not permitted"))
            .collect();
        for what in &left_out {
            println!("left out: {what}");
        }
        println!("{}", line(&HEAD.map(str::to_owned)));
        Self { versions: programs.versions(), left_out, title: None, sections: Vec::new() }
    }

    /// What is added from now on belongs to `theme`. `whole`: all of its rows are.
    pub(crate) fn begin(&mut self, theme: &Theme, whole: bool) {
        self.title = Some(theme.title);
        self.sections.push(Section { title: theme.title, about: theme.about, rows: Vec::new() });
        if whole {
            for what in &theme.left_out {
                println!("left out: {what}");
            }
            self.left_out.extend(theme.left_out.iter().cloned());
        }
    }

    /// Adds and prints what was measured; `None`: its peer is missing.
    pub(crate) fn add(&mut self, row: &Row, pairs: Option<&Pairs>) {
        if let Some(title) = self.title.take() {
            println!("{title}");
        }
        let cells = pairs.map_or_else(|| without_peer(row), |pairs| cells(row, pairs));
        println!("{}", line(&cells));
        self.sections.last_mut().unwrap().rows.push(cells);
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(INTRODUCTION);
        for section in self.sections.iter().filter(|section| !section.rows.is_empty()) {
            let _ = write!(text, "\n## {}\n\n{}\n\n", section.title, section.about);
            let _ =
                writeln!(text, "| {} |\n|---|--:|---|--:|--:|--:|--:|--:|---|", HEAD.join(" | "));
            for row in &section.rows {
                let _ = writeln!(text, "| {} |", row.join(" | "));
            }
            for picture in PICTURES.iter().filter(|picture| picture.theme == section.title) {
                let _ = writeln!(text, "\n![{}]({})", picture.caption, picture.file);
            }
        }
        let _ = write!(text, "\n## Where this was measured\n\n{}", machine());
        for version in &self.versions {
            let _ = writeln!(text, "- {version}");
        }
        for what in &self.left_out {
            let _ = writeln!(text, "- left out: {what}");
        }
        text + HOW
    }
}

const NONE: &str = "–";

fn cells(row: &Row, pairs: &Pairs) -> Cells {
    let ratios = pairs.ratios();
    let median = |spread: Option<Spread>| match spread {
        Some(spread) => format!("{:.2}", spread.median()),
        None => NONE.into(),
    };
    [
        row.name.clone(),
        figures(row.unit, &pairs.ours()),
        row.against.into(),
        figures(row.unit, &pairs.theirs()),
        format!("{:.2}", ratios.median()),
        format!("{:.2} to {:.2}", ratios.least(), ratios.most()),
        median(pairs.cpu_ratios(|cpu| cpu.program)),
        median(pairs.cpu_ratios(|cpu| cpu.all)),
        row.bar.map_or(NONE.into(), |bar| format!("{bar} {}", bar.verdict(&ratios))),
    ]
}

fn without_peer(row: &Row) -> Cells {
    let mut cells = [NONE; 9].map(str::to_owned);
    cells[0].clone_from(&row.name);
    cells[2] = format!("{} (missing)", row.against);
    cells[8] = row.bar.map_or(NONE.into(), |bar| bar.to_string());
    cells
}

/// The median, with the least and the greatest; that alone if all are the same.
fn figures(unit: Unit, figures: &Spread) -> String {
    let (scale, name, digits) = scale(unit, figures.most());
    let show = |figure: f64| format!("{:.digits$}", figure / scale);
    let [least, median, most] = [figures.least(), figures.median(), figures.most()].map(show);
    match least == most {
        true => format!("{median} {name}"),
        false => format!("{median} {name} ({least} to {most})"),
    }
}

/// In what a figure is shown, and with how many digits.
fn scale(unit: Unit, figure: f64) -> (f64, &'static str, usize) {
    match unit {
        Unit::BytesPerSecond => (1e9, "GB/s", 2),
        Unit::LinesPerSecond(bytes) => (1e6 * bytes as f64, "M lines/s", 2),
        Unit::Seconds if figure < 1e-3 => (1e-6, "µs", 1),
        Unit::Seconds => (1e-3, "ms", 1),
        Unit::Bytes => (1024.0 * 1024.0, "MiB", 1),
    }
}

fn line(cells: &Cells) -> String {
    let [what, ours, against, theirs, ratio, spread, cpu, all, bar] = cells;
    format!(
        "{what:62} {ours:>29}  {against:33} {theirs:>29} {ratio:>6}  {spread:14} {cpu:>9} {all:>10}  {bar}"
    )
}

/// The machine, as its kernel describes it.
fn machine() -> String {
    let uname = rustix::system::uname();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let release = uname.release().to_string_lossy();
    format!("- {count} processors: {model}\n- {} {release}\n", uname.sysname().to_string_lossy())
}
