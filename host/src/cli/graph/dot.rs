//! Draws a pipeline in the DOT language.

use std::fmt::Write;

use super::{Graph, Kind};

/// Draws the graph, see [`Graph::dot`]. The nodes' identifiers are numbers, so that names are only ever
/// labels.
pub(super) fn dot(graph: &Graph) -> String {
    let mut dot = String::from("digraph pipeline {\n    rankdir=LR;\n");
    dot += "    node [fontname=\"monospace\"];\n    edge [fontname=\"monospace\", fontsize=10];\n";
    for (index, node) in graph.nodes.iter().enumerate() {
        let (name, text) = node.shown();
        let label = quoted([Some(name), text].into_iter().flatten());
        let shape = match node.kind {
            Kind::Guest => "box",
            Kind::Native => "ellipse",
            Kind::Outside => "plaintext",
        };
        let _ = writeln!(dot, "    n{index} [label={label}, shape={shape}];");
    }
    for edge in graph.edges() {
        let _ = write!(dot, "    n{} -> n{}", edge.from, edge.to);
        let label = graph.label(edge);
        if label.iter().any(|line| !line.is_empty()) {
            let lines = label.into_iter().filter(|line| !line.is_empty());
            let _ = write!(dot, " [label={}]", quoted(lines));
        }
        dot += ";\n";
    }
    dot + "}\n"
}

/// Quotes lines as a label. A label has escapes and, as HTML has, entities.
fn quoted(lines: impl Iterator<Item = String>) -> String {
    let escaped =
        |line: String| line.replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;");
    let lines: Vec<_> = lines.map(escaped).collect();
    format!("\"{}\"", lines.join("\\n"))
}
