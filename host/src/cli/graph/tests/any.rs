//! Tests what holds for any graph.

use proptest::prelude::*;

use super::laid_out;
use super::read::{points, texts_of_xml, unquoted};
use crate::cli::graph::layout::Rect;
use crate::cli::graph::{Edge, Graph, Kind, Node};

use Kind::{Guest, Native, Outside};

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z]{0,8}",
        "[\\\\\"<>&';N日\\x00-\\x1f\u{7f}\u{85}\u{202e}\u{2028}\u{feff}\u{ffff} \\]-]{0,48}",
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Guest), Just(Native), Just(Outside)]
}

prop_compose! {
    /// Any graph, also with edges that lead nowhere.
    fn any_graph()(
        nodes in prop::collection::vec((any_text(), any_text(), any_kind()), 0..9),
        edges in prop::collection::vec(
            (0..10_usize, 0..10_usize, any_text(), any_text(), prop::option::of(any_text())),
            0..16,
        ),
    ) -> Graph {
        let node = |(name, text, kind)| Node { name, text, kind };
        let edge = |(from, to, from_end, to_end, name)| Edge { from, to, from_end, to_end, name };
        Graph {
            nodes: nodes.into_iter().map(node).collect(),
            edges: edges.into_iter().map(edge).collect(),
        }
    }
}

prop_compose! {
    /// Any shape, with nodes whose names are their indices.
    fn any_shape()(
        nodes in 0..12_usize,
        edges in prop::collection::vec((0..12_usize, 0..12_usize), 0..24),
    ) -> Graph {
        let node = |index: usize| Node { name: index.to_string(), text: "".into(), kind: Guest };
        let end = String::new;
        let edge = |(from, to)| Edge { from, to, from_end: end(), to_end: end(), name: None };
        Graph {
            nodes: (0..nodes).map(node).collect(),
            edges: edges.into_iter().map(edge).collect(),
        }
    }
}

proptest! {
    #[test]
    fn nothing_of_a_name_acts_on_its_reader(graph in any_graph()) {
        let acts = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{2028}'..='\u{202e}');
        let (text, dot, svg) = (graph.text(), graph.dot(), graph.svg());
        prop_assert!(![&text, &dot, &svg].iter().any(|form| form.contains(acts)));
        prop_assert!(text.is_empty() || text.ends_with('\n'));

        let dot = unquoted(&dot);
        let known = |c: char| c.is_ascii_alphanumeric() || " \n{}[]=,;->".contains(c);
        prop_assert!(dot.chars().all(known) && dot.ends_with("}\n"), "{dot}");
        prop_assert_eq!(dot.lines().count(), 5 + graph.nodes.len() + graph.edges().count());

        prop_assert!(texts_of_xml(&svg).is_ok(), "{:?}", texts_of_xml(&svg));
    }

    #[test]
    fn boxes_labels_and_lines_keep_apart(
        graph in any_shape(),
        widths in prop::collection::vec(30..300_i64, 12),
    ) {
        let layout = laid_out(&graph, &widths[..graph.nodes.len()]);
        let label = |(x, y): (i64, i64)| Rect { x: x - 25, y: y - 11, width: 50, height: 11 };
        let labels = layout.routes.iter().map(|route| label(route.label));
        let rects: Vec<_> = layout.boxes.iter().copied().chain(labels).collect();
        for (index, a) in rects.iter().enumerate() {
            prop_assert!(a.x >= 0 && a.x + a.width <= layout.width);
            prop_assert!(a.y >= 0 && a.y + a.height <= layout.height);
            for b in &rects[index + 1..] {
                let beside = a.x + a.width < b.x || b.x + b.width < a.x;
                let below = a.y + a.height < b.y || b.y + b.height < a.y;
                prop_assert!(beside || below, "{a:?} and {b:?}");
            }
        }
        for (edge, route) in graph.edges().zip(&layout.routes) {
            let (from, to) = (layout.boxes[edge.from], layout.boxes[edge.to]);
            let start = points(&route.path)[0];
            prop_assert_eq!((start.0, route.tip.0), ((from.x + from.width) as f64, to.x));
            prop_assert!(start.1 > from.y as f64 && start.1 < (from.y + from.height) as f64);
            prop_assert!(route.tip.1 > to.y && route.tip.1 < to.y + to.height);
        }
        for (x, y) in layout.routes.iter().flat_map(|route| points(&route.path)) {
            prop_assert!(x >= 0.0 && x <= layout.width as f64);
            prop_assert!(y >= 0.0 && y <= layout.height as f64);
            for rect in &layout.boxes {
                let across = (rect.x as f64) < x && x < (rect.x + rect.width) as f64;
                let down = (rect.y as f64) <= y && y <= (rect.y + rect.height) as f64;
                prop_assert!(!(across && down), "{x},{y} is in {rect:?}");
            }
        }
    }

    #[test]
    fn a_cycle_is_found_where_a_node_reaches_itself(graph in any_shape()) {
        let count = graph.nodes.len();
        let mut reaches = vec![vec![false; count]; count];
        let stage = |node: usize| graph.nodes[node].kind != Kind::Outside;
        for edge in graph.edges().filter(|edge| stage(edge.from) && stage(edge.to)) {
            reaches[edge.from][edge.to] = true;
        }
        let direct = reaches.clone();
        for via in 0..count {
            for from in 0..count {
                for to in 0..count {
                    reaches[from][to] |= reaches[from][via] && reaches[via][to];
                }
            }
        }
        let cycle = graph.cycle();
        prop_assert_eq!(cycle.is_some(), (0..count).any(|node| reaches[node][node]));
        if let Some(cycle) = cycle {
            let nodes: Vec<usize> = cycle.iter().map(|name| name.parse().unwrap()).collect();
            for (at, &node) in nodes.iter().enumerate() {
                prop_assert!(direct[node][nodes[(at + 1) % nodes.len()]]);
                prop_assert!(!nodes[..at].contains(&node));
            }
        }
        let back = graph.walk().back;
        let kept = graph.edges().zip(back).filter(|(_, back)| !back).map(|(edge, _)| edge.clone());
        let rest = Graph { nodes: graph.nodes.clone(), edges: kept.collect() };
        prop_assert_eq!(rest.cycle(), None);
    }
}
