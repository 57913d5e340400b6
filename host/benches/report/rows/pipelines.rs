//! The rows about `pipehost pipe`.

use std::process::Command;

use pipehost_test_guests::guest;

use super::{DEFAULT, Row, Theme};
use crate::figures::Unit;
use crate::programs::{Peer, Programs};
use crate::source::Source;

pub(super) fn theme() -> Theme {
    let cats = "five cats in a shell";
    let rows = vec![
        Row::flow(
            "pipeline of a 0.1, a 0.2 and a 0.3 guest and two native cats",
            DEFAULT.1,
            five_stages,
            five_cats,
        )
        .against(cats, Peer::Cat)
        .at_least(1.0),
        Row::flow("pipeline of five @cat", DEFAULT.1, |it| pipeline(it, &["@cat"; 5]), five_cats)
            .against(cats, Peer::Cat)
            .at_least(1.0),
        Row::flow(
            "pipeline of five guests that println! each line, of 80 bytes",
            |effort| (DEFAULT.1)(effort).of(Source::Lines(80)),
            |it| pipeline(it, &[&*format!("{} echo-lines", guest("plain").display()); 5]),
            five_natives,
        )
        .against("the same five, native, in a shell", Peer::Native)
        .at_least(0.9)
        .shown_in(Unit::LinesPerSecond(80)),
    ];
    Theme::new(
        "Pipelines",
        "`pipehost pipe`, between pipes that begin with 64 KiB. In the first row, the 0.1 and the 0.2 guest copy, \
         64 KiB at a time, and the 0.3 guest hands its input on unread, as `@cat` does.",
        rows,
    )
}

/// Guests of all versions, two of which copy and one of which hands on unread, and native commands.
fn five_stages(programs: &Programs) -> Command {
    let path = |path: std::path::PathBuf| path.display().to_string();
    pipeline(
        programs,
        &[
            &path(programs.relay(65_536)),
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

fn five_natives(programs: &Programs) -> Command {
    let native = programs.native(&["plain", "echo-lines"]);
    let mut command = Command::new("sh");
    command.arg("-c").arg([r#""$0" "$@""#; 5].join(" | "));
    command.arg(native.get_program()).args(native.get_args());
    command
}

/// `pipehost pipe` with these stages, of which no word contains a space.
pub(super) fn pipeline(programs: &Programs, stages: &[&str]) -> Command {
    let mut command = programs.ours("pipe");
    command.args(stages.join(" ! ").split(' '));
    command
}
