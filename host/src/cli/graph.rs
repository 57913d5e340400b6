//! Draws a pipeline: as text, in the DOT language, as a picture.
//!
//! Every form leaves out an edge that names a node which does not exist.

mod dot;
mod layout;
mod outside;
mod plan;
mod svg;
mod text;

#[cfg(test)]
mod tests;

use crate::pipe::acts_on_reader;

/// A pipeline to be drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
}

/// A stage, or a thing outside the pipeline that a pipe leads to or from.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The stage's name, unique.
    pub(crate) name: String,
    /// What it runs: `@upper`, `exec grep -v DEBUG`. Empty if the name says it all.
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Guest,
    Native,
    /// Outside the pipeline: stdin, stdout, a FIFO, a file.
    Outside,
}

/// A pipe from one node to another.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The index of the node that writes.
    pub(crate) from: usize,
    /// The index of the node that reads.
    pub(crate) to: usize,
    /// The name of the writing node's end: `stdout`, `err`. Not shown for a node outside.
    pub(crate) from_end: String,
    /// The name of the reading node's end: `stdin`, `in`. Not shown for a node outside.
    pub(crate) to_end: String,
    /// The pipe's name, if it has one.
    pub(crate) name: Option<String>,
}

impl Graph {
    /// Draws the graph as text, for a terminal or any other reader of text. Each line ends in a line
    /// feed, and the text has no other control characters.
    pub(crate) fn text(&self) -> String {
        text::text(self)
    }

    /// Draws the graph in the DOT language of Graphviz: <https://graphviz.org/doc/info/lang.html>.
    pub(crate) fn dot(&self) -> String {
        dot::dot(self)
    }

    /// Draws the graph as a picture: one SVG document that needs no other file.
    pub(crate) fn svg(&self) -> String {
        svg::svg(self)
    }

    /// Returns the names of the stages on a cycle, in order (the first is not repeated), if there is
    /// one.
    pub(crate) fn cycle(&self) -> Option<Vec<&str>> {
        let cycle = self.cycle_of_stages()?;
        Some(cycle.into_iter().map(|node| self.nodes[node].name.as_str()).collect())
    }

    /// Returns the nodes of a cycle. A node outside is on none: it is unknown what joins it to what.
    fn cycle_of_stages(&self) -> Option<Vec<usize>> {
        let stage = |node: usize| self.nodes[node].kind != Kind::Outside;
        let between = self.edges().filter(|edge| stage(edge.from) && stage(edge.to));
        let stages = Self { nodes: self.nodes.clone(), edges: between.cloned().collect() };
        stages.walk().cycle
    }

    /// Returns the edges whose nodes exist.
    fn edges(&self) -> impl Iterator<Item = &Edge> {
        let there = |node: usize| node < self.nodes.len();
        self.edges.iter().filter(move |edge| there(edge.from) && there(edge.to))
    }

    /// Goes down each edge once, depth first. Starts with the nodes that no edge leads to.
    fn walk(&self) -> Walk {
        let mut out = vec![Vec::new(); self.nodes.len()];
        let mut fed = vec![false; self.nodes.len()];
        for (index, edge) in self.edges().enumerate() {
            out[edge.from].push((index, edge.to));
            fed[edge.to] = true;
        }
        let (others, sources): (Vec<_>, Vec<_>) = (0..fed.len()).partition(|&node| fed[node]);
        let mut walk = Walk { back: vec![false; self.edges().count()], cycle: None };
        let mut state = vec![State::New; self.nodes.len()];
        for root in sources.into_iter().chain(others) {
            if state[root] != State::New {
                continue;
            }
            state[root] = State::Open;
            let mut path = vec![(root, 0)];
            while let Some((node, tried)) = path.last_mut() {
                let Some(&(edge, to)) = out[*node].get(*tried) else {
                    state[*node] = State::Done;
                    path.pop();
                    continue;
                };
                *tried += 1;
                match state[to] {
                    State::New => {
                        state[to] = State::Open;
                        path.push((to, 0));
                    }
                    State::Open => {
                        walk.back[edge] = true;
                        let nodes = path.iter().map(|&(node, _)| node);
                        walk.cycle.get_or_insert(nodes.skip_while(|&node| node != to).collect());
                    }
                    State::Done => {}
                }
            }
        }
        walk
    }

    /// Returns a pipe's label: its ends if they are not the usual ones, and its name. Empty strings
    /// mean no label.
    fn label(&self, edge: &Edge) -> [String; 2] {
        let (from, to) = (self.writer_end(edge), self.reader_end(edge));
        let ends = match (from.as_str(), to.as_str()) {
            ("" | "stdout", "" | "stdin") => String::new(),
            (from, to) => format!("{from} → {to}").trim().into(),
        };
        let name = edge.name.as_ref().map(|name| format!("({})", shown(name)));
        [ends, name.unwrap_or_default()]
    }

    /// Returns the end's name at the node that writes, as it is shown.
    fn writer_end(&self, edge: &Edge) -> String {
        shown(self.nodes[edge.from].end(&edge.from_end))
    }

    /// Returns the end's name at the node that reads, as it is shown.
    fn reader_end(&self, edge: &Edge) -> String {
        shown(self.nodes[edge.to].end(&edge.to_end))
    }
}

impl Node {
    /// Returns the node's name and what it runs, as they are shown. Leaves the second out if it repeats
    /// the first.
    fn shown(&self) -> (String, Option<String>) {
        let says_more = !self.text.is_empty() && self.text != self.name;
        (shown(&self.name), says_more.then(|| shown(&self.text)))
    }

    /// Returns an end's name at this node. A node outside has one end, which needs no name.
    fn end<'a>(&self, name: &'a str) -> &'a str {
        if self.kind == Kind::Outside { "" } else { name }
    }
}

/// The result of a walk over the graph.
struct Walk {
    /// For each of [`Graph::edges`]: whether it leads back to a node on the walk's path. Without these
    /// edges the graph has no cycle.
    back: Vec<bool>,
    /// The nodes of the first cycle found.
    cycle: Option<Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// On the path from the root to here.
    Open,
    Done,
}

/// Replaces the characters of a name or text that would act on its reader: control characters, marks
/// that reorder a line, and the two characters that XML cannot hold.
fn shown(text: &str) -> String {
    let acts = |c: char| acts_on_reader(c) || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// Joins the parts that are not empty with a space.
fn joined(parts: [String; 2]) -> String {
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// Counts the columns that a text takes in a monospace font: two for a character of an East Asian
/// script or an emoji, one for any other.
fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

fn column(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}
