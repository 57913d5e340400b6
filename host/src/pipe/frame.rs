//! Frames: what counts as a whole record, for ends that only whole records may leave.
//!
//! [`Framer`] is a state machine over bytes. It knows nothing of pipes: `writer/framed.rs` puts it in front of one.

mod json;

use std::fmt;

use memchr::{memchr, memrchr};

use crate::limits::Size;
use crate::sys::PIPE_BUF;

/// How many bytes a record may have unless told otherwise.
pub(crate) const DEFAULT_MAX_RECORD: usize = 1024 * 1024;

/// How many bytes a record may be allowed to have. The host holds a record until it is whole, and for a moment twice.
pub(crate) const MOST_MAX_RECORD: usize = 64 * 1024 * 1024;

/// How much of what is no record is shown.
const EXCERPT: usize = 1024;

/// The least room that is kept for the next record.
const KEPT_ROOM: usize = 64 * 1024;

/// What a guest's records are.
///
/// A part of a [`Frame`], which has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Lines, each with its line feed.
    Lines,
    /// Bytes up to a NUL, as of `find -print0`.
    Nul,
    /// Lines, each of which is one JSON text in UTF-8, nested at most 127 deep.
    Json,
}

/// What happens when a guest writes something that is no record.
///
/// A part of a [`Frame`], which has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameError {
    /// It is left out, and an [`Event`](super::Event) shows it.
    #[default]
    Drop,
    /// The run ends, as [`Outcome::Unframed`](crate::Outcome).
    End,
}

/// Which bytes may pass through a guest's end to its reader: whole records, and nothing else.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::Pipes;
/// use pipehost::pipes::{Frame, Read, Records};
///
/// let pipes = Pipes::builder().build();
/// let (mut reader, writer) = pipes.create()?;
/// let mut writer = writer.framed(Frame { max: 4096, ..Frame::new(Records::Json) });
/// writer.try_write(b"{\"a\": 1}\nprinted by mistake\n[2]\n[")?;
/// let mut bytes = [0; 100];
/// assert_eq!(reader.try_read(&mut bytes)?, Read::Bytes(13));
/// assert_eq!(&bytes[..13], b"{\"a\": 1}\n[2]\n");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the records are.
    pub records: Records,
    /// How many bytes a record may have, without the byte that ends it. The host holds as many, and
    /// for a moment twice as many when the record is whole.
    pub max: usize,
    /// What happens to anything else.
    pub error: FrameError,
}

impl Frame {
    /// Returns the frame of these records, of at most 1 MiB each. What is none is left out.
    pub fn new(records: Records) -> Self {
        Self { records, max: DEFAULT_MAX_RECORD, error: FrameError::default() }
    }
}

/// Why bytes are no record.
///
/// A part of [`Refused`], whose events the example of [`Pipes`](super::Pipes) receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotARecord {
    /// They have no end within this many bytes.
    TooLong(usize),
    /// They are not JSON, not UTF-8, or nested too deep.
    NotJson,
    /// The end was closed, or the guest ended, before the record did.
    Unfinished,
}

/// Bytes that a guest wrote and that are no record.
///
/// The example of [`Pipes`](super::Pipes) receives the events that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why they are none.
    pub why: NotARecord,
    /// How many there are.
    pub bytes: u64,
    /// How they begin.
    pub begin: Vec<u8>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, unit) = (self.bytes, if self.bytes == 1 { "byte" } else { "bytes" });
        match self.why {
            NotARecord::TooLong(max) => {
                write!(f, "{bytes} {unit}, more than the {} of a record", Size(max as u64))
            }
            NotARecord::NotJson if bytes == 0 => {
                return f.write_str("an empty line, which is no JSON");
            }
            NotARecord::NotJson => write!(f, "{bytes} {unit} that are no JSON"),
            NotARecord::Unfinished => write!(f, "{bytes} {unit} of an unfinished record"),
        }?;
        let text = String::from_utf8_lossy(&self.begin);
        let more = if (self.begin.len() as u64) < self.bytes { "..." } else { "" };
        write!(f, ": `{}`{more}", super::quoted_name(&text))
    }
}

/// What a [`Framer`] finds.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// Whole records, at least one, with the bytes that end them. Several have at most PIPE_BUF bytes.
    Records(&'a [u8]),
    /// Bytes that are no record.
    Refused(Refused),
}

/// Takes bytes in pieces of any length, and finds the records in them.
///
/// It holds the beginning of one record, of at most [`Frame::max`] bytes.
#[derive(Debug)]
pub(super) struct Framer {
    frame: Frame,
    /// The beginning of a record. Of one that is too long, as much as is shown.
    begun: Vec<u8>,
    /// How many bytes there have been of a record that is too long.
    too_long: u64,
}

impl Framer {
    pub(super) fn new(frame: Frame) -> Self {
        Self { frame, begun: Vec::new(), too_long: 0 }
    }

    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    fn end_byte(&self) -> u8 {
        match self.frame.records {
            Records::Lines | Records::Json => b'\n',
            Records::Nul => 0,
        }
    }

    /// Takes `bytes`, which come next, and calls `found` with what is complete by them, in order.
    pub(super) fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Found<'_>)) {
        let end = self.end_byte();
        let mut rest = bytes;
        while !rest.is_empty() {
            if !self.has_begun() {
                let run = self.run_of(rest);
                if run > 0 {
                    found(Found::Records(&rest[..run]));
                    rest = &rest[run..];
                    continue;
                }
            }
            match memchr(end, rest) {
                None => {
                    self.keep(rest);
                    return;
                }
                Some(at) => {
                    self.complete(&rest[..=at], &mut found);
                    rest = &rest[at + 1..];
                }
            }
        }
    }

    /// Returns how many bytes at the beginning of `bytes` are records for which nothing but their length counts.
    fn run_of(&self, bytes: &[u8]) -> usize {
        if self.frame.records == Records::Json {
            return 0;
        }
        // Within so many bytes, no record is too long.
        let window = &bytes[..bytes.len().min(PIPE_BUF).min(self.frame.max)];
        memrchr(self.end_byte(), window).map_or(0, |at| at + 1)
    }

    /// Keeps `bytes` of a record that has not ended yet.
    fn keep(&mut self, bytes: &[u8]) {
        let (kept, max) = (self.begun.len(), self.frame.max);
        if self.too_long == 0 && bytes.len() <= max - kept {
            let needed = kept + bytes.len();
            if needed > self.begun.capacity() {
                // Twice as much each time, and never more than a record may have, and its end.
                let room = needed.max(2 * kept).min(max) + 1;
                self.begun.reserve_exact(room - kept);
            }
            self.begun.extend_from_slice(bytes);
            return;
        }
        self.too_long = match self.too_long {
            0 => kept as u64,
            before => before,
        };
        self.too_long = self.too_long.saturating_add(bytes.len() as u64);
        let shown = EXCERPT.saturating_sub(kept).min(bytes.len());
        self.begun.truncate(EXCERPT);
        self.begun.extend_from_slice(&bytes[..shown]);
        self.begun.shrink_to(KEPT_ROOM);
    }

    /// Completes a record by `last`, which has the byte that ends it.
    fn complete(&mut self, last: &[u8], found: &mut impl FnMut(Found<'_>)) {
        let text = &last[..last.len() - 1];
        if !self.has_begun() && text.len() <= self.frame.max {
            return self.check(last, found);
        }
        self.keep(text);
        let mut record = std::mem::take(&mut self.begun);
        match std::mem::take(&mut self.too_long) {
            0 => {
                record.push(last[text.len()]);
                self.check(&record, found);
            }
            bytes => {
                let why = NotARecord::TooLong(self.frame.max);
                found(Found::Refused(refused(why, bytes, &record)));
            }
        }
        // The memory is used again, unless it is large.
        record.clear();
        record.shrink_to(KEPT_ROOM);
        self.begun = record;
    }

    /// Finds a record that has its end, and is not too long.
    fn check(&self, record: &[u8], found: &mut impl FnMut(Found<'_>)) {
        let text = &record[..record.len() - 1];
        if self.frame.records == Records::Json && !json::is_json(text) {
            found(Found::Refused(refused(NotARecord::NotJson, text.len() as u64, text)));
        } else {
            found(Found::Records(record));
        }
    }

    /// Ends the bytes. The beginning of a record is none, but for a line without its line feed, which gets one. Where
    /// the guest was `cut_short`, what it has begun is not what it meant to write, and is no record either.
    pub(super) fn finish(&mut self, cut_short: bool, mut found: impl FnMut(Found<'_>)) {
        let mut begun = std::mem::take(&mut self.begun);
        match std::mem::take(&mut self.too_long) {
            0 if begun.is_empty() => {}
            0 if self.frame.records == Records::Lines && !cut_short => {
                begun.push(b'\n');
                found(Found::Records(&begun));
            }
            0 => {
                let why = NotARecord::Unfinished;
                found(Found::Refused(refused(why, begun.len() as u64, &begun)));
            }
            bytes => {
                let why = NotARecord::TooLong(self.frame.max);
                found(Found::Refused(refused(why, bytes, &begun)));
            }
        }
    }

    /// Returns whether a record has begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty() || self.too_long > 0
    }

    /// Forgets what has begun.
    pub(super) fn clear(&mut self) {
        (self.begun, self.too_long) = (Vec::new(), 0);
    }
}

fn refused(why: NotARecord, bytes: u64, record: &[u8]) -> Refused {
    Refused { why, bytes, begin: record[..record.len().min(EXCERPT)].into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Records; 3] = [Records::Lines, Records::Nul, Records::Json];

    /// Everything that a framer finds in these pieces: the records, whole, and what is refused, in order.
    fn found(frame: Frame, pieces: &[&[u8]], cut_short: bool) -> Vec<Result<Vec<u8>, Refused>> {
        let mut framer = Framer::new(frame);
        let end = framer.end_byte();
        let mut all = Vec::new();
        let mut add = |found: Found<'_>| match found {
            Found::Refused(refused) => all.push(Err(refused)),
            Found::Records(bytes) => {
                assert!(bytes.ends_with(&[end]));
                let records: Vec<_> = bytes.split_inclusive(|byte| *byte == end).collect();
                assert!(records.len() == 1 || bytes.len() <= PIPE_BUF);
                all.extend(records.into_iter().map(|record| Ok(record.to_vec())));
            }
        };
        for piece in pieces {
            framer.push(piece, &mut add);
            assert!(framer.begun.len() <= frame.max.max(EXCERPT));
            assert!(framer.begun.capacity() <= (frame.max + 1).max(KEPT_ROOM));
        }
        framer.finish(cut_short, &mut add);
        assert!(!framer.has_begun());
        all
    }

    /// What is to be found, by the definition.
    fn expected(frame: Frame, bytes: &[u8], cut_short: bool) -> Vec<Result<Vec<u8>, Refused>> {
        let end = Framer::new(frame).end_byte();
        let mut all = Vec::new();
        for record in bytes.split_inclusive(|byte| *byte == end) {
            let (text, is_whole) = match record.strip_suffix(&[end]) {
                Some(text) => (text, true),
                None => (record, false),
            };
            let is_line = frame.records == Records::Lines && !cut_short;
            let why = match () {
                () if text.len() > frame.max => Some(NotARecord::TooLong(frame.max)),
                () if !is_whole && !is_line => Some(NotARecord::Unfinished),
                () if frame.records != Records::Json => None,
                () => match serde_json::from_slice::<serde_json::Value>(text) {
                    Ok(_) => None,
                    Err(_) => Some(NotARecord::NotJson),
                },
            };
            all.push(match why {
                Some(why) => Err(refused(why, text.len() as u64, text)),
                None => Ok([text, &[end]].concat()),
            });
        }
        all
    }

    /// Bytes that look like records of all kinds, and like none.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\0".to_vec()),
            Just(b"{\"a\": [1, null, \"\\n\"]}\n".to_vec()),
            Just(b"[]\r\n".to_vec()),
            Just("\"ä\"\n".as_bytes().to_vec()),
            prop::collection::vec(prop::sample::select(&b"[]{}\",:1-\\ \n\0\xff"[..]), 0..8),
            (0_usize..40).prop_map(|n| vec![b'x'; n]),
            (0_usize..9000).prop_map(|n| format!("\"{}\"", "7".repeat(n)).into_bytes()),
        ];
        prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    }

    proptest! {
        /// However the bytes are cut into pieces, the same records are found, and the same is refused.
        #[test]
        fn any_pieces_give_the_same_records(
            bytes in bytes(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            kind in 0_usize..3,
            max in prop_oneof![1_usize..40, Just(5000), Just(20_000)],
            cut_short in any::<bool>(),
        ) {
            let frame = Frame { max, ..Frame::new(KINDS[kind]) };
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(found(frame, &pieces, cut_short), expected(frame, &bytes, cut_short));
        }

        #[test]
        fn one_byte_at_a_time_gives_the_same_records(bytes in bytes(), kind in 0_usize..3) {
            let frame = Frame { max: 100, ..Frame::new(KINDS[kind]) };
            let pieces: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(found(frame, &pieces, false), expected(frame, &bytes, false));
        }
    }

    #[test]
    fn a_record_may_be_as_long_as_is_said() {
        for records in [Records::Lines, Records::Nul] {
            let frame = Frame { max: 3, ..Frame::new(records) };
            let end = Framer::new(frame).end_byte();
            let found =
                found(frame, &[&[b'a', b'b', b'c', end, b'a', b'b', b'c', b'd', end]], true);
            assert_eq!(found[0], Ok(vec![b'a', b'b', b'c', end]));
            assert_eq!(found[1], Err(refused(NotARecord::TooLong(3), 4, b"abcd")));
        }
    }

    #[test]
    fn what_is_refused_is_shown_and_cannot_act_on_a_terminal() {
        let text = refused(NotARecord::NotJson, 2000, b"a\x1b[2J\nb").to_string();
        assert!(!text.contains(['\x1b', '\n']) && text.ends_with("..."), "{text}");
    }
}
