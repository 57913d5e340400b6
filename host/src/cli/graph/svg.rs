//! Draws a pipeline as a picture.

use std::fmt::Write;

use super::layout::{HEAD, Layout, Rect};
use super::plan::Arc;
use super::{Edge, Graph, Kind, Node, column, columns, joined};

/// The most columns of text that a box or a label shows.
const MAX_COLUMNS: usize = 30;
/// The width of a column of text in a box, in pixels, in the widest of the fonts in use.
const COLUMN: i64 = 8;
/// The width of a column of text in a label, whose font is smaller.
const LABEL_COLUMN: i64 = 7;
/// The room on the left and right of a text.
const PADDING: i64 = 12;

/// Draws the graph, see [`Graph::svg`].
pub(super) fn svg(graph: &Graph) -> String {
    let edges: Vec<_> = graph.edges().collect();
    let labels: Vec<_> = edges.iter().map(|edge| cut(&joined(graph.label(edge)))).collect();
    let arc = |((edge, back), label): ((&&Edge, bool), &String)| Arc {
        from: edge.from,
        to: edge.to,
        back,
        label: if label.is_empty() { 0 } else { width(label, LABEL_COLUMN) },
    };
    let arcs: Vec<_> = edges.iter().zip(graph.walk().back).zip(&labels).map(arc).collect();
    let texts: Vec<_> = graph.nodes.iter().map(lines).collect();
    let box_width = |lines: &Vec<String>| {
        lines.iter().map(|line| width(line, COLUMN)).max().unwrap_or_default()
    };
    let layout = Layout::new(&texts.iter().map(box_width).collect::<Vec<_>>(), &arcs);

    let (width, height) = (layout.width, layout.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"ui-monospace, Menlo, Consolas, \
         'DejaVu Sans Mono', monospace\" font-size=\"12\" text-anchor=\"middle\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for ((edge, route), label) in edges.iter().zip(&layout.routes).zip(&labels) {
        let (x, y) = route.tip;
        let title = escaped(&title_of_edge(graph, edge));
        let _ = write!(
            svg,
            "<g><title>{title}</title>\
             <path d=\"{}\" fill=\"none\" stroke=\"#57606a\" stroke-width=\"1.5\"/>\
             <path d=\"M{x},{y} l-{HEAD},-4 v8 z\" fill=\"#57606a\"/>",
            route.path
        );
        if !label.is_empty() {
            let (x, y) = route.label;
            svg += &line_of_text((x, y), " font-size=\"11\" fill=\"#57606a\"", label);
        }
        svg += "</g>\n";
    }
    for ((node, rect), lines) in graph.nodes.iter().zip(&layout.boxes).zip(&texts) {
        svg += &drawn(node, rect, lines);
    }
    svg + "</svg>\n"
}

/// Draws a box with its text.
fn drawn(node: &Node, rect: &Rect, lines: &[String]) -> String {
    let (name, text) = node.shown();
    let title = [Some(name), text].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let Rect { x, y, width, height } = rect;
    let style = match node.kind {
        Kind::Guest => "rx=\"4\" fill=\"#ddf4ff\" stroke=\"#0969da\"",
        Kind::Native => "rx=\"22\" fill=\"#fff8c5\" stroke=\"#9a6700\"",
        Kind::Outside => "rx=\"4\" fill=\"#fff\" stroke=\"#8c959f\" stroke-dasharray=\"4 3\"",
    };
    let mut drawn = format!(
        "<g><title>{}</title>\
         <rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {style}/>",
        escaped(&title)
    );
    let middle = (x + width / 2, y + height / 2);
    let baselines: &[i64] = if lines.len() > 1 { &[-4, 13] } else { &[4] };
    for (at, (line, below)) in lines.iter().zip(baselines).enumerate() {
        let style = match at {
            0 => " font-size=\"13\" font-weight=\"bold\" fill=\"#1f2328\"",
            _ => " fill=\"#1f2328\"",
        };
        drawn += &line_of_text((middle.0, middle.1 + below), style, line);
    }
    drawn + "</g>\n"
}

fn line_of_text((x, y): (i64, i64), style: &str, text: &str) -> String {
    let text = escaped(text);
    format!("<text x=\"{x}\" y=\"{y}\"{style} xml:space=\"preserve\">{text}</text>")
}

/// Returns the lines in a node's box.
fn lines(node: &Node) -> Vec<String> {
    let (name, text) = node.shown();
    [Some(name), text].into_iter().flatten().map(|line| cut(&line)).collect()
}

/// Returns the full description of a pipe.
fn title_of_edge(graph: &Graph, edge: &Edge) -> String {
    let end = |node: usize, end: String| {
        let (name, _) = graph.nodes[node].shown();
        if end.is_empty() { name } else { format!("{name}.{end}") }
    };
    let from = end(edge.from, graph.writer_end(edge));
    let to = end(edge.to, graph.reader_end(edge));
    let [_, name] = graph.label(edge);
    joined([format!("{from} → {to}"), name])
}

/// Returns the room that a text takes.
fn width(text: &str, column: i64) -> i64 {
    columns(text) as i64 * column + 2 * PADDING
}

/// Returns the text, or its beginning if it is too long.
fn cut(text: &str) -> String {
    if columns(text) <= MAX_COLUMNS {
        return text.into();
    }
    let mut left = MAX_COLUMNS - 1;
    let fits = |c: &char| {
        let fits = column(*c) <= left;
        left = left.saturating_sub(column(*c));
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Escapes text for XML. Characters that XML cannot hold are replaced before: see [`super::shown`].
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}
