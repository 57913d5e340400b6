use std::io::{self, ErrorKind, Write};

use proptest::prelude::*;

use super::*;
use crate::mock::{Sink, Source};

/// What was read: records, and the texts of errors.
fn all<F: Framing>(
    framing: F,
    bytes: &[u8],
    sizes: &[usize],
    bound: usize,
) -> Vec<Result<Vec<u8>, String>> {
    let source = Source::new().send_in_pieces(bytes, sizes);
    let mut reader = RecordReader::new(source, framing).bound(bound);
    let mut found = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(record)) => found.push(Ok(record.to_vec())),
            Ok(None) => return found,
            Err(error) => found.push(Err(error.to_string())),
        }
    }
}

fn whole<F: Framing>(framing: F, bytes: &[u8]) -> Vec<Result<Vec<u8>, String>> {
    all(framing, bytes, &[bytes.len().max(1)], BOUND)
}

fn texts<F: Framing>(framing: F, text: &str) -> Vec<String> {
    let records = whole(framing, text.as_bytes()).into_iter();
    records.map(|it| it.map_or_else(|error| error, |it| String::from_utf8(it).unwrap())).collect()
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![Just(1), 1..8usize, 1..200usize], 1..8)
}

/// Bytes that mean something to some framing.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "\n",
        "\r\n",
        "\0",
        "\0\0\0\x02",
        "\0\0\0",
        "a",
        "some text",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        " ",
        "12",
        "true",
        "\u{1e}",
        "{\"a\":[1,\"}\"]}",
        "Content-Length: 3\r\n\r\nabc",
        "content-length:1\n\n",
        "Content-Length: ",
        "X: y\r\n",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn reads_make_no_difference(bytes in soup(), sizes in sizes(), bound in 0..40usize) {
        let one = [bytes.len().max(1)];
        macro_rules! same {
            ($($framing:expr),*) => {$(
                prop_assert_eq!(all($framing, &bytes, &sizes, bound), all($framing, &bytes, &one, bound));
            )*};
        }
        same!(Lines, Nul, LengthPrefixed::default(), Json::default(), ContentLength::default());
    }

    #[test]
    fn lines_are_what_is_between_newlines(bytes in soup(), sizes in sizes()) {
        let mut lines: Vec<_> = bytes.split(|&byte| byte == b'\n').map(|it| Ok(it.to_vec())).collect();
        if lines.last() == Some(&Ok(Vec::new())) {
            lines.pop();
        }
        prop_assert_eq!(all(Lines, &bytes, &sizes, BOUND), lines);
    }

    #[test]
    fn what_is_put_is_found(records: Vec<Vec<u8>>, sizes in sizes()) {
        macro_rules! found {
            ($($framing:expr),*) => {$(
                let mut bytes = Vec::new();
                for record in &records {
                    $framing.put(record, &mut bytes).unwrap();
                }
                let expected: Vec<_> = records.iter().cloned().map(Ok).collect();
                prop_assert_eq!(all($framing, &bytes, &sizes, BOUND), expected);
            )*};
        }
        found!(LengthPrefixed::default(), ContentLength::default());
    }

    #[test]
    fn a_filter_that_changes_nothing_changes_no_byte(bytes in soup(), sizes in sizes()) {
        let sink = Sink::new().taking(3);
        let source = || Source::new().send_in_pieces(&bytes, &sizes);
        Filter::between(source(), sink.clone()).records(Lines, |line, out| out.put(line)).unwrap();
        prop_assert_eq!(&sink.written(), &bytes);
        let sink = Sink::new();
        Filter::between(source(), sink.clone()).records(Nul, |it, out| out.put(it)).unwrap();
        prop_assert_eq!(&sink.written(), &bytes);
        let sink = Sink::new();
        Filter::between(source(), sink.clone()).records(Bytes, |it, out| out.put(it)).unwrap();
        prop_assert_eq!(&sink.written(), &bytes);
        let sink = Sink::new();
        let last = bytes.last().copied();
        Filter::between(source(), sink.clone())
            .pieces(|bytes, is_last, out| {
                let taken = if is_last { bytes.len() } else { bytes.len() / 2 };
                out.put(&bytes[..taken])?;
                Ok(taken)
            })
            .unwrap();
        prop_assert_eq!(sink.written().last().copied(), last);
        prop_assert_eq!(&sink.written(), &bytes);
    }

    #[test]
    fn memory_is_bounded(bytes: Vec<u8>, sizes in sizes(), bound in 0..100usize) {
        // Lines without an end.
        let many = bytes.iter().filter(|&&byte| byte != b'\n').copied().cycle();
        let long: Vec<u8> = if bytes.iter().any(|&byte| byte != b'\n') {
            many.take(300_000).collect()
        } else {
            vec![b'x'; 300_000]
        };
        let source = Source::new().send_in_pieces(&long, &[sizes[0] * 100]).send("\nshort\n");
        let mut reader = RecordReader::new(source, Lines).bound(bound);
        prop_assert!(reader.next().is_err());
        prop_assert!(reader.skip().is_ok());
        prop_assert!(reader.capacity() <= 128 * 1024 + 2 * bound, "{}", reader.capacity());
        match bound {
            0..5 => prop_assert!(reader.next().is_err()),
            _ => prop_assert_eq!(reader.next().unwrap(), Some(&b"short"[..])),
        }
    }
}

#[test]
fn json_values() {
    assert_eq!(
        texts(Json::default(), " {\"a\": \"}\\\"\"}[1,[2]]\n3 true\u{1e}\"x\" \n"),
        ["{\"a\": \"}\\\"\"}", "[1,[2]]", "3", "true", "\"x\""]
    );
    assert_eq!(texts(Json::default(), " \n\t"), [""; 0]);
    assert_eq!(
        texts(Json::default(), "1 {\"a\""),
        ["1", "record 2, at byte 2, is cut off by the end of the input"]
    );
    assert_eq!(texts(Json::default(), "}{}"), ["}", "{}"]);
}

#[test]
fn headers() {
    let messages = "Content-Length: 2\r\nContent-Type: x\r\n\r\n{}content-length:0\n\n";
    assert_eq!(texts(ContentLength::default(), messages), ["{}", ""]);
    for (header, why) in [
        ("X: 1\r\n\r\n", "has a header without Content-Length"),
        ("\r\n", "has a header without Content-Length"),
        ("Content-Length: -1\r\n\r\n", "has a Content-Length that is not a number"),
        ("Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "has two headers Content-Length"),
        ("{\"a\":1}\n{}\n\n", "has a header with the line \"{}\""),
        ("Content-Length: 5\r\n\r\nab", "is cut off by the end of the input"),
        ("Content-Length: 99999999999999999999999\r\n\r\nab", "is longer than 1048576 bytes"),
    ] {
        assert_eq!(
            texts(ContentLength::default(), header),
            [format!("record 1, at byte 0, {why}")],
            "{header}"
        );
    }
    let endless = format!("X: {}\r\n\r\n", "y".repeat(10_000));
    assert_eq!(
        texts(ContentLength::default(), &endless),
        ["record 1, at byte 0, has a header of more than 8192 bytes"]
    );
}

#[test]
fn a_length_that_is_too_long_is_refused_before_its_content() {
    let source = Source::new().send(b"\xff\xff\xff\xffab").fail(ErrorKind::Other);
    let mut reader = RecordReader::new(source, LengthPrefixed::default());
    let error = reader.next().unwrap_err();
    assert_eq!(error.to_string(), "record 1, at byte 0, is longer than 1048576 bytes");
    assert_eq!(
        texts(LengthPrefixed::default(), "\0\0\0\x01a\0\0"),
        ["a", "record 2, at byte 5, is cut off by the end of the input"]
    );
}

#[test]
fn answers_come_before_the_next_question_is_waited_for() {
    let sink = Sink::new();
    let source = Source::new()
        .send("a\nb\nc")
        .expect(&sink, "a\nb\n")
        .send("d\n")
        .expect(&sink, "cd\n")
        .expect(&sink, "");
    Filter::between(source, sink.clone()).records(Lines, |line, out| out.put(line)).unwrap();
    assert_eq!(sink.flushed(), b"a\nb\ncd\n");
}

#[test]
fn answers_come_before_an_error() {
    let sink = Sink::new();
    let error = Filter::between(&b"a\nb\nlonger\nc\n"[..], sink.clone())
        .bound(3)
        .records(Lines, |line, out| out.put(line))
        .unwrap_err();
    assert_eq!(error.to_string(), "record 3, at byte 4, is longer than 3 bytes");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(sink.flushed(), b"a\nb\n");

    let sink = Sink::new();
    let error = Filter::between(&b"a\nb\n"[..], sink.clone())
        .records(Lines, |line, out| match line {
            b"b" => Err(io::Error::other("no b")),
            _ => out.put(line),
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "no b");
    assert_eq!(sink.flushed(), b"a\n");
}

#[test]
fn a_reader_that_goes_is_success() {
    let endless = "line\n".repeat(100_000);
    let sink = Sink::new().leaving_after(7);
    let mut seen = 0;
    Filter::between(endless.as_bytes(), sink.clone())
        .records(Lines, |line, out| {
            seen += 1;
            out.put(line)
        })
        .unwrap();
    assert_eq!(sink.text(), "line\nli");
    assert!(seen < 20_000, "{seen}");
    // Not if the function fails for a reason of its own.
    let sink = Sink::new().leaving_after(0);
    let failed = Filter::between(&b"a\n"[..], sink).records(Lines, |line, out| {
        out.put(line)?;
        Err(io::Error::other("of its own"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "of its own");
    // Nor if it is the function's own pipe that is broken.
    let failed = Filter::between(&b"a\n"[..], Sink::new())
        .records(Lines, |_, _| Err(ErrorKind::BrokenPipe.into()));
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn other_errors_are_passed_on() {
    let source = Source::new().send("a\n").fail(ErrorKind::Interrupted).fail(ErrorKind::TimedOut);
    let sink = Sink::new();
    let failed = Filter::between(source, sink.clone()).records(Lines, |line, out| out.put(line));
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(sink.flushed(), b"a\n");
}

#[test]
fn a_filter_stops_when_it_has_enough() {
    let source = Source::new().send("a\nb\n").fail(ErrorKind::Other);
    let sink = Sink::new();
    Filter::between(source, sink.clone())
        .records(Lines, |line, out| {
            out.stop();
            out.put(line)
        })
        .unwrap();
    assert_eq!(sink.flushed(), b"a\n");
}

#[test]
fn the_last_line_keeps_its_form() {
    let twice = |input: &[u8]| {
        let mut out = Vec::new();
        Filter::between(input, &mut out)
            .records(Lines, |line, out| {
                out.put(line)?;
                out.put(line)
            })
            .unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(twice(b"a\nb"), "a\na\nb\nb");
    assert_eq!(twice(b"a\nb\n"), "a\na\nb\nb\n");
    let mut out = Vec::new();
    Filter::between(&b"a"[..], &mut out)
        .records(Lines, |line, out| {
            out.put(line)?;
            writeln!(out, "more")
        })
        .unwrap();
    assert_eq!(out, b"a\nmore\n");
}

#[test]
fn what_a_function_leaves_is_bounded() {
    let error = Filter::between(&[b'x'; 100_000][..], io::sink())
        .bound(1000)
        .pieces(|_, _, _| Ok(0))
        .unwrap_err();
    assert_eq!(error.to_string(), "record 1, at byte 0, is longer than 1000 bytes");
}

#[test]
fn what_a_function_leaves_at_the_end_is_cut_off() {
    let error = Filter::between(&b"abc"[..], io::sink())
        .pieces(|bytes, _, _| Ok(bytes.len() / 2 * 2))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(error.to_string(), "record 1, at byte 2, is cut off by the end of the input");
    // Unless it has enough.
    let stop = |bytes: &[u8], _, out: &mut RecordWriter<_, Bytes>| {
        out.stop();
        Ok(bytes.len() - 1)
    };
    Filter::between(&b"abc"[..], io::sink()).pieces(stop).unwrap();
}

#[test]
fn a_record_with_its_delimiter_in_it_is_not_written() {
    let mut out = Vec::new();
    let mut lines = RecordWriter::new(&mut out, Lines);
    lines.put(b"a\0b").unwrap();
    let error = lines.put(b"a\nb").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "record 2, at byte 0, has a newline in it, which would end it");
    drop(lines);
    assert_eq!(out, b"a\0b\n");
    let mut out = Vec::new();
    let mut paths = RecordWriter::new(&mut out, Nul);
    paths.put(b"a\nb").unwrap();
    assert!(paths.put(b"a\0b").unwrap_err().to_string().contains("zero byte"));
    drop(paths);
    assert_eq!(out, b"a\nb\0");
}

#[cfg(feature = "json")]
#[test]
fn values_of_a_type() {
    let sink = Sink::new();
    let error = Filter::between(&b"1 2\n\"x\" 3"[..], sink.clone())
        .json(|number: u32, out| out.put_json(&(number + 1)))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "record 3, at byte 4, is not what it should be: invalid type: string \"x\", expected u32 at line 1 column 3"
    );
    assert_eq!(sink.text(), "2\n3\n");
}
