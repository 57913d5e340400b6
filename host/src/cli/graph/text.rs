//! Draws a pipeline as text.

use std::iter::once;
use std::mem;

use super::{Edge, Graph, Kind, Node, columns, joined};

/// The most columns of a line of a chain, if its names permit that.
const LINE: usize = 80;

/// The widest column of names. Longer names extend beyond it.
const MAX_NAMES: usize = 24;

/// Draws the graph, see [`Graph::text`].
pub(super) fn text(graph: &Graph) -> String {
    match chain(graph) {
        Some((first, edges)) if !edges.is_empty() => chain_text(graph, first, &edges),
        _ => list_text(graph),
    }
}

/// Returns the first node and the edges in order, if the graph is one line.
fn chain(graph: &Graph) -> Option<(&Node, Vec<&Edge>)> {
    let mut next = vec![None; graph.nodes.len()];
    let mut fed = vec![false; graph.nodes.len()];
    for edge in graph.edges() {
        if next[edge.from].replace(edge).is_some() || mem::replace(&mut fed[edge.to], true) {
            return None;
        }
    }
    // No edge leads to the first node, and at most one to each other node, so no node occurs twice.
    let first = fed.iter().position(|fed| !fed)?;
    let mut at = first;
    let mut edges = Vec::new();
    while let Some(edge) = next[at] {
        edges.push(edge);
        at = edge.to;
    }
    (edges.len() + 1 == graph.nodes.len()).then(|| (&graph.nodes[first], edges))
}

/// Draws the chain, and below it what each of its stages runs.
fn chain_text(graph: &Graph, first: &Node, edges: &[&Edge]) -> String {
    let (mut text, _) = first.shown();
    let mut line = columns(&text);
    for edge in edges {
        let label = joined(graph.label(edge));
        let arrow =
            if label.is_empty() { "─▶".into() } else { format!("── {label} ─▶") };
        let (name, _) = graph.nodes[edge.to].shown();
        let piece = format!(" {arrow} {name}");
        line += columns(&piece);
        if line > LINE {
            text += "\n ";
            line = 1 + columns(&piece);
        }
        text += &piece;
    }
    text.push('\n');
    let nodes = once(first).chain(edges.iter().map(|edge| &graph.nodes[edge.to]));
    let runs: Vec<_> = nodes.map(Node::shown).filter(|(_, runs)| runs.is_some()).collect();
    if !runs.is_empty() {
        text.push('\n');
    }
    let width = width(runs.iter().map(|(name, _)| name));
    for (name, runs) in &runs {
        text += &row(&[&padded(name, width), runs.as_deref().unwrap_or_default()]);
    }
    text
}

/// Lists each node with what it runs and where its pipes lead. A cycle gets a line of its own, as a
/// list does not show it.
fn list_text(graph: &Graph) -> String {
    let mut out = vec![Vec::new(); graph.nodes.len()];
    let mut fed = vec![false; graph.nodes.len()];
    for edge in graph.edges() {
        out[edge.from].push(edge);
        fed[edge.to] = true;
    }
    let width = width(graph.nodes.iter().map(|node| &node.name));
    let mut text = String::new();
    for ((node, out), fed) in graph.nodes.iter().zip(&out).zip(fed) {
        let (name, runs) = node.shown();
        if node.kind == Kind::Outside && runs.is_none() && out.is_empty() && fed {
            // The node is named already, on the line of the pipe that leads to it.
            continue;
        }
        let mut lines = pipes(graph, out).into_iter();
        // A node that runs nothing has its first pipe beside its name.
        let beside = runs.or_else(|| lines.next()).unwrap_or_default();
        text += &row(&[&padded(&name, width), &beside]);
        for line in lines {
            text += &row(&[&padded("", width), &line]);
        }
    }
    if let Some(cycle) = graph.cycle_of_stages() {
        let names = cycle.iter().chain(cycle.first()).map(|&node| graph.nodes[node].shown().0);
        text += &format!("\ncycle: {}\n", names.collect::<Vec<_>>().join(" ─▶ "));
    }
    text
}

/// Returns a line for each of the pipes that lead out of a node.
fn pipes(graph: &Graph, edges: &[&Edge]) -> Vec<String> {
    let target = |edge: &Edge| match (graph.nodes[edge.to].shown().0, graph.reader_end(edge)) {
        (name, end) if end.is_empty() => name,
        (name, end) => format!("{name}.{end}"),
    };
    let parts: Vec<_> = edges.iter().map(|edge| (graph.writer_end(edge), target(edge))).collect();
    let ends = width(parts.iter().map(|(end, _)| end));
    let targets = width(parts.iter().map(|(_, target)| target));
    let line = |((end, target), edge): (&(String, String), &&Edge)| {
        let arrow = joined([padded(end, ends), format!("─▶ {target}")]);
        match graph.label(edge) {
            [_, name] if name.is_empty() => arrow,
            [_, name] => arrow + &padded("", targets.saturating_sub(columns(target)) + 3) + &name,
        }
    };
    parts.iter().zip(edges).map(line).collect()
}

/// Returns a line of a table.
fn row(cells: &[&str; 2]) -> String {
    format!("{}\n", cells.join("  ").trim_end())
}

/// Returns the width of a column that holds `texts`.
fn width<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(|text| columns(text)).max().unwrap_or_default().min(MAX_NAMES)
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}
