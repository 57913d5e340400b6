//! The semantics of pipes, as pipe(7) and fifo(7) describe them, with both versions of the package.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use support::*;

#[test]
#[cfg(not(feature = "portable"))] // What a pipe holds is known on Linux.
fn anonymous_pipes_carry_end_and_break() {
    let _dog = watchdog();
    let ended = run("probe2", ["--", "anonymous"]).end().expect(0);
    let expected = "capacity 1048576 1048576\navailable 5\nhello and the end\nagain 0\n\
                    flushed true\nWouldBlock\nBrokenPipe\nBrokenPipe\nall true\n";
    assert_eq!((&*ended.stdout, &*ended.stderr), (expected, ""));
    let ended = run("probe3", ["--", "anonymous"]).end().expect(0);
    let expected = "capacity 1048576 1048576\navailable 5\nhello and the end\nagain 0\n\
                    BrokenPipe\nBrokenPipe\nall true\n";
    assert_eq!((&*ended.stdout, &*ended.stderr), (expected, ""));
}

/// Moves 100 MB through every kind of pipe, and compares the SHA-256 by sha256sum(1).
#[test]
fn a_hundred_megabytes_arrive_as_they_were_sent() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
    // FIFO to FIFO: by the SDK's own loop, by std::io::copy, through an anonymous pipe, handed on
    // unread, and with reads called off all the while.
    let ways = [
        ("probe2", "copy"),
        ("probe2", "io-copy"),
        ("probe2", "through"),
        ("probe2", "forward"),
        ("probe3", "copy"),
        ("probe3", "through"),
        ("probe3", "forward"),
        ("probe3", "cancel"),
    ];
    for (probe, way) in ways {
        eprintln!("{probe} {way}");
        let (_writer, sum) = (cat_into(big_file(), &a), sum_of(&b));
        run(probe, &grants).args(["--", way, "in", "out"]).end().expect(0);
        assert_eq!(sum.end().stdout, big_sum(), "{probe} {way}");
    }
    // Standard streams: pipes of a shell, of unmodified programs and of bundled ones.
    let (plain, probe3) = (guest("plain"), guest("probe3"));
    let relays = [
        "@cat".to_owned(),
        "@tee".into(),
        format!("{} -- copy", plain.display()),
        format!("{} -- copy-64k", plain.display()),
        format!("{} -- stdio", probe3.display()),
        format!("{} -- forward-stdio", probe3.display()),
    ];
    for relay in relays {
        eprintln!("{relay}");
        let script = format!("cat {} | pipehost run {relay} | sha256sum", big_file().display());
        assert_eq!(sh(&script).end().expect(0).stdout, big_sum(), "{relay}");
        // A file on both sides.
        let out = dir.path("file");
        let script = format!(
            "pipehost run {relay} < {} > {out}; sha256sum < {out}",
            big_file().display(),
            out = out.display()
        );
        let ended = sh(&script.replace("run @tee", "run @cat")).end().expect(0);
        assert_eq!(ended.stdout, big_sum(), "{relay}");
    }
    // Inherited descriptors, and sockets as standard streams.
    for probe in PROBES {
        eprintln!("descriptors and {probe}");
        let script = format!(
            "pipehost run {} --fd in=7 --fd out=8 -- copy in out 7< <(cat {}) 8> >(sha256sum); wait $!",
            guest(probe).display(),
            big_file().display()
        );
        assert_eq!(sh(&script).end().expect(0).stdout, big_sum(), "{probe}");
    }
    socket_to_socket();
}

fn socket_to_socket() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    let (mut near_in, far_in) = UnixStream::pair().unwrap();
    let (mut near_out, far_out) = UnixStream::pair().unwrap();
    let mut command = run("plain", ["--", "copy-64k"]);
    command.stdin(OwnedFd::from(far_in)).stdout(OwnedFd::from(far_out)).stderr(Stdio::piped());
    let relay = Running::new(&mut command);
    // The command keeps our copies of its sockets.
    drop(command);
    let feeder = std::thread::spawn(move || {
        near_in.write_all(&fs::read(big_file()).unwrap()).unwrap();
    });
    let mut bytes = Vec::new();
    near_out.read_to_end(&mut bytes).unwrap();
    assert!(bytes == fs::read(big_file()).unwrap());
    feeder.join().unwrap();
    relay.end().expect(0);
}

#[test]
fn a_slow_stream_is_passed_on_as_it_comes() {
    let _dog = watchdog();
    for relay in ["@cat", "@upper", "@tee", "@lines"] {
        let mut child = run(relay, [] as [&str; 0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut seen = String::new();
        for line in ["first\n", "second\n", "third\n"] {
            stdin.write_all(line.as_bytes()).unwrap();
            // Nothing more is sent before this has come back.
            while !seen.to_lowercase().ends_with(line) {
                let mut buf = [0; 64];
                let n = stdout.read(&mut buf).unwrap();
                assert!(n > 0, "{relay} {seen}");
                seen += std::str::from_utf8(&buf[..n]).unwrap();
            }
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

/// Two programs open two FIFOs in opposite order: native and guest, and guest and guest of both
/// versions.
#[test]
fn opening_in_opposite_order_does_not_deadlock() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let ends = |input, output| [fifo("in", input, ",r"), fifo("out", output, ",w")].concat();
    let orders = [
        format!("exec 3<{} 4>{}", b.display(), a.display()),
        format!("exec 4>{} 3<{}", a.display(), b.display()),
    ];
    for probe in PROBES {
        for order in &orders {
            let native =
                sh(&format!("{order}; echo hello from sh >&4; exec 4>&-; cat <&3")).start();
            let ended = run(probe, ends(&a, &b)).args(["--", "swap", "in", "out"]).end().expect(0);
            assert_eq!(ended.stdout, "hello from sh\n");
            assert_eq!(native.end().expect(0).stdout, "hello from the guest\n");
        }
        for other in PROBES {
            let first = run(probe, ends(&a, &b)).args(["--", "swap", "in", "out"]).start();
            let second = run(other, ends(&b, &a)).args(["--", "swap", "in", "out"]).end();
            assert_eq!(second.expect(0).stdout, "hello from the guest\n");
            assert_eq!(first.end().expect(0).stdout, "hello from the guest\n");
        }
    }
}

#[test]
fn several_pipes_are_waited_for_at_once() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let pipes = ["a", "b", "c"].map(|name| (name, dir.fifo(name)));
        let grants: Vec<_> = pipes.iter().flat_map(|(n, path)| fifo(n, path, ",r")).collect();
        let mut command = run(probe, grants);
        command.args(["--", "wait", "a", "b", "c"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
            line.trim().to_owned()
        };
        let open = |at: usize| OpenOptions::new().write(true).open(&pipes[at].1).unwrap();
        // In an order of the test's choosing, while the others are silent or not yet there.
        let mut c = open(2);
        c.write_all(b"one").unwrap();
        assert_eq!(line(), "c one");
        let mut a = open(0);
        a.write_all(b"two").unwrap();
        assert_eq!(line(), "a two");
        c.write_all(b"three").unwrap();
        assert_eq!(line(), "c three");
        drop(c);
        assert_eq!(line(), "c end");
        drop(open(1));
        assert_eq!(line(), "b end");
        a.write_all(b"four").unwrap();
        assert_eq!(line(), "a four");
        drop(a);
        assert_eq!(line(), "a end");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn what_is_not_there_yet_is_not_the_end() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    // Before the first writer, and while a writer is silent.
    let ended = run("probe2", fifo("x", &x, ",r")).args(["--", "try", "x"]).end().expect(0);
    assert_eq!(ended.stdout, "WouldBlock\n");
    let _silent = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    let ended = run("probe2", fifo("x", &x, ",r")).args(["--", "try", "x"]).end().expect(0);
    assert_eq!(ended.stdout, "WouldBlock\n");
}

#[test]
fn a_full_pipe_pushes_back() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    // Somebody has it open and does not read.
    let _reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    let ended = run("probe2", fifo("x", &x, ",w")).args(["--", "fill", "x"]).end();
    // The 1 MiB that the pipe has grown to and at most one accepted write of bounded size. It was
    // accepted, so the run would wait for its delivery; but it fits here exactly.
    let full = if cfg!(feature = "portable") { "65536\n" } else { "1048576\n" };
    assert_eq!(ended.expect(0).stdout, full);
}

#[test]
fn row_31_reopening_readers_outlive_their_writers() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        let grant = fifo("x", &x, ",r,eof=reopen");
        let mut command = run(probe, grant);
        command.args(["--", "wait", "x"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut seen = String::new();
        for round in 0..200 {
            // A writer comes, writes and goes; now and then one goes without a word.
            if round % 10 == 0 {
                drop(OpenOptions::new().write(true).open(&x).unwrap());
            }
            fs::write(&x, format!("<{round}>")).unwrap();
            while !seen.contains(&format!("<{round}>")) {
                let mut buf = [0; 256];
                let n = stdout.read(&mut buf).unwrap();
                seen += std::str::from_utf8(&buf[..n]).unwrap();
            }
        }
        assert!(!seen.contains("end"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn row_32_records_of_two_writers_stay_whole() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let mut reader = OpenOptions::new().read(true).write(true).open(&x).unwrap();
    // A second host would be refused the FIFO itself, and may have a descriptor of it.
    let by_descriptor = |probe: &str, letter: &str| {
        let (probe, x) = (guest(probe), x.display());
        let script = format!(
            "exec pipehost run {} --fd x=5 -- records x {letter} 1000 5> {x}",
            probe.display()
        );
        sh(&script).start()
    };
    let by_path =
        run("probe2", fifo("x", &x, ",w")).args(["--", "records", "x", "a", "1000"]).start();
    let writers = [by_path, by_descriptor("probe3", "b"), by_descriptor("probe2", "c")];
    let mut counts = [0; 3];
    for _ in 0..3000 {
        let mut record = [0; 4096];
        reader.read_exact(&mut record).unwrap();
        assert!(record.iter().all(|byte| *byte == record[0]), "records are mixed");
        counts[usize::from(record[0] - b'a')] += 1;
    }
    assert_eq!(counts, [1000; 3]);
    for writer in writers {
        writer.end().expect(0);
    }
}
