//! The limits that an operator sets: each in every state, in both versions of WASI, and while bytes
//! are handed on unread.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use support::*;

/// Returns a lock, which the test that measures time holds.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a command that copies `a` to `b` in the given way: by reads and writes, or unread.
fn copying(probe: &str, how: &str, a: &Path, b: &Path) -> Command {
    let mut command = run(probe, fifo("a", a, ",r"));
    command.args(fifo("b", b, ",w")).args(["--", how, "a", "b"]);
    command
}

fn with_options(command: Command, options: &[&str]) -> Command {
    let mut changed = pipehost(["run"]);
    // What `pipehost` above put before the arguments is in `changed` already.
    let args: Vec<_> = command.get_args().skip_while(|arg| *arg != "run").skip(1).collect();
    changed.args(options).args(args);
    changed
}

/// Starts `head -c BYTES /dev/zero > FIFO`, which may meet EPIPE.
fn zeros_into(bytes: u64, fifo: &Path) -> Running {
    sh(&format!("exec head -c {bytes} /dev/zero > {}", fifo.display())).start()
}

fn count_of(fifo: &Path) -> Running {
    sh(&format!("exec wc -c < {}", fifo.display())).start()
}

/// Returns the most memory that `running` had resident, in KiB, once it has ended.
fn memory_of(mut running: Running) -> (u64, Ended) {
    let status = format!("/proc/{}/status", running.pid());
    let mut most = 0;
    until("it ends", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = peak.unwrap_or(most);
        running.is_over()
    });
    (most, running.end())
}

#[test]
fn exactly_the_bytes_are_written() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    for probe in PROBES {
        // No multiple of what it writes at once; less than it writes at once.
        for bytes in ["100001", "20"] {
            let counted = count_of(&x);
            let grant = [&fifo("x", &x, ",w")[..], &["--max-bytes".into(), bytes.into()]].concat();
            let ended = run(probe, grant).args(["--", "flood", "x"]).end();
            let limit = format!("--max-bytes {bytes} of `x` (writing)");
            let ended = ended.expect_line(0, &[&limit, "give it more"]);
            assert_eq!(ended.stdout, "QuotaExceeded\n", "{probe}");
            assert_eq!(counted.end().stdout.trim(), bytes, "{probe}");
        }
        // Nothing at all, and less than it takes to say so: its own stdout is bounded, too.
        for bytes in ["0", "10"] {
            let counted = count_of(&x);
            let grant = [&fifo("x", &x, ",w")[..], &["--max-bytes".into(), bytes.into()]].concat();
            let ended = run(probe, grant).args(["--", "flood", "x"]).end();
            let limit = format!("--max-bytes {bytes} of `x` (writing)");
            assert!(ended.stderr.contains(&limit), "{probe}: {ended:?}");
            assert!("QuotaExceeded\n".starts_with(&ended.stdout), "{probe}: {ended:?}");
            assert_eq!(counted.end().stdout.trim(), bytes, "{probe}");
        }
    }
}

#[test]
fn exactly_the_bytes_are_read_and_an_end_in_that_place_is_one() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    for probe in PROBES {
        let drain = || {
            let mut command = run(probe, fifo("x", &x, ",r"));
            command.args(["--max-bytes", "100001", "--", "drain", "x"]);
            command
        };
        let writer = zeros_into(100_002, &x);
        let ended = drain().end().expect_line(0, &["--max-bytes 100001 of `x` (reading)"]);
        assert_eq!(ended.stdout, "100001\nQuotaExceeded\n", "{probe}");
        drop(writer);
        let writer = zeros_into(100_001, &x);
        let ended = drain().end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("100001\nok\n", ""), "{probe}");
        writer.end().expect(0);
        // The end comes later than the last byte: until then it waits, and costs nothing.
        let mut writer = OpenOptions::new().read(true).write(true).open(&x).unwrap();
        let running = drain().start();
        until("it reads", || running.has_open(&x));
        for _ in 0..3 {
            writer.write_all(&[1; 33_333]).unwrap();
        }
        writer.write_all(&[1; 2]).unwrap();
        until("it has read", || rustix::io::ioctl_fionread(&writer).unwrap() == 0);
        until("it sleeps", || running.sleeps());
        let before = running.cpu_time();
        thread::sleep(Duration::from_millis(300));
        let burnt = running.cpu_time().saturating_sub(before);
        assert!(burnt < Duration::from_millis(50), "{burnt:?}");
        drop(writer);
        assert_eq!(running.end().expect(0).stdout, "100001\nok\n", "{probe}");
    }
}

#[test]
fn exactly_the_bytes_are_handed_on() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    for probe in PROBES {
        for how in ["forward", "copy"] {
            let (writer, counted) = (zeros_into(3_000_000, &a), count_of(&b));
            let command = copying(probe, how, &a, &b);
            let ended = with_options(command, &["--max-bytes", "1000001"]).end();
            // Its own status: it was told, and this is what it made of that.
            ended.expect_line(1, &["--max-bytes 1000001 of `a` (reading)"]);
            assert_eq!(counted.end().stdout.trim(), "1000001", "{probe} {how}");
            drop(writer);
            // As much as may be is no failure.
            let (writer, counted) = (zeros_into(1_000_001, &a), count_of(&b));
            let command = copying(probe, how, &a, &b);
            let ended = with_options(command, &["--max-bytes", "1000001"]).end().expect(0);
            assert_eq!(ended.stderr, "", "{probe} {how}");
            assert_eq!(counted.end().stdout.trim(), "1000001", "{probe} {how}");
            writer.end().expect(0);
        }
    }
}

/// A socket is neither a pipe nor a file: its end of file may come in place of one byte too many.
#[test]
fn the_end_of_a_socket_is_one_where_nothing_more_may_be_read() {
    let _dog = watchdog();
    for (most, status) in [("5", 0), ("6", 0), ("4", 134)] {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut command = run("@cat", ["--max-bytes", most]);
        command.stdin(std::os::fd::OwnedFd::from(theirs));
        let running = command.start();
        drop(command);
        (&ours).write_all(b"hello").unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let ended = running.end();
        assert_eq!(ended.code, Some(status), "{most}: {ended:?}");
        assert_eq!(ended.stderr.contains("--max-bytes 4 of `stdin`"), most == "4", "{ended:?}");
    }
    run("@cat", ["--stdin", "null", "--max-bytes", "0"]).end().expect(0);
}

#[test]
fn standard_streams_are_counted_whatever_they_are() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file("copy.wat", COPY_MODULE);
    let big = big_file().display();
    // A file, and a pipe of the shell's.
    let script = format!("pipehost run {} --max-bytes 100000 < {big} | wc -c", module.display());
    let ended = sh(&format!("set -o pipefail; {script}")).end();
    let ended = ended.expect_line(4, &["--max-bytes 100000 of `stdin` (reading)"]);
    assert_eq!(ended.stdout.trim(), "100000");
    let out = dir.path("out");
    let script = format!("pipehost run @cat --max-bytes 5 < {big} > {}", out.display());
    let ended = sh(&script).end();
    assert!(ended.stderr.contains("--max-bytes 5 of `stdin`"), "{ended:?}");
    assert_eq!(fs::read(out).unwrap().len(), 5);
    // What a guest says.
    for probe in PROBES {
        let ended = run(probe, ["--max-bytes", "3", "--", "list", "more"]).end();
        // It panics at once, and may say three bytes of that.
        assert!(ended.stderr.contains("--max-bytes 3 of `stderr` (writing)"), "{ended:?}");
        assert_eq!(ended.code, Some(134), "{ended:?}");
    }
}

#[test]
fn a_bounded_end_is_bounded_in_a_childs_hands_too() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    for (family, probe) in [("family2", "probe2"), ("family3", "probe3")] {
        let child = format!("c={}", guest(probe).display());
        let (writer, counted) = (zeros_into(200_000, &a), count_of(&b));
        let mut command = run(family, ["--max-bytes", "100000", "--child", &child]);
        command.args(fifo("a", &a, ",r")).args(fifo("b", &b, ",w"));
        let ended = command.args(["--", "give", "c", "a", "b", "forward", "in", "out"]).end();
        let ended = ended.expect_line(0, &["--max-bytes 100000 of `a` (reading)"]);
        assert!(ended.stdout.starts_with("exit status: 1"), "{ended:?}");
        assert_eq!(counted.end().stdout.trim(), "100000");
        drop(writer);
        // Nobody would count what a command moves.
        let mut command =
            run(family, ["--max-bytes", "100000", "--exec", "c=cat", "--", "run", "c"]);
        let ended = command.end();
        ended.expect_line(1, &["child `c`", "`stdin`", "--max-bytes"]);
    }
}

/// Reads as fast as it can, and returns how long `bytes` took from the first byte on.
fn time_of(fifo: &Path, bytes: usize) -> thread::JoinHandle<Duration> {
    let fifo = fifo.to_owned();
    thread::spawn(move || {
        let mut file = File::open(fifo).unwrap();
        let mut buf = vec![0; 1 << 20];
        let (mut total, mut first) = (file.read(&mut buf).unwrap(), None);
        while total < bytes {
            let first = first.get_or_insert_with(Instant::now);
            let n = file.read(&mut buf).unwrap();
            assert!(n > 0, "the end after {total} bytes, {:?}", first.elapsed());
            total += n;
        }
        first.map_or(Duration::ZERO, |first| first.elapsed())
    })
}

#[track_caller]
fn assert_rate(took: Duration, bytes: usize, rate: usize, what: &str) {
    let ratio = bytes as f64 / rate as f64 / took.as_secs_f64();
    // Never faster. Slower is also what a busy machine makes it.
    // So is faster, if this thread was late to look at the clock.
    let (least, most) = if SOON < Duration::from_secs(1) { (0.95, 1.05) } else { (0.3, 1.5) };
    assert!((least..most).contains(&ratio), "{what}: {ratio:.3} of the rate, {took:?}");
}

#[test]
fn the_rate_is_kept_to_five_percent() {
    const RATE: usize = 1 << 20;
    let (_alone, _dog) = (alone(), watchdog());
    let dir = Dir::new();
    let bytes = 3 * RATE;
    for probe in PROBES {
        // Pipes of its own for each: what one leaves in its pipe is there until the last who had it open has died.
        let fifos = |how: &str| ["a", "b"].map(|name| dir.fifo(&format!("{probe}-{how}-{name}")));
        let [_, b] = fifos("writes");
        let reader = time_of(&b, bytes);
        let mut command = run(probe, fifo("b", &b, ",w"));
        let running = command.args(["--rate", "1M", "--", "flood", "b"]).start();
        assert_rate(reader.join().unwrap(), bytes, RATE, &format!("{probe} writes"));
        // Three seconds of waiting.
        let cpu = running.cpu_time();
        assert!(cpu < Duration::from_millis(700), "{cpu:?}");
        drop(running);
        for how in ["forward", "copy"] {
            let [a, b] = fifos(how);
            let (writer, reader) = (zeros_into(1 << 30, &a), time_of(&b, bytes));
            let mut command = with_options(copying(probe, how, &a, &b), &["--rate", "1M"]);
            let running = command.start();
            assert_rate(reader.join().unwrap(), bytes, RATE, &format!("{probe} {how}"));
            drop((running, writer));
        }
        // Reading: from the guest's start to its end.
        let [a, _] = fifos("reads");
        let writer = zeros_into(bytes as u64, &a);
        let mut command = run(probe, fifo("a", &a, ",r"));
        let running = command.args(["--rate", "1M", "--", "drain", "a"]).start();
        until("it reads", || running.has_open(&a));
        let started = Instant::now();
        assert_eq!(running.end().expect(0).stdout, format!("{bytes}\nok\n"));
        assert_rate(started.elapsed(), bytes, RATE, &format!("{probe} reads"));
        writer.end().expect(0);
    }
}

#[test]
fn what_the_rate_keeps_waiting_is_ended_at_once() {
    let (_alone, _dog) = (alone(), watchdog());
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    for probe in PROBES {
        for how in ["forward", "copy"] {
            let (_writer, _reader) = (zeros_into(1 << 30, &a), count_of(&b));
            let started = Instant::now();
            let mut command =
                with_options(copying(probe, how, &a, &b), &["--rate", "1", "--timeout", "1s"]);
            command.end().expect_line(124, &["--timeout 1s"]);
            let late = started.elapsed().saturating_sub(Duration::from_secs(1));
            assert!(late < SOON, "{probe} {how}: {late:?}");
        }
        let _reader = count_of(&b);
        let mut command = run(probe, fifo("b", &b, ",w"));
        let running = command.args(["--rate", "1", "--", "flood", "b"]).start();
        until("it writes", || running.has_thread("fifo-writer") || running.has_open(&b));
        until("it sleeps", || running.sleeps());
        let before = running.cpu_time();
        thread::sleep(Duration::from_millis(500));
        let burnt = running.cpu_time().saturating_sub(before);
        assert!(burnt < Duration::from_millis(50), "{burnt:?}");
        let asked = Instant::now();
        running.signal("TERM");
        running.end().expect(143);
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
}

const SILENCE: Duration = Duration::from_secs(2);

/// Expects that silence ends `running`. The silence begins now at the latest.
#[track_caller]
fn ends_by_silence(running: Running, since: Instant, what: &str) {
    running.end().expect_line(124, &["--idle-timeout 2s", "nothing moved"]);
    let late = since.elapsed().saturating_sub(SILENCE);
    assert!(late < SOON, "{what}: {late:?}");
}

#[test]
fn silence_ends_every_state() {
    let (_alone, _dog) = (alone(), watchdog());
    let dir = Dir::new();
    let x = dir.fifo("x");
    for (probe, family) in [("probe2", "family2"), ("probe3", "family3")] {
        let idle = ["--idle-timeout", "2s"];
        let states: [(&str, &str, Vec<String>, &[&str]); 4] = [
            ("waits for a writer", probe, fifo("x", &x, ",r").into(), &["drain", "x"]),
            ("waits for a reader", probe, fifo("x", &x, ",w").into(), &["flood", "x"]),
            ("computes", probe, vec![], &["spin"]),
            (
                "waits for a child",
                family,
                vec!["--exec".into(), "s=sleep 100".into(), "--stdin".into(), "null".into()],
                &["run", "s"],
            ),
        ];
        for (what, guest, options, args) in states {
            let started = Instant::now();
            let running = run(guest, &options).args(idle).arg("--").args(args).start();
            running.end().expect_line(124, &["--idle-timeout 2s", "nothing moved"]);
            let late = started.elapsed().saturating_sub(SILENCE);
            // The guest's start counts here, too.
            assert!(late < 2 * SOON, "{guest} {what}: {late:?}");
        }
        // A read and a splice, after bytes that came one by one, each within its time.
        let b = dir.fifo(&format!("b{probe}"));
        for how in ["forward", "copy"] {
            let mut writer = OpenOptions::new().read(true).write(true).open(&x).unwrap();
            let mut reader = OpenOptions::new().read(true).write(true).open(&b).unwrap();
            let running = with_options(copying(probe, how, &x, &b), &idle).start();
            until("it has both", || running.has_open(&x) && running.has_open(&b));
            let mut moved = Instant::now();
            for _ in 0..10 {
                writer.write_all(b"x").unwrap();
                reader.read_exact(&mut [0]).unwrap();
                moved = Instant::now();
                thread::sleep(SILENCE / 8);
            }
            ends_by_silence(running, moved, &format!("{probe} {how}"));
        }
        // A write, once the pipe is full.
        let reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
        let mut command = run(probe, fifo("x", &x, ",w"));
        let mut running = command.args(idle).args(["--", "flood", "x"]).start();
        let mut full = (0, Instant::now());
        until("it ends", || {
            let held = rustix::io::ioctl_fionread(&reader).unwrap();
            if held != full.0 {
                full = (held, Instant::now());
            }
            running.is_over()
        });
        assert!(full.0 > 4096);
        ends_by_silence(running, full.1, &format!("{probe} writes"));
    }
}

#[test]
fn a_pipeline_is_silent_when_all_of_its_guests_are() {
    let (_alone, _dog) = (alone(), watchdog());
    let dir = Dir::new();
    let x = dir.fifo("x");
    let mut writer = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    let script = "pipehost pipe --idle-timeout 2s --stdin";
    let script = format!("{script} {} -- @cat ! @cat ! exec cat", x.display());
    let script = script.replace("--stdin ", "--stdin fifo:");
    let running = sh(&script).start();
    let started = Instant::now();
    while started.elapsed() < 2 * SILENCE {
        writer.write_all(b"x").unwrap();
        thread::sleep(SILENCE / 4);
    }
    let last = Instant::now();
    let ended = running.end().expect_line(124, &["--idle-timeout 2s"]);
    assert!(last.elapsed() < SILENCE + SOON, "{:?}", last.elapsed());
    assert!(ended.stdout.starts_with("xxxx"), "{ended:?}");
    // One stage's own.
    let script = "pipehost pipe exec sleep 6 ! --idle-timeout 500ms @cat ! exec cat";
    sh(script).end().expect_line(124, &["stage cat: ", "--idle-timeout 500ms"]);
    // What commands do after the guests is not seen, and not cut short.
    let script =
        "echo x | pipehost pipe --idle-timeout 2s -- @cat ! exec sh -c 'cat; sleep 3; echo y'";
    assert_eq!(sh(script).end().expect(0).stdout, "x\ny\n");
    let script = "pipehost pipe --idle-timeout 300ms -- exec sleep 10 ! exec cat";
    sh(script).end().expect_line(2, &["--idle-timeout", "guest"]);
}

#[test]
fn fuel_runs_out() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (probe, family) in [("probe2", "family2"), ("probe3", "family3")] {
        // Twice each way: compiled, and out of the cache, which keeps the two apart.
        for _ in 0..2 {
            let ended = run(probe, ["--fuel", "50000000", "--", "spin"]).end();
            ended.expect_line(134, &["ran out of fuel: --fuel 50000000"]);
            run(probe, ["--fuel", "50000000", "--", "list"]).end().expect(0);
            run(probe, ["--", "list"]).end().expect(0);
        }
        run(probe, ["--fuel", "10", "--", "list"]).end().expect_line(134, &["--fuel 10;"]);
        // A child has a share, and traps when it has burnt that.
        let child = format!("c={}", guest(probe).display());
        let args = ["--fuel", "100000000", "--child", &child, "--", "run", "c", "spin"];
        let ended = run(family, args).end();
        assert!(ended.stderr.contains("child `c`"), "{ended:?}");
        assert!(ended.code == Some(0), "{ended:?}");
    }
    // A module, and a pipeline in which others have as much as they like.
    let spin = dir.file("spin.wat", r#"(module (func (export "_start") (loop br 0)))"#);
    pipehost(["run", "--fuel", "100000"]).arg(&spin).end().expect_line(134, &["--fuel 100000;"]);
    let script = format!("echo x | pipehost pipe @cat ! --fuel 100000 {} ! @cat", spin.display());
    sh(&script).end().expect_line(134, &["stage spin: ", "ran out of fuel: --fuel 100000;"]);
    let toml = format!(
        "[[stage]]\nguest = \"{}\"\nfuel = 100000\n[[stage]]\nguest = \"@cat\"\n",
        spin.display()
    );
    let file = dir.file("p.toml", toml);
    let ended = pipehost(["pipe", "-f"]).arg(&file).end();
    ended.expect_line(134, &["stage spin: ", "ran out of fuel: --fuel 100000;"]);
}

#[test]
fn limits_that_were_met_are_named() {
    let _dog = watchdog();
    for probe in PROBES {
        let ended = run(probe, ["--max-pipes", "3", "--", "many", "100"]).end();
        ended.expect_line(0, &["the guest reached --max-pipes 3; "]);
    }
    let ended = run("plain", ["--max-memory", "32M", "--", "grow", "64"]).end();
    ended.expect_line(0, &["the guest reached --max-memory 32M; "]);
    let dir = Dir::new();
    let module = r#"(module (memory (export "memory") 1000) (func (export "_start")))"#;
    let module = dir.file("m.wat", module);
    let ended = pipehost(["run", "--max-memory", "1M"]).arg(module).end();
    ended.expect_line(65, &["needs at least", "(--max-memory 1M)"]);
    let child = format!("c={},spawn", guest("family2").display());
    let args = ["--child", &child, "--max-children", "2", "--", "bomb", "c"];
    let ended = run("family2", args).end();
    assert!(ended.stderr.contains("pipehost: the guest reached --max-children 2; "), "{ended:?}");
}

#[test]
fn a_pipeline_has_limits_for_all_of_it() {
    let _dog = watchdog();
    let pipe = |options: &[&str], stages: &str| {
        let stages = stages
            .replace("probe2", guest("probe2").to_str().unwrap())
            .replace("plain", guest("plain").to_str().unwrap())
            .replace("family2", guest("family2").to_str().unwrap());
        let mut command = pipehost(["pipe"]);
        command.args(options).arg("--").args(stages.split(' ')).end()
    };
    // Each may have 64, both together 10.
    let ended = pipe(&["--max-total-pipes", "10"], "exec true ! probe2 many 100");
    let ended = ended.expect_line(0, &["stage probe2: ", "reached --max-total-pipes 10"]);
    assert_eq!(ended.stdout, "10 then QuotaExceeded\n");
    // Many stages that each take what they can get; some may not even start.
    let stages = vec!["plain grow 64"; 16].join(" ! ");
    let ended = pipe(&["--max-total-memory", "100M"], &stages);
    let lines = ended.stderr.lines().filter(|line| line.contains("--max-total-memory 100M"));
    assert!(lines.count() >= 1, "{ended:?}");
    let ended = pipe(&["--max-total-memory", "32M"], "plain grow 64");
    let ended = ended.expect_line(0, &["stage plain: ", "reached --max-total-memory 32M"]);
    let refused: u32 = ended.stdout.split(' ').nth(2).unwrap().parse().unwrap();
    assert!((24..32).contains(&refused), "{ended:?}");
    // And a family.
    let child = format!("c={},spawn", guest("family2").display());
    let args = ["--child", &child, "--max-total-children", "3"];
    let ended = pipe(&args, "family2 bomb c");
    assert!(ended.stderr.contains("reached --max-total-children 3"), "{ended:?}");
    // Unless told otherwise: 1 GiB, and what one of them is permitted.
    let ended = pipe(&[], "plain grow 64 ! exec cat");
    assert_eq!(ended.expect(0).stdout, "got 64 MiB\n");
}

#[test]
fn row_15_a_million_handles_a_million_empty_writes_a_giant_list() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let dir = Dir::new();
    let x = dir.fifo("x");
    for probe in PROBES {
        let (memory, ended) = memory_of(run(probe, ["--", "handles", "1000000"]).start());
        ended.expect_line(134, &["trapped"]);
        assert!(memory < 120 * 1024, "{probe} handles: {memory} KiB");
        let _reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
        let (mut command, name) = match probe {
            "probe2" => (run(probe, ["--stdout", &format!("fifo:{}", x.display())]), "-"),
            _ => (run(probe, fifo("x", &x, ",w")), "x"),
        };
        command.args(["--", "empty-writes", name, "1000000"]);
        let (memory, ended) = memory_of(Running::new(&mut command));
        assert_eq!(ended.expect(0).stderr, "");
        assert!(memory < 120 * 1024, "{probe} empty writes: {memory} KiB");
        // The guest itself has 128 MiB of it; a copy would be as much again.
        let (memory, ended) = memory_of(run(probe, ["--", "open", "r", "GIANT"]).start());
        ended.expect_line(134, &["trapped"]);
        assert!(memory < (128 + 110) * 1024, "{probe} giant list: {memory} KiB");
    }
}

#[test]
fn bad_values_are_usage_errors() {
    let _dog = watchdog();
    let cases = [
        ("--fuel", "many", "amount of fuel"),
        ("--fuel", "-1", "amount of fuel"),
        ("--rate", "0", "rate of 0"),
        ("--rate", "fast", "size"),
        ("--max-bytes", "12Q", "size"),
        ("--idle-timeout", "soon", "write 5s"),
    ];
    for (option, value, says) in cases {
        let option_value = format!("{option}={value}");
        pipehost(["run", "@cat", &option_value]).end().expect_line(2, &[option, says]);
        pipehost(["pipe", &option_value, "--", "@cat"]).end().expect_line(2, &[option, says]);
        let ended = pipehost(["pipe", "--", &option_value, "@cat"]).end();
        ended.expect_line(2, &["stage 1", option, says]);
    }
    for (option, value, says) in [
        ("--max-total-memory", "x", "size"),
        ("--max-total-pipes", "x", "write 64"),
        ("--max-total-children", "x", "write 64"),
    ] {
        let option_value = format!("{option}={value}");
        pipehost(["pipe", &option_value, "@cat"]).end().expect_line(2, &[option, says]);
    }
    let mut help = pipehost(["run", "--help"]);
    let help = help.stdin(Stdio::null()).end().expect(0).stdout;
    for option in ["--fuel", "--idle-timeout", "--max-bytes", "--rate"] {
        assert!(help.contains(option), "{option}");
    }
}
