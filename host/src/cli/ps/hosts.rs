//! Finds the running hosts of this user, and reads what they say of themselves.

use std::collections::HashSet;
use std::time::Duration;

use super::super::listing::snapshot::{MOST_BYTES, Snapshot, State, Unreadable, millis};
use crate::sys::{self, Listed};

/// The pauses in which a write is over that was under way, or a removal, and how long all of them may take for one list.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSES: u32 = 10;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// The hosts, by their process ids, each with what the processes of its stages say.
    pub(crate) hosts: Vec<Snapshot>,
    /// What cannot be shown, and why.
    pub(crate) notes: Vec<String>,
}

/// Lists the running hosts, and removes the files of those that have ended without doing so. Waits for a second at most.
pub(crate) fn hosts() -> Hosts {
    let mut found = Hosts::default();
    let (mut parts, mut patience) = (Vec::new(), PATIENCE);
    let mut notes = Vec::new();
    let see = |listed: Listed| {
        if listed.is_over() {
            return listed.remove_if_over();
        }
        match read(&listed, &mut patience) {
            // It is about to go.
            Ok(host) if host.state == State::Ended => {}
            Ok(host) if host.part.is_some() => parts.push(host),
            Ok(host) => found.hosts.push(host),
            Err(Unreadable::Version) => notes.push(format!(
                "process {} is of another version of pipehost, and is not shown",
                listed.pid()
            )),
            // It is about to start, or its disk is full, or it is none of pipehost's.
            Err(_) => {}
        }
    };
    sys::listed(see, |error| found.notes.push(format!("runs listed there are not seen: {error}")));
    if !found.hosts.is_empty() {
        // A killed host's file seems to be locked while another `ps` removes it, or the next run.
        std::thread::sleep(PAUSE);
        let mut alive = HashSet::new();
        let see = |listed: Listed| {
            if !listed.is_over() {
                alive.insert(listed.pid());
            }
        };
        sys::listed(see, |_| {});
        found.hosts.retain(|host| alive.contains(&host.pid));
    }
    found.notes.extend(notes);
    found.hosts.sort_by_key(|host| host.pid);
    parts.sort_by_key(|part| part.part.map(|part| part.stage));
    for part in parts {
        if let Some(host) = found.hosts.iter_mut().find(|host| host.has_part(&part)) {
            host.take_part(part);
        }
    }
    found
}

/// Reads the snapshot of a host, as it is now. Waits for a write that is under way, and takes that off `patience`.
pub(crate) fn read(listed: &Listed, patience: &mut Duration) -> Result<Snapshot, Unreadable> {
    let mut outcome = Err(Unreadable::Torn);
    for _ in 0..PAUSES {
        let bytes = listed.read(MOST_BYTES).ok_or(Unreadable::Wrong)?;
        outcome = Snapshot::of_bytes(&bytes);
        match &outcome {
            Err(Unreadable::Torn) if *patience >= PAUSE => {}
            _ => break,
        }
        *patience -= PAUSE;
        std::thread::sleep(PAUSE);
    }
    let mut snapshot = outcome?;
    // Who says to be another one is none of pipehost's.
    if snapshot.pid != listed.pid() {
        return Err(Unreadable::Wrong);
    }
    if snapshot.state != State::Ended {
        snapshot.bring_to(millis(sys::shared_clock()));
    }
    Ok(snapshot)
}

impl Snapshot {
    /// Makes this a snapshot of a later moment, at which nothing but the time has changed.
    fn bring_to(&mut self, now: u64) {
        let since = now.saturating_sub(self.at);
        for end in &mut self.ends {
            if let Some(waiting) = &mut end.waiting {
                *waiting = waiting.saturating_add(since);
                end.waited = end.waited.saturating_add(since);
            }
        }
        self.at = now;
    }

    /// Takes what the process of one of its stages says of the ends of that stage.
    pub(crate) fn take_part(&mut self, part: Self) {
        let Some(of) = part.part else { return };
        self.ends.retain(|end| end.stage != of.stage);
        self.ends.extend(part.ends.into_iter().filter(|end| end.stage == of.stage));
        self.ends.sort_by_key(|end| end.stage);
        self.left_out = self.left_out.saturating_add(part.left_out);
    }

    /// Returns for how long the host has been there.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.at.saturating_sub(self.began))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::listing::snapshot::PartOf;
    use super::super::super::listing::snapshot::tests::{end, snapshot};
    use super::super::super::listing::snapshot::{End, Snapshot};

    #[test]
    fn a_wait_goes_on_until_now() {
        let waits = End { waiting: Some(300), waited: 500, ..end("in", 5) };
        let mut host = snapshot(vec![waits, end("stdin", 1)]);
        host.bring_to(host.at + 1000);
        assert_eq!((host.ends[0].waiting, host.ends[0].waited), (Some(1300), 1500));
        assert_eq!((host.ends[1].waiting, host.ends[1].waited), (None, 0));
        assert_eq!(host.age().as_millis(), 2000);
        // A clock that nobody can have.
        host.bring_to(0);
        assert_eq!(host.age().as_millis(), 0);
        let mut wild = Snapshot { at: 0, began: u64::MAX, ..host };
        wild.ends[0].waiting = Some(u64::MAX);
        wild.bring_to(u64::MAX);
        assert_eq!((wild.ends[0].waiting, wild.age().as_millis()), (Some(u64::MAX), 0));
    }

    #[test]
    fn a_stage_that_has_a_process_speaks_for_itself_alone() {
        let mut host = snapshot(vec![end("a.stdin", 0)]);
        let at = |stage, name: &str| End { stage, ..end(name, 3) };
        let mut part = snapshot(vec![at(1, "b.stdin"), at(0, "a.stdin"), at(9, "x")]);
        part.part = Some(PartOf { pid: host.pid, stage: 1 });
        assert!(host.has_part(&part) && !part.has_part(&host));
        let of_another_namespace = Snapshot { pid_namespace: 2, ..part.clone() };
        assert!(!host.has_part(&of_another_namespace));
        host.take_part(part);
        let ends: Vec<_> = host.ends.iter().map(|end| (&*end.name, end.bytes)).collect();
        assert_eq!(ends, [("a.stdin", 0), ("b.stdin", 3)]);
    }
}
