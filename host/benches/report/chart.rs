//! The pictures: how fast programs are over the size of what they do at once.

use std::path::Path;
use std::process::Command;

use pipehost_test_guests::{guest, module};
use plotters::prelude::*;

use crate::Effort;
use crate::figures::Spread;
use crate::flow::{Flow, Pipes};
use crate::programs::{Peer, Programs};
use crate::source::Source;

pub(crate) struct Picture {
    /// The theme that it belongs to.
    pub theme: &'static str,
    pub file: &'static str,
    pub caption: &'static str,
    /// What the sizes are.
    sizes: (&'static str, &'static [usize]),
    /// The unit, and how much of it so many bytes per second are.
    unit: (&'static str, fn(f64, usize) -> f64),
    flow: fn(Effort, usize) -> Flow,
    lines: &'static [Line],
}

type Line = (&'static str, RGBColor, fn(&Programs, usize) -> Command);

/// A line that has been measured.
type Measured = (&'static str, RGBColor, Vec<(f64, f64)>);

const P1: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
const P2: RGBColor = RGBColor(0x1b, 0x9e, 0x77);
const P3: RGBColor = RGBColor(0x75, 0x70, 0xb3);
const PALE_P1: RGBColor = RGBColor(0xe7, 0xb0, 0x7a);
const PALE_P2: RGBColor = RGBColor(0x8c, 0xcf, 0xb8);

pub(crate) const PICTURES: [Picture; 2] = [
    // No line for 0.3: `plain3` has nothing that echoes lines, and Rust's own `println!` is of 0.2.
    Picture {
        theme: "Lines",
        file: "lines.svg",
        caption: "Lines over their length, 64 KiB pipes",
        sizes: ("bytes of a line, line feed included", &[1, 4, 16, 64, 256, 1 << 10, 1 << 12]),
        unit: ("thousand lines per second", |rate, size| rate / size as f64 / 1e3),
        flow: |effort, size| Flow::new(Pipes::Default, effort.flow / 2).of(Source::Lines(size)),
        lines: &[
            ("0.1", P1, |it, _| it.pipehost(&module("plain"), &[], &["echo-lines"])),
            ("0.2", P2, |it, _| it.pipehost(&guest("plain"), &[], &["echo-lines"])),
            ("native", BLACK, |it, _| it.native(&["plain", "echo-lines"])),
            ("wasmtime, 0.1", PALE_P1, |it, _| it.wasmtime(&module("plain"), &["echo-lines"])),
            ("wasmtime, 0.2", PALE_P2, |it, _| it.wasmtime(&guest("plain"), &["echo-lines"])),
        ],
    },
    Picture {
        theme: "Copying over stdio",
        file: "throughput.svg",
        caption: "Throughput over the size of a call, 1 MiB pipes",
        sizes: (
            "bytes asked for by each read",
            &[1, 4, 16, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22],
        ),
        unit: ("MB/s", |rate, _| rate / 1e6),
        flow: |effort, _| Flow::new(Pipes::Large, effort.flow / 2),
        lines: &[
            ("0.1", P1, |it, size| it.pipehost(&it.relay(size), &[], &[])),
            ("0.2", P2, |it, size| {
                it.pipehost(&guest("plain"), &[], &["copy-by", &size.to_string()])
            }),
            ("0.3", P3, |it, size| {
                it.pipehost(&guest("plain3"), &[], &["copy-by", &size.to_string()])
            }),
            ("cat (its own size)", BLACK, |it, _| it.cat()),
            ("wasmtime, 0.1", PALE_P1, |it, size| it.wasmtime(&it.relay(size), &[])),
            ("wasmtime, 0.2", PALE_P2, |it, size| {
                it.wasmtime(&guest("plain"), &["copy-by", &size.to_string()])
            }),
        ],
    },
];

impl Picture {
    /// Measures, and writes the picture to `path`.
    pub(crate) fn draw(&self, path: &Path, programs: &Programs, effort: Effort) {
        let measure = |(name, color, command): &Line| {
            println!("measuring for {}: {name}", self.file);
            let rate = |size: usize| {
                let flow = (self.flow)(effort, size);
                let rates = (0..3).map(|_| flow.rate(&mut command(programs, size)).value);
                (size as f64, (self.unit.1)(Spread::of(rates).median(), size))
            };
            (*name, *color, self.sizes.1.iter().copied().map(rate).collect())
        };
        let there = |line: &&Line| !line.0.starts_with("wasmtime") || programs.has(Peer::Wasmtime);
        self.plot(path, &self.lines.iter().filter(there).map(measure).collect::<Vec<_>>());
    }

    fn plot(&self, path: &Path, lines: &[Measured]) {
        let (sizes, figures): (Vec<f64>, Vec<f64>) =
            lines.iter().flat_map(|line| &line.2).copied().unzip();
        let (sizes, figures) = (Spread::of(sizes), Spread::of(figures));
        let root = SVGBackend::new(path, (900, 520)).into_drawing_area();
        root.fill(&WHITE).unwrap();
        let mut chart = ChartBuilder::on(&root)
            .margin(16)
            .caption(self.caption, ("sans-serif", 20))
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(
                (sizes.least()..sizes.most()).log_scale().base(4.0),
                (figures.least() * 0.7..figures.most() * 1.4).log_scale(),
            )
            .unwrap();
        chart
            .configure_mesh()
            .x_desc(self.sizes.0)
            .y_desc(self.unit.0)
            .x_label_formatter(&|size| bytes(*size))
            .y_label_formatter(&|figure| format!("{figure}"))
            .light_line_style(WHITE)
            .draw()
            .unwrap();
        for (name, color, points) in lines {
            let style = color.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))
                .unwrap()
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.3))
            .draw()
            .unwrap();
        root.present().unwrap();
    }
}

fn bytes(size: f64) -> String {
    match size {
        1_048_576.0.. => format!("{} MiB", (size / 1_048_576.0).round()),
        1_024.0.. => format!("{} KiB", (size / 1_024.0).round()),
        _ => format!("{size:.0} B"),
    }
}
