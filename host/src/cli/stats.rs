//! `--stats`: reports what was used and moved, and how long readers and writers waited.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::args::StatsForm;
use super::exit::Status;
use super::source::Source;
use crate::pipe::{PipeName, Total, overlay, quoted_in_line, quoted_json};
use crate::sys::{self, Direction};

/// The version of the form of [`Stats`] in JSON: docs/stats.schema.json.
pub(crate) const VERSION: u32 = 1;

/// The report, as `--stats=json` prints it in one line on stderr. Its fields are part of the interface:
/// one that is added, removed or changed raises [`VERSION`]. Unknown values are null: the host does not
/// see what native commands read and write.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// The exit status.
    pub(crate) status: u8,
    /// From the first stage's start to the last one's end.
    pub(crate) seconds: f64,
    pub(crate) stages: Vec<StageStats>,
    pub(crate) pipes: Vec<PipeStats>,
    pub(crate) fifos: Vec<FifoStats>,
}

/// A FIFO that a guest was granted by name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FifoStats {
    /// The name of the guest's stage.
    pub(crate) stage: String,
    pub(crate) name: String,
    pub(crate) path: String,
}

impl FifoStats {
    /// Lists the FIFOs that the guest of `stage` was granted.
    pub(crate) fn of(stage: &str, fifos: &[(PipeName, PathBuf)]) -> Vec<Self> {
        let fifo = |(name, path): &(PipeName, PathBuf)| Self {
            stage: stage.into(),
            name: name.to_string(),
            path: path.display().to_string(),
        };
        fifos.iter().map(fifo).collect()
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct StageStats {
    pub(crate) name: String,
    /// What it runs.
    pub(crate) runs: String,
    pub(crate) status: u8,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: Option<f64>,
    /// The most memory at once: a guest's memories and tables, or a native command's resident memory.
    /// Linux begins to count the latter with what this process had resident when it started the
    /// command.
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) read_bytes: Option<u64>,
    pub(crate) written_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PipeStats {
    /// STAGE.END, or the name of a thing outside.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) bytes: Option<u64>,
    /// How long the pipe had no room when its writer asked.
    pub(crate) writer_waited_seconds: Option<f64>,
    /// How long the pipe had no bytes when its reader asked.
    pub(crate) reader_waited_seconds: Option<f64>,
}

/// What a stage has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) time: Duration,
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory: Option<u64>,
}

impl StageStats {
    pub(crate) fn of(name: &str, runs: &str, status: Status, used: Used) -> Self {
        Self {
            name: name.into(),
            runs: runs.into(),
            status: status.code(),
            seconds: used.time.as_secs_f64(),
            cpu_seconds: used.cpu.map(|cpu| cpu.as_secs_f64()),
            memory_bytes: used.memory,
            read_bytes: None,
            written_bytes: None,
        }
    }

    /// Returns its numbers for people: status, time, processor time, memory, bytes read, bytes written.
    pub(crate) fn cells(&self) -> [String; 6] {
        [
            self.status.to_string(),
            seconds(Some(self.seconds)),
            seconds(self.cpu_seconds),
            bytes(self.memory_bytes),
            bytes(self.read_bytes),
            bytes(self.written_bytes),
        ]
    }

    /// Adds the sums of what a guest's ends have counted.
    pub(crate) fn counting(self, totals: &[Total]) -> Self {
        let sum = |way| {
            let ours = totals.iter().filter(|total| total.direction == way);
            // The process of a stage may report any number.
            Some(ours.map(|total| total.bytes).fold(0, u64::saturating_add))
        };
        Self { read_bytes: sum(Direction::Read), written_bytes: sum(Direction::Write), ..self }
    }
}

impl PipeStats {
    /// Makes the entry of a pipe between two ends, as far as either of them was counted.
    pub(crate) fn of(
        from: String,
        to: String,
        writer: Option<&Total>,
        reader: Option<&Total>,
    ) -> Self {
        Self {
            from,
            to,
            // One of the two may have given its end to a child, which counts by itself.
            bytes: [writer, reader].into_iter().flatten().map(|total| total.bytes).max(),
            writer_waited_seconds: writer.map(|total| total.waited.as_secs_f64()),
            reader_waited_seconds: reader.map(|total| total.waited.as_secs_f64()),
        }
    }
}

impl Stats {
    /// Makes the report of `pipehost run`.
    pub(crate) fn of_run(source: &Source, status: Status, used: Used, totals: &[Total]) -> Self {
        let (name, runs) = (source.program(), source.display());
        let pipe = |total: &Total| {
            let end = format!("{name}.{}", total.label);
            match total.direction {
                Direction::Read => PipeStats::of("outside".into(), end, None, Some(total)),
                Direction::Write => PipeStats::of(end, "outside".into(), Some(total), None),
            }
        };
        Self {
            version: VERSION,
            status: status.code(),
            seconds: used.time.as_secs_f64(),
            pipes: totals.iter().map(pipe).collect(),
            stages: vec![StageStats::of(&name, &runs, status, used).counting(totals)],
            fifos: Vec::new(),
        }
    }

    /// Prints the report to stderr. Parts of it are lost if stderr has no room.
    pub(crate) fn print(&self, form: StatsForm) {
        let text = match form {
            StatsForm::Text => self.text(),
            // The report has only numbers and strings, so writing it cannot fail.
            StatsForm::Json => {
                quoted_json(&serde_json::to_string(self).unwrap_or_default()).into_owned() + "\n"
            }
        };
        // The report has the same by itself: this is no message.
        overlay::apart(|| sys::write_message(text.as_bytes()));
    }

    fn text(&self) -> String {
        let mut stages =
            Table::new(["stage", "status", "time", "cpu", "memory", "read", "written"]);
        for stage in &self.stages {
            let [status, time, cpu, memory, read, written] = stage.cells();
            stages.row([stage.name.clone(), status, time, cpu, memory, read, written]);
        }
        let mut pipes = Table::new(["pipe", "bytes", "writer waited", "reader waited"]);
        for pipe in &self.pipes {
            pipes.row([
                format!("{} → {}", pipe.from, pipe.to),
                bytes(pipe.bytes),
                seconds(pipe.writer_waited_seconds),
                seconds(pipe.reader_waited_seconds),
            ]);
        }
        let whole = format!("status {} after {}\n", self.status, seconds(Some(self.seconds)));
        [stages.text(), pipes.text(), whole].concat()
    }
}

pub(crate) fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or("-".into(), |seconds| format!("{seconds:.3} s"))
}

/// Writes bytes in units of 1024, with three significant digits.
pub(crate) fn bytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return "-".into() };
    let mut amount = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next();
    while amount >= 1024.0 {
        let Some(larger) = units.next() else { break };
        amount /= 1024.0;
        unit = Some(larger);
    }
    let digits = match (unit, amount) {
        (Some("B"), _) => 0,
        (_, amount) if amount < 10.0 => 2,
        (_, amount) if amount < 100.0 => 1,
        _ => 0,
    };
    format!("{amount:.digits$} {}", unit.unwrap_or_default())
}

/// A table with columns as wide as they have to be, and numbers to the right.
struct Table<const N: usize>(Vec<[String; N]>);

impl<const N: usize> Table<N> {
    fn new(head: [&str; N]) -> Self {
        Self(vec![head.map(String::from)])
    }

    fn row(&mut self, row: [String; N]) {
        // The author of the pipeline chooses names: they must not act on the terminal.
        self.0.push(row.map(|cell| quoted_in_line(&cell).into_owned()));
    }

    fn text(&self) -> String {
        let width = |at: usize| self.0.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.0 {
            for (at, cell) in row.iter().enumerate() {
                let pad = " ".repeat(width(at) - cell.chars().count());
                text += &match at {
                    0 => format!("{cell}{pad}"),
                    _ => format!("  {pad}{cell}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10 << 20, "10.0 MiB"),
            (200 << 30, "200 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (amount, text) in cases {
            assert_eq!(bytes(Some(amount)), text);
        }
        assert_eq!((&*bytes(None), &*seconds(Some(1.23456))), ("-", "1.235 s"));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(["pipe", "bytes"]);
        table.row(["a → b".into(), "1 B".into()]);
        table.row(["\x1b[1m".into(), "1000 B".into()]);
        assert_eq!(table.text(), "pipe      bytes\na → b       1 B\n\\x1b[1m  1000 B\n");
    }
}
