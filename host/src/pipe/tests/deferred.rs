//! Deferred delivery, as a peer sees it: against a model, for all orders of calls.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::super::deferred::{self, Deferral, defer, is_deferred, settle, while_polling};
use super::super::*;
use super::in_runtime;
use crate::sys;

/// One thing that a guest does.
#[derive(Clone, Debug)]
enum Act {
    /// Writes so many bytes to one of two writers.
    Write(usize, usize),
    /// Flushes one of them.
    Flush(usize),
    /// Reads, of a pipe of its own that has nothing.
    Read,
    /// Waits, or yields.
    Wait,
    /// Opens something.
    Create,
    /// Closes one of them.
    Close(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let size = prop_oneof![1..200usize, Just(4096), 60_000..70_000usize];
    prop_oneof![
        8 => (0..2usize, size).prop_map(|(at, n)| Act::Write(at, n)),
        3 => (0..2usize).prop_map(Act::Flush),
        1 => Just(Act::Read),
        1 => Just(Act::Wait),
        1 => Just(Act::Create),
        1 => (0..2usize).prop_map(Act::Close),
    ]
}

/// A writer as `wasi` has it, what was written to it, and its peer.
struct Side {
    writer: Option<Arc<Mutex<Writer>>>,
    written: Vec<u8>,
    reader: Reader,
    seen: Vec<u8>,
}

impl Side {
    fn new() -> Self {
        let (reader, writer) = sys::anonymous().unwrap();
        let (journal, label) = (Journal::new(), Label::Pipe("x".into()));
        let writer = Writer::new(writer, None, label.clone(), &PendingWrites::new(), &journal);
        let reader = Reader::new(reader, None, label, &journal);
        let writer = Some(Arc::new(Mutex::new(writer)));
        let mut side = Self { writer, written: Vec::new(), reader, seen: Vec::new() };
        // The first write is never deferred.
        side.write(1);
        side
    }

    /// What a guest's write does: as much of it as is taken.
    fn write(&mut self, count: usize) {
        let Some(writer) = &self.writer else { return };
        let next = self.written.len();
        let bytes: Vec<u8> = (next..next + count).map(|n| (n % 251) as u8).collect();
        let taken = match defer(writer, &bytes) {
            true => bytes.len(),
            false => {
                settle();
                writer.lock().unwrap().try_write(&bytes).unwrap().unwrap_or(0)
            }
        };
        self.written.extend(&bytes[..taken]);
    }

    /// What the peer can have now.
    fn look(&mut self) {
        while let Ok(Read::Bytes(_)) = self.reader.try_read_onto(&mut self.seen, 1 << 20) {}
    }

    /// Whether the peer has all that was written.
    fn is_all_seen(&mut self) -> bool {
        self.look();
        self.seen == self.written
    }
}

/// Polls a guest that does `acts`, which comes to its end or waits then.
fn poll(
    deferral: &mut Option<Deferral>,
    sides: &mut [Side; 2],
    acts: &[Act],
) -> Result<(), TestCaseError> {
    while_polling(
        deferral,
        || {
            let mut dirty = None;
            for act in acts {
                match act {
                    Act::Write(at, count) => {
                        // The other end has all that was written to it before.
                        let before = sides[1 - at].written.len();
                        sides[*at].write(*count);
                        prop_assert_eq!(sides[1 - at].written.len(), before);
                        let writer = sides[*at].writer.as_ref();
                        if writer.is_some_and(is_deferred) {
                            dirty = Some(*at);
                        }
                        if sides[*at].writer.is_some() {
                            prop_assert!(sides[1 - at].is_all_seen());
                        }
                    }
                    Act::Flush(at) => {
                        if let Some(writer) = &sides[*at].writer
                            && !is_deferred(writer)
                        {
                            settle();
                            let _ = writer.lock().unwrap().try_flush();
                        }
                    }
                    Act::Read | Act::Create => {
                        settle();
                        dirty = None;
                    }
                    Act::Close(at) => {
                        settle();
                        sides[*at].writer = None;
                        dirty = None;
                    }
                    Act::Wait => unreachable!("acts are split there"),
                }
                for (at, side) in sides.iter_mut().enumerate() {
                    side.look();
                    // Never anything else, nor in another order.
                    prop_assert!(side.written.starts_with(&side.seen));
                    prop_assert!(dirty == Some(at) || side.seen.len() == side.written.len());
                    prop_assert!(side.written.len() - side.seen.len() <= PERMIT);
                }
            }
            Ok(())
        },
        |_| false,
    )
}

proptest! {
    /// Whatever a guest does between two waits: what it wrote is seen in order, as a prefix that lacks no more than a
    /// buffer; all of it is seen before it acts on anything else, and when it waits.
    #[test]
    fn nobody_can_tell_that_a_write_was_deferred(acts in prop::collection::vec(act(), 1..60)) {
        in_runtime(async {
            let (mut sides, mut deferral) = ([Side::new(), Side::new()], Some(Deferral::default()));
            for acts in acts.split(|act| matches!(act, Act::Wait)) {
                poll(&mut deferral, &mut sides, acts)?;
                for side in &mut sides {
                    prop_assert!(side.is_all_seen(), "{} of {}", side.seen.len(), side.written.len());
                }
            }
            Ok(())
        })?;
    }
}

/// A pipe that is full takes no more than a buffer beyond.
#[test]
#[cfg(not(feature = "portable"))] // What a pipe holds is known on Linux.
fn a_full_pipe_is_felt_a_buffer_later() {
    in_runtime(async {
        let mut deferral = Some(Deferral::default());
        let mut side = Side::new();
        let mut last = 0;
        while_polling(
            &mut deferral,
            || loop {
                side.write(1000);
                if side.written.len() == last {
                    break;
                }
                last = side.written.len();
            },
            |()| false,
        );
        let room = side.writer.as_ref().unwrap().lock().unwrap().capacity().unwrap();
        let beyond = side.written.len() - usize::try_from(room).unwrap();
        assert!(beyond <= PERMIT, "{beyond}");
        side.look();
        // The rest follows, as there is room.
        while !side.is_all_seen() {
            tokio::task::yield_now().await;
        }
    });
}

/// A guest whose reader has left, and that makes no other call, is told of as one that was not told.
#[test]
fn a_failure_that_the_guest_never_saw_is_noted() {
    in_runtime(async {
        for is_told in [false, true] {
            let (reader, writer) = sys::anonymous().unwrap();
            let journal = Journal::new();
            let writer = Writer::new(writer, None, Label::Stdout, &PendingWrites::new(), &journal);
            let writer = Arc::new(Mutex::new(writer));
            let mut deferral = Some(Deferral::default());
            assert_eq!(writer.lock().unwrap().try_write(b"x"), Ok(Some(1)));
            drop(reader);
            // It waits, or yields, and ends in the next turn.
            while_polling(&mut deferral, || assert!(defer(&writer, b"x")), |()| false);
            while_polling(
                &mut deferral,
                || {
                    if is_told {
                        let mut writer = writer.lock().unwrap();
                        assert_eq!(writer.try_flush().unwrap_err().code, ErrorCode::BrokenPipe);
                        writer.is_told();
                    }
                },
                |()| true,
            );
            let left_behind: Vec<_> = journal.notes().iter().map(|note| note.left_behind).collect();
            assert_eq!(left_behind, if is_told { vec![false] } else { vec![false, true] });
        }
    });
}

#[test]
fn nothing_is_deferred_outside_of_a_guest() {
    in_runtime(async {
        let mut side = Side::new();
        side.write(10);
        assert!(!deferred::is_deferred(side.writer.as_ref().unwrap()) && side.is_all_seen());
        let mut none = None;
        while_polling(&mut none, || side.write(10), |()| false);
        assert!(side.is_all_seen());
    });
}
