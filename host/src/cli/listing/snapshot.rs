//! What a run says of itself at one moment, as it stands in its file: a line that tells a whole snapshot from a torn one, and JSON.
//! Whoever reads it takes nothing in it for true: a file may hold anything.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// The version of the form. A field that is added, removed or changed raises it, unless nobody is shown it and it may be missing.
pub(crate) const VERSION: u32 = 1;

/// How many bytes a snapshot has at most, with its first line.
pub(crate) const MOST_BYTES: usize = 256 * 1024;

/// How many stages and ends are listed.
const MOST_STAGES: usize = 256;
const MOST_ENDS: usize = 512;

/// How many bytes of a text are kept.
const MOST_TEXT: usize = 1024;
const MOST_NAME: usize = 160;

/// The first word of the first line, which has always the same length.
const WORD: &str = "pipehost-run";
const HEAD: usize = WORD.len() + 1 + 8 + 1 + 8 + 1 + 16 + 1;

/// A run at one moment. Times are milliseconds on the clock that all processes share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) pid: u32,
    /// Where that is its process id, or 0 if that is not known. Not shown.
    #[serde(default)]
    pub(crate) pid_namespace: u64,
    pub(crate) command: Command,
    /// What runs, as it is called in a title.
    pub(crate) runs: String,
    pub(crate) state: State,
    /// The exit status, once it is known.
    pub(crate) status: Option<u8>,
    pub(crate) began: u64,
    /// When all of this was the case.
    pub(crate) at: u64,
    /// Of which pipeline this process runs one stage.
    pub(crate) part: Option<PartOf>,
    pub(crate) stages: Vec<StageNow>,
    pub(crate) ends: Vec<End>,
    /// How many ends and stages have no room here.
    pub(crate) left_out: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Command {
    Run,
    Pipe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Opens what is granted, or compiles.
    Starting,
    Running,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartOf {
    /// The process of the pipeline.
    pub(crate) pid: u32,
    pub(crate) stage: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StageNow {
    pub(crate) name: String,
    pub(crate) runs: String,
    pub(crate) kind: StageKind,
    /// Its exit status, once it has ended.
    pub(crate) status: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StageKind {
    Guest,
    Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    Reading,
    Writing,
}

/// An end that a guest has opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// The place of its stage.
    pub(crate) stage: usize,
    /// `stdin`, or STAGE.stdin in a pipeline.
    pub(crate) name: String,
    pub(crate) direction: Way,
    /// Where it leads, if it leads to a path.
    pub(crate) path: Option<String>,
    /// Who is on the other side.
    pub(crate) peer: String,
    pub(crate) bytes: u64,
    /// How many bytes can pass in all, if that is known.
    pub(crate) max_bytes: Option<u64>,
    /// How long the guest has waited, the wait that goes on now included: milliseconds.
    pub(crate) waited: u64,
    pub(crate) waiting: Option<u64>,
    /// How long the waits have taken that are over, exactly. Only the process itself knows that.
    #[serde(skip)]
    pub(crate) waits_over: Duration,
    pub(crate) is_open: bool,
    /// What it has met since it was opened last.
    pub(crate) met: Option<Met>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Met {
    EndOfFile,
    BrokenPipe,
    TimedOut,
    LimitExceeded,
    Error,
}

/// Why a text is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A write may be under way: a moment later it may be whole.
    Torn,
    /// Another version of pipehost wrote it.
    Version,
    /// It will never be one.
    Wrong,
}

impl Snapshot {
    /// Returns whether `part` is the process of one of this pipeline's stages. Process ids say that in one PID namespace only.
    pub(crate) fn has_part(&self, part: &Self) -> bool {
        part.part.is_some_and(|of| of.pid == self.pid) && part.pid_namespace == self.pid_namespace
    }

    /// Writes it as it stands in a file. What has no room is left out.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bounded = self.clone();
        bounded.bound();
        loop {
            // There are only numbers and strings, so writing it cannot fail.
            let json = serde_json::to_vec(&bounded).unwrap_or_default();
            if HEAD + json.len() <= MOST_BYTES {
                let hash = XxHash3_64::oneshot(&json);
                let head = format!("{WORD} {VERSION:08x} {:08x} {hash:016x}\n", json.len());
                return [head.as_bytes(), &json].concat();
            }
            bounded.shorten(bounded.stages.len() / 2, bounded.ends.len() / 2);
        }
    }

    /// Leaves out what is more than a snapshot has.
    fn bound(&mut self) {
        self.shorten(MOST_STAGES, MOST_ENDS);
        cut(&mut self.runs, MOST_TEXT);
        for stage in &mut self.stages {
            cut(&mut stage.name, MOST_NAME);
            cut(&mut stage.runs, MOST_NAME);
        }
        for end in &mut self.ends {
            cut(&mut end.name, MOST_NAME);
            cut(&mut end.peer, MOST_NAME);
            end.path.iter_mut().for_each(|path| cut(path, MOST_TEXT));
        }
    }

    /// Leaves out what is beyond so many stages and ends.
    fn shorten(&mut self, stages: usize, ends: usize) {
        let too_many =
            self.stages.len().saturating_sub(stages) + self.ends.len().saturating_sub(ends);
        self.left_out = self.left_out.saturating_add(too_many as u64);
        self.stages.truncate(stages);
        self.ends.truncate(ends);
    }

    /// Reads what [`Snapshot::to_bytes`] wrote, and what of it may follow from an earlier, longer one.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or(Unreadable::Torn)?;
        let head = std::str::from_utf8(head).map_err(|_| Unreadable::Wrong)?;
        let mut words = head.trim_end_matches('\n').split(' ');
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        let word = head.get(..WORD.len());
        if word != Some(WORD) {
            return Err(Unreadable::Wrong);
        }
        let [_, version, length, hash] = [number(), number(), number(), number()];
        let (Some(version), Some(length), Some(hash)) = (version, length, hash) else {
            return Err(Unreadable::Wrong);
        };
        if version != u64::from(VERSION) {
            return Err(Unreadable::Version);
        }
        let length = usize::try_from(length).map_err(|_| Unreadable::Wrong)?;
        let json = rest.get(..length).ok_or(Unreadable::Torn)?;
        if XxHash3_64::oneshot(json) != hash {
            return Err(Unreadable::Torn);
        }
        let mut read: Self = serde_json::from_slice(json).map_err(|_| Unreadable::Wrong)?;
        read.bound();
        Ok(read)
    }
}

/// Cuts a text, and shows that.
fn cut(text: &mut String, most: usize) {
    // With room for the mark, so that what was cut stays as it is.
    if text.len() > most + '…'.len_utf8() {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
}

/// Returns milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn end(name: &str, bytes: u64) -> End {
        End {
            stage: 0,
            name: name.into(),
            direction: Way::Reading,
            path: None,
            peer: "its writer".into(),
            bytes,
            max_bytes: None,
            waited: 0,
            waiting: None,
            waits_over: Duration::ZERO,
            is_open: true,
            met: None,
        }
    }

    pub(crate) fn snapshot(ends: Vec<End>) -> Snapshot {
        let stage = StageNow {
            name: "cat".into(),
            runs: "@cat".into(),
            kind: StageKind::Guest,
            status: None,
        };
        Snapshot {
            pid: 7,
            pid_namespace: 1,
            command: Command::Run,
            runs: "@cat".into(),
            state: State::Running,
            status: None,
            began: 1000,
            at: 2000,
            part: None,
            stages: vec![stage],
            ends,
            left_out: 0,
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let before = snapshot(vec![end("in", 5), end("stdin", 0)]);
        let mut bytes = before.to_bytes();
        assert_eq!(Snapshot::of_bytes(&bytes).unwrap(), before);
        bytes.extend_from_slice(b"of an earlier one");
        assert_eq!(Snapshot::of_bytes(&bytes).unwrap(), before);
    }

    #[test]
    fn what_is_torn_is_told_from_what_is_wrong() {
        let [old, new] = [5, 6].map(|bytes| snapshot(vec![end("in", bytes)]).to_bytes());
        for at in 0..new.len() {
            assert_eq!(Snapshot::of_bytes(&new[..at]), Err(Unreadable::Torn), "{at}");
            // Half a write over an earlier one is one of the two, or none.
            let mixed = [&new[..at], &old[at..]].concat();
            match Snapshot::of_bytes(&mixed) {
                Ok(read) => assert!([&old, &new].contains(&&read.to_bytes()), "{at}"),
                Err(error) => assert_eq!(error, Unreadable::Torn, "{at}"),
            }
        }
        let of_json = |json: &str| {
            let hash = XxHash3_64::oneshot(json.as_bytes());
            let text = format!("{WORD} {VERSION:08x} {:08x} {hash:016x}\n{json}", json.len());
            Snapshot::of_bytes(text.as_bytes()).unwrap_err()
        };
        let deep = "[".repeat(100_000);
        for json in ["", "{}", "null", "[]", &deep, r#"{"pid":-1}"#] {
            assert_eq!(of_json(json), Unreadable::Wrong);
        }
        let next = String::from_utf8(new.clone()).unwrap().replacen("00000001", "00000002", 1);
        assert_eq!(Snapshot::of_bytes(next.as_bytes()), Err(Unreadable::Version));
        let long = [&new[..22], &b"ffffffff"[..], &new[30..]].concat();
        assert_eq!(Snapshot::of_bytes(&long), Err(Unreadable::Torn));
        for wrong in [&[b'x'; 100][..], &[0xff; 100], &[0; 100]] {
            assert_eq!(Snapshot::of_bytes(wrong), Err(Unreadable::Wrong));
        }
        assert_eq!(Snapshot::of_bytes(b""), Err(Unreadable::Torn));
    }

    #[test]
    fn its_size_is_bounded() {
        let long = "\u{1b}é".repeat(100_000);
        let mut most = snapshot(vec![
            End {
                path: Some(long.clone()),
                peer: long.clone(),
                ..end(&long, u64::MAX)
            };
            5000
        ]);
        most.runs = long.clone();
        most.stages =
            vec![StageNow { name: long.clone(), runs: long, ..most.stages[0].clone() }; 600];
        let bytes = most.to_bytes();
        assert!(bytes.len() <= MOST_BYTES, "{}", bytes.len());
        let read = Snapshot::of_bytes(&bytes).unwrap();
        assert!(!read.ends.is_empty() && read.runs.ends_with('…'));
        let listed = (read.ends.len() + read.stages.len()) as u64;
        assert_eq!(listed + read.left_out, 5600);
    }
}
