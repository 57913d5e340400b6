//! Makes a graph of a pipeline.

use super::super::graph::{Edge, Graph, Kind, Node};
use super::super::watching::{Joint, Watched};
use super::plan::{EndRef, Pipe, Plan, Stage};
use crate::launch::StreamSpec;
use crate::sys::Direction;

impl Plan {
    /// Returns the graph that is drawn.
    pub(crate) fn graph(&self) -> Graph {
        let node = |stage: &Stage| Node {
            name: stage.name.clone(),
            text: stage.runs(),
            kind: stage.job.kind().node(),
        };
        let edge = |pipe: &Pipe| Edge {
            from: pipe.from.stage,
            to: pipe.to.stage,
            from_end: pipe.from.end.clone(),
            to_end: pipe.to.end.clone(),
            name: pipe.name.clone(),
        };
        let mut graph = Graph {
            nodes: self.stages.iter().map(node).collect(),
            edges: self.pipes.iter().map(edge).collect(),
        };
        let joined =
            |end: &EndRef| self.pipes.iter().any(|pipe| pipe.from == *end || pipe.to == *end);
        for (at, stage) in self.stages.iter().enumerate() {
            let outside = |number, inherited: &str| match stage.redirection(number) {
                None | Some(StreamSpec::Inherit) => Some(inherited.to_owned()),
                Some(StreamSpec::Null) => None,
                Some(StreamSpec::File(path) | StreamSpec::Append(path)) => {
                    Some(path.display().to_string())
                }
                Some(StreamSpec::Fifo(spec)) => Some(spec.path.display().to_string()),
            };
            if !joined(&EndRef::new(at, "stdin"))
                && (at == 0 || stage.redirection(0).is_some())
                && let Some(from) = outside(0, "stdin")
            {
                graph.add_outside(from, at, "stdin", true);
            }
            if !joined(&EndRef::new(at, "stdout"))
                && let Some(to) = outside(1, "stdout")
            {
                graph.add_outside(to, at, "stdout", false);
            }
            if let Some(plan) = stage.guest() {
                for fifo in plan.fifos() {
                    let path = fifo.path.as_ref().map(|path| path.display().to_string());
                    let path = path.unwrap_or_else(|| "(private)".into());
                    if fifo.directions.read {
                        graph.add_outside(path.clone(), at, fifo.name.as_str(), true);
                    }
                    if fifo.directions.write {
                        graph.add_outside(path, at, fifo.name.as_str(), false);
                    }
                }
            }
        }
        graph
    }
}

impl Plan {
    /// Returns the list of the guests that are watched, which knows who is joined to whom.
    pub(super) fn watched(&self) -> Watched {
        let names = self.stages.iter().map(|stage| stage.name.clone()).collect();
        let joint = |end: &EndRef, direction, of: fn(&Pipe) -> [&EndRef; 2]| {
            let others = self.pipes.iter().map(of).filter(|[own, _]| *own == end);
            let peers = others.map(|[_, other]| &*self.stages[other.stage].name);
            let peers = peers.collect::<Vec<_>>().join(", ");
            Joint { stage: end.stage, label: end.label(), direction, peers }
        };
        let ends = self.pipes.iter().flat_map(|pipe| {
            [
                joint(&pipe.to, Direction::Read, |pipe| [&pipe.to, &pipe.from]),
                joint(&pipe.from, Direction::Write, |pipe| [&pipe.from, &pipe.to]),
            ]
        });
        Watched::of_stages(names, ends.collect())
    }
}

impl Graph {
    /// Joins a stage's end with a thing outside, which is one node however often it is joined.
    fn add_outside(&mut self, name: String, stage: usize, end: &str, incoming: bool) {
        // A stage may have the same name, but only a node outside has no text.
        let known = self.nodes.iter().position(|node| node.text.is_empty() && node.name == name);
        let outside = known.unwrap_or_else(|| {
            let name = name.clone();
            self.nodes.push(Node { name, text: String::new(), kind: Kind::Outside });
            self.nodes.len() - 1
        });
        let (from, to) = if incoming { (outside, stage) } else { (stage, outside) };
        let (from_end, to_end) =
            if incoming { (String::new(), end.into()) } else { (end.into(), String::new()) };
        self.edges.push(Edge { from, to, from_end, to_end, name: None });
    }
}
