//! Tests how bytes get through: unread from pipe to pipe, into larger pipes, and by WASI 0.1's
//! calls.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
#![cfg_attr(
    feature = "portable",
    allow(dead_code, unused_imports, reason = "what is about Linux is left out")
)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::*;

/// The capacity to which a pipe grows that pipehost makes or opens, in bytes.
const GROWN: usize = if cfg!(feature = "portable") { 64 * 1024 } else { 1024 * 1024 };

/// Returns a probe that hands its pipe `in` on to its pipe `out`, and sees none of the bytes.
fn forward(probe: &str, a: &Path, b: &Path) -> Command {
    let mut command = run(probe, [fifo("in", a, ",r"), fifo("out", b, ",w")].concat());
    command.args(["--", "forward", "in", "out"]);
    command
}

/// Opens a FIFO's other side, without waiting for reads and writes.
fn hold(fifo: &Path) -> File {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(fifo).unwrap()
}

/// Returns how many bytes read(2) has copied to a process. Bytes moved by splice(2) do not count.
fn bytes_read(running: &Running) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", running.pid())).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
#[cfg(not(feature = "portable"))] // Linux hands on without a copy.
fn what_is_handed_on_unread_is_not_copied() {
    let _dog = watchdog();
    let length = fs::metadata(big_file()).unwrap().len();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        // Not at its end before it is looked at.
        let held = hold(&a);
        let running = forward(probe, &a, &b).start();
        // It stays to the end, or the guest would hear that it has left.
        let script = format!("exec 3< {}; head -c {length} <&3 | sha256sum; cat <&3", b.display());
        let sum = sh(&script).start();
        sh(&format!("cat {} > {}", big_file().display(), a.display())).end().expect(0);
        until("all has arrived", || rustix::io::ioctl_fionread(&held).unwrap() == 0);
        let copied = bytes_read(&running);
        assert!(copied < length / 10, "{probe}: {copied} of {length}");
        drop(held);
        running.end().expect(0);
        assert_eq!(sum.end().expect(0).stdout, big_sum(), "{probe}");
    }
    // The same of programs that know nothing of pipehost, on a shell's pipes.
    let plain3 = guest("plain3").display().to_string();
    let script =
        format!("cat {} | pipehost run {plain3} -- forward | sha256sum", big_file().display());
    assert_eq!(sh(&script).end().expect(0).stdout, big_sum());
}

#[test]
#[cfg(not(feature = "portable"))] // Linux hands on without a copy.
fn a_slow_reader_pushes_back_through_what_is_handed_on() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let mut feeder = hold(&a);
        let mut reader = hold(&b);
        let running = forward(probe, &a, &b).start();
        until("it waits", || running.has_open(&a) && running.has_open(&b) && running.sleeps());
        // Until nothing goes in any more, and nothing moves.
        let mut sent = Vec::new();
        let mut state = 1u32;
        let mut still = 0;
        while still < 50 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let piece = [(state >> 24) as u8; 3_000];
            match feeder.write(&piece) {
                Ok(n) => {
                    sent.extend_from_slice(&piece[..n]);
                    still = 0;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    until("it waits", || running.sleeps());
                    still += 1;
                }
            }
        }
        let pipes = rustix::pipe::fcntl_getpipe_size(&feeder).unwrap()
            + rustix::pipe::fcntl_getpipe_size(&reader).unwrap();
        assert!(sent.len() <= pipes, "{probe}: {} in pipes of {pipes}", sent.len());
        let mut received = vec![0; sent.len()];
        let mut at = 0;
        until("all has come out", || {
            match reader.read(&mut received[at..]) {
                Ok(n) => at += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            at == sent.len()
        });
        assert!(received == sent, "{probe}: in order, none lost, none twice");
        drop(feeder);
        running.end().expect(0);
        drop(reader);
    }
}

#[test]
fn an_early_leaver_is_noticed_though_nothing_flows() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let _silent = hold(&a);
        let reader = hold(&b);
        let running = forward(probe, &a, &b).start();
        until("it waits", || running.has_open(&a) && running.has_open(&b) && running.sleeps());
        drop(reader);
        let ended = running.end().expect(1);
        let said = ended.stderr.to_lowercase().replace(' ', "");
        assert!(said.contains("brokenpipe"), "{probe}: {ended:?}");
    }
    // And in mid-flow.
    let plain3 = guest("plain3").display().to_string();
    let script =
        format!("yes | pipehost run {plain3} -- forward | head -n 1; exit ${{PIPESTATUS[1]}}");
    let ended = sh(&script).end().expect(141);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("y\n", ""));
}

/// A FIFO without a writer is not at its end. A FIFO whose writer wrote nothing is.
#[test]
fn what_is_handed_on_ends_when_its_writers_have_been_and_gone() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        for text in ["late", ""] {
            let running = forward(probe, &a, &b).start();
            let reader = sh(&format!("cat {}", b.display())).start();
            until("it waits", || running.has_open(&a) && running.has_open(&b) && running.sleeps());
            fs::write(&a, text).unwrap();
            assert_eq!(reader.end().expect(0).stdout, text, "{probe}");
            running.end().expect(0);
        }
    }
}

#[test]
fn what_is_handed_on_outlives_its_writers_where_the_pipe_reopens() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let grants = [fifo("in", &a, ",r,eof=reopen"), fifo("out", &b, ",w")].concat();
        let running = run(probe, grants).args(["--", "forward", "in", "out"]).start();
        let mut reader = OpenOptions::new().read(true).open(&b).unwrap();
        for text in ["first", "second", "third"] {
            fs::write(&a, text).unwrap();
            let mut received = vec![0; text.len()];
            reader.read_exact(&mut received).unwrap();
            assert_eq!(received, text.as_bytes(), "{probe}");
        }
        running.signal("TERM");
        running.end().expect(143);
    }
}

/// A peer that has left is not the last one: the next peer may be there, and silent. The guest must
/// wait for it, in every version and way.
#[test]
fn a_silent_peer_after_one_that_left_is_waited_for() {
    let _dog = watchdog();
    let stdio = |fifo: &Path| format!("fifo:{}", fifo.display());
    let ways = [
        ("probe2", &["copy", "in", "out"][..]),
        ("probe2", &["forward", "in", "out"]),
        ("probe3", &["copy", "in", "out"]),
        ("probe3", &["forward", "in", "out"]),
        ("plain", &["copy-by", "65536"]),
        ("plain3", &["forward"]),
    ];
    for (program, args) in ways {
        // What a pipe of this size does not take, is deferred: the guest does not wait for room.
        if cfg!(feature = "portable") && program == "plain" {
            continue;
        }
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let mut command = match program.starts_with("probe") {
            true => run(program, [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat()),
            false => run(program, ["--stdin", &stdio(&a), "--stdout", &stdio(&b)]),
        };
        let mut reader = hold(&b);
        let running = command.arg("--").args(args).start();
        until("it waits", || running.has_open(&a) && running.has_open(&b) && running.sleeps());
        // More than the second pipe holds, so that the guest waits for room; then the writer leaves,
        // and another comes, which says nothing.
        let length = GROWN + GROWN / 2;
        let first = OpenOptions::new().write(true).open(&a).unwrap();
        std::thread::spawn(move || (&first).write_all(&vec![b'x'; length]).unwrap())
            .join()
            .unwrap();
        until("it waits for room", || {
            rustix::io::ioctl_fionread(&reader).unwrap() > GROWN as u64 - 4096 && running.sleeps()
        });
        let silent = OpenOptions::new().write(true).open(&a).unwrap();
        let mut received = 0;
        let mut buf = vec![0; 100_000];
        until("all has come", || {
            match reader.read(&mut buf) {
                Ok(n) => received += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            received == length
        });
        until("it waits", || running.sleeps());
        let before = running.cpu_time();
        std::thread::sleep(Duration::from_millis(200));
        let spent = running.cpu_time().saturating_sub(before);
        assert!(spent < Duration::from_millis(50), "{program} {args:?}: {spent:?}");
        drop(silent);
        running.end().expect(0);
    }
}

/// The same for readers: one has been there and has left, and the next one is slow.
#[test]
fn a_slow_reader_after_one_that_left_is_waited_for() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let mut feeder = hold(&a);
        let left = hold(&b);
        let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
        let running = run(probe, grants).args(["--", "copy", "in", "out"]).start();
        until("it waits", || running.has_open(&a) && running.has_open(&b) && running.sleeps());
        drop(left);
        // It has been told of that, whatever it makes of it.
        until("it waits", || running.sleeps());
        let mut reader = hold(&b);
        let length = GROWN + GROWN / 2;
        let mut sent = 0;
        until("all is sent", || {
            match feeder.write(&vec![b'y'; length - sent]) {
                Ok(n) => sent += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            sent == length
        });
        until("it waits for room", || {
            rustix::io::ioctl_fionread(&reader).unwrap() > GROWN as u64 - 4096 && running.sleeps()
        });
        drop(feeder);
        let mut received = 0;
        let mut buf = vec![0; 100_000];
        until("all has come", || {
            match reader.read(&mut buf) {
                Ok(n) => received += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            received == length
        });
        running.end().expect(0);
    }
}

/// splice(2) is only for pipes. To and from files, sockets and other files, bytes are copied.
#[test]
fn what_cannot_be_spliced_is_copied() {
    let _dog = watchdog();
    let dir = Dir::new();
    let plain3 = guest("plain3").display().to_string();
    let (big, out) = (big_file().display(), dir.path("out"));
    for script in [
        format!("pipehost run {plain3} -- forward < {big} | sha256sum"),
        format!("cat {big} | pipehost run {plain3} -- forward > {out}", out = out.display()),
        format!("pipehost run {plain3} -- forward < {big} > {out}", out = out.display()),
    ] {
        let _ = fs::remove_file(&out);
        let ended = sh(&script).end().expect(0);
        let sum = match out.exists() {
            true => sh(&format!("sha256sum < {}", out.display())).end().expect(0).stdout,
            false => ended.stdout,
        };
        assert_eq!(sum, big_sum(), "{script}");
    }
}

#[test]
#[cfg(not(feature = "portable"))] // Pipes grow on Linux.
fn pipes_grow_unless_somebody_chose_their_size() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let x = dir.fifo("x");
        let info = |keys: &str| {
            let mut writer = sh(&format!("echo hello > {}; read _", x.display()));
            let _writer = writer.stdin(std::process::Stdio::piped()).start();
            run(probe, fifo("x", &x, keys)).args(["--", "info", "x"]).end().expect(0).stdout
        };
        let told = |capacity: usize| format!("capacity {capacity}\navailable 6\nUnsupported\n");
        assert_eq!(info(""), told(GROWN));
        assert_eq!(info(",capacity=128K"), told(128 * 1024));
        let held = hold(&x);
        rustix::pipe::fcntl_setpipe_size(&held, 32 * 1024).unwrap();
        assert_eq!(info(""), told(32 * 1024));
    }
}

/// Over the user's limit of pages in pipes, the kernel makes tiny pipes: everything works, more
/// slowly.
#[test]
#[cfg(not(feature = "portable"))] // Pipes grow on Linux.
fn row_38_the_limit_of_pages_in_pipes() {
    let _dog = watchdog();
    let dir = Dir::new();
    let probe = dir.path("probe2.wasm");
    fs::copy(guest("probe2"), &probe).unwrap();
    let script = format!(
        "ulimit -n 8192; XDG_CACHE_HOME={} pipehost run {} --max-pipes 3000 -- many-busy 1500",
        dir.path("own").display(),
        probe.display()
    );
    let ended = as_nobody(&dir, &script).expect(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [first, last, moved] = lines[..] else { panic!("{ended:?}") };
    let capacity = |line: &str| line.parse::<usize>().unwrap();
    // Whoever runs the tests otherwise may have no such limit.
    assert!(capacity(last) <= 8192 || !rustix::process::geteuid().is_root(), "{ended:?}");
    assert!(capacity(first) <= GROWN);
    assert_eq!(moved, "moved 1000000");
}

/// Returns a module that imports functions of WASI 0.1, and whose `_start` is `start`.
fn module(dir: &Dir, start: &str) -> std::path::PathBuf {
    let imports = ["fd_read", "fd_write"]
        .map(|name| {
            format!(
                r#"(import "wasi_snapshot_preview1" "{name}"
                     (func ${name} (param i32 i32 i32 i32) (result i32)))"#
            )
        })
        .concat();
    let text = format!(
        r#"(module {imports}
          (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_renumber"
            (func $fd_renumber (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 2)
          ;; Two iovecs, the first empty, and what they point to; the result goes to 200.
          (data (i32.const 0) "\80\00\00\00\00\00\00\00\80\00\00\00\06\00\00\00")
          (data (i32.const 128) "hello\n")
          (func (export "_start") {start}))"#
    );
    dir.file("module.wat", text)
}

/// Returns code that writes "hello" to a descriptor, and exits with the errno if there is one.
fn hello(fd: i32) -> String {
    format!(
        "(call $fd_write (i32.const {fd}) (i32.const 0) (i32.const 2) (i32.const 200))
         (if (then (call $exit (call $fd_write
           (i32.const {fd}) (i32.const 0) (i32.const 2) (i32.const 200)))))"
    )
}

#[test]
fn a_module_that_closes_or_renumbers_its_standard_streams_gets_what_it_asked_for() {
    let _dog = watchdog();
    let dir = Dir::new();
    const BADF: i32 = 8;
    let run = |start: &str| pipehost(["run"]).arg(module(&dir, start)).end();
    let ended = run(&format!("{}{}", hello(1), hello(2))).expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("hello\n", "hello\n"));

    let close = "(drop (call $fd_close (i32.const 1)))";
    let ended = run(&format!("{}{close}{}", hello(1), hello(1))).expect(BADF);
    assert_eq!(ended.stdout, "hello\n");

    // Stderr takes stdout's place.
    let renumber = "(drop (call $fd_renumber (i32.const 2) (i32.const 1)))";
    let ended = run(&format!("{renumber}{}", hello(1))).expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", "hello\n"));
    run(&format!("{renumber}{}", hello(2))).expect(BADF);

    // Not what it is for: stdin is not written to, stdout not read from.
    run(&hello(0)).expect(BADF);
    let read = "(call $exit (call $fd_read
        (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 200)))";
    run(read).expect(BADF);
}

/// Addresses that are out of bounds end only the module itself.
#[test]
fn a_module_that_points_out_of_its_memory_harms_itself_only() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("input", "some bytes");
    let out = "(i32.const 131072)";
    for arguments in [
        format!("{out} (i32.const 1) (i32.const 200)"),
        "(i32.const -8) (i32.const 1) (i32.const 200)".into(),
        "(i32.const 0) (i32.const -1) (i32.const 200)".into(),
        format!("(i32.const 8) (i32.const 1) {out}"),
        "(i32.const 8) (i32.const 1) (i32.const -1)".into(),
    ] {
        for (function, fd) in [("fd_read", 0), ("fd_write", 1), ("fd_write", 2)] {
            let start = format!("(call $exit (call ${function} (i32.const {fd}) {arguments}))");
            let mut command = pipehost(["run", "--stdin", input.to_str().unwrap()]);
            let ended = command.arg(module(&dir, &start)).end();
            let fault = matches!(ended.code, Some(134 | 21 | 61 | 48));
            assert!(fault, "{function} {fd} {arguments}: {ended:?}");
        }
    }
    // A buffer that is.
    let start = "(i32.store (i32.const 8) (i32.const 131070))
        (call $exit (call $fd_read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 200)))";
    let mut command = pipehost(["run", "--stdin", input.to_str().unwrap()]);
    let ended = command.arg(module(&dir, start)).end();
    assert!(matches!(ended.code, Some(134 | 21)), "{ended:?}");
}
