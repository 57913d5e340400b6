//! The form of `pipehost ps --json`.

use serde::Serialize;

use super::super::listing::snapshot::{Command, End, Met, Snapshot, StageNow, State, VERSION, Way};

/// One host. Its fields are part of the interface, see docs/ps.schema.json: one that is added, removed or changed raises
/// the version.
#[derive(Debug, Serialize)]
pub(super) struct Host<'a> {
    version: u32,
    pid: u32,
    command: Command,
    runs: &'a str,
    state: State,
    seconds: f64,
    stages: &'a [StageNow],
    ends: Vec<HostEnd<'a>>,
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct HostEnd<'a> {
    stage: usize,
    name: &'a str,
    direction: Way,
    path: Option<&'a str>,
    peer: &'a str,
    bytes: u64,
    max_bytes: Option<u64>,
    waiting_seconds: Option<f64>,
    waited_seconds: f64,
    open: bool,
    met: Option<Met>,
}

impl<'a> Host<'a> {
    pub(super) fn of(host: &'a Snapshot) -> Self {
        Self {
            version: VERSION,
            pid: host.pid,
            command: host.command,
            runs: &host.runs,
            state: host.state,
            seconds: host.age().as_secs_f64(),
            stages: &host.stages,
            ends: host.ends.iter().map(HostEnd::of).collect(),
            left_out: host.left_out,
        }
    }
}

impl<'a> HostEnd<'a> {
    fn of(end: &'a End) -> Self {
        Self {
            stage: end.stage,
            name: &end.name,
            direction: end.direction,
            path: end.path.as_deref(),
            peer: &end.peer,
            bytes: end.bytes,
            max_bytes: end.max_bytes,
            waiting_seconds: end.waiting.map(seconds),
            waited_seconds: seconds(end.waited),
            open: end.is_open,
            met: end.met,
        }
    }
}

/// Returns milliseconds as seconds.
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
