//! `pipehost ps`: shows the runs and pipelines of this user that go on.

pub(crate) mod hosts;
mod json;
mod words;

use anyhow::{Context, anyhow};

use super::args::PsArgs;
use super::exit::{Failure, OrStatus, Status};
use super::listing::snapshot::{Command, Snapshot, StageKind, State};
use super::output::print;
use super::stats::bytes;
use super::watching::clock;
use crate::pipe::{quoted_in_line, quoted_json};
use crate::sys;
use hosts::{Hosts, hosts};

/// How many characters of what runs are shown in a line.
const MOST_SHOWN: usize = 100;

/// How wide the column of ends becomes for long names and paths, at most.
const MOST_WIDTH: usize = 48;

pub(crate) fn main(args: &PsArgs) -> Result<Status, Failure> {
    demand_lists()?;
    let Hosts { hosts, notes } = hosts();
    for note in notes {
        tracing::warn!("{note}");
    }
    let text = match args.json {
        true => {
            let hosts: Vec<_> = hosts.iter().map(json::Host::of).collect();
            let json = serde_json::to_string(&hosts).context("JSON").or_status(Status::Io)?;
            quoted_json(&json).into_owned() + "\n"
        }
        false => table(&hosts),
    };
    print(&text)
}

/// Checks that this system lists runs.
///
/// # Errors
/// Fails on Windows.
pub(crate) fn demand_lists() -> Result<(), Failure> {
    match sys::LISTS_RUNS {
        true => Ok(()),
        false => Err(anyhow!(
            "runs are not listed on this system yet; see --progress, --stats and --report"
        ))
        .or_status(Status::Usage),
    }
}

/// A line below that of its host.
struct Row {
    name: String,
    moved: String,
    state: String,
}

/// Returns the table: for each host a line, and below it one for each end of its guests, and for each of its stages that has
/// none.
fn table(hosts: &[Snapshot]) -> String {
    let rows: Vec<Vec<Row>> = hosts.iter().map(rows).collect();
    let width = |of: fn(&Row) -> &str, least: usize| {
        let widths = rows.iter().flatten().map(|row| of(row).chars().count());
        widths.filter(|width| *width <= MOST_WIDTH).max().unwrap_or(0).max(least)
    };
    let (for_name, for_moved) = (width(|row| &row.name, 24), width(|row| &row.moved, 8));
    let mut text = format!(
        "{:>7}  {:>8}  {:<for_name$}    {:>for_moved$}  STATE\n",
        "PID", "TIME", "RUN AND PIPE ENDS", "MOVED"
    );
    for (host, rows) in hosts.iter().zip(&rows) {
        let (pid, time, title) = (host.pid, clock(host.age()), title(host));
        text += &format!("{pid:>7}  {time:>8}  {title}\n");
        for Row { name, moved, state } in rows {
            text += &format!("{:19}  {name:<for_name$}  {moved:>for_moved$}  {state}\n", "");
        }
    }
    text
}

/// Returns what a host runs, as it is typed, in one line.
pub(crate) fn title(host: &Snapshot) -> String {
    let command = match host.command {
        Command::Run => "run",
        Command::Pipe => "pipe",
    };
    let runs = quoted_in_line(&host.runs);
    let state = match host.state {
        State::Starting => " (starts)",
        State::Running | State::Ended => "",
    };
    match runs.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{command} {}…{state}", &runs[..end]),
        None => format!("{command} {runs}{state}"),
    }
}

fn rows(host: &Snapshot) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, stage) in host.stages.iter().enumerate() {
        let ends = host.ends.iter().filter(|end| end.stage == at && end.is_of_interest());
        let before = rows.len();
        rows.extend(ends.map(|end| Row {
            name: match &end.path {
                Some(path) => format!("{}, {}", quoted_in_line(&end.name), quoted_in_line(path)),
                None => quoted_in_line(&end.name).into_owned(),
            },
            moved: bytes(Some(end.bytes)),
            state: end.state(),
        }));
        if host.command == Command::Run {
            continue;
        }
        let state = match (stage.status, stage.kind) {
            (Some(status), _) => format!("ended with {status}"),
            (None, StageKind::Command) => "a native command".into(),
            (None, StageKind::Guest) if before == rows.len() => "a guest".into(),
            _ => continue,
        };
        let (name, moved) = (quoted_in_line(&stage.name).into_owned(), bytes(None));
        rows.push(Row { name, moved, state });
    }
    if host.left_out > 0 {
        let (name, moved) = (format!("and {} more", host.left_out), bytes(None));
        rows.push(Row { name, moved, state: String::new() });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::listing::snapshot::tests::{end, snapshot};
    use super::super::listing::snapshot::{End, Met, StageNow};
    use super::*;

    #[test]
    fn a_line_for_each_host_and_end() {
        let waits = End { waiting: Some(3200), path: Some("/tmp/x".into()), ..end("in", 2 << 20) };
        let quiet = end("stderr", 0);
        let done = End { met: Some(Met::EndOfFile), ..end("stdin", 5) };
        let text = table(&[snapshot(vec![waits, quiet, done])]);
        let seen = [
            "    PID      TIME  RUN AND PIPE ENDS              MOVED  STATE",
            "      7      0:01  run @cat",
            "                     in, /tmp/x                2.00 MiB  waits 3.2 s for its writer",
            "                     stdin                          5 B  at the end of file",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), seen);
        assert_eq!(table(&[]).lines().count(), 1);
    }

    #[test]
    fn stages_without_ends_are_shown_too() {
        let mut host = snapshot(vec![end("cat.stdin", 5)]);
        let stage = host.stages[0].clone();
        let sort = StageNow { name: "sort".into(), kind: StageKind::Command, ..stage.clone() };
        let ended = StageNow { name: "cat-2".into(), status: Some(3), ..stage.clone() };
        host.stages = vec![stage.clone(), sort, ended, StageNow { name: "cat-3".into(), ..stage }];
        (host.command, host.left_out) = (Command::Pipe, 2);
        let seen: Vec<_> = rows(&host).into_iter().map(|row| (row.name, row.state)).collect();
        let expected = [
            ("cat.stdin", "open"),
            ("sort", "a native command"),
            ("cat-2", "ended with 3"),
            ("cat-3", "a guest"),
            ("and 2 more", ""),
        ];
        assert_eq!(seen, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    }

    #[test]
    fn texts_do_not_act_on_a_terminal() {
        let hostile = "\u{1b}]0;x\u{7}\n\u{202e}";
        let ends = End {
            path: Some(hostile.into()),
            peer: hostile.into(),
            waiting: Some(1000),
            ..end(hostile, 1)
        };
        let mut host = snapshot(vec![ends]);
        host.runs = hostile.repeat(1000);
        (host.command, host.stages[0].name) = (Command::Pipe, hostile.into());
        host.stages[0].status = Some(1);
        let text = table(&[host]);
        let acts = |c: char| c != '\n' && crate::pipe::acts_on_reader(c);
        assert!(!text.contains(acts), "{text:?}");
        assert_eq!(text.lines().count(), 4);
    }
}
