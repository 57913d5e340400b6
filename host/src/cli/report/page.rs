//! The page: HTML that is well-formed XML, too, with its styles and pictures in it, and without scripts.

use std::time::SystemTime;

use super::super::stats::{bytes, seconds};
use super::Report;
use super::chart::chart;
use super::html::{Table, escaped};
use super::record::Series;
use crate::engine_names::WASMTIME;
use crate::interfaces::PACKAGES;

/// How many spans of time a picture and its table have at most.
const MOST_SPANS: usize = 120;

/// A graph that is wider, in pixels, can be scrolled. Others are made to fit, which is to be legible.
const MOST_WIDTH: u64 = 1400;

const STYLE: &str = include_str!("style.css");

/// Makes the page about a run that ended with `status`.
pub(super) fn page(report: &Report, status: u8) -> String {
    let facts = &report.facts;
    let title = escaped(&facts.title);
    let ended = humantime::format_rfc3339_seconds(SystemTime::now());
    let took = seconds(Some(report.record.seconds()));
    let outcome = if status == 0 { "ok" } else { "failed" };
    let mut page = format!(
        "<!DOCTYPE html>\n\
         <html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n\
         <meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}: status {status}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n\
         <p><strong class=\"{outcome}\">Status {status}</strong>, {}, after {took}. Ended {ended}.</p>\n</header>\n\
         <main>\n",
        meaning(status)
    );
    page += &section("messages", "What pipehost said", &messages(report));
    let graph = &facts.graph;
    if !graph.nodes.is_empty() {
        let text = escaped_lines(&graph.text());
        let drawn = graph.svg();
        let class = if width(&drawn) > MOST_WIDTH { "graph wide" } else { "graph" };
        let picture = format!(
            "<div class=\"{class}\" role=\"img\" aria-label=\"The stages, and the pipes between them. The text below says \
             the same.\">\n{drawn}</div>\n<details><summary>As text</summary>\n<pre>{text}</pre></details>\n"
        );
        page += &section("graph", "What was joined to what", &picture);
    }
    page += &section("ends", "What the pipe ends moved", &ends(report));
    page += &section("stages", "What was used", &stages(report));
    page += &section("limits", "Limits that were met", &limits(report));
    page += &section("grants", "What was granted", &granted(report));
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    page += &format!(
        "</main>\n<footer>\n<p>pipehost {}, wasmtime {WASMTIME}, {}; {os} on {arch}.</p>\n</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        PACKAGES.join(", ")
    );
    page
}

/// Returns how many pixels a picture of [`Graph::svg`](super::Graph::svg) is wide.
fn width(svg: &str) -> u64 {
    let width = svg.split_once(" width=\"").and_then(|(_, rest)| rest.split_once('"'));
    width.and_then(|(width, _)| width.parse().ok()).unwrap_or(0)
}

fn section(id: &str, heading: &str, content: &str) -> String {
    let heading = escaped(heading);
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{content}</section>\n"
    )
}

/// Says in words what a status is. A guest may end with any of these by itself.
fn meaning(status: u8) -> String {
    let text = match status {
        0 => "success",
        2 => "usage",
        65 => "not a usable guest",
        66 => "no such file",
        73 => "a pipe could not be made",
        74 => "input or output",
        77 => "not permitted",
        101 => "a bug of pipehost",
        124 => "a time limit",
        126 => "a command cannot be executed",
        127 => "no such command",
        134 => "a trap",
        141 => "the reader of stdout left",
        129..=192 => return format!("signal {}", status - 128),
        _ => "a guest's own",
    };
    text.into()
}

/// Escapes a text of several lines.
fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}

fn messages(report: &Report) -> String {
    if report.messages.is_empty() {
        return "<p>Nothing.</p>\n".into();
    }
    let text = |messages: &[String]| -> String {
        messages.iter().map(|message| escaped_lines(message)).collect()
    };
    let shown = match report.left_out {
        0 => text(&report.messages),
        count => {
            let (first, last) = report.messages.split_at(report.messages.len() / 2);
            format!("{}{count} more messages are left out here\n{}", text(first), text(last))
        }
    };
    format!("<pre>{shown}</pre>\n")
}

fn ends(report: &Report) -> String {
    let record = &report.record;
    if record.ends.is_empty() {
        let why = report
            .facts
            .uncounted
            .unwrap_or("No end of a guest has moved a byte or waited for one.");
        return format!("<p>{}</p>\n", escaped(why));
    }
    let took = record.seconds().max(0.001);
    let mean =
        |series: &Series| format!("{}/s", bytes(Some((series.last.bytes as f64 / took) as u64)));
    let share = |series: &Series| match series.last.most.filter(|most| *most > 0) {
        Some(most) => format!("{} of {}", bytes(Some(series.last.bytes)), bytes(Some(most))),
        None => "-".into(),
    };
    let head = ["pipe end", "does", "bytes", "mean", "guest waited", "of at most"];
    let mut table = Table::new("All pipe ends of guests, from start to end", 2, &head);
    for series in &record.ends {
        let waited = seconds(Some(series.last.waited.as_secs_f64()));
        table.row(&[
            series.last.name.clone(),
            series.text(),
            bytes(Some(series.last.bytes)),
            mean(series),
            waited,
            share(series),
        ]);
    }
    let mut html = table.html();
    for (id, series) in record.ends.iter().enumerate() {
        html += &figure(report, id, series);
    }
    html
}

/// Draws one end over time, with a table of the same numbers.
fn figure(report: &Report, id: usize, series: &Series) -> String {
    let name = &series.last.name;
    let spans = report.record.spans(series, MOST_SPANS);
    let caption = format!("{name} over time");
    let mut table = Table::new(&caption, 0, &["until", "bytes", "a second", "guest waited"]);
    for span in &spans {
        let (until, waited) = (format!("{:.2} s", span.to), seconds(Some(span.waited)));
        let rate = format!("{}/s", bytes(Some(span.rate() as u64)));
        table.row(&[until, bytes(Some(span.bytes)), rate, waited]);
    }
    format!(
        "<figure>\n<figcaption><strong>{}</strong> {}</figcaption>\n{}\
         <details><summary>Numbers of {}</summary>\n{}</details>\n</figure>\n",
        escaped(name),
        escaped(&series.text()),
        chart(id, name, &spans),
        escaped(name),
        table.html()
    )
}

fn stages(report: &Report) -> String {
    if report.stages.is_empty() {
        return "<p>Unknown: the run was cut short, or nothing ran.</p>\n".into();
    }
    let head = ["stage", "runs", "status", "time", "processor", "memory", "read", "written"];
    let mut table = Table::new("Stages", 2, &head);
    for stage in &report.stages {
        let [status, time, cpu, memory, read, written] = stage.cells();
        let (name, runs) = (stage.name.clone(), stage.runs.clone());
        table.row(&[name, runs, status, time, cpu, memory, read, written]);
    }
    table.html()
}

fn limits(report: &Report) -> String {
    let limits = report.watched.limits();
    if limits.is_empty() {
        return "<p>None.</p>\n".into();
    }
    let item = |limit: &String| format!("<li>{}</li>\n", escaped(limit));
    format!("<ul>\n{}</ul>\n", limits.iter().map(item).collect::<String>())
}

fn granted(report: &Report) -> String {
    let mut html = String::new();
    for (stage, grants) in &report.facts.grants {
        if grants.is_empty() {
            html += &format!("<p>{}: nothing but its standard streams.</p>\n", escaped(stage));
            continue;
        }
        let mut table =
            Table::new(&format!("Grants and limits of {stage}"), 2, &["option", "what"]);
        for (option, what) in grants {
            table.row(&[option.clone(), what.clone()]);
        }
        html += &table.html();
    }
    html
}
