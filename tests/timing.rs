//! What must happen within a time, or may cost only so much. One test runs at a time, as they would
//! disturb each other.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use support::*;

/// Returns a lock, which the test that needs the whole machine holds.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A state in which a guest can be when a run is ended, and how to tell that it is there.
struct Blocked {
    what: &'static str,
    guest: &'static str,
    args: &'static [&'static str],
    keys: &'static str,
}

const BLOCKED: [Blocked; 8] = [
    Blocked { what: "waits for a writer", guest: "probe2", args: &["drain", "x"], keys: ",r" },
    Blocked { what: "waits for a writer", guest: "probe3", args: &["drain", "x"], keys: ",r" },
    Blocked { what: "waits for a reader", guest: "probe2", args: &["flood", "x"], keys: ",w" },
    Blocked { what: "waits for a reader", guest: "probe3", args: &["flood", "x"], keys: ",w" },
    Blocked { what: "reads", guest: "probe2", args: &["drain", "x"], keys: ",r" },
    Blocked { what: "writes", guest: "probe3", args: &["flood", "x"], keys: ",w" },
    Blocked { what: "writes", guest: "probe2", args: &["flood", "x"], keys: ",w" },
    Blocked { what: "computes", guest: "probe2", args: &["spin"], keys: "" },
];

impl Blocked {
    /// Starts the guest and returns it once it is in its state, with what holds it there.
    fn start(&self, x: &Path, options: &[&str]) -> (Running, Option<fs::File>) {
        let mut command = run(self.guest, fifo("x", x, self.keys));
        let running = command.args(options).arg("--").args(self.args).start();
        until("it runs", || match self.what {
            "waits for a reader" | "writes" => running.has_thread("fifo-writer"),
            "computes" => running.cpu_time() > Duration::from_millis(500) && !running.sleeps(),
            _ => running.has_open(x),
        });
        let peer = match self.what {
            "reads" => Some(OpenOptions::new().write(true).open(x).unwrap()),
            "writes" => {
                let reader = OpenOptions::new().read(true).open(x).unwrap();
                until("the pipe is full", || rustix::io::ioctl_fionread(&reader).unwrap() >= 65536);
                Some(reader)
            }
            _ => None,
        };
        (running, peer)
    }
}

#[test]
fn row_35_a_signal_ends_a_run_in_every_state_and_cleans_up() {
    let _alone = alone();
    let _dog = watchdog();
    for blocked in BLOCKED {
        for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            let dir = Dir::new();
            let x = dir.path("x");
            let (running, _peer) = blocked.start(&x, &[]);
            assert!(x.exists());
            let sent = Instant::now();
            running.signal(signal);
            let ended = running.end();
            let took = sent.elapsed();
            assert!(took < SOON, "{} after SIG{signal} took {took:?}", blocked.what);
            ended.expect_line(status, &["signal"]);
            assert!(!x.exists(), "{}: cleaned up", blocked.what);
        }
    }
}

#[test]
fn row_35_a_second_signal_ends_a_run_at_once() {
    let _alone = alone();
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    // Bytes that nobody reads have been accepted: the first signal leaves them a little time.
    let (running, _peer) = BLOCKED[6].start(&x, &[]);
    let sent = Instant::now();
    running.signal("TERM");
    running.signal("TERM");
    let ended = running.end();
    assert!(sent.elapsed() < SOON);
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(!x.exists());
}

#[test]
fn row_10_a_timeout_ends_a_run_in_every_state_and_cleans_up() {
    let _alone = alone();
    let _dog = watchdog_after(Duration::from_secs(300));
    let limit = Duration::from_secs(6);
    for blocked in BLOCKED {
        let dir = Dir::new();
        let x = dir.path("x");
        let started = Instant::now();
        let (running, _peer) = blocked.start(&x, &["--timeout", "6s"]);
        let ended = running.end();
        let took = started.elapsed();
        assert!(took >= limit && took < limit + SOON, "{}: {took:?}", blocked.what);
        ended.expect_line(124, &["--timeout 6s"]);
        assert!(!x.exists());
    }
}

/// A stream that is handed on unread never enters the guest again. It is ended all the same.
#[test]
fn row_10_a_timeout_ends_what_is_handed_on_in_every_state() {
    let _alone = alone();
    let _dog = watchdog_after(Duration::from_secs(300));
    let limit = Duration::from_secs(5);
    for probe in PROBES {
        for (state, feeder, reader) in [
            ("waits for a writer", "true", "cat $b"),
            ("waits for bytes", "sleep 60 > $a", "cat $b"),
            ("waits for room", "yes > $a", "sleep 60 < $b"),
            ("waits for a reader", "yes > $a", "true"),
            ("moves bytes", "yes > $a", "cat $b"),
        ] {
            let dir = Dir::new();
            let (a, b) = (dir.path("a"), dir.path("b"));
            let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
            let started = Instant::now();
            let mut command = run(probe, grants);
            let running = command.args(["--timeout", "5s", "--", "forward", "in", "out"]).start();
            until("both FIFOs are there", || a.exists() && b.exists());
            let peers = [feeder, reader].map(|peer| {
                let script =
                    format!("a={} b={}; exec > /dev/null; exec {peer}", a.display(), b.display());
                sh(&script).start()
            });
            until(state, || match state {
                "waits for a reader" => running.has_thread("fifo-writer"),
                "moves bytes" => running.cpu_time() > Duration::from_millis(100),
                _ => running.has_open(&a) && running.has_open(&b) && running.sleeps(),
            });
            assert!(started.elapsed() < limit, "{probe} {state}: reached too late");
            let ended = running.end();
            let took = started.elapsed();
            assert!(took >= limit && took < limit + SOON, "{probe} {state}: {took:?}");
            ended.expect_line(124, &["--timeout 5s"]);
            assert!(!a.exists() && !b.exists(), "{state}: cleaned up");
            for peer in &peers {
                peer.signal("KILL");
            }
        }
    }
}

/// The reader of stderr has stopped. Neither the guest's messages nor the host's may hold up the
/// end.
#[test]
fn a_full_stderr_does_not_hold_a_run_up() {
    let _alone = alone();
    let _dog = watchdog();
    for (args, status) in [(["stderr-flood"].as_slice(), 124), (&["panic"], 134)] {
        let (_reader, writer) = os_pipe::pipe().unwrap();
        // Full, but for the flag that the host must not set on it.
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
        rustix::fs::fcntl_setfl(&writer, flags).unwrap();
        let started = Instant::now();
        let mut command = run("plain", ["-vv", "--timeout", "1s", "--"]);
        command.args(args).stderr(writer);
        let ended = Running::new(command.stdout(std::process::Stdio::piped())).end();
        drop(command);
        // What the panic says is waiting for its reader, as a native program would.
        let limit = Duration::from_secs(1) + 2 * SOON;
        assert!(started.elapsed() < limit, "{args:?}: {:?}", started.elapsed());
        assert!(matches!(ended.code, Some(124)) || ended.code == Some(status), "{ended:?}");
    }
}

#[test]
fn row_06_a_timeout_counts_compiling() {
    let _alone = alone();
    let _dog = watchdog();
    let dir = Dir::new();
    // Many functions with many locals: seconds of compiling.
    let body =
        "(local.set 0 (i64.mul (local.get 0) (i64.add (local.get 0) (i64.const 3))))".repeat(2000);
    let functions = format!("(func (param i64) (result i64) {body} local.get 0)").repeat(150);
    let module = dir.file("slow.wat", format!("(module {functions} (func (export \"_start\")))"));
    let started = Instant::now();
    let ended = pipehost(["run", "--timeout", "200ms"]).arg(module).end();
    let took = started.elapsed();
    ended.expect_line(124, &["--timeout 200ms"]);
    assert!(took < Duration::from_millis(200) + SOON, "{took:?}");
}

/// Waiting for 300 s may cost 0.1 s of CPU. Measured over 3 s by the scheduler's nanoseconds, the
/// limit is 1 ms.
#[test]
fn row_28_waiting_for_a_peer_costs_no_cpu() {
    let _alone = alone();
    let _dog = watchdog();
    let dir = Dir::new();
    for probe in PROBES {
        for (what, name) in [("drain", "r"), ("flood", "w")] {
            let x = dir.path(&format!("{probe}{what}"));
            let running =
                run(probe, fifo("x", &x, &format!(",{name}"))).args(["--", what, "x"]).start();
            until("the guest waits", || match what {
                "drain" => running.has_open(&x),
                _ => running.has_thread("fifo-writer"),
            });
            // Until the pulse, which beats for a while after the guest has run, has stopped.
            let mut before = running.cpu_time();
            until("all is still", || {
                std::thread::sleep(Duration::from_millis(400));
                std::mem::replace(&mut before, running.cpu_time()) == before && running.sleeps()
            });
            std::thread::sleep(Duration::from_secs(3));
            let spent = running.cpu_time() - before;
            assert!(spent < Duration::from_millis(1), "{probe} {what}: {spent:?}");
        }
    }
}

/// A writer comes and goes a thousand times. If the pipe reopens, each is read, and neither that
/// nor the time in between costs processor time.
#[test]
fn row_31_a_writer_that_comes_and_goes_a_thousand_times() {
    let _alone = alone();
    let _dog = watchdog();
    for (probe, way) in
        [("probe2", "copy"), ("probe3", "copy"), ("probe2", "forward"), ("probe3", "forward")]
    {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let grants = [fifo("in", &a, ",r,eof=reopen"), fifo("out", &b, ",w")].concat();
        let running = run(probe, grants).args(["--", way, "in", "out"]).start();
        let mut reader = fs::File::open(&b).unwrap();
        let before = running.cpu_time();
        for round in 0..1000 {
            let message = format!("<{round}>");
            fs::write(&a, &message).unwrap();
            let mut seen = vec![0; message.len()];
            std::io::Read::read_exact(&mut reader, &mut seen).unwrap();
            assert_eq!(seen, message.as_bytes(), "{probe} {way}");
        }
        let spent = running.cpu_time() - before;
        assert!(spent < Duration::from_secs(1), "{probe} {way}: {spent:?} for 1,000 writers");
        assert_eq!(cpu_while_waiting(&running), Duration::ZERO, "{probe} {way}");
    }
    // By default the first end is the last.
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
        let running = run(probe, grants).args(["--", "copy", "in", "out"]).start();
        let reader = sh(&format!("cat {}", b.display())).start();
        fs::write(&a, "first").unwrap();
        running.end().expect(0);
        assert_eq!(reader.end().stdout, "first");
    }
}

/// Returns how much processor time a waiting run uses in a second, once all is still.
fn cpu_while_waiting(running: &Running) -> Duration {
    let mut before = running.cpu_time();
    until("all is still", || {
        std::thread::sleep(Duration::from_millis(400));
        std::mem::replace(&mut before, running.cpu_time()) == before && running.sleeps()
    });
    std::thread::sleep(Duration::from_secs(1));
    running.cpu_time() - before
}
