//! Readiness, time limits and limits of use.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::support::*;

#[test]
fn a_peer_that_never_comes() {
    let _dog = watchdog();
    for probe in PROBES {
        for (what, keys) in [("drain", ",r"), ("flood", ",w")] {
            let started = Instant::now();
            let ended = run(probe, ["--fifo", &format!("x={}{keys}", path(&name()))])
                .args(["--open-timeout", "300ms", "--", what, "x"])
                .end()
                .expect(0);
            assert!(ended.stdout.ends_with("TimedOut\n"), "{probe} {what}: {ended:?}");
            assert!(started.elapsed() >= Duration::from_millis(300));
        }
    }
}

#[test]
fn a_guest_that_fails_for_it() {
    let _dog = watchdog();
    let ended =
        run("@cat", ["--fifo", &format!("in={},r", path(&name())), "--open-timeout", "100ms"])
            .end();
    ended.expect_line(124, &["`in`", "no writer", "--open-timeout 100ms"]);
}

#[test]
fn the_time_limit_ends_a_guest_that_waits() {
    let _dog = watchdog();
    for probe in PROBES {
        let started = Instant::now();
        let ended = run(probe, ["--fifo", &format!("x={},r", path(&name())), "--timeout", "500ms"])
            .args(["--", "drain", "x"])
            .end();
        ended.expect_line(124, &["--timeout 500ms"]);
        assert!(started.elapsed() >= Duration::from_millis(500));
    }
}

#[test]
fn the_time_limit_ends_a_guest_that_computes() {
    let _dog = watchdog();
    for probe in PROBES {
        run(probe, ["--timeout", "500ms", "--", "spin"]).end().expect_line(124, &["--timeout"]);
    }
}

/// Whichever of several pipes has bytes wakes the guest.
#[test]
fn several_pipes_are_waited_for() {
    let _dog = watchdog();
    for probe in PROBES {
        let (a, b) = (name(), name());
        let running = run(probe, ["--fifo", &format!("a={},r", path(&a))])
            .args(["--fifo", &format!("b={},r", path(&b)), "--", "wait", "a", "b"])
            .start();
        let (mut to_a, mut to_b) = (writer_of(&a), writer_of(&b));
        to_b.write_all(b"second").unwrap();
        drop(to_b);
        to_a.write_all(b"first").unwrap();
        drop(to_a);
        let said = running.end().expect(0).stdout;
        let mut lines: Vec<_> = said.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["a end", "a first", "b end", "b second"], "{probe}");
    }
}

#[test]
fn nothing_yet_is_not_the_end() {
    let _dog = watchdog();
    let name = name();
    let running =
        run("probe2", ["--fifo", &format!("x={},r", path(&name))]).args(["--", "try", "x"]).start();
    assert_eq!(running.end().expect(0).stdout, "WouldBlock\n");
}

#[test]
fn the_number_of_pipes_is_limited() {
    let _dog = watchdog();
    for probe in PROBES {
        let ended = run(probe, ["--max-pipes", "3", "--", "many", "5"]).end().expect(0);
        assert!(ended.stdout.starts_with("3 then "), "{probe}: {ended:?}");
    }
}

#[test]
fn the_number_of_bytes_is_limited() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running =
            run(probe, ["--fifo", &format!("x={},w", path(&name)), "--max-bytes", "1000"])
                .args(["--", "flood", "x"])
                .start();
        let (length, _) = sum(reader_of(&name));
        assert_eq!(length, 1000, "{probe}");
        let ended = running.end();
        assert!(ended.stderr.contains("--max-bytes"), "{probe}: {ended:?}");
    }
}

#[test]
fn silence_is_limited() {
    let _dog = watchdog();
    let name = name();
    let running = run("@cat", ["--fifo", &format!("in={},r", path(&name))])
        .args(["--idle-timeout", "5s"])
        .start();
    let _client = writer_of(&name);
    running.end().expect_line(124, &["--idle-timeout"]);
}

#[test]
fn a_guest_has_no_more_memory_than_it_may_have() {
    let _dog = watchdog();
    let ended = run("plain", ["--max-memory", "16M", "--", "grow", "64"]).end().expect(0);
    assert!(ended.stdout.starts_with("refused after "), "{ended:?}");
}
