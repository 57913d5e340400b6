//! `--watch`: a guest is replaced while it runs, and no byte is lost or doubled.
#![cfg(all(target_os = "linux", not(feature = "portable")))]
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use pipehost_test_guests::module;
use support::*;

/// How often the main test replaces its guest.
const SWAPS: usize = 200;

/// Guests that do the same, as WebAssembly. Each time that one is asked for, it has other bytes.
struct Versions {
    guests: Vec<Vec<u8>>,
    count: usize,
}

impl Versions {
    fn of(guests: &[PathBuf]) -> Self {
        Self { guests: guests.iter().map(|path| fs::read(path).unwrap()).collect(), count: 0 }
    }

    /// Returns the next version. After 8 of each guest, they are the same again: their code is in the cache then.
    fn next(&mut self) -> Vec<u8> {
        let (at, round) = (self.count % self.guests.len(), self.count / self.guests.len() % 8);
        self.count += 1;
        let mut bytes = self.guests[at].clone();
        // A custom section of three bytes: the length of its name, its name, its content.
        bytes.extend([0, 3, 1, b'v', b'0' + u8::try_from(round).unwrap()]);
        bytes
    }
}

/// A file that holds a guest.
struct GuestFile<'a> {
    dir: &'a Dir,
    path: PathBuf,
}

impl<'a> GuestFile<'a> {
    fn new(dir: &'a Dir, bytes: &[u8]) -> Self {
        Self { dir, path: dir.file("guest.wasm", bytes) }
    }

    /// Puts another guest in its place, as a build does.
    fn replace(&self, bytes: &[u8]) {
        let new = self.dir.file("new.wasm", bytes);
        fs::rename(new, &self.path).unwrap();
    }
}

/// A run whose messages are read.
struct Watched {
    child: Child,
    errors: Receiver<String>,
    told: Vec<String>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watched {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, errors) = mpsc::channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).all(|line| sender.send(line).is_ok());
        });
        Self { child, errors, told: Vec::new() }
    }

    /// Waits for a line on stderr.
    #[track_caller]
    fn is_told(&mut self, part: &str) -> String {
        loop {
            match self.errors.recv_timeout(Duration::from_secs(100)) {
                Ok(line) => self.told.push(line),
                Err(_) => panic!("never: {part}; but {:?}", self.told),
            }
            if let Some(line) = self.told.last().filter(|line| line.contains(part)) {
                return line.clone();
            }
        }
    }

    #[track_caller]
    fn goes_on(&mut self) {
        self.is_told("the new guest goes on");
    }

    /// Waits for its end. Returns its status, and all that it has said.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.told.extend(self.errors.iter());
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.told))
    }

    /// Returns how many bytes of memory it has.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// Whoever writes to a guest, without end until told.
struct Load {
    over: Arc<AtomicBool>,
    writer: JoinHandle<()>,
    sum: Running,
}

impl Load {
    /// Writes to `fifo`: lines of any length, or bytes of any kind.
    fn start(fifo: &Path, lines: bool) -> Self {
        let mut tee = Command::new("bash");
        let script = "set -o pipefail; tee \"$0\" | sha256sum";
        tee.args(["-c", script]).arg(fifo).stdin(Stdio::piped());
        let mut sum = tee.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut to = sum.stdin.take().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let writer = std::thread::spawn(move || {
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let mut random = move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            while !until.load(Ordering::Relaxed) {
                let mut bytes = Vec::new();
                let most = random() % 100_000;
                while bytes.len() < usize::try_from(most).unwrap() {
                    bytes.extend_from_slice(&random().to_le_bytes());
                }
                if lines {
                    bytes.iter_mut().for_each(|byte| *byte = if *byte < 4 { b'\n' } else { b'x' });
                    bytes.push(b'\n');
                }
                to.write_all(&bytes).unwrap();
                // A share of a core is enough.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { over, writer, sum: Running::of(sum) }
    }

    /// Closes the writing end, and returns the sum of all that was written.
    fn end(self) -> String {
        self.over.store(true, Ordering::Relaxed);
        self.writer.join().unwrap();
        self.sum.end().expect(0).stdout
    }
}

/// Waits until a guest has opened the FIFO that `reader` reads. The shell does so first, and is sha256sum(1) then.
fn until_it_runs(reader: &Running) {
    let name = format!("/proc/{}/comm", reader.pid());
    until("the guest runs", || fs::read_to_string(&name).unwrap().trim() == "sha256sum");
}

/// Guests of WASI 0.2 and 0.3 take turns.
#[test]
fn two_hundred_swaps_under_load_lose_nothing_and_double_nothing() {
    let _dog = watchdog_after(Duration::from_secs(600));
    let dir = Dir::new();
    let mut versions = Versions::of(&PROBES.map(guest));
    let file = GuestFile::new(&dir, &versions.next());
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let mut command = pipehost(["run", "--watch=1h"]);
    command.arg(&file.path).args(fifo("a", &a, ",r")).args(fifo("b", &b, ",w"));
    let mut run = Watched::start(command.args(["--", "copy", "a", "b"]));
    let load = Load::start(&a, false);
    let got = sum_of(&b);
    until_it_runs(&got);
    let mut settled = 0;
    for swap in 0..SWAPS {
        if swap == SWAPS / 4 {
            settled = run.memory();
        }
        file.replace(&versions.next());
        run.goes_on();
    }
    let memory = run.memory();
    assert!(memory < settled + (64 << 20), "{settled} bytes became {memory}");
    let sent = load.end();
    assert_eq!(sent, got.end().expect(0).stdout);
    let (status, told) = run.end();
    assert_eq!(status, Some(0), "{told:?}");
    assert_eq!(told.len(), SWAPS, "{told:?}");
}

/// A guest that ends a line which it has got no end of would show a line that was cut.
#[test]
fn lines_are_never_cut() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let dir = Dir::new();
    let mut versions = Versions::of(&[guest("plain"), module("plain")]);
    let file = GuestFile::new(&dir, &versions.next());
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let mut command = pipehost(["run", "--watch=1h", "--stdin"]);
    command.arg(format!("fifo:{}", a.display())).arg("--stdout");
    command.arg(format!("fifo:{}", b.display())).arg(&file.path);
    let mut run = Watched::start(command.args(["--", "echo-lines"]));
    let load = Load::start(&a, true);
    let got = sum_of(&b);
    until_it_runs(&got);
    for _ in 0..20 {
        file.replace(&versions.next());
        run.goes_on();
    }
    let sent = load.end();
    assert_eq!(sent, got.end().expect(0).stdout);
    let (status, told) = run.end();
    assert_eq!((status, told.len()), (Some(0), 20), "{told:?}");
}

/// A guest of each kind that copies what it reads to stdout, over pipes that the test holds.
struct Talk {
    run: Watched,
    to: Box<dyn Write>,
    from: Box<dyn Read>,
}

impl Talk {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut run = Watched::start(command);
        let to = Box::new(run.child.stdin.take().unwrap());
        let from = Box::new(run.child.stdout.take().unwrap());
        Self { run, to, from }
    }

    #[track_caller]
    fn says(&mut self, text: &str, answer: &str) {
        self.to.write_all(text.as_bytes()).unwrap();
        let mut seen = vec![0; answer.len()];
        self.from.read_exact(&mut seen).unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), answer);
    }

    /// Has the guest replaced before each of these lines, which the new one copies.
    #[track_caller]
    fn goes_on(&mut self, file: &GuestFile, versions: &mut Versions, lines: &[&str]) {
        for line in lines {
            file.replace(&versions.next());
            self.run.goes_on();
            self.says(line, line);
        }
    }

    /// Closes the guest's input. Returns its status, what it has not said yet, and all messages.
    fn end(self) -> (Option<i32>, String, Vec<String>) {
        let Self { run, to, mut from } = self;
        drop(to);
        let mut rest = String::new();
        from.read_to_string(&mut rest).unwrap();
        let (status, told) = run.end();
        (status, rest, told)
    }
}

/// The time that it has is an hour: it is woken, not stopped. Guests of all versions follow each other.
#[test]
fn a_guest_that_waits_for_input_is_replaced_at_once() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut versions = Versions::of(&[guest("plain"), module("plain"), guest("plain3")]);
    let file = GuestFile::new(&dir, &versions.next());
    let mut command = pipehost(["run", "--watch=1h"]);
    let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
    talk.says("one\n", "one\n");
    talk.goes_on(&file, &mut versions, &["two\n", "three\n", "four\n", "five\n", "six\n"]);
    let (status, rest, told) = talk.end();
    assert_eq!((status, &*rest, told.len()), (Some(0), "", 5), "{told:?}");
}

/// A line that has begun is the old guest's, to its end, and the next line the new one's.
#[test]
fn a_line_that_has_begun_is_ended_by_the_old_guest() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut versions = Versions::of(&[module("plain")]);
    let file = GuestFile::new(&dir, &versions.next());
    let mut command = pipehost(["run", "-v", "--watch=1h"]);
    let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
    talk.says("begun ", "begun ");
    file.replace(&versions.next());
    talk.run.is_told("another takes its place");
    talk.to.write_all(b"and ended\nanother\n").unwrap();
    talk.run.goes_on();
    talk.says("", "and ended\nanother\n");
    assert_eq!(talk.end().0, Some(0));
}

/// Half of the time is for the end of the record.
#[test]
fn a_line_without_an_end_is_cut_after_a_time() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut versions = Versions::of(&[guest("plain")]);
    let file = GuestFile::new(&dir, &versions.next());
    let mut command = pipehost(["run", "--watch=2m"]);
    command.arg(&file.path).args(["--", "copy-by", "4096"]);
    // Or after so many bytes, which comes first here.
    let mut talk = Talk::start(&mut command);
    let long = "x".repeat(70_000);
    talk.says("begun", "begun");
    file.replace(&versions.next());
    while talk.run.errors.try_recv().is_err() {
        talk.says(&long, &long);
    }
    talk.says("and ended\n", "and ended\n");
    assert_eq!(talk.end().0, Some(0));

    let file = GuestFile::new(&dir, &versions.next());
    let mut command = pipehost(["run", "--watch=200ms"]);
    let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
    talk.says("begun", "begun");
    file.replace(&versions.next());
    talk.run.goes_on();
    talk.says("and ended\n", "and ended\n");
    let (status, _, told) = talk.end();
    assert_eq!((status, told.len()), (Some(0), 1), "it was not stopped: {told:?}");
}

/// A module that never ends, whatever it is told.
const SPINS: &str = "(module (func (export \"_start\") (loop br 0)))";

/// One that reads all that there is until it is told of the end, and then does something else.
const READS_THEN: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $next
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 1024))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $next (i32.load (i32.const 8))))
    THEN))"#;

fn of_text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_guest_that_does_not_end_is_stopped() {
    let _dog = watchdog();
    let dir = Dir::new();
    let ignores = READS_THEN.replace("THEN", "(loop br 0)");
    // One that computes from the start, one that does when it is told of the end.
    for stubborn in [SPINS, &ignores] {
        let file = GuestFile::new(&dir, &of_text(stubborn));
        let mut command = pipehost(["run", "-vv", "--watch=300ms"]);
        let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
        talk.run.is_told("running ");
        file.replace(&fs::read(guest("plain")).unwrap());
        let line = talk.run.is_told("lost");
        assert!(line.contains("guest.wasm: ") && line.contains("300ms"), "{line}");
        talk.run.goes_on();
        talk.says("a line\n", "a line\n");
        assert_eq!(talk.end().0, Some(0));
    }
}

#[test]
fn a_guest_cannot_replace_itself() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = GuestFile::new(&dir, &of_text("(module (func (export \"_start\")))"));
    let folder = file.path.parent().unwrap().display().to_string();
    for (grant, code) in [("::/data", 77), ("::/data,ro", 0)] {
        let mut command = pipehost(["run", "--watch", "--dir", &format!("{folder}{grant}")]);
        let ended = command.arg(&file.path).start().end();
        match code {
            0 => drop(ended.expect(0)),
            code => drop(ended.expect_line(code, &["--watch: ", "by dir", ",ro"])),
        }
        let mut command = pipehost(["pipe", "exec", "true", "!", "--watch"]);
        command.arg(&file.path).args(["!", "--dir", &format!("{folder}{grant}"), "@cat"]);
        assert_eq!(command.start().end().code, Some(code));
    }
}

/// A guest that the limits of its memory hold, one of another kind, none at all.
#[test]
fn a_file_that_is_no_guest_leaves_the_old_one_running() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut versions = Versions::of(&[module("plain")]);
    let first = versions.next();
    let file = GuestFile::new(&dir, &first);
    let mut command = pipehost(["run", "--watch=1h", "--max-memory", "16M"]);
    let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
    talk.says("one\n", "one\n");
    let unknown = of_text(r#"(module (import "mine" "f" (func)) (func (export "_start")))"#);
    let large = of_text(r#"(module (memory 1024) (func (export "_start")))"#);
    for (bytes, part) in [
        (b"\0asm, and then nothing".to_vec(), "guest.wasm: is not valid"),
        (first[..first.len() / 2].to_vec(), "guest.wasm: is not valid"),
        (b"no WebAssembly".to_vec(), "is not a WebAssembly component or module"),
        (Vec::new(), "is empty"),
        (unknown, "imports `mine`"),
        (of_text("(module)"), "nothing to start"),
        (large, "give it --max-memory"),
    ] {
        file.replace(&bytes);
        let line = talk.run.is_told(part);
        assert!(
            line.starts_with("pipehost: ") && line.ends_with("; the old one goes on"),
            "{line}"
        );
        talk.says("more\n", "more\n");
    }
    // A file that is away for some time, and what ran before: nothing happens.
    fs::remove_file(&file.path).unwrap();
    talk.says("still\n", "still\n");
    file.replace(&versions.next());
    talk.run.goes_on();
    talk.says("the new one\n", "the new one\n");
    let (status, _, told) = talk.end();
    assert_eq!((status, told.len()), (Some(0), 8), "{told:?}");
}

#[test]
fn how_the_old_guest_ends_is_told_and_the_new_one_goes_on() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (then, part) in
        [("(call $exit (i32.const 3))", "exit status 3"), ("unreachable", "trapped: ")]
    {
        let file = GuestFile::new(&dir, &of_text(&READS_THEN.replace("THEN", then)));
        let mut command = pipehost(["run", "-vv", "--watch=1h"]);
        let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
        talk.run.is_told("running ");
        file.replace(&fs::read(guest("plain")).unwrap());
        let line = talk.run.is_told(part);
        assert!(line.contains("guest.wasm: the old guest ended for the new one"), "{line}");
        talk.run.goes_on();
        talk.says("a line\n", "a line\n");
        assert_eq!(talk.end().0, Some(0));
    }
}

#[test]
fn a_guest_that_ends_by_itself_ends_the_run() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (then, status) in [("", 0), ("(call $exit (i32.const 3))", 3), ("unreachable", 134)] {
        let text = of_text(&READS_THEN.replace("THEN", then));
        let file = GuestFile::new(&dir, &text);
        pipehost(["run", "--watch"]).arg(&file.path).end().expect(status);
    }
}

/// The old guest has not heard that its input is over: the new one does.
#[test]
fn an_end_of_input_while_guests_change_is_the_new_guests() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = GuestFile::new(&dir, &of_text(SPINS));
    let mut command = pipehost(["run", "-vv", "--watch=3s"]);
    let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
    talk.run.is_told("running ");
    talk.to.write_all(b"not read yet\n").unwrap();
    file.replace(&fs::read(guest("plain")).unwrap());
    talk.run.is_told("another takes its place");
    let (status, rest, told) = talk.end();
    assert_eq!((status, &*rest), (Some(0), "not read yet\n"), "{told:?}");
}

#[test]
fn a_signal_while_guests_change_ends_the_run() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = GuestFile::new(&dir, &of_text(SPINS));
    let mut command = pipehost(["run", "-vv", "--watch=1h"]);
    let mut run = Watched::start(command.arg(&file.path));
    run.is_told("running ");
    file.replace(&fs::read(guest("plain")).unwrap());
    run.is_told("another takes its place");
    let pid = run.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let (status, told) = run.end();
    assert_eq!(status, Some(130), "{told:?}");
}

/// Its own process compiles, and is killed.
#[test]
fn without_the_process_that_compiles_the_guest_goes_on() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = GuestFile::new(&dir, &fs::read(guest("plain")).unwrap());
    let mut command = pipehost(["run", "--watch"]);
    let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
    talk.says("one\n", "one\n");
    let children = children_of(talk.run.child.id());
    let [compiler] = children[..] else { panic!("{children:?}") };
    assert!(
        Command::new("kill").args(["-KILL", &compiler.to_string()]).status().unwrap().success()
    );
    talk.run.is_told("is watched no more");
    talk.says("two\n", "two\n");
    assert_eq!(talk.end().0, Some(0));
}

/// Only records leave, whoever writes them; what the old guest had begun, and did not end, is none.
#[test]
fn a_frame_holds_for_both_guests() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut versions = Versions::of(&[module("plain"), guest("plain")]);
    let file = GuestFile::new(&dir, &versions.next());
    let mut command = pipehost(["run", "--watch=1h", "--stdout", "frame=nul"]);
    let mut talk = Talk::start(command.arg(&file.path).args(["--", "copy-by", "4096"]));
    // A NUL ends a record of what it reads, too.
    talk.says("one\nand one\0", "one\nand one\0");
    file.replace(&versions.next());
    talk.run.goes_on();
    talk.says("two\0", "two\0");
    assert_eq!(talk.end().0, Some(0));
}

/// One stage of three, from a line and from a file, also in a process of its own.
#[test]
fn one_stage_of_a_pipeline_is_replaced() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut versions = Versions::of(&[guest("plain"), guest("plain3"), module("plain")]);
    let text = "[[stage]]\nname = \"first\"\nexec = [\"cat\"]\n\
        [[stage]]\nname = \"watched\"\nguest = \"guest.wasm\"\nargs = [\"copy-by\", \"4096\"]\nwatch = \"1h\"\n\
        [[stage]]\nname = \"last\"\nguest = \"@cat\"\n";
    let pipeline = dir.file("pipeline.toml", text);
    for way in ["line", "file", "--isolate"] {
        let file = GuestFile::new(&dir, &versions.next());
        let mut command = pipehost(["pipe"]);
        match way {
            "line" => {
                command.args(["exec", "cat", "!", "--watch=1h"]).arg(&file.path);
                command.args(["copy-by", "4096", "!", "@cat"]);
            }
            "file" => drop(command.arg("-f").arg(&pipeline)),
            _ => drop(command.arg(way).arg("-f").arg(&pipeline)),
        }
        let mut talk = Talk::start(&mut command);
        talk.says("one\n", "one\n");
        talk.goes_on(&file, &mut versions, &["two\n", "three\n", "four\n"]);
        let (status, rest, told) = talk.end();
        assert_eq!((status, &*rest, told.len()), (Some(0), "", 3), "{way}: {told:?}");
    }
}

#[test]
fn what_cannot_change_is_not_watched() {
    let _dog = watchdog();
    let dir = Dir::new();
    let bytes = of_text(SPINS);
    let file = GuestFile::new(&dir, &bytes);
    pipehost(["run", "@cat", "--watch"]).end().expect_line(2, &["--watch: @cat", "name a file"]);
    pipehost(["run", "/dev/stdin", "--watch"]).end().expect_line(2, &["--watch", "name a file"]);
    pipehost(["run", "/dev/null", "--watch"]).end().expect_line(2, &["--watch", "regular file"]);
    pipehost(["run", "--watch=often"]).arg(&file.path).end().expect_line(2, &["often"]);
    pipehost(["pipe", "--", "@cat", "!", "--watch", "@upper"])
        .end()
        .expect_line(2, &["--watch: @upper"]);
    let text = "[[stage]]\nexec = [\"cat\"]\nwatch = true\n";
    pipehost(["pipe", "-f"])
        .arg(dir.file("native.toml", text))
        .end()
        .expect_line(2, &["the rest is for guests"]);
    let sum = sh(&format!("sha256sum < {}", file.path.display())).end().expect(0).stdout;
    let sum = sum.split(' ').next().unwrap();
    let text = format!("guest = \"guest.wasm\"\nsha256 = \"{sum}\"\nwatch = true\n");
    let grants = dir.file("grants.toml", text);
    pipehost(["run", "--grants"]).arg(grants).end().expect_line(2, &["--watch", "sha256"]);
}

/// The ends of granted pipes stay open in between: their peers see neither the end of file nor EPIPE.
#[test]
fn peers_see_nothing_of_it() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut versions = Versions::of(&PROBES.map(guest));
    let file = GuestFile::new(&dir, &versions.next());
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let mut command = pipehost(["run", "--watch=1h"]);
    command.arg(&file.path).args(fifo("a", &a, ",r")).args(fifo("b", &b, ",w"));
    let mut run = Watched::start(command.args(["--", "copy", "a", "b"]));
    let mut to = fs::File::options().write(true).open(&a).unwrap();
    let mut from = fs::File::open(&b).unwrap();
    for _ in 0..3 {
        to.write_all(b"a line\n").unwrap();
        let mut seen = [0; 7];
        from.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"a line\n");
        file.replace(&versions.next());
        run.goes_on();
    }
    drop(to);
    let mut rest = Vec::new();
    from.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    let (status, told) = run.end();
    assert_eq!((status, told.len()), (Some(0), 3), "{told:?}");
}
