//! What a guest was granted, in words.

use std::path::Path;

use crate::launch::{GuestPlan, PipeSpec, StreamSpec};
use crate::limits::Size;
use crate::pipe::Directions;

/// Lists the grants and limits of a guest: the option, and what it says. Values of variables are left out: they are
/// often secrets, and a report is for passing on.
pub(crate) fn grants(plan: &GuestPlan) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |option: &str, text: String| all.push((format!("--{option}"), text));
    let path = |path: &Path| path.display().to_string();
    let ways = |ways: Directions| match (ways.read, ways.write) {
        (true, false) => " (reading)",
        (false, true) => " (writing)",
        _ => " (both ways)",
    };
    for pipe in &plan.pipes {
        match pipe {
            PipeSpec::Fifo(fifo) => {
                let place = fifo.path.as_deref().map_or("a private folder".into(), path);
                add("fifo", format!("{} = {place}{}", fifo.name, ways(fifo.directions)));
            }
            PipeSpec::Descriptor(it) => {
                let ways = it.directions.map_or("", ways);
                add("fd", format!("{} = descriptor {}{ways}", it.name, it.number));
            }
        }
    }
    for (option, stream) in
        [("stdin", &plan.stdin), ("stdout", &plan.stdout), ("stderr", &plan.stderr)]
    {
        match stream {
            None => {}
            Some(StreamSpec::Inherit) => add(option, "inherit".into()),
            Some(StreamSpec::Null) => add(option, "null".into()),
            Some(StreamSpec::File(file)) => add(option, path(file)),
            Some(StreamSpec::Append(file)) => add(option, format!("append:{}", path(file))),
            Some(StreamSpec::Fifo(fifo)) => add(option, format!("fifo:{}", path(&fifo.path))),
        }
    }
    for (name, _) in &plan.env {
        add("env", format!("{name} (its value is left out here)"));
    }
    for folder in &plan.folders {
        let way = if folder.read_only { " (reading)" } else { "" };
        add("dir", format!("{} as {}{way}", path(&folder.host), folder.guest));
    }
    for child in &plan.children {
        add("child", format!("{} = {}", child.name, path(&child.guest)));
    }
    for command in &plan.commands {
        let words: Vec<_> =
            std::iter::once(&command.program).chain(&command.args).cloned().collect();
        add("exec", format!("{} = {}", command.name, words.join(" ")));
    }
    if plan.raw_terminal {
        add("raw-terminal", String::new());
    }
    let limits = &plan.limits;
    let time = |limit: std::time::Duration| humantime::format_duration(limit).to_string();
    let size = |bytes: u64| Size(bytes).to_string();
    let set = [
        ("timeout", limits.timeout.map(time)),
        ("open-timeout", limits.open_timeout.map(time)),
        ("idle-timeout", limits.idle_timeout.map(time)),
        ("max-bytes", limits.max_bytes.map(size)),
        ("rate", limits.rate.map(|rate| size(rate.get()))),
        ("fuel", limits.fuel.map(|fuel| fuel.to_string())),
        ("max-memory", limits.max_memory.map(size)),
        ("max-pipes", limits.max_pipes.map(|count| count.to_string())),
        ("max-children", limits.max_children.map(|count| count.to_string())),
    ];
    for (option, limit) in set {
        if let Some(limit) = limit {
            add(option, limit);
        }
    }
    all
}
