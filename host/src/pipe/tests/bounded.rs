//! Tests ends with a limited number of bytes.

use std::io::{Read as _, Write as _};

use super::super::journal::{Bounds, Journal};
use super::super::*;
use crate::limits::{Allowance, EndLimits};
use crate::sys::{Direction, End};

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

/// If only the writer is bounded, one byte too many is an error only when it is there. The byte
/// stays in its pipe.
#[tokio::test]
async fn a_writer_that_may_write_no_more_takes_nothing_from_the_reader() {
    let (from, mut feed) = os_pipe::pipe().unwrap();
    let (mut drain, to) = os_pipe::pipe().unwrap();
    let free = Journal::new();
    let mut reader = Reader::new(
        End::owned(from.into(), Direction::Read).unwrap(),
        None,
        Label::Pipe("from".into()),
        &free,
    );
    let to = End::owned(to.into(), Direction::Write).unwrap();
    let journal = journal(5);
    let mut writer =
        Writer::new(to, None, Label::Pipe("to".into()), &PendingWrites::new(), &journal);
    feed.write_all(b"123").unwrap();
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::Bytes(3)));
    feed.write_all(b"45").unwrap();
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::Bytes(2)));
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::NoBytes));
    assert!(journal.reached().limits().is_empty());
    feed.write_all(b"6").unwrap();
    let fault = TransferFault::Writing(ErrorCode::LimitExceeded.into());
    assert_eq!(transfer(&mut reader, &mut writer, 100), Err(fault));
    assert_eq!(reader.available(), Ok(1));
    assert_eq!(journal.reached().limits().len(), 1);
    // The failure has closed the writer.
    let mut all = String::new();
    drain.read_to_string(&mut all).unwrap();
    assert_eq!(all, "12345");
}

#[tokio::test]
async fn the_end_of_file_is_one_though_nothing_more_may_move() {
    let (from, mut feed) = os_pipe::pipe().unwrap();
    let (_drain, to) = os_pipe::pipe().unwrap();
    let (free, bounded) = (Journal::new(), journal(3));
    let from = End::owned(from.into(), Direction::Read).unwrap();
    let mut reader = Reader::new(from, None, Label::Pipe("from".into()), &free);
    let to = End::owned(to.into(), Direction::Write).unwrap();
    let mut writer =
        Writer::new(to, None, Label::Pipe("to".into()), &PendingWrites::new(), &bounded);
    feed.write_all(b"123").unwrap();
    drop(feed);
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::Bytes(3)));
    assert_eq!(transfer(&mut reader, &mut writer, 100), Ok(Transfer::End));
    // The permit is the full one. The next byte is then refused.
    assert_eq!(writer.permit(), Ok(PERMIT));
    assert!(bounded.reached().limits().is_empty());
    assert_eq!(writer.accept(b"x"), Err(ErrorCode::LimitExceeded.into()));
    assert_eq!(bounded.reached().limits().len(), 1);
}
