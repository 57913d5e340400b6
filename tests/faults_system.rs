//! Faults of the system, and of guests that ask for too much: rows 6, 15, 37 and 39 of
//! docs/reliability.md.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use support::*;

#[test]
fn row_06_a_file_of_500_mb_is_refused_by_its_size() {
    let _dog = watchdog();
    let dir = Dir::new();
    // Sparse, and with the first bytes of a module: nothing else but its size is wrong so far.
    let path = dir.file("large.wasm", b"\0asm\x01\0\0\0");
    File::options().write(true).open(&path).unwrap().set_len(500_000_000).unwrap();
    let path = path.to_str().unwrap();
    pipehost(["run", path]).end().expect_line(65, &["large.wasm", "larger than 256 MiB"]);
    pipehost(["inspect", path]).end().expect_line(65, &["larger than 256 MiB"]);
    pipehost(["compile", path]).end().expect_line(65, &["larger than 256 MiB"]);
    let child = format!("c={path}");
    let mut command = run("family2", ["--child", &child, "--", "list"]);
    command.end().expect_line(65, &["larger than 256 MiB"]);
    // One that has no size to ask for is read up to the limit only.
    let script = "head -c 500000000 /dev/zero | pipehost run /dev/stdin";
    sh(script).end().expect_line(65, &["larger than 256 MiB"]);
}

/// Returns the most memory that was resident, in bytes, and how the run ended.
fn most_resident(mut running: Running) -> (u64, Ended) {
    let mut most = 0;
    while !running.is_over() {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid()));
        let line = status.iter().flat_map(|text| text.lines());
        let kib = line.filter_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        most = kib
            .filter_map(|kib| kib.parse::<u64>().ok())
            .map(|kib| kib * 1024)
            .fold(most, u64::max);
        std::thread::sleep(Duration::from_millis(1));
    }
    (most, running.end())
}

#[test]
fn row_15_ten_thousand_pipes() {
    let _dog = watchdog();
    for probe in PROBES {
        let ended = run(probe, ["--", "many", "10000"]).end().expect(0);
        assert_eq!(ended.stdout, "64 then QuotaExceeded\n", "by default");
        let many = |permitted: &str, count: &str| {
            let script = format!(
                "ulimit -n $(ulimit -Hn); exec pipehost run {} --max-pipes {permitted} -- many {count}",
                guest(probe).display()
            );
            most_resident(sh(&script).start())
        };
        assert_eq!(many("100000", "10").1.expect(0).stdout, "10\n");
        // A run that waits stays to be looked at, when the peak of its start is behind it.
        let dir = Dir::new();
        let x = dir.fifo("x");
        let waiting = run(probe, fifo("x", &x, ",r")).args(["--", "drain", "x"]).start();
        until("it waits", || waiting.has_open(&x) && waiting.sleeps());
        let status = fs::read_to_string(format!("/proc/{}/status", waiting.pid())).unwrap();
        let few = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let few = few.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10;
        drop(waiting);
        // As many as there are descriptors for, or handles: the guest is told, or traps.
        let (most, ended) = many("100000", "10000");
        assert!(matches!(ended.code, Some(0 | 134)), "{ended:?}");
        let told = ended.stdout.ends_with("then QuotaExceeded\n") || ended.stdout == "10000\n";
        assert!(told || ended.code == Some(134), "{ended:?}");
        // 10,000 of them cost the host and the guest some 1.5 KB each together, which is 15 MB.
        assert!(most < few + (24 << 20), "{probe}: {few} grew to {most}");
    }
}

/// A single call cannot hold the host's thread for long.
#[test]
fn random_bytes_come_in_bounded_calls() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (bytes, status) in [(4 << 20, 0), (64 << 20, 134)] {
        let module = format!(
            "(module
                (import \"wasi_snapshot_preview1\" \"random_get\"
                    (func $random (param i32 i32) (result i32)))
                (memory (export \"memory\") 1024)
                (func (export \"_start\")
                    (drop (call $random (i32.const 0) (i32.const {bytes})))))"
        );
        let module = dir.file("random.wat", module);
        pipehost(["run"]).arg(module).end().expect(status);
    }
}

#[test]
fn row_37_no_descriptors_left() {
    let _dog = watchdog();
    for probe in PROBES {
        let probe_path = guest(probe);
        let probe_path = probe_path.display();
        // The guest is told, and what it closes it can have again.
        let word = if probe == "probe2" { "many-thrice" } else { "many" };
        let script =
            format!("ulimit -n 100; pipehost run {probe_path} --max-pipes 3000 -- {word} 1000");
        let ended = sh(&script).end().expect(0);
        if probe == "probe2" {
            let counts: Vec<usize> =
                ended.stdout.lines().map(|line| line.parse().unwrap()).collect();
            let [first, second, third] = counts[..] else { panic!("{ended:?}") };
            assert!(first > 10 && first < 50 && first == second && second == third, "{counts:?}");
        } else {
            assert!(ended.stdout.ends_with("then QuotaExceeded\n"), "{ended:?}");
        }
    }
    // 1,000 pipes where they are permitted, three times over.
    let script = format!(
        "ulimit -n 4096; pipehost run {} --max-pipes 1000 -- many-thrice 1001",
        guest("probe2").display()
    );
    assert_eq!(sh(&script).end().expect(0).stdout, "1000\n1000\n1000\n");
}

/// With every number of descriptors from almost none on, the run works, or one line says why not.
/// There is no panic, and nothing is left behind.
#[test]
fn row_37_too_few_descriptors_to_begin_with() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (x, input) = (dir.path("x"), dir.file("input", "hello"));
    let mut worked = 0;
    for most in 4..40 {
        let script = format!(
            "ulimit -n {most}; exec pipehost run @cat --fifo spare={},w --stdin {}",
            x.display(),
            input.display()
        );
        let ended = sh(&script).end();
        match ended.code {
            Some(0) => {
                assert_eq!(ended.stdout, "hello");
                worked += 1;
            }
            // With hardly any, the dynamic loader has none for its libraries: that is not us.
            Some(127) if ended.stderr.contains("error while loading") => {}
            _ => {
                let ended = ended.expect_line(74, &["Too many open files"]);
                assert_eq!(ended.stdout, "", "{most}");
            }
        }
        assert!(!x.exists(), "{most}: the FIFO is left");
    }
    assert!(worked > 5, "most are enough");
}

/// Sends signals without end: the run is stopped and continued, and a caught signal interrupts its
/// calls.
#[test]
fn row_39_interrupted_and_continued() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
    let module = dir.file("copy.wat", COPY_MODULE);
    let (fifo_a, fifo_b) = (format!("fifo:{}", a.display()), format!("fifo:{}", b.display()));
    let by_probe = |probe, way| {
        let mut command = run(probe, &grants);
        command.args(["--", way, "in", "out"]);
        command
    };
    let mut streams = pipehost(["run", "--stdin", &fifo_a, "--stdout", &fifo_b]);
    streams.arg(module);
    let commands = [
        by_probe("probe2", "copy"),
        by_probe("probe2", "forward"),
        by_probe("probe3", "copy"),
        by_probe("probe3", "forward"),
        streams,
    ];
    for mut command in commands {
        let sum = sum_of(&b);
        let running = command.start();
        let pid = running.pid();
        // The one signal that is caught without ending a run is the host's own, for waiting.
        let caught = libc::SIGRTMIN() + 7;
        let catches = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let mask = u64::from_str_radix(mask.unwrap_or("0").trim(), 16).unwrap();
            mask & 1 << (caught - 1) != 0
        };
        let mut rounds = 0;
        until("it waits for bytes", || running.has_open(&a) && running.has_open(&b));
        let storm = |signals: &str| {
            let kills: Vec<_> =
                signals.split(' ').map(|signal| format!("kill -{signal} {pid} &&")).collect();
            let script = format!(
                "n=0; while [ $n -lt 20000 ] && {} :; do n=$((n+1)); done 2>/dev/null; echo $n",
                kills.join(" ")
            );
            sh(&script).start()
        };
        let mut storms = vec![storm("STOP CONT CHLD URG WINCH")];
        if catches() {
            storms.push(storm(&caught.to_string()));
        }
        let mut feeder = cat_into(big_file(), &a);
        assert_eq!(sum.end().stdout, big_sum(), "{command:?}");
        running.end().expect(0);
        until("the feeder has ended", || feeder.is_over());
        for storm in storms {
            rounds += storm.end().stdout.trim().parse::<u64>().unwrap();
        }
        assert!(rounds > 20, "{command:?}: it was stopped {rounds} times");
    }
}

/// A stopped run moves no bytes. Bytes that come meanwhile are there afterwards.
#[test]
fn row_39_a_stopped_run_goes_on_where_it_was() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
        let running = run(probe, grants).args(["--", "copy", "in", "out"]).start();
        let reader = sh(&format!("cat {}", b.display())).start();
        let mut writer = File::options().write(true).open(&a).unwrap();
        writer.write_all(b"one ").unwrap();
        until("it is read", || rustix::io::ioctl_fionread(&writer).unwrap() == 0);
        running.signal("STOP");
        let stopped = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", running.pid())).unwrap();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        until("it is stopped", stopped);
        writer.write_all(b"two").unwrap();
        assert_eq!(rustix::io::ioctl_fionread(&writer).unwrap(), 3);
        drop(writer);
        running.signal("CONT");
        running.end().expect(0);
        assert_eq!(reader.end().stdout, "one two");
    }
}
