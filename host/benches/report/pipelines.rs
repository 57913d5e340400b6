//! The rows about `pipehost pipe`.

use std::process::Command;

use pipehost_test_guests::guest;

use crate::Effort;
use crate::flow::{Flow, Pipes};
use crate::programs::{Peer, Programs};
use crate::rows::{Bar, Row, Unit, flow, resident};

/// So many stages, and so many more.
const FEW: usize = 2;
const MANY: usize = 64;

pub(crate) fn rows() -> Vec<Row> {
    let default = |effort: Effort| Flow::new(Pipes::Default, effort.flow);
    vec![
        flow(
            "pipeline of a 0.1, a 0.2 and a 0.3 guest and two native cats",
            "five cats in a shell",
            Peer::Cat,
            Bar::AtLeast(1.0),
            default,
            five_stages,
            five_cats,
        ),
        flow(
            "pipeline of five @cat",
            "five cats in a shell",
            Peer::Cat,
            Bar::AtLeast(1.0),
            default,
            |it| pipeline(it, &["@cat"; 5]),
            five_cats,
        ),
        Row {
            name: "resident memory of each of 62 further @cat in a pipeline".into(),
            against: "5 MiB",
            needs: Peer::Native,
            unit: Unit::Bytes,
            bar: Bar::AtMost(1.0),
            ours: Box::new(|it, _| {
                let of = |stages| resident(pipeline(it, &vec!["@cat"; stages]));
                (of(MANY) - of(FEW)) / (MANY - FEW) as f64
            }),
            theirs: Box::new(|_, _| 5.0 * 1024.0 * 1024.0),
        },
    ]
}

/// Guests of all versions, two of which copy and one of which hands on unread, and native commands.
fn five_stages(programs: &Programs) -> Command {
    let path = |path: std::path::PathBuf| path.display().to_string();
    pipeline(
        programs,
        &[
            &path(programs.module(65_536)),
            "exec cat",
            &format!("{} copy-by 65536", path(guest("plain"))),
            "exec cat",
            &format!("{} forward", path(guest("plain3"))),
        ],
    )
}

fn five_cats(_: &Programs) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "cat | cat | cat | cat | cat"]);
    command
}

fn pipeline(programs: &Programs, stages: &[&str]) -> Command {
    let mut command = programs.ours("pipe");
    command.args(stages.join(" ! ").split(' '));
    command
}
