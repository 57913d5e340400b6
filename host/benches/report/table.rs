//! The table, as lines while it is made and as Markdown.

use std::fmt::Write;

use crate::programs::Programs;
use crate::rows::{Bar, Row, Unit};

pub(crate) struct Table {
    versions: Vec<String>,
    missing: Vec<&'static str>,
    rows: Vec<[String; 7]>,
}

const INTRODUCTION: &str = "\
# Benchmarks

Written by `cargo bench`; not to be edited by hand. Each ratio is the median of pairs that took turns, the spread
is the least and the greatest ratio of a pair. What comes out of a program is compared with what went in, byte by
byte. The programs are fed by splice(2) out of memory, so that the one that is measured has the most to do; *plain
peers* write(2) instead; *zero-copy peers* also splice(2) what comes out away, and only count it. Capacities are
those that the pipes begin with: pipehost makes 64 KiB ones larger.

";

const HEAD: [&str; 7] = ["what", "ours", "against", "theirs", "ratio", "spread", "bar"];

impl Table {
    pub(crate) fn new(programs: &Programs) -> Self {
        println!("{}", line(&HEAD.map(str::to_owned)));
        Self { versions: programs.versions(), missing: programs.missing(), rows: Vec::new() }
    }

    /// Adds and prints what was measured; `None`: its peer is missing.
    pub(crate) fn add(&mut self, row: &Row, pairs: Option<Vec<(f64, f64)>>) {
        let bar = match row.bar {
            Bar::AtLeast(bar) => format!("≥ {bar}"),
            Bar::AtMost(bar) => format!("≤ {bar}"),
        };
        let Some(pairs) = pairs else {
            let absent = || "–".to_owned();
            let against = format!("{} (missing)", row.against);
            let cells = [row.name.clone(), absent(), against, absent(), absent(), absent(), bar];
            println!("{}", line(&cells));
            return self.rows.push(cells);
        };
        let ratios = sorted(pairs.iter().map(|(ours, theirs)| ours / theirs).collect());
        let ratio = ratios[ratios.len() / 2];
        let met = match row.bar {
            Bar::AtLeast(bar) => ratio >= bar,
            Bar::AtMost(bar) => ratio <= bar,
        };
        let figure = |figures: Vec<f64>| show(row.unit, sorted(figures)[pairs.len() / 2]);
        let cells = [
            row.name.clone(),
            figure(pairs.iter().map(|pair| pair.0).collect()),
            row.against.into(),
            figure(pairs.iter().map(|pair| pair.1).collect()),
            format!("{ratio:.2}"),
            format!("{:.2} to {:.2}", ratios[0], ratios[ratios.len() - 1]),
            format!("{bar} {}", if met { "met" } else { "MISSED" }),
        ];
        println!("{}", line(&cells));
        self.rows.push(cells);
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(INTRODUCTION);
        let _ = writeln!(text, "| {} |\n|---|--:|---|--:|--:|--:|---|", HEAD.join(" | "));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        let _ = write!(
            text,
            "\n![Throughput over the size of a call](throughput.svg)\n\n## Where this was measured\n\n{}",
            machine()
        );
        for version in &self.versions {
            let _ = writeln!(text, "- {version}");
        }
        for missing in &self.missing {
            let _ = writeln!(text, "- left out, as it was not installed: {missing}");
        }
        text
    }
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

fn show(unit: Unit, figure: f64) -> String {
    match unit {
        Unit::BytesPerSecond => format!("{:.2} GB/s", figure / 1e9),
        Unit::Seconds if figure < 1e-3 => format!("{:.1} µs", figure * 1e6),
        Unit::Seconds => format!("{:.1} ms", figure * 1e3),
        Unit::Bytes => format!("{:.1} MiB", figure / 1024.0 / 1024.0),
    }
}

fn line(cells: &[String; 7]) -> String {
    let [what, ours, against, theirs, ratio, spread, bar] = cells;
    format!("{what:64} {ours:>10}  {against:24} {theirs:>10} {ratio:>6}  {spread:15} {bar}")
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
