//! The picture: throughput over the size of a call.

use std::path::Path;
use std::process::Command;

use pipehost_test_guests::guest;
use plotters::prelude::*;

use crate::Effort;
use crate::flow::{Flow, Pipes};
use crate::programs::{Peer, Programs};

const SIZES: [usize; 12] =
    [1, 4, 16, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22];

type Line = (&'static str, RGBColor, fn(&Programs, &str) -> Command);

const LINES: [Line; 6] = [
    ("0.1", RGBColor(0xd9, 0x5f, 0x02), |it, size| it.pipehost(&it.module(number(size)), &[], &[])),
    ("0.2", RGBColor(0x1b, 0x9e, 0x77), |it, size| {
        it.pipehost(&guest("plain"), &[], &["copy-by", size])
    }),
    ("0.3", RGBColor(0x75, 0x70, 0xb3), |it, size| {
        it.pipehost(&guest("plain3"), &[], &["copy-by", size])
    }),
    ("cat (its own size)", RGBColor(0, 0, 0), |it, _| it.cat()),
    ("wasmtime, 0.1", RGBColor(0xe7, 0xb0, 0x7a), |it, size| {
        it.wasmtime(&it.module(number(size)), &[])
    }),
    ("wasmtime, 0.2", RGBColor(0x8c, 0xcf, 0xb8), |it, size| {
        it.wasmtime(&guest("plain"), &["copy-by", size])
    }),
];

fn number(size: &str) -> usize {
    size.parse().unwrap()
}

/// Measures, and writes the picture to `path`.
pub(crate) fn draw(path: &Path, programs: &Programs, effort: Effort) {
    let lines: Vec<_> = LINES
        .iter()
        .filter(|(name, ..)| !name.starts_with("wasmtime") || programs.has(Peer::Wasmtime))
        .map(|(name, color, command)| {
            println!("measuring for the picture: {name}");
            let rate = |size: usize| {
                let flow = Flow::new(Pipes::Large, effort.flow / 2);
                let mut rates: Vec<f64> =
                    (0..3).map(|_| flow.rate(&mut command(programs, &size.to_string()))).collect();
                rates.sort_by(f64::total_cmp);
                (size as f64, rates[1] / 1e6)
            };
            (*name, *color, SIZES.map(rate))
        })
        .collect();

    let root = SVGBackend::new(path, (900, 520)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let least = lines.iter().flat_map(|line| line.2).map(|(_, rate)| rate).fold(f64::MAX, f64::min);
    let most = lines.iter().flat_map(|line| line.2).map(|(_, rate)| rate).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption("Throughput over the size of a call, 1 MiB pipes", ("sans-serif", 20))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((1.0..4_194_304.0).log_scale(), (least * 0.7..most * 1.4).log_scale())
        .unwrap();
    chart
        .configure_mesh()
        .x_desc("bytes asked for by each read")
        .y_desc("MB/s")
        .x_label_formatter(&|size| bytes(*size))
        .y_label_formatter(&|rate| format!("{rate}"))
        .light_line_style(WHITE)
        .draw()
        .unwrap();
    for (name, color, points) in &lines {
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

fn bytes(size: f64) -> String {
    match size {
        1_048_576.0.. => format!("{} MiB", (size / 1_048_576.0).round()),
        1_024.0.. => format!("{} KiB", (size / 1_024.0).round()),
        _ => format!("{size:.0} B"),
    }
}
