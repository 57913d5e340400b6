//! Tests how lines, forks, joins and cycles are drawn.

mod any;
mod read;

use super::layout::{Layout, Rect};
use super::plan::Arc;
use super::{Edge, Graph, Kind, Node};

use read::{points, texts_of_xml};

use Kind::{Guest, Native, Outside};

/// Makes a graph. Edges are `from[.end]`, `to[.end]` and the pipe's name, if any.
fn graph(nodes: &[(&str, &str, Kind)], edges: &[(&str, &str, &str)]) -> Graph {
    let index = |name: &str| nodes.iter().position(|node| node.0 == name).unwrap();
    let node =
        |&(name, text, kind): &(&str, &str, _)| Node { name: name.into(), text: text.into(), kind };
    let edge = |&(from, to, name): &(&str, &str, &str)| {
        let (from, from_end) = from.split_once('.').unwrap_or((from, "stdout"));
        let (to, to_end) = to.split_once('.').unwrap_or((to, "stdin"));
        Edge {
            from: index(from),
            to: index(to),
            from_end: from_end.into(),
            to_end: to_end.into(),
            name: (!name.is_empty()).then(|| name.into()),
        }
    };
    Graph { nodes: nodes.iter().map(node).collect(), edges: edges.iter().map(edge).collect() }
}

fn line() -> Graph {
    let nodes = [
        ("stdin", "", Outside),
        ("upper", "@upper", Guest),
        ("grep", "exec grep -v DEBUG", Native),
        ("stdout", "", Outside),
    ];
    let edges = [("stdin", "upper", ""), ("upper.err", "grep", "hot"), ("grep", "stdout", "")];
    graph(&nodes, &edges)
}

fn fork_and_join() -> Graph {
    let nodes = [
        ("split", "./split.wasm", Guest),
        ("sort", "exec sort", Native),
        ("log", "@append", Guest),
        ("join", "./join.wasm", Guest),
        ("stdout", "", Outside),
    ];
    let edges = [
        ("split", "sort", ""),
        ("split.err", "log.in", "errors"),
        ("sort", "join.a", ""),
        ("log", "join.b", ""),
        ("join", "stdout", ""),
    ];
    graph(&nodes, &edges)
}

fn cycle() -> Graph {
    let nodes = [("in", "", Outside), ("ask", "@ask", Guest), ("answer", "exec bc", Native)];
    let edges = [("in", "ask", ""), ("ask", "answer", ""), ("answer", "ask.replies", "")];
    graph(&nodes, &edges)
}

#[test]
fn a_line_as_text_is_a_chain() {
    let expected = "\
stdin ─▶ upper ── err → stdin (hot) ─▶ grep ─▶ stdout

upper  @upper
grep   exec grep -v DEBUG
";
    assert_eq!(line().text(), expected);
    assert_eq!(line().cycle(), None);
}

#[test]
fn a_long_chain_is_broken_into_lines() {
    let names: Vec<_> = (0..64).map(|stage| format!("stage{stage}")).collect();
    let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), "", Guest)).collect();
    let edges: Vec<_> = names.windows(2).map(|pair| (&*pair[0], &*pair[1], "")).collect();
    let text = graph(&nodes, &edges).text();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let words: Vec<_> = text.split_whitespace().filter(|word| *word != "─▶").collect();
    assert_eq!(words, names);
}

#[test]
fn a_fork_and_a_join_as_text_are_a_list() {
    let expected = "\
split   ./split.wasm
        stdout ─▶ sort.stdin
        err    ─▶ log.in       (errors)
sort    exec sort
        stdout ─▶ join.a
log     @append
        stdout ─▶ join.b
join    ./join.wasm
        stdout ─▶ stdout
";
    assert_eq!(fork_and_join().text(), expected);
    assert_eq!(fork_and_join().cycle(), None);
}

#[test]
fn a_cycle_as_text_is_named() {
    let expected = "\
in      ─▶ ask.stdin
ask     @ask
        stdout ─▶ answer.stdin
answer  exec bc
        stdout ─▶ ask.replies

cycle: ask ─▶ answer ─▶ ask
";
    assert_eq!(cycle().text(), expected);
    assert_eq!(cycle().cycle(), Some(vec!["ask", "answer"]));
}

#[test]
fn few_stages_as_text() {
    assert_eq!(Graph::default().text(), "");
    assert_eq!(graph(&[("cat", "@cat", Guest)], &[]).text(), "cat  @cat\n");
    let own_reader = graph(&[("cat", "@cat", Guest)], &[("cat", "cat", "")]);
    assert_eq!(own_reader.text(), "cat  @cat\n     stdout ─▶ cat.stdin\n\ncycle: cat ─▶ cat\n");
}

#[test]
fn dot_shows_kinds_ends_and_names() {
    let expected = r#"digraph pipeline {
    rankdir=LR;
    node [fontname="monospace"];
    edge [fontname="monospace", fontsize=10];
    n0 [label="stdin", shape=plaintext];
    n1 [label="upper\n@upper", shape=box];
    n2 [label="grep\nexec grep -v DEBUG", shape=ellipse];
    n3 [label="stdout", shape=plaintext];
    n0 -> n1;
    n1 -> n2 [label="err → stdin\n(hot)"];
    n2 -> n3;
}
"#;
    assert_eq!(line().dot(), expected);
    let dot = fork_and_join().dot();
    assert!(dot.contains("n0 -> n2 [label=\"err → in\\n(errors)\"];"), "{dot}");
    assert!(cycle().dot().contains("n2 -> n1 [label=\"stdout → replies\"];"));
}

#[test]
fn dot_escapes_what_labels_act_on() {
    let dot = graph(&[("a\"b", "\\N &lt;\n", Guest)], &[]).dot();
    assert!(dot.contains("[label=\"a\\\"b\\n\\\\N &amp;lt;\u{fffd}\", shape"), "{dot}");
}

/// Returns whether `a` is left of `b`, with room between them.
fn left_of(a: Rect, b: Rect) -> bool {
    a.x + a.width < b.x
}

#[test]
fn a_picture_goes_from_left_to_right() {
    let [stdin, upper, grep, stdout] = laid_out(&line(), &[80; 4]).boxes[..] else { panic!() };
    assert!(left_of(stdin, upper) && left_of(upper, grep) && left_of(grep, stdout));
    assert!([upper, grep, stdout].iter().all(|rect| rect.y == stdin.y), "the line is straight");

    let boxes = laid_out(&fork_and_join(), &[80; 5]).boxes;
    let [split, sort, log, join, _] = boxes[..] else { panic!() };
    assert_eq!(sort.x, log.x);
    assert!(left_of(split, sort) && left_of(log, join));

    let layout = laid_out(&cycle(), &[80; 3]);
    let [_, ask, answer] = layout.boxes[..] else { panic!() };
    assert!(left_of(ask, answer));
    let lowest = points(&layout.routes[2].path).into_iter().map(|(_, y)| y).fold(0.0, f64::max);
    assert!(lowest > (ask.y + ask.height).max(answer.y + answer.height) as f64, "{lowest}");
}

#[test]
fn a_source_stands_beside_what_it_leads_to() {
    let nodes = [("a", "", Guest), ("b", "", Guest), ("c", "", Guest), ("file", "", Outside)];
    let edges = [("a", "b", ""), ("b", "c", ""), ("file", "c.config", "")];
    let [_, b, _, file] = laid_out(&graph(&nodes, &edges), &[80; 4]).boxes[..] else { panic!() };
    assert_eq!(b.x, file.x);
}

#[test]
fn the_lines_of_a_fork_do_not_cross() {
    let nodes = [("a", "", Guest), ("b", "", Guest), ("c", "", Guest), ("d", "", Guest)];
    let edges = [("a.z", "d", ""), ("a.x", "b", ""), ("a.y", "c", "")];
    let routes = laid_out(&graph(&nodes, &edges), &[80; 4]).routes;
    let mut heights: Vec<_> =
        routes.iter().map(|route| (points(&route.path)[0].1 as i64, route.tip.1)).collect();
    heights.sort_unstable();
    assert!(heights.is_sorted_by(|a, b| a.1 < b.1), "{heights:?}");
}

#[test]
fn a_picture_shows_all_and_cuts_what_is_long() {
    for graph in [line(), fork_and_join(), cycle(), Graph::default()] {
        let texts = texts_of_xml(&graph.svg()).unwrap();
        let shown = |text: &str| text.is_empty() || texts.iter().any(|it| it == text);
        assert!(graph.nodes.iter().all(|node| shown(&node.name) && shown(&node.text)));
    }
    let texts = texts_of_xml(&line().svg()).unwrap();
    assert!(texts.contains(&"err → stdin (hot)".into()), "{texts:?}");
    assert!(texts.contains(&"upper.err → grep.stdin (hot)".into()), "{texts:?}");

    let text = "exec awk '$1 < 2 && $2 > 3' /some/file";
    let texts = texts_of_xml(&graph(&[("awk", text, Native)], &[]).svg()).unwrap();
    let whole = "awk: exec awk &apos;$1 &lt; 2 &amp;&amp; $2 &gt; 3&apos; /some/file";
    let cut = "exec awk &apos;$1 &lt; 2 &amp;&amp; $2 &gt; 3&apos; /…";
    assert_eq!(texts, [whole, "awk", cut]);
}

/// Returns the layout with boxes of these widths, and labels that are all 70 wide.
fn laid_out(graph: &Graph, widths: &[i64]) -> Layout {
    let arc = |(edge, back): (&Edge, bool)| Arc { from: edge.from, to: edge.to, back, label: 70 };
    let arcs: Vec<_> = graph.edges().zip(graph.walk().back).map(arc).collect();
    Layout::new(widths, &arcs)
}
