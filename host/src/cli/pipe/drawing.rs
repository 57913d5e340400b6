//! Makes a graph of a pipeline.

use super::super::graph::{Edge, Graph, Node};
use super::super::watching::{Joint, Watched};
use super::plan::{EndRef, Pipe, Plan, Stage};
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
            if !joined(&EndRef::new(at, "stdin")) {
                let inherited = (at == 0).then_some("stdin");
                graph.add_stream(at, "stdin", stage.redirection(0), inherited);
            }
            if !joined(&EndRef::new(at, "stdout")) {
                graph.add_stream(at, "stdout", stage.redirection(1), Some("stdout"));
            }
            if let Some(plan) = stage.guest() {
                graph.add_fifos(at, plan);
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
