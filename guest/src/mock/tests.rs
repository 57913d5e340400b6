use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use super::*;
use crate::process::Command;
use crate::records::{Lines, filter};
use crate::{forward, granted, input, open_reader, open_writer, output, pipe, wait, wait_for};

#[test]
fn a_filter_has_the_pipes_that_it_is_granted() {
    let upper = || filter(Lines, |line, out| out.put(&line.to_ascii_uppercase()));
    let out = Sink::new();
    let source = || Source::new().send("a\nb");
    Host::new().reader("in", source()).writer("out", &out).run(upper).unwrap();
    assert_eq!(out.text(), "A\nB");
    let out = Sink::new();
    Host::new().stdin(source()).stdout(&out).run(upper).unwrap();
    assert_eq!(out.text(), "A\nB");
    // The only one that may be read.
    let out = Sink::new().leaving_after(2);
    Host::new().reader("other", source()).stdout(&out).run(upper).unwrap();
    assert_eq!(out.text(), "A\n");
    assert!(granted().is_empty());
}

#[test]
fn grants_are_held_to() {
    let host = Host::new().reader("r", Source::new().send("x")).writer("w", &Sink::new());
    host.run(|| {
        assert_eq!(granted().len(), 2);
        assert_eq!(open_writer("r").unwrap_err().kind(), ErrorKind::PermissionDenied);
        let error = open_reader("w").unwrap_err().to_string();
        let told = "no pipe `w` is granted for reading; there are `r` for reading, `w` for writing";
        assert_eq!(error, told);
        assert_eq!(open_reader("../r").unwrap_err().kind(), ErrorKind::InvalidInput);
        let first = open_reader("r").unwrap();
        assert_eq!(open_reader("r").unwrap_err().kind(), ErrorKind::ResourceBusy);
        drop(first);
        let mut text = String::new();
        open_reader("r").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert_eq!(Command::new("x").spawn().unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
    assert_eq!(open_reader("r").unwrap_err().kind(), ErrorKind::PermissionDenied);
    let mut none = Vec::new();
    assert_eq!(input().unwrap().read_to_end(&mut none).unwrap(), 0);
}

#[test]
fn anonymous_pipes_are_pipes() {
    let both = pipe().unwrap();
    let (mut reader, mut writer) = (both.reader, both.writer);
    assert_eq!(reader.try_read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let bytes: Vec<u8> = (0..1_000_000u32).map(|at| at as u8).collect();
    let sent = bytes.clone();
    let writing = thread::spawn(move || writer.write_all(&sent));
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    writing.join().unwrap().unwrap();
    assert!(received == bytes);

    let both = pipe().unwrap();
    let (reader, mut writer) = (both.reader, both.writer);
    while writer.try_write(&[0; 1000]).is_ok() {}
    let writing = thread::spawn(move || writer.write(&[0]).map_err(|error| error.kind()));
    drop(reader);
    assert_eq!(writing.join().unwrap(), Err(ErrorKind::BrokenPipe));
}

#[test]
fn forwarding_and_its_ends() {
    let out = Sink::new();
    let host =
        Host::new().reader("in", Source::new().send("ab").pause().send("c")).writer("out", &out);
    let moved = host.run(|| forward(open_reader("in")?, open_writer("out")?));
    assert_eq!((moved.unwrap(), &*out.text()), (3, "abc"));
    let out = Sink::new().leaving_after(1);
    let host = Host::new().reader("in", Source::new().send("ab")).writer("out", &out);
    let moved = host.run(|| forward(open_reader("in")?, open_writer("out")?));
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::BrokenPipe);
    let host = Host::new().reader("in", Source::new().fail(ErrorKind::TimedOut)).stdout(&out);
    let read = host.run(|| io::copy(&mut input()?, &mut output()?));
    assert_eq!(read.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn several_are_waited_for() {
    let (one, other) = (pipe().unwrap(), pipe().unwrap());
    let (mut a, mut b) = (one.reader, other.reader);
    let (mut to_a, mut to_b) = (one.writer, other.writer);
    assert_eq!(wait(&mut [&mut to_a, &mut a, &mut b]), [0]);
    assert_eq!(wait_for(&mut [&mut a, &mut b], Duration::from_millis(1)), [0; 0]);
    to_b.write_all(b"x").unwrap();
    assert_eq!(wait(&mut [&mut a, &mut b]), [1]);
    drop(to_a);
    assert_eq!(wait(&mut [&mut a, &mut b]), [0, 1]);
    let writing = thread::spawn(move || {
        b.read_exact(&mut [0]).unwrap();
        assert_eq!(wait_for(&mut [&mut b], Duration::from_secs(60)), [0]);
    });
    drop(to_b);
    writing.join().unwrap();
}

#[test]
#[should_panic(expected = "the peer waits for")]
fn a_guest_that_does_not_answer_is_found() {
    let out = Sink::new();
    let source = Source::new().send("question\n").expect(&out, "answer\n").send("next\n");
    let _ = Host::new().stdin(source).stdout(&out).run(|| filter(Lines, |_, _| Ok(())));
}
