//! The picture: what is resident while bytes flow.

use std::path::Path;

use plotters::prelude::*;

use crate::Resident;

/// Draws what was resident over the GiB that had passed, a line for each.
pub(crate) fn draw(path: &Path, lines: &[(&str, Resident)]) {
    const COLORS: [RGBColor; 4] = [
        RGBColor(0x1b, 0x9e, 0x77),
        RGBColor(0xd9, 0x5f, 0x02),
        RGBColor(0x75, 0x70, 0xb3),
        RGBColor(0x66, 0x66, 0x66),
    ];
    let points = |resident: &Resident| -> Vec<(f64, f64)> {
        resident.0.iter().map(|(at, bytes)| (*at, *bytes as f64 / (1024.0 * 1024.0))).collect()
    };
    let all = || lines.iter().flat_map(|(_, resident)| points(resident));
    let right = all().map(|(at, _)| at).fold(1e-9, f64::max);
    let top = all().map(|(_, mib)| mib).fold(1.0, f64::max);
    let root = SVGBackend::new(path, (900, 420)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption("Resident memory of pipehost while bytes pass", ("sans-serif", 20))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, 0.0..top * 1.3)
        .unwrap();
    chart
        .configure_mesh()
        .x_desc("GiB passed")
        .y_desc("MiB resident")
        .x_label_formatter(&|at| format!("{at:.0}"))
        .y_label_formatter(&|mib| format!("{mib:.0}"))
        .light_line_style(WHITE)
        .draw()
        .unwrap();
    for ((name, resident), color) in lines.iter().zip(COLORS) {
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points(resident), style))
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
