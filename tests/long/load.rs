//! Rows 18, 33 and 34 of docs/reliability.md: much of something, and little memory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use crate::pattern::Pattern;
use crate::support::*;
use crate::{Resident, alone, form, peak_of, watch_for};

/// How much may be resident more than at first.
const GROWTH: u64 = 1 << 20;

/// 10 GB of messages: to a reader that has left, to one that has stopped, to nobody.
#[test]
fn row_18_messages_that_nobody_reads_cost_no_memory() {
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(3600)));
    let totals = [100_000_000u64, form(1_000_000_000, 10_000_000_000)];
    for (how, status) in
        [("the reader has left", 141), ("nobody", 0), ("the reader has stopped", 143)]
    {
        let [few, many] = totals.map(|total| {
            let started = Instant::now();
            let mut command = run("plain", [] as [&str; 0]);
            if how == "nobody" {
                command.args(["--stderr", "null"]);
            }
            command.args(["--", "stderr-bytes", &total.to_string()]);
            // Nobody reads what it prints, either; that it has to see first.
            let (reader, stdout) = os_pipe::pipe().unwrap();
            drop(reader);
            let (stderr_reader, stderr) = os_pipe::pipe().unwrap();
            command.stdout(stdout).stderr(stderr);
            let mut running = Running::new(&mut command);
            drop(command);
            let peak = match how {
                "the reader has stopped" => {
                    until("the pipe is full", || {
                        rustix::io::ioctl_fionread(&stderr_reader).unwrap() >= 65536
                            && running.sleeps()
                    });
                    let mut resident = Resident::default();
                    // The more it has to say, the longer nobody reads it.
                    let pause = if total == totals[0] { 100 } else { form(1000, 60_000) };
                    watch_for(Duration::from_millis(pause), EVERY, |at| {
                        resident.look(running.pid(), at);
                    });
                    running.signal("TERM");
                    resident.most()
                }
                _ => {
                    drop(stderr_reader);
                    peak_of(&mut running)
                }
            };
            let ended = running.end();
            println!(
                "row 18: {total} bytes to stderr, {how}: {:.1} s; {} KiB resident at most",
                started.elapsed().as_secs_f64(),
                peak / 1024
            );
            assert_eq!(ended.code, Some(status), "{how}: {ended:?}");
            peak
        });
        assert!(few > 0 && many <= few + GROWTH, "{how}: {few} bytes, then {many}");
    }
}

/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(5);

/// A flood, and a reader that makes a pause: back-pressure, no memory, and no byte is lost.
#[test]
fn row_33_a_reader_that_pauses_pushes_back() {
    let _alone = alone();
    let pause = form(Duration::from_secs(1), Duration::from_secs(600));
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(3600)));
    let after: u64 = 64 << 20;
    let pattern = Arc::new(Pattern::new());
    let ways = [
        ("probe2", "flood"),
        ("probe3", "flood"),
        ("probe2", "copy"),
        ("probe3", "copy"),
        ("probe2", "forward"),
        ("probe3", "forward"),
    ];
    // All pause at the same time.
    let mut all: Vec<_> = ways
        .iter()
        .map(|(probe, way)| {
            let dir = Dir::new();
            let (a, b) = (dir.fifo("a"), dir.fifo("b"));
            let mut command = run(probe, fifo("out", &b, ",w"));
            match *way {
                "flood" => command.args(["--", "flood", "out"]),
                way => command.args(fifo("in", &a, ",r")).args(["--", way, "in", "out"]),
            };
            let running = command.start();
            let reader = File::open(&b).unwrap();
            let pattern = Arc::clone(&pattern);
            if *way != "flood" {
                // Ends with the reader's leaving.
                thread::spawn(move || {
                    pattern.write(&mut File::options().write(true).open(a).unwrap(), u64::MAX)
                });
            }
            (dir, running, reader, Resident::default())
        })
        .collect();
    for (_, running, reader, _) in &all {
        until("the pipe is full", || {
            rustix::io::ioctl_fionread(reader).unwrap() >= 65536 && running.sleeps()
        });
    }
    watch_for(pause, form(EVERY, Duration::from_millis(500)), |at| {
        for (_, running, _, resident) in &mut all {
            resident.look(running.pid(), at);
        }
    });
    for ((probe, way), (_dir, mut running, mut reader, mut resident)) in ways.iter().zip(all) {
        assert!(!running.is_over());
        let (mut seen, mut buf) = (0, vec![0; 1 << 16]);
        while seen < after {
            let n = reader.read(&mut buf).unwrap();
            let right = match *way {
                "flood" => buf[..n].iter().all(|byte| *byte == b'x'),
                _ => buf[..n] == *pattern.at(seen, n),
            };
            assert!(right && n > 0, "{probe} {way}: after {seen}");
            seen += n as u64;
            if seen % (1 << 22) < n as u64 {
                resident.look(running.pid(), pause.as_secs_f64());
            }
        }
        drop(reader);
        let ended = running.end();
        println!("row 33: {probe} {way}, paused for {} s: {resident}", pause.as_secs());
        assert!(matches!(ended.code, Some(0 | 1 | 74)), "its reader left: {ended:?}");
        assert!(resident.growth() <= GROWTH, "{probe} {way}: {resident}");
    }
}

/// The SHA-256 of what `make` writes, by sha256sum(1).
fn sum_by(make: impl FnOnce(&mut dyn Write)) -> String {
    let mut command = Command::new("sha256sum");
    let mut running = Running::new(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = running.stdin();
    make(&mut stdin);
    drop(stdin);
    running.end().stdout
}

#[test]
fn row_34_one_message_of_a_gibibyte() {
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(1200)));
    let mib = form(32u64, 1024);
    let expected = sum_by(|to| {
        let mut piece = Vec::with_capacity(1 << 20);
        for start in (0..mib << 17).step_by(1 << 17) {
            piece.clear();
            piece.extend((start..start + (1 << 17)).flat_map(u64::to_le_bytes));
            to.write_all(&piece).unwrap();
        }
    });
    for probe in PROBES {
        for relay in ["copy", "forward"] {
            let started = Instant::now();
            let dir = Dir::new();
            let (a, b) = (dir.fifo("a"), dir.fifo("b"));
            let sum = sum_of(&b);
            let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
            let relay_run = run(probe, grants).args(["--", relay, "in", "out"]).start();
            let mut command = run(probe, fifo("x", &a, ",w"));
            command.args(["--max-memory", "3G", "--", "message", "x", &mib.to_string()]);
            command.end().expect(0);
            relay_run.end().expect(0);
            assert_eq!(sum.end().stdout, expected, "{probe} {relay}");
            println!(
                "row 34: one message of {mib} MiB, {probe} {relay}: {:.1} s, SHA-256 equal",
                started.elapsed().as_secs_f64()
            );
        }
    }
}

#[test]
fn row_34_single_bytes_and_every_size_between() {
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(3600)));
    let pattern = Arc::new(Pattern::new());
    let singles = vec![1; form(20_000, 1_000_000)];
    // Beyond PIPE_BUF in the short form, beyond all buffers of our own in the long one.
    let between: Vec<usize> = (1..=form(4200, 65_537)).collect();
    for (what, sizes, most) in [("single bytes", &singles, "1"), ("every size", &between, "8209")] {
        let total: usize = sizes.iter().sum();
        let expected = sum_by(|to| {
            let mut at = 0;
            while at < total {
                let piece = pattern.at(at as u64, total - at);
                to.write_all(piece).unwrap();
                at += piece.len();
            }
        });
        for probe in PROBES {
            let started = Instant::now();
            let dir = Dir::new();
            let (a, b) = (dir.fifo("a"), dir.fifo("b"));
            let sum = sum_of(&b);
            let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
            let relay = run(probe, grants).args(["--", "sizes", "in", "out", most]).start();
            let mut to = OpenOptions::new().write(true).open(&a).unwrap();
            let mut at = 0;
            for size in sizes {
                to.write_all(pattern.at(at as u64, *size)).unwrap();
                at += size;
            }
            drop(to);
            relay.end().expect(0);
            assert_eq!(sum.end().stdout, expected, "{probe} {what}");
            println!(
                "row 34: {what}, {} writes, {total} bytes, {probe}: {:.1} s, SHA-256 equal",
                sizes.len(),
                started.elapsed().as_secs_f64()
            );
        }
    }
}

/// Ten million writes of nothing are kept nowhere, whether there is room or not.
#[test]
fn row_15_empty_writes_pile_up_nowhere() {
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(3600)));
    // Enough of them at least to be looked at while they last.
    let counts = [200_000u64, form(2_000_000, 10_000_000)];
    for probe in PROBES {
        let [few, many] = counts.map(|count| {
            let dir = Dir::new();
            let x = dir.fifo("x");
            let started = Instant::now();
            let count = count.to_string();
            let (mut command, name) = match probe {
                "probe2" => (run(probe, ["--stdout", &format!("fifo:{}", x.display())]), "-"),
                _ => (run(probe, fifo("x", &x, ",w")), "x"),
            };
            command.args(["--", "empty-writes", name, &count]);
            let mut running = Running::new(&mut command);
            let mut reader = File::open(&x).unwrap();
            let peak = peak_of(&mut running);
            running.end().expect(0);
            assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0, "nothing was written");
            println!(
                "row 15: {count} empty writes, {probe}: {:.1} s; {} KiB resident at most",
                started.elapsed().as_secs_f64(),
                peak / 1024
            );
            peak
        });
        assert!(few > 0 && many <= few + GROWTH, "{probe}: {few} bytes, then {many}");
    }
}

#[test]
fn the_pattern_is_checked_to_its_end() {
    let _dog = watchdog();
    let pattern = Arc::new(Pattern::new());
    let (reader, writer) = os_pipe::pipe().unwrap();
    let (mut reader, mut writer) = (
        File::from(std::os::fd::OwnedFd::from(reader)),
        File::from(std::os::fd::OwnedFd::from(writer)),
    );
    let other = Arc::clone(&pattern);
    let feeder = thread::spawn(move || {
        other.write(&mut writer, 3 << 20);
        writer.write_all(b"and more").unwrap();
    });
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pattern.check(&mut reader, &AtomicU64::new(0))
    }));
    assert!(checked.is_err(), "what does not belong there is seen");
    feeder.join().unwrap();
}
