//! What a stage is joined to outside the pipeline: this process's streams, files, FIFOs.

use super::{Edge, Graph, Kind, Node};
use crate::launch::{GuestPlan, StreamSpec};

impl Graph {
    /// Joins a standard stream of a stage with what it was sent to, or else with `inherited`, if there is that.
    pub(crate) fn add_stream(
        &mut self,
        stage: usize,
        end: &str,
        spec: Option<&StreamSpec>,
        inherited: Option<&str>,
    ) {
        let outside = match spec {
            None => inherited.map(str::to_owned),
            Some(StreamSpec::Inherit) => Some(end.to_owned()),
            Some(StreamSpec::Null) => None,
            Some(StreamSpec::File(path) | StreamSpec::Append(path)) => {
                Some(path.display().to_string())
            }
            Some(StreamSpec::Fifo(spec)) => Some(spec.path.display().to_string()),
        };
        if let Some(outside) = outside {
            self.add_outside(outside, stage, end, end == "stdin");
        }
    }

    /// Joins a stage with the FIFOs that its guest was granted.
    pub(crate) fn add_fifos(&mut self, stage: usize, plan: &GuestPlan) {
        for fifo in plan.fifos() {
            let path = fifo.path.as_ref().map(|path| path.display().to_string());
            let path = path.unwrap_or_else(|| "(private)".into());
            if fifo.directions.read {
                self.add_outside(path.clone(), stage, fifo.name.as_str(), true);
            }
            if fifo.directions.write {
                self.add_outside(path, stage, fifo.name.as_str(), false);
            }
        }
    }

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
