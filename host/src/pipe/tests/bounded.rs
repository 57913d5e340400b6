//! Tests ends with a limited number of bytes.

use super::super::journal::{Bounds, Journal};
use super::super::*;
use crate::limits::{Allowance, EndLimits};
use crate::sys::{self, Direction, End};

/// Returns a journal whose guest may move `max_bytes` through each end.
fn journal(max_bytes: u64) -> Journal {
    let ends = EndLimits { max_bytes: Some(max_bytes), rate: None };
    Journal::within(Bounds { ends, ..Bounds::default() })
}

#[test]
fn an_end_that_is_opened_again_or_passed_on_has_what_is_left() {
    let (journal, label) = (journal(10), Label::Pipe("x".into()));
    journal.meter(&label, Direction::Read).moved(4);
    let mut again = journal.meter(&label, Direction::Read);
    assert_eq!(again.allow(100), Allowance::Bytes(6));
    assert_eq!(journal.meter(&label, Direction::Write).allow(100), Allowance::Bytes(10));
    again.moved(3);
    let childs = journal.of_child().meter(&Label::Pipe("in".into()), Direction::Read);
    assert_eq!(childs.allow(100), Allowance::Bytes(100));
    assert_eq!(again.passed_on(childs).allow(100), Allowance::Bytes(3));
}

fn feed(end: &End, bytes: &[u8]) {
    assert_eq!(end.write(bytes).unwrap(), bytes.len());
}

/// If only the writer is bounded, one byte too many is an error only when it is there. The byte
/// stays in its pipe.
#[tokio::test]
async fn a_writer_that_may_write_no_more_takes_nothing_from_the_reader() {
    let (from, source) = sys::anonymous().unwrap();
    let (drain, to) = sys::anonymous().unwrap();
    let free = Journal::new();
    let mut reader = Reader::new(from, None, Label::Pipe("from".into()), &free);
    let journal = journal(5);
    let mut writer =
        Writer::new(to, None, Label::Pipe("to".into()), &PendingWrites::new(), &journal);
    feed(&source, b"123");
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::Bytes(3)));
    feed(&source, b"45");
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::Bytes(2)));
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::NoBytes));
    assert!(journal.reached().limits().is_empty());
    feed(&source, b"6");
    let fault = TransferFault::Writing(ErrorCode::LimitExceeded.into());
    assert_eq!(transfer(&mut reader, &mut writer, 100), Err(fault));
    assert_eq!(reader.available(), Ok(1));
    assert_eq!(journal.reached().limits().len(), 1);
    // The failure has closed the writer.
    let mut all = [0; 8];
    assert_eq!(drain.read(&mut all).unwrap(), 5);
    assert_eq!(&all[..5], b"12345");
    assert_eq!(drain.read(&mut all).unwrap(), 0);
}

#[tokio::test]
async fn the_end_of_file_is_one_though_nothing_more_may_move() {
    let (from, source) = sys::anonymous().unwrap();
    let (_drain, to) = sys::anonymous().unwrap();
    let (free, bounded) = (Journal::new(), journal(3));
    let mut reader = Reader::new(from, None, Label::Pipe("from".into()), &free);
    let mut writer =
        Writer::new(to, None, Label::Pipe("to".into()), &PendingWrites::new(), &bounded);
    feed(&source, b"123");
    drop(source);
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::Bytes(3)));
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::End));
    // The permit is the full one. The next byte is then refused.
    assert_eq!(writer.permit(), Ok(PERMIT));
    assert!(bounded.reached().limits().is_empty());
    assert_eq!(writer.accept(b"x"), Err(ErrorCode::LimitExceeded.into()));
    assert_eq!(bounded.reached().limits().len(), 1);
}

/// Splice(2) would leave the bytes for which there is no room with their reader, whose writer then waits.
#[tokio::test]
async fn a_transfer_does_not_go_past_what_is_dropped() {
    let pipes = Pipes::builder().build();
    let ((mut from, mut source), (_sink, to)) = (pipes.create().unwrap(), pipes.create().unwrap());
    let mut to = to.shedding(Excess::NoRoom);
    for _ in 0..100 {
        assert_eq!(source.try_write(&[b'x'; 60_000]), Ok(Some(60_000)));
        let mut left = 60_000;
        while left > 0 {
            match transfer(&mut from, &mut to, left) {
                Ok(Transfer::Bytes(n)) => left -= n,
                other => panic!("{other:?}"),
            }
        }
    }
}
