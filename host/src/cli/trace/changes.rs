//! What has changed between two snapshots of a host, in words and as JSON.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::super::listing::snapshot::{Command, End, Met, Snapshot, VERSION, Way};
use super::super::stats::bytes;
use super::super::watching::{LEAST_WAIT, waits};
use crate::pipe::{quoted_in_line, quoted_json};

/// One change. Its fields are part of the interface, see docs/ps.md: one that is added, removed or changed raises the version.
/// What does not belong to the event is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    version: u32,
    pid: u32,
    /// How long the host has been there.
    seconds: f64,
    event: Event,
    /// The end, or the stage.
    name: Option<String>,
    direction: Option<Way>,
    path: Option<String>,
    peer: Option<String>,
    /// How many bytes have moved since the last line about them, and in all.
    bytes: Option<u64>,
    total_bytes: Option<u64>,
    waiting_seconds: Option<f64>,
    status: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Event {
    /// A guest has opened an end, or had done so before anybody looked.
    Opened,
    Moved,
    Waits,
    EndOfFile,
    BrokenPipe,
    TimedOut,
    LimitExceeded,
    Error,
    Closed,
    StageEnded,
    Ended,
}

/// What has been told of an end.
#[derive(Debug, Default)]
struct Told {
    bytes: u64,
    is_open: bool,
    met: Option<Met>,
    /// The wait that was told of, as it was at the last look.
    waiting: Option<u64>,
}

/// What has been told of a host.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// By the place of the stage, and that among the stage's ends. Names may become longer.
    ends: HashMap<(usize, usize), Told>,
    stages: HashMap<usize, u8>,
}

impl Teller {
    /// Returns what has not been told yet, in the order of stages and ends.
    pub(super) fn changes(&mut self, now: &Snapshot) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        for end in &now.ends {
            let place = places.entry(end.stage).or_default();
            let told = self.ends.entry((end.stage, *place)).or_default();
            *place += 1;
            told.tell(now, end, &mut changes);
        }
        for (at, stage) in now.stages.iter().enumerate() {
            let Some(status) = stage.status else { continue };
            // The one guest of a run ends with it.
            if now.command == Command::Pipe && self.stages.insert(at, status) != Some(status) {
                let name = Some(stage.name.clone());
                changes.push(Change {
                    name,
                    status: Some(status),
                    ..Change::of(now, Event::StageEnded)
                });
            }
        }
        changes
    }
}

impl Told {
    fn tell(&mut self, now: &Snapshot, end: &End, changes: &mut Vec<Change>) {
        if end.is_open && !self.is_open {
            changes.push(Change::of_end(now, end, Event::Opened));
            // What it had met before it was opened anew.
            self.met = None;
        }
        let moved = end.bytes.saturating_sub(self.bytes);
        if moved > 0 {
            let (bytes, total_bytes) = (Some(moved), Some(end.bytes));
            changes.push(Change { bytes, total_bytes, ..Change::of_end(now, end, Event::Moved) });
        }
        // A shorter wait than before is another one.
        let is_new = |waiting| self.waiting.is_none_or(|before| moved > 0 || waiting < before);
        let waiting = end.waiting.filter(|waiting| Duration::from_millis(*waiting) >= LEAST_WAIT);
        if let Some(waiting) = waiting.filter(|waiting| is_new(*waiting)) {
            let waiting_seconds = Some(Duration::from_millis(waiting).as_secs_f64());
            changes.push(Change { waiting_seconds, ..Change::of_end(now, end, Event::Waits) });
        }
        let mut add = |event| changes.push(Change::of_end(now, end, event));
        if let Some(met) = end.met.filter(|met| self.met != Some(*met)) {
            add(Event::of(met));
        }
        if self.is_open && !end.is_open {
            add(Event::Closed);
        }
        *self = Self { bytes: end.bytes, is_open: end.is_open, met: end.met, waiting };
    }
}

impl Change {
    fn of(host: &Snapshot, event: Event) -> Self {
        Self {
            version: VERSION,
            pid: host.pid,
            seconds: host.age().as_secs_f64(),
            event,
            name: None,
            direction: None,
            path: None,
            peer: None,
            bytes: None,
            total_bytes: None,
            waiting_seconds: None,
            status: None,
        }
    }

    fn of_end(host: &Snapshot, end: &End, event: Event) -> Self {
        Self {
            name: Some(end.name.clone()),
            direction: Some(end.direction),
            path: end.path.clone(),
            peer: Some(end.peer.clone()),
            ..Self::of(host, event)
        }
    }

    /// Says that the host has ended, with its status if it told that.
    pub(super) fn ended(host: &Snapshot) -> Self {
        Self { status: host.status, ..Self::of(host, Event::Ended) }
    }

    /// Returns one line of JSON.
    pub(super) fn json(&self) -> String {
        // There are only numbers and strings, so writing it cannot fail.
        quoted_json(&serde_json::to_string(self).unwrap_or_default()).into_owned() + "\n"
    }

    /// Returns one line for people.
    pub(super) fn text(&self) -> String {
        let moved = self.direction.map_or("moved", Way::moved);
        let said = match self.event {
            Event::Opened => match &self.path {
                Some(path) => format!("opened, {}", quoted_in_line(path)),
                None => "opened".into(),
            },
            Event::Moved => {
                format!("{moved} {}, {} in all", bytes(self.bytes), bytes(self.total_bytes))
            }
            Event::Waits => {
                let waiting = Duration::try_from_secs_f64(self.waiting_seconds.unwrap_or_default());
                waits(waiting.unwrap_or_default(), self.peer.as_deref().unwrap_or_default())
            }
            Event::EndOfFile => Met::EndOfFile.words().into(),
            Event::BrokenPipe => Met::BrokenPipe.words().into(),
            Event::TimedOut => Met::TimedOut.words().into(),
            Event::LimitExceeded => Met::LimitExceeded.words().into(),
            Event::Error => Met::Error.words().into(),
            Event::Closed => "closed".into(),
            Event::StageEnded | Event::Ended => match self.status {
                Some(status) => format!("ended with {status}"),
                None => "ended, and did not say how".into(),
            },
        };
        match &self.name {
            Some(name) => format!("{:9.2} s  {}: {said}\n", self.seconds, quoted_in_line(name)),
            None => format!("{:9.2} s  {said}\n", self.seconds),
        }
    }
}

impl Event {
    fn of(met: Met) -> Self {
        match met {
            Met::EndOfFile => Self::EndOfFile,
            Met::BrokenPipe => Self::BrokenPipe,
            Met::TimedOut => Self::TimedOut,
            Met::LimitExceeded => Self::LimitExceeded,
            Met::Error => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::listing::snapshot::tests::{end, snapshot};
    use super::*;

    fn told(teller: &mut Teller, ends: Vec<End>) -> Vec<String> {
        let text =
            |change: Change| change.text().trim_start_matches(' ').replacen("1.00 s  ", "", 1);
        teller.changes(&snapshot(ends)).into_iter().map(|it| text(it).trim().to_owned()).collect()
    }

    #[test]
    fn each_change_is_told_once() {
        let mut teller = Teller::default();
        let waits = |bytes, waiting| End { waiting: Some(waiting), ..end("in", bytes) };
        let at_end = End { met: Some(Met::EndOfFile), ..end("in", 9) };
        let closed = End { is_open: false, ..at_end.clone() };
        let steps: [(End, &[&str]); 13] = [
            (end("in", 0), &["in: opened"]),
            (end("in", 0), &[]),
            (waits(0, 100), &[]),
            (waits(0, 350), &["in: waits 0.3 s for its writer"]),
            (waits(0, 600), &[]),
            (end("in", 5), &["in: read 5 B, 5 B in all"]),
            (waits(9, 200), &["in: read 4 B, 9 B in all", "in: waits 0.2 s for its writer"]),
            // Another wait.
            (waits(9, 199), &[]),
            (waits(9, 449), &["in: waits 0.4 s for its writer"]),
            (at_end.clone(), &["in: at the end of file"]),
            (at_end, &[]),
            (closed.clone(), &["in: closed"]),
            (closed, &[]),
        ];
        for (at, (end, expected)) in steps.into_iter().enumerate() {
            assert_eq!(told(&mut teller, vec![end]), expected, "{at}");
        }
        // Opened anew, with all that happened since.
        let again = End { met: Some(Met::EndOfFile), ..end("in", 10) };
        let seen = told(&mut teller, vec![again, end("out", 7)]);
        let expected = [
            "in: opened",
            "in: read 1 B, 10 B in all",
            "in: at the end of file",
            "out: opened",
            "out: read 7 B, 7 B in all",
        ];
        assert_eq!(seen, expected);
        // What was there before anybody looked, and is gone.
        let gone = End { is_open: false, ..end("x", 3) };
        assert_eq!(told(&mut Teller::default(), vec![gone]), ["x: read 3 B, 3 B in all"]);
    }

    #[test]
    fn stages_and_the_host_end() {
        let (mut teller, mut host) = (Teller::default(), snapshot(Vec::new()));
        host.stages[0].status = Some(3);
        assert_eq!(teller.changes(&host), []);
        host.command = Command::Pipe;
        let changes = teller.changes(&host);
        assert_eq!(changes[0].text(), "     1.00 s  cat: ended with 3\n");
        assert_eq!(teller.changes(&host), []);
        assert_eq!(Change::ended(&host).text(), "     1.00 s  ended, and did not say how\n");
        host.status = Some(141);
        let json: serde_json::Value = serde_json::from_str(&Change::ended(&host).json()).unwrap();
        assert_eq!((&json["event"], &json["status"]), (&"ended".into(), &141.into()));
        assert_eq!((&json["seconds"], &json["name"]), (&1.0.into(), &serde_json::Value::Null));
    }

    #[test]
    fn texts_do_not_act_on_a_terminal() {
        let hostile = "\u{1b}]0;x\u{7}\n\u{202e}";
        let end = End {
            path: Some(hostile.into()),
            peer: hostile.into(),
            waiting: Some(900),
            ..end(hostile, 5)
        };
        let changes = Teller::default().changes(&snapshot(vec![end]));
        assert_eq!(changes.len(), 3);
        for line in changes.iter().flat_map(|change| [change.text(), change.json()]) {
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains(crate::pipe::acts_on_reader), "{line:?}");
        }
    }
}
