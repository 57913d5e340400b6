//! Tests the ends of a pipe against a model: bytes come in order, none is lost and none comes
//! twice.

mod bounded;
mod deferred;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, timeout};

use super::*;
use crate::limits::GuestLimits;
use crate::sys::{Fifo, FifoOptions, PIPES_ARE_FILES};

#[derive(Clone, Debug)]
enum Step {
    TryWrite(usize),
    Accept(usize),
    Flush,
    Read(usize),
    ReadOnto(usize),
    DropWriter,
    DropReader,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![Just(1usize), 1..5000usize, Just(4096), 60_000..70_000usize];
    prop_oneof![
        4 => size.clone().prop_map(Step::TryWrite),
        4 => size.clone().prop_map(Step::Accept),
        1 => Just(Step::Flush),
        6 => size.clone().prop_map(Step::Read),
        2 => size.prop_map(Step::ReadOnto),
        1 => Just(Step::DropWriter),
        1 => Just(Step::DropReader),
    ]
}

/// Returns bytes that tell their position in the stream.
fn piece(at: u64, len: usize) -> Vec<u8> {
    (at..at + len as u64).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

struct Model {
    sent: u64,
    /// Bytes that the writer was given, and that were not yet read.
    under_way: VecDeque<u8>,
}

impl Model {
    fn send(&mut self, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        self.under_way.extend(bytes);
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), TestCaseError> {
        let expected: Vec<u8> = self.under_way.drain(..bytes.len()).collect();
        prop_assert!(expected == bytes, "in order, none lost, none twice");
        Ok(())
    }
}

async fn follow(
    steps: Vec<Step>,
    reader: Reader,
    writer: Writer,
    pending_writes: PendingWrites,
) -> Result<(), TestCaseError> {
    let (mut reader, mut writer) = (Some(reader), Some(writer));
    let mut model = Model { sent: 0, under_way: VecDeque::new() };
    for step in steps {
        match (step, &mut reader, &mut writer) {
            (Step::TryWrite(len), reader, Some(writer)) => {
                let bytes = piece(model.sent, len);
                match writer.try_write(&bytes) {
                    Ok(Some(n)) => model.send(&bytes[..n]),
                    Ok(None) => {}
                    Err(fault) => {
                        prop_assert_eq!(fault.code, ErrorCode::BrokenPipe);
                        prop_assert!(reader.is_none());
                    }
                }
            }
            (Step::Accept(len), _, Some(writer)) if len > PERMIT => {
                prop_assert!(!matches!(writer.accept(&vec![0; len]), Ok(true)));
            }
            (Step::Accept(len), reader, Some(writer)) => match writer.permit() {
                Ok(permit) => {
                    let bytes = piece(model.sent, len.min(permit));
                    match writer.accept(&bytes) {
                        Ok(true) => model.send(&bytes),
                        Ok(false) => prop_assert!(false, "it was permitted"),
                        Err(_) => prop_assert!(reader.is_none()),
                    }
                }
                Err(_) => prop_assert!(reader.is_none()),
            },
            (Step::Flush, reader, Some(writer)) => {
                prop_assert!(writer.try_flush().is_ok() || reader.is_none());
            }
            (Step::Read(len), Some(reader), writer) => {
                let mut buf = vec![0; len];
                match reader.try_read(&mut buf) {
                    Ok(Read::Bytes(n)) => model.receive(&buf[..n])?,
                    Ok(Read::Wait) => {}
                    Ok(Read::End) => {
                        prop_assert!(writer.is_none());
                        prop_assert!(model.under_way.is_empty());
                    }
                    Err(fault) => prop_assert!(false, "{}", fault),
                }
            }
            (Step::ReadOnto(len), Some(reader), _) => {
                let mut buf = Vec::new();
                if let Ok(Read::Bytes(n)) = reader.try_read_onto(&mut buf, len) {
                    prop_assert!(n == buf.len() && n <= len);
                    model.receive(&buf)?;
                }
            }
            (Step::DropWriter, _, _) => writer = None,
            (Step::DropReader, _, _) => reader = None,
            _ => {}
        }
    }
    // Whatever happened: once the writer is gone, the reader finds all accepted bytes, then the end
    // of file, and then the end of file again.
    drop(writer);
    if let Some(mut reader) = reader {
        loop {
            let mut buf = vec![0; 50_000];
            match reader.try_read(&mut buf) {
                Ok(Read::Bytes(n)) => model.receive(&buf[..n])?,
                Ok(Read::Wait) => reader.ready().await,
                Ok(Read::End) => break,
                Err(fault) => prop_assert!(false, "{}", fault),
            }
        }
        prop_assert!(model.under_way.is_empty(), "{} bytes lost", model.under_way.len());
        prop_assert_eq!(reader.try_read(&mut [0]), Ok(Read::End));
    }
    pending_writes.idle().await;
    Ok(())
}

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { timeout(Duration::from_secs(60), future).await };
    runtime.block_on(limited).expect("no step waits for ever")
}

/// Returns a path that no FIFO has yet.
fn a_path() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = match PIPES_ARE_FILES {
        true => dir.path().join("x"),
        false => dir.path().file_name().unwrap().into(),
    };
    (dir, path)
}

fn a_fifo() -> (tempfile::TempDir, Arc<Fifo>) {
    let (dir, path) = a_path();
    (dir, Arc::new(Fifo::prepare(&path, FifoOptions::default()).unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_anonymous_pipe_follows_the_model(steps in prop::collection::vec(step(), 0..60)) {
        in_runtime(async {
            let pipes = Pipes::builder().build();
            let (reader, writer) = pipes.create().unwrap();
            follow(steps, reader, writer, pipes.pending_writes().clone()).await
        })?;
    }

    #[test]
    fn a_fifo_follows_the_model(
        reader_first in any::<bool>(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        in_runtime(async {
            // Two guests have it.
            let (_dir, path) = a_path();
            let [mut one, mut other] = [(); 2].map(|()| {
                let fifo = Arc::new(Fifo::prepare(&path, FifoOptions::default()).unwrap());
                let grant = Grant::fifo("x".parse().unwrap(), fifo);
                Pipes::builder().grant(grant).unwrap().build()
            });
            let pending_writes = other.pending_writes().clone();
            let (reader, mut writer) = if reader_first {
                let reader = one.open_reader("x").unwrap();
                (reader, other.open_writer("x").unwrap())
            } else {
                let writer = other.open_writer("x").unwrap();
                (one.open_reader("x").unwrap(), writer)
            };
            // The model knows of no absent peers.
            while writer.permit().unwrap() == 0 {
                writer.ready().await;
            }
            follow(steps, reader, writer, pending_writes).await
        })?;
    }
}

/// Follows `steps` on two pipes, with transfers from the first to the second.
async fn follow_transfers(steps: Vec<Step>, pipes: &Pipes) -> Result<(), TestCaseError> {
    let (mut from, first) = pipes.create().unwrap();
    let (last, mut to) = pipes.create().unwrap();
    let (mut writer, mut reader) = (Some(first), Some(last));
    let mut model = Model { sent: 0, under_way: VecDeque::new() };
    for step in steps {
        match step {
            Step::TryWrite(len) | Step::Accept(len) => {
                let bytes = piece(model.sent, len);
                let written = writer.as_mut().map_or(Ok(None), |it| it.try_write(&bytes)).unwrap();
                model.send(&bytes[..written.unwrap_or(0)]);
            }
            Step::Read(len) => {
                let mut buf = vec![0; len];
                let read = reader.as_mut().map(|it| it.try_read(&mut buf));
                if let Some(Ok(Read::Bytes(n))) = read {
                    model.receive(&buf[..n])?;
                }
                prop_assert!(!matches!(read, Some(Ok(Read::End))), "its writer is there");
            }
            Step::ReadOnto(most) => match transfer(&mut from, &mut to, most) {
                Ok(Transfer::Bytes(n)) => prop_assert!(n > 0 && n <= most),
                Ok(Transfer::End) => prop_assert!(writer.is_none()),
                Ok(Transfer::NoBytes | Transfer::NoRoom) => {}
                Err(TransferFault::Writing(fault)) => {
                    prop_assert!(reader.is_none() && fault.code == ErrorCode::BrokenPipe);
                }
                Err(TransferFault::Reading(fault)) => prop_assert!(false, "{}", fault),
            },
            Step::Flush => {}
            Step::DropWriter => writer = None,
            Step::DropReader => reader = None,
        }
    }
    drop(writer);
    let Some(mut reader) = reader else {
        // No reader is left: the transfer returns the end of file, or an error if there are bytes.
        // What a dropped writer left may need the runtime to get on.
        let mut turns = 0..100_000;
        let (at_end, told) = loop {
            let at_end = from.available() == Ok(0);
            let told = transfer(&mut from, &mut to, 1);
            if !matches!(told, Ok(Transfer::NoBytes | Transfer::NoRoom)) {
                break (at_end, told);
            }
            prop_assert!(turns.next().is_some(), "it gets nowhere");
            tokio::task::yield_now().await;
        };
        let expected = match told {
            Ok(Transfer::End) => at_end,
            Err(TransferFault::Writing(_)) => true,
            _ => false,
        };
        prop_assert!(expected, "{:?}", told);
        return Ok(());
    };
    for turn in 0.. {
        prop_assert!(turn < 100_000, "it gets nowhere");
        match transfer(&mut from, &mut to, 70_000) {
            Ok(Transfer::End) => break,
            Ok(_) => {
                let mut buf = vec![0; 50_000];
                if let Ok(Read::Bytes(n)) = reader.try_read(&mut buf) {
                    model.receive(&buf[..n])?;
                }
                tokio::task::yield_now().await;
            }
            Err(fault) => prop_assert!(false, "{:?}", fault),
        }
    }
    drop(to);
    let mut rest = vec![0; 5_000_000];
    while let Ok(Read::Bytes(n)) = reader.try_read(&mut rest) {
        model.receive(&rest[..n])?;
    }
    prop_assert!(model.under_way.is_empty(), "{} bytes lost", model.under_way.len());
    prop_assert_eq!(reader.try_read(&mut [0]), Ok(Read::End));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn transfers_follow_the_model(steps in prop::collection::vec(step(), 0..80)) {
        in_runtime(async {
            let pipes = Pipes::builder().build();
            follow_transfers(steps, &pipes).await
        })?;
    }
}

/// The end of file comes before EPIPE: if there are no bytes, none are lost.
#[test]
fn a_transfer_at_the_end_needs_no_reader() {
    in_runtime(async {
        let pipes = Pipes::builder().build();
        let ((mut from, writer), (reader, mut to)) =
            (pipes.create().unwrap(), pipes.create().unwrap());
        assert_eq!(transfer(&mut from, &mut to, 1), Ok(Transfer::NoBytes));
        drop((writer, reader));
        assert_eq!(transfer(&mut from, &mut to, 1), Ok(Transfer::End));
        // With a byte left, there is one to lose.
        let ((mut from, mut writer), (reader, mut to)) =
            (pipes.create().unwrap(), pipes.create().unwrap());
        assert_eq!(writer.try_write(b"x"), Ok(Some(1)));
        drop((writer, reader));
        match transfer(&mut from, &mut to, 1) {
            Err(TransferFault::Writing(fault)) => assert_eq!(fault.code, ErrorCode::BrokenPipe),
            told => panic!("{told:?}"),
        }
    });
}

#[test]
fn ends_are_held_one_at_a_time_and_slots_are_counted() {
    in_runtime(async {
        let (_dir, fifo) = a_fifo();
        let grant = Grant::fifo("x".parse().unwrap(), fifo);
        let limits = GuestLimits { max_pipes: Some(2), ..GuestLimits::default() };
        let mut pipes = Pipes::builder().grant(grant).unwrap().limits(limits).build();
        let first = pipes.open_reader("x").unwrap();
        assert_eq!(pipes.open_reader("x").unwrap_err().code, ErrorCode::InUse);
        drop(first);
        let (first, second) = pipes.create().unwrap();
        let third = pipes.open_reader("x").unwrap();
        assert_eq!(pipes.create().unwrap_err().code, ErrorCode::LimitExceeded);
        assert_eq!(pipes.open_writer("x").unwrap_err().code, ErrorCode::LimitExceeded);
        // A pipe with one end still counts as a pipe.
        drop(first);
        assert_eq!(pipes.create().unwrap_err().code, ErrorCode::LimitExceeded);
        drop((second, third));
        pipes.create().unwrap();
    });
}

#[test]
fn an_absent_peer_is_late_at_the_deadline_and_not_before() {
    in_runtime(async {
        let (_dir, fifo) = a_fifo();
        let grant = Grant::fifo("x".parse().unwrap(), fifo);
        let limit = Duration::from_millis(50);
        let limits = GuestLimits { open_timeout: Some(limit), ..GuestLimits::default() };
        let mut pipes = Pipes::builder().grant(grant).unwrap().limits(limits).build();
        let started = Instant::now();
        let mut reader = pipes.open_reader("x").unwrap();
        assert_eq!(reader.try_read(&mut [0]), Ok(Read::Wait));
        assert!(!reader.is_ready());
        reader.ready().await;
        assert!(reader.is_ready() && started.elapsed() >= limit);
        assert_eq!(reader.try_read(&mut [0]).unwrap_err().code, ErrorCode::TimedOut);
        drop(reader);
        let mut writer = pipes.open_writer("x").unwrap();
        assert_eq!(writer.permit(), Ok(0));
        writer.ready().await;
        assert_eq!(writer.permit().unwrap_err().code, ErrorCode::TimedOut);
        let notes = pipes.journal().notes();
        assert_eq!(
            notes.iter().map(|note| note.fault.code).collect::<Vec<_>>(),
            [ErrorCode::TimedOut; 2]
        );
    });
}

/// If a writer is dropped before its reader comes, the thread that waits in open(2) ends.
#[cfg(target_os = "linux")]
#[test]
fn a_writer_that_is_given_up_leaves_no_thread() {
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        tasks.map(name).filter(|it| matches!(it, Ok(it) if it == "fifo-writer\n")).count()
    };
    in_runtime(async {
        let (_dir, fifo) = a_fifo();
        let grant = Grant::fifo("x".parse().unwrap(), fifo);
        let mut pipes = Pipes::builder().grant(grant).unwrap().build();
        for _ in 0..200 {
            drop(pipes.open_writer("x").unwrap());
        }
    });
    // Other tests of this process also wait for readers, but not many at once.
    let began = std::time::Instant::now();
    while threads() >= 10 {
        assert!(began.elapsed() < Duration::from_secs(60), "{} threads", threads());
        std::thread::sleep(Duration::from_millis(1));
    }
}
