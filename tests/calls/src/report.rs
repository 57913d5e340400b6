//! What a guest tells of its calls.

use crate::program::{Op, SLOTS};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It was done; `n` says how much.
    Done,
    /// There is nothing to be had, or no room, now.
    Wait,
    /// A reader's end of file, a writer's broken pipe.
    Closed,
    /// There was nothing that it could be done to.
    Skipped,
    /// `not-permitted`.
    NotPermitted,
    /// `invalid-name`.
    InvalidName,
    /// `limit-exceeded`.
    LimitExceeded,
    /// `broken-pipe`.
    BrokenPipe,
    /// `timed-out`.
    TimedOut,
    /// `in-use`.
    InUse,
    /// `unsupported`.
    Unsupported,
    /// `io`.
    Io,
}

impl Outcome {
    const ALL: [Self; 12] = [
        Self::Done,
        Self::Wait,
        Self::Closed,
        Self::Skipped,
        Self::NotPermitted,
        Self::InvalidName,
        Self::LimitExceeded,
        Self::BrokenPipe,
        Self::TimedOut,
        Self::InUse,
        Self::Unsupported,
        Self::Io,
    ];
}

/// What is told of one call, or of what it brought to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The call.
    pub op: Op,
    /// The slot that it was about.
    pub slot: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// How many bytes, or what was asked for.
    pub n: u64,
    /// The [`hash`] of the bytes read, or more that was asked for.
    pub hash: u64,
}

const ENTRY: usize = 19;

impl Entry {
    /// Appends it to a report.
    pub fn write_to(&self, report: &mut Vec<u8>) {
        report.extend([self.op as u8, self.slot as u8, self.outcome as u8]);
        report.extend(self.n.to_le_bytes());
        report.extend(self.hash.to_le_bytes());
    }

    /// The entries of a whole report.
    ///
    /// # Errors
    /// Where it is none, or not whole.
    pub fn of_report(report: &[u8]) -> Result<Vec<Self>, String> {
        if report.is_empty() || !report.len().is_multiple_of(ENTRY) {
            return Err(format!("a report of {} bytes", report.len()));
        }
        let number = |bytes: &[u8]| {
            bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let entry = |bytes: &[u8]| {
            Some(Self {
                op: *Op::ALL.get(usize::from(bytes[0]))?,
                slot: usize::from(bytes[1]) % SLOTS,
                outcome: *Outcome::ALL.get(usize::from(bytes[2]))?,
                n: number(&bytes[3..11]),
                hash: number(&bytes[11..19]),
            })
        };
        let entries: Option<Vec<_>> = report.chunks_exact(ENTRY).map(entry).collect();
        entries.ok_or_else(|| "an entry of no known kind".into())
    }
}

/// FNV-1a.
pub fn hash<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// What `list` is to say, in one number.
pub fn hash_of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    let text: String = names.into_iter().flat_map(|name| [name, " "]).collect();
    hash(text.as_bytes())
}
