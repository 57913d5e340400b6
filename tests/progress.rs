//! `--progress`, on a pseudo-terminal: what is seen while guests run, and that nothing is left of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::termios::{Winsize, tcsetwinsize};
use support::terminal::pseudo_terminal;
use support::*;

/// A pseudo-terminal of 24 rows and 80 columns, and what was written to it so far.
struct Screen {
    slave: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Screen {
    fn new() -> Self {
        let (mut master, slave) = pseudo_terminal();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let to = Arc::clone(&written);
        let reader = std::thread::spawn(move || {
            let mut buf = [0; 4096];
            // EIO is how a terminal ends that nobody has open any more.
            while let Ok(n @ 1..) = master.read(&mut buf) {
                to.lock().unwrap().extend_from_slice(&buf[..n]);
            }
        });
        let screen = Self { slave, written, reader };
        screen.resize(80, 24);
        screen
    }

    fn resize(&self, ws_col: u16, ws_row: u16) {
        let size = Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.slave, size).unwrap();
    }

    fn stdio(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    fn rows(&self) -> Vec<String> {
        rows(&self.written.lock().unwrap())
    }

    /// Waits until a row has all of `parts`, and returns it. Rates end in `B/s`, so that ` 8 B  ` is an amount.
    #[track_caller]
    fn wait_for(&self, parts: &[&str]) -> String {
        let mut seen = Vec::new();
        until_some(&format!("{parts:?}"), || {
            seen = self.rows();
            seen.iter().find(|row| parts.iter().all(|part| row.contains(part))).cloned()
        })
    }

    /// Returns what is left on the screen. All that have it open must have ended.
    fn left(self) -> Vec<String> {
        drop(self.slave);
        self.reader.join().unwrap();
        rows(&self.written.lock().unwrap())
    }
}

/// Returns the rows that a terminal shows which was written this, up to the last that is not empty. What has nothing
/// to do with lines being cleared is no part of progress: colours, too.
fn rows(written: &[u8]) -> Vec<String> {
    // A character may have come by half.
    let text = String::from_utf8_lossy(written);
    let (mut rows, mut row, mut column) = (vec![Vec::new()], 0, 0);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                let rest: String = chars.clone().take_while(|c| !c.is_ascii_alphabetic()).collect();
                let Some(command) = chars.nth(rest.chars().count()) else { break };
                let amount = || rest.trim_start_matches('[').parse::<usize>().unwrap();
                match (command, &*rest) {
                    ('A', _) => row -= amount(),
                    ('B', _) => row += amount(),
                    ('K', "[2") => rows[row] = Vec::new(),
                    other => panic!("a sequence that nobody wanted: {other:?} in {text:?}"),
                }
            }
            c => {
                let cells: &mut Vec<char> = &mut rows[row];
                cells.resize(cells.len().max(column + 1), ' ');
                cells[column] = c;
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), Vec::new());
    }
    let mut rows: Vec<String> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
    while rows.last().is_some_and(|row| row.trim().is_empty()) {
        rows.pop();
    }
    rows
}

/// Starts `command` with its stderr on a terminal, a pipe as its stdin, and no stdout unless it has one.
fn start(command: &mut Command, screen: &Screen) -> (Running, std::process::ChildStdin) {
    command.env("TERM", "xterm").stdin(Stdio::piped()).stderr(screen.stdio());
    let mut running = Running::new(command);
    // Or this process would have the terminal open.
    command.stderr(Stdio::null());
    let stdin = running.stdin();
    (running, stdin)
}

/// Reads a byte, and does then what `then` says.
fn after_a_byte(then: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $next
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (call $next) {then}))"#
    )
}

#[test]
fn a_line_for_each_end_while_the_guest_waits_and_none_after() {
    let _dog = watchdog();
    let screen = Screen::new();
    let mut command = run("@cat", ["--progress", "--max-bytes", "10"]);
    let (running, mut stdin) = start(command.stdout(Stdio::null()), &screen);
    stdin.write_all(b"hello").unwrap();
    screen.wait_for(&["stdin", " 5 B  ", "50%", "waits", "for its writer"]);
    screen.wait_for(&["stdout", " 5 B  ", "50%"]);
    drop(stdin);
    running.end().expect(0);
    assert_eq!(screen.left(), [""; 0]);
}

#[test]
fn a_file_has_a_share_and_a_slow_reader_is_waited_for() {
    let _dog = watchdog();
    let (screen, dir) = (Screen::new(), Dir::new());
    let file = dir.file("in", vec![b'x'; 4 << 20]);
    let mut command = run("@cat", ["--progress", "--stdin"]);
    command.arg(&file).stdout(Stdio::piped());
    let (mut child, _stdin) = {
        command.env("TERM", "xterm").stdin(Stdio::piped()).stderr(screen.stdio());
        let mut child = command.spawn().unwrap();
        command.stderr(Stdio::null());
        let stdin = child.stdin.take();
        (child, stdin)
    };
    let mut stdout = child.stdout.take().unwrap();
    let row = screen.wait_for(&["stdin", "%"]);
    assert!(!row.contains("100%"), "{row}");
    screen.wait_for(&["stdout", "waits", "for its reader"]);
    let mut all = Vec::new();
    stdout.read_to_end(&mut all).unwrap();
    assert!(child.wait().unwrap().success() && all.len() == 4 << 20);
    assert_eq!(screen.left(), [""; 0]);
}

#[test]
fn nothing_is_left_however_the_guest_ends() {
    let _dog = watchdog();
    let dir = Dir::new();
    let trap = dir.file("trap.wat", after_a_byte("(call $next) unreachable"));
    let spin = dir.file("spin.wat", after_a_byte("(loop $on (br $on))"));
    for (guest, args, signal, code, says) in [
        (&trap, &["--progress"][..], None, 134, "pipehost: the guest trapped"),
        (&trap, &["--progress"], Some("INT"), 130, "pipehost: ended by signal 2"),
        (&trap, &["--progress"], Some("TERM"), 143, "pipehost: ended by signal 15"),
        // One that computes is watched, too.
        (&spin, &["--progress"], Some("INT"), 130, "pipehost: ended by signal 2"),
        (&spin, &["--progress", "--timeout", "3s"], None, 124, "pipehost: the run took longer"),
        (&trap, &["--progress", "--idle-timeout", "3s"], None, 124, "pipehost: nothing moved"),
    ] {
        let screen = Screen::new();
        let mut command = pipehost(["run".as_ref(), guest.as_os_str()]);
        let (mut running, mut stdin) = start(command.args(args).stdout(Stdio::null()), &screen);
        stdin.write_all(b"x").unwrap();
        // On a machine that is very busy, the time may be over before.
        let has_limit = args.len() > 1;
        until("progress", || {
            screen.rows().iter().any(|row| row.contains(" 1 B  ")) || has_limit && running.is_over()
        });
        match signal {
            Some(signal) => running.signal(signal),
            None if !has_limit => stdin.write_all(b"y").unwrap(),
            None => {}
        }
        running.end().expect(code);
        let left = screen.left();
        assert!(left.len() == 1 && left[0].starts_with(says), "{says}: {left:#?}");
    }
}

#[test]
fn what_the_guest_writes_to_the_terminal_stands_by_itself() {
    let _dog = watchdog();
    let screen = Screen::new();
    let mut command = run("@cat", ["--progress"]);
    let (running, mut stdin) = start(command.stdout(screen.stdio()), &screen);
    command.stdout(Stdio::null());
    stdin.write_all(b"one\n").unwrap();
    screen.wait_for(&["stdin", " 4 B  ", "waits"]);
    assert_eq!(screen.rows()[0], "one");
    stdin.write_all(b"two\n").unwrap();
    screen.wait_for(&["stdin", " 8 B  ", "waits"]);
    assert_eq!(screen.rows()[..2], ["one", "two"]);
    // Nothing is drawn into a line that is not complete.
    stdin.write_all(b"thr").unwrap();
    until("half a line", || screen.rows() == ["one", "two", "thr"]);
    stdin.write_all(b"ee\n").unwrap();
    screen.wait_for(&["stdin", " 14 B  ", "waits"]);
    drop(stdin);
    running.end().expect(0);
    assert_eq!(screen.left(), ["one", "two", "three"]);
}

#[test]
fn messages_of_the_host_stand_by_themselves() {
    let _dog = watchdog();
    let (screen, dir) = (Screen::new(), Dir::new());
    // Removed by somebody else: the host warns while the guest runs.
    let path = dir.path("x");
    let guest = dir.file("copy.wat", COPY_MODULE);
    let mut command = pipehost(["run".as_ref(), guest.as_os_str()]);
    command.arg("--progress").args(fifo("x", &path, ""));
    let (running, mut stdin) = start(command.stdout(Stdio::null()), &screen);
    stdin.write_all(b"hello").unwrap();
    screen.wait_for(&["stdin", " 5 B  ", "waits"]);
    fs::remove_file(&path).unwrap();
    screen.wait_for(&["pipehost: warning: "]);
    stdin.write_all(b"hello").unwrap();
    screen.wait_for(&["stdin", " 10 B  ", "waits"]);
    drop(stdin);
    running.end().expect(0);
    let left = screen.left();
    let text = left.concat();
    assert!(left.iter().all(|row| !row.contains("stdin")), "{left:#?}");
    assert!(text.contains("pipehost: warning: ") && text.contains("none of the granted pipes"));
}

#[test]
fn a_pipeline_names_who_waits_for_whom() {
    let _dog = watchdog();
    let screen = Screen::new();
    let mut command = pipehost(["pipe", "--progress", "@cat", "!", "@upper"]);
    let (running, mut stdin) = start(command.stdout(Stdio::null()), &screen);
    stdin.write_all(b"hello\n").unwrap();
    screen.wait_for(&["cat.stdin", " 6 B  ", "waits", "for its writer"]);
    screen.wait_for(&["cat.stdout", " 6 B  "]);
    screen.wait_for(&["upper.stdin", " 6 B  ", "waits", "for cat"]);
    screen.wait_for(&["upper.stdout", " 6 B  "]);
    drop(stdin);
    running.end().expect(0);
    assert_eq!(screen.left(), [""; 0]);
}

#[test]
fn the_size_of_the_terminal_counts_at_each_moment() {
    let _dog = watchdog();
    let screen = Screen::new();
    let mut command = pipehost(["pipe", "--progress", "@cat", "!", "@upper"]);
    let (running, mut stdin) = start(command.stdout(Stdio::null()), &screen);
    stdin.write_all(b"hello\n").unwrap();
    screen.wait_for(&["upper.stdin", "waits"]);
    screen.resize(30, 24);
    until("short rows", || {
        let rows = screen.rows();
        rows.len() == 4 && rows.iter().all(|row| row.len() < 30)
    });
    screen.resize(100, 4);
    screen.wait_for(&["4 pipe ends", "read 12 B", "wrote 12 B", "2 wait"]);
    until("one row", || screen.rows().len() == 1);
    screen.resize(80, 5);
    until("four rows", || screen.rows().len() == 4);
    drop(stdin);
    running.end().expect(0);
    assert_eq!(screen.left(), [""; 0]);
}

#[test]
fn fifty_pipes_have_one_line() {
    let _dog = watchdog();
    let screen = Screen::new();
    let mut command = pipehost(["pipe", "--progress", "@cat"]);
    for _ in 0..50 {
        command.args(["!", "@cat"]);
    }
    let (running, mut stdin) = start(command.stdout(Stdio::null()), &screen);
    stdin.write_all(b"hello\n").unwrap();
    screen.wait_for(&["102 pipe ends", "read 306 B", "wrote 306 B", "51 wait"]);
    assert_eq!(screen.rows().len(), 1);
    drop(stdin);
    running.end().expect(0);
    assert_eq!(screen.left(), [""; 0]);
}

#[test]
fn no_name_draws_anything() {
    let _dog = watchdog();
    let (screen, dir) = (Screen::new(), Dir::new());
    // `rows` takes any sequence but those of progress for a failure.
    let guest = dir.path("\u{1b}[2J\u{1b}]0;owned\u{7}\r\n.wat");
    fs::write(&guest, COPY_MODULE).unwrap();
    let mut command = pipehost(["pipe", "--progress"]);
    command.arg(&guest).arg("\u{1b}[31m").args(["!", "@cat"]).stdout(Stdio::null());
    let (running, mut stdin) = start(&mut command, &screen);
    stdin.write_all(b"hello\n").unwrap();
    screen.wait_for(&["cat.stdin", " 6 B  ", "waits"]);
    drop(stdin);
    running.end().expect(0);
    assert_eq!(screen.left(), [""; 0]);
}

#[test]
fn nothing_is_shown_where_nobody_looks() {
    let _dog = watchdog();
    let mut command = pipehost(["pipe", "--progress", "@cat", "!", "@upper"]);
    let ended = command.end().expect(0);
    assert_eq!(ended.stderr, "");
    // Nor on a terminal that understands nothing.
    let screen = Screen::new();
    let mut command = run("@cat", ["--progress", "--timeout", "1s"]);
    command.env("TERM", "dumb").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(screen.stdio());
    let mut running = Running::new(&mut command);
    drop(command);
    let stdin = running.stdin();
    running.end().expect(124);
    drop(stdin);
    let left = screen.left();
    assert!(left.len() == 1 && left[0].starts_with("pipehost: the run took"), "{left:#?}");
}

#[test]
fn always_is_a_line_each_second_where_there_is_no_terminal() {
    let _dog = watchdog();
    let dir = Dir::new();
    let log = dir.path("log");
    let mut command = run("@cat", ["--progress=always"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let mut running = Running::new(&mut command);
    let mut stdin = running.stdin();
    stdin.write_all(b"hello").unwrap();
    let told = || fs::read_to_string(&log).unwrap();
    until("two lines", || told().lines().count() >= 2);
    drop(stdin);
    running.end().expect(0);
    for line in told().lines() {
        assert!(line.starts_with("pipehost: 0:"), "{line}");
        assert!(line.contains(": stdin 5 B, ") && line.contains("; stdout 5 B, "), "{line}");
    }
}

#[test]
fn a_native_command_keeps_the_terminal_for_itself() {
    let _dog = watchdog();
    let screen = Screen::new();
    let stages = ["@cat", "!", "exec", "cat"];
    let mut command = pipehost(["pipe", "--progress"]);
    let (running, mut stdin) = start(command.args(stages).stdout(Stdio::null()), &screen);
    screen.wait_for(&["pipehost: warning: --progress: stage cat-2, a native command, may write"]);
    stdin.write_all(b"hello\n").unwrap();
    drop(stdin);
    running.end().expect(0);
    let left = screen.left();
    assert!(left.iter().all(|row| !row.contains("stdin")), "{left:#?}");

    // Unless it is asked for.
    let screen = Screen::new();
    let mut command = pipehost(["pipe", "--progress=always"]);
    let (running, mut stdin) = start(command.args(stages).stdout(Stdio::null()), &screen);
    stdin.write_all(b"hello\n").unwrap();
    screen.wait_for(&["cat.stdin", " 6 B  ", "waits"]);
    drop(stdin);
    running.end().expect(0);
    assert_eq!(screen.left(), [""; 0]);
}

#[test]
fn processes_of_their_own_are_not_watched() {
    let _dog = watchdog();
    let screen = Screen::new();
    let mut command = pipehost(["pipe", "--progress", "--isolate", "@cat", "!", "@upper"]);
    let (running, stdin) = start(command.stdout(Stdio::null()), &screen);
    drop(stdin);
    running.end().expect(0);
    let left = screen.left().concat();
    assert!(
        left.starts_with("pipehost: warning: --progress shows nothing with --isolate"),
        "{left}"
    );
    let mut command = pipehost(["pipe", "--progress", "--isolate", "@cat", "!", "@upper"]);
    assert_eq!(command.end().expect(0).stderr, "");
}
