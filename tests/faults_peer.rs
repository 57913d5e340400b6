//! Faults of peers and of the system: rows from 28 on of docs/reliability.md. Rows about time are
//! in timing.rs.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, OpenOptions};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use support::*;

#[test]
fn row_28_a_peer_that_never_comes() {
    let _dog = watchdog();
    for probe in PROBES {
        for (what, keys) in [("drain", ",r"), ("flood", ",w")] {
            let dir = Dir::new();
            let started = Instant::now();
            let mut command = run(probe, fifo("x", &dir.path("x"), keys));
            let ended = command.args(["--open-timeout", "300ms", "--", what, "x"]).end().expect(0);
            assert!(ended.stdout.ends_with("TimedOut\n"), "{ended:?}");
            assert!(started.elapsed() >= Duration::from_millis(300));
            assert!(dir.is_empty());
        }
    }
    // A guest that fails for it: the line names the pipe and the option.
    let dir = Dir::new();
    let x = dir.path("x");
    let ended = run("@cat", fifo("in", &x, "")).args(["--open-timeout", "100ms"]).end();
    ended.expect_line(124, &["`in`", "no writer", "--open-timeout 100ms"]);
    let ended = run("@upper", fifo("out", &x, ",w")).args(["--open-timeout", "100ms"]).end();
    ended.expect(0);
    let mut command = run("plain", ["--stdin", &format!("fifo:{}", x.display())]);
    let ended = command.args(["--open-timeout", "100ms", "--", "copy"]).end();
    ended.expect_line(124, &["`stdin`", "no writer"]);
}

#[test]
fn row_28_a_peer_that_is_there_but_silent_is_no_absent_peer() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        // It is there before the guest looks.
        let writer = OpenOptions::new().read(true).write(true).open(&x).unwrap();
        let mut running = run(probe, fifo("x", &x, ",r"))
            .args(["--open-timeout", "100ms", "--", "drain", "x"])
            .start();
        until("it is open", || running.has_open(&x));
        // The time passes several times over.
        let started = Instant::now();
        until("half a second passes", || {
            assert!(!running.is_over());
            started.elapsed() > Duration::from_millis(500)
        });
        drop(writer);
        assert_eq!(running.end().expect(0).stdout, "0\nok\n");
    }
}

#[test]
fn row_29_a_reader_that_leaves_early() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        let reader = sh(&format!("head -c 10 {}", x.display())).start();
        let ended = run(probe, fifo("x", &x, ",w")).args(["--", "flood", "x"]).end().expect(0);
        assert_eq!(ended.stdout, "BrokenPipe\n");
        assert_eq!(reader.end().stdout, "xxxxxxxxxx");
    }
}

#[test]
fn row_30_everything_is_read_before_the_end_of_file() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        for (writers, total) in
            [("echo -n 12345 > X", 5), ("(echo -n 123; echo -n 45) > X", 5), (": > X", 0)]
        {
            let script = writers.replace('X', x.to_str().unwrap());
            let writer = sh(&script).start();
            let ended = run(probe, fifo("x", &x, ",r")).args(["--", "drain", "x"]).end().expect(0);
            assert_eq!(ended.stdout, format!("{total}\nok\n"), "{probe}: {writers}");
            writer.end().expect(0);
        }
    }
}

#[test]
fn row_40_closed_standard_streams_are_not_reused() {
    let _dog = watchdog();
    let dir = Dir::new();
    // With 0 to 2 closed, the first FIFO or file that is opened would get such a number, and what
    // the guest prints would go into it.
    let x = dir.fifo("x");
    let reader = sh(&format!("cat {}", x.display())).start();
    let probe = guest("probe2");
    drop(reader);
    for closed in ["<&- >&- 2>&-", "<&-", ">&-", "2>&-"] {
        let reader = sh(&format!("cat {}", x.display())).start();
        let script = format!(
            "pipehost run {} --fifo x={},w -- write x only-this {closed}",
            probe.display(),
            x.display()
        );
        sh(&script).end().expect(0);
        assert_eq!(reader.end().stdout, "only-this", "{closed}");
    }
    let script = format!(
        "pipehost run {} --fifo x={},r -- drain x <&- >&- 2>&-",
        probe.display(),
        x.display()
    );
    let writer = sh(&format!("echo hi > {}", x.display())).start();
    // What it says of that has no place to go.
    sh(&script).end().expect(74);
    writer.end().expect(0);
}

#[test]
fn row_40_a_full_device_is_an_input_output_error() {
    let _dog = watchdog();
    for filter in ["@cat", "@upper", "@lines", "@tee"] {
        let script = format!("echo hello | pipehost run {filter} > /dev/full");
        sh(&script).end().expect_line(74, &["stdout", "No space left on device"]);
    }
    // The guest does not look: its own status would hide the loss.
    let script = format!("pipehost run {} -- lines 10 > /dev/full", guest("plain").display());
    sh(&script).end().expect_line(74, &["stdout", "No space left on device"]);
}

#[test]
fn row_40_shared_descriptors_keep_their_flags() {
    let _dog = watchdog();
    for how in ["ends", "KILL", "TERM"] {
        let (stdin, _feeder) = os_pipe::pipe().unwrap();
        let (_drain, stdout) = os_pipe::pipe().unwrap();
        let (_log, stderr) = os_pipe::pipe().unwrap();
        // While it runs, and after any end.
        let flags = || {
            [
                rustix::fs::fcntl_getfl(&stdin),
                rustix::fs::fcntl_getfl(&stdout),
                rustix::fs::fcntl_getfl(&stderr),
            ]
            .map(|flags| flags.unwrap().contains(OFlags::NONBLOCK))
        };
        let mut command = run("@upper", [] as [&str; 0]);
        command.stdin(stdin.try_clone().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let mut running = Running::new(&mut command);
        drop(command);
        until("it reads", || running.sleeps() && running.has_thread("signals"));
        assert_eq!(flags(), [false; 3], "while it runs");
        match how {
            "ends" => drop(_feeder),
            signal => running.signal(signal),
        }
        until("it is over", || running.is_over());
        assert_eq!(flags(), [false; 3], "after {how}");
    }
}

#[test]
fn row_40_messages_that_cannot_be_shown_are_no_panic() {
    let _dog = watchdog();
    let probe = guest("probe2");
    for stderr in ["2>/dev/full", "2>&-"] {
        sh(&format!("pipehost run -vv {} -- trap {stderr}", probe.display())).end().expect(134);
        sh(&format!("pipehost run /no/such {stderr}")).end().expect(66);
        sh(&format!("pipehost run --nonsense {stderr}")).end().expect(2);
    }
    sh("pipehost --help >/dev/full").end().expect(74);
    sh("pipehost inspect @cat >/dev/full").end().expect_line(74, &["stdout", "No space left"]);
}

#[test]
fn the_longest_times_are_for_ever() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let longest = u64::MAX.to_string();
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    let times = ["--open-timeout", &longest, "--timeout", &longest];
    let ended = run("@cat", fifo("x", &x, "")).args(times).end().expect(0);
    assert_eq!(ended.stdout, "hello\n");
    let mut command = run("@cat", ["--stdin", &format!("fifo:{}", x.display())]);
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    assert_eq!(command.args(times).end().expect(0).stdout, "hello\n");
}

/// A guest that does not look is not told. Its operator is.
#[test]
#[cfg(not(feature = "portable"))] // Pipes grow on Linux.
fn what_a_guest_leaves_behind_and_nobody_takes_is_an_error() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    // On stdout, whose reader leaves while bytes are under way.
    let script = format!(
        "pipehost run {} -- leave-behind - | (sleep 1; exit 0); exit ${{PIPESTATUS[0]}}",
        guest("probe2").display()
    );
    assert_eq!(sh(&script).end().expect(141).stderr, "");
    // On a granted pipe.
    let reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    let running = run("probe2", fifo("x", &x, ",w")).args(["--", "leave-behind", "x"]).start();
    // 17 pieces of 60,000 bytes take 15 pages each of its 256, and the next one begins in the last.
    until("the pipe is full", || rustix::io::ioctl_fionread(&reader).unwrap() > 17 * 60_000);
    until("the guest has ended", || running.sleeps());
    drop(reader);
    running.end().expect_line(74, &["`x`", "reader left"]);
    // But what it does with pipes of its own is its own business.
    run("probe2", ["--", "leave-behind-own"]).end().expect(0);
}

#[test]
fn a_handed_on_stream_stays_in_its_pipe_until_there_is_room() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let mut feeder = OpenOptions::new().read(true).write(true).open(&a).unwrap();
    std::io::Write::write_all(&mut feeder, &[7; 50_000]).unwrap();
    // Nobody reads `out`.
    let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
    let mut command = run("probe3", grants);
    let ended = command.args(["--open-timeout", "300ms", "--", "forward", "in", "out"]).end();
    ended.expect_line(124, &["`out`", "no reader"]);
    assert_eq!(rustix::io::ioctl_fionread(&feeder).unwrap(), 50_000, "none was taken");
}

#[test]
fn ignored_signals_stay_ignored() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let script = format!("trap '' HUP; exec pipehost run @cat --fifo {}", x.display());
    let running = sh(&script).start();
    until("it waits", || running.has_open(&x));
    running.signal("HUP");
    fs::write(&x, "still here").unwrap();
    assert_eq!(running.end().expect(0).stdout, "still here");
}

#[test]
fn a_silent_writer_holds_nobody_up_after_the_open_timeout() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let grants = [fifo("a", &a, ",r"), fifo("b", &b, ",r")].concat();
        let mut command = run(probe, grants);
        let both = |fifo| OpenOptions::new().read(true).write(true).open(fifo).unwrap();
        let (silent, mut talking) = (both(&a), both(&b));
        let running = command.args(["--open-timeout", "300ms", "--", "wait", "a", "b"]).start();
        until("both are open", || running.has_open(&a) && running.has_open(&b));
        let started = Instant::now();
        until("the time is over", || started.elapsed() > Duration::from_millis(600));
        std::io::Write::write_all(&mut talking, b"word").unwrap();
        until("it is read", || rustix::io::ioctl_fionread(&talking).unwrap() == 0);
        drop((talking, silent));
        let stdout = running.end().expect(0).stdout;
        assert!(stdout.starts_with("b word\n"), "{stdout}");
    }
}
