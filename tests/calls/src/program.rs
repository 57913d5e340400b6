//! What a guest is told to do: any bytes are a program.

/// How many calls are made at the most: bounds the report.
pub const MOST_CALLS: usize = 256;

/// Slots 0 to 3 are anonymous pipes.
pub const ANONYMOUS: usize = 4;

/// All slots: anonymous pipes, two pipes that the host has joined, a FIFO, and a name that is not
/// granted.
pub const SLOTS: usize = 8;

/// The slot of the FIFO.
pub const FIFO: usize = 6;

/// The slot whose name is not granted.
pub const FOREIGN: usize = 7;

/// By which name a slot from [`ANONYMOUS`] on is opened.
pub fn name(slot: usize) -> &'static str {
    ["a", "b", "fifo", "foreign"][(slot - ANONYMOUS) % 4]
}

/// The names that are granted, in their order.
pub const GRANTED: [&str; 3] = ["a", "b", "fifo"];

/// One call, or a few that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Makes an anonymous pipe in its slot.
    Create,
    /// Opens the reader of a named pipe.
    OpenReader,
    /// Opens the writer of a named pipe.
    OpenWriter,
    /// 0.2: reads without waiting. 0.3: starts a read, or looks at the one under way.
    Read,
    /// 0.2: writes as much as is permitted. 0.3: starts a write, or looks at the one under way.
    Write,
    /// 0.2: `flush`. 0.3: lets the host go on.
    Flush,
    /// 0.2: `blocking-flush`, where something is permitted, so that it cannot wait. 0.3: lets the
    /// host go on.
    FlushAll,
    /// Drops the reader, calling off its read.
    DropReader,
    /// Drops the writer, calling off its write.
    DropWriter,
    /// Asks how many bytes are there.
    Available,
    /// Asks the reader for the capacity.
    Capacity,
    /// Asks which of all open ends are ready, and if any is, waits for all of them at once.
    Poll,
    /// 0.2: splices to another slot. 0.3: hands the reader's stream to another slot's writer.
    Move,
    /// Lists what is granted.
    List,
    /// 0.2: skips bytes. 0.3: calls off the read under way.
    CancelRead,
    /// 0.2: writes nothing. 0.3: calls off the write under way.
    CancelWrite,
    /// 0.2: `blocking-read`, where the reader is ready. 0.3: reads as [`Op::Read`], after the host has
    /// gone on.
    ReadWhenReady,
    /// 0.2: `blocking-splice`, where both ends are ready. 0.3: as [`Op::Move`].
    MoveWhenReady,
}

impl Op {
    /// All of them, by their numbers.
    pub const ALL: [Self; 18] = [
        Self::Create,
        Self::OpenReader,
        Self::OpenWriter,
        Self::Read,
        Self::Write,
        Self::Flush,
        Self::FlushAll,
        Self::DropReader,
        Self::DropWriter,
        Self::Available,
        Self::Capacity,
        Self::Poll,
        Self::Move,
        Self::List,
        Self::CancelRead,
        Self::CancelWrite,
        Self::ReadWhenReady,
        Self::MoveWhenReady,
    ];
}

/// A call with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is done.
    pub op: Op,
    /// The slot that it is done to.
    pub slot: usize,
    /// The other slot, where there is one.
    pub to: usize,
    /// How many bytes, up to 512 KiB.
    pub size: usize,
}

/// The calls that `bytes` stand for, four bytes each.
pub fn calls(bytes: &[u8]) -> impl Iterator<Item = Call> {
    bytes.chunks_exact(4).take(MOST_CALLS).map(|call| Call {
        op: Op::ALL[usize::from(call[0] & 31) % Op::ALL.len()],
        slot: usize::from(call[1]) % SLOTS,
        to: usize::from(call[1] >> 4) % SLOTS,
        size: usize::from(u16::from_le_bytes([call[2], call[3]])) << (call[0] >> 5 & 3),
    })
}

/// `len` bytes that tell where among all that a guest has offered they stand.
pub fn piece(at: u64, len: usize) -> Vec<u8> {
    let byte = |at: u64| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16).wrapping_mul(97)) as u8;
    (at..at + len as u64).map(byte).collect()
}
