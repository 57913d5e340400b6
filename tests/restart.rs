//! `--restart`: a guest that traps is started again on the same open pipes.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use pipehost_test_guests::module;
use support::*;

/// Guests of WASI 0.1, 0.2 and 0.3 that copy stdin to stdout, and trap where they read `trap`.
fn copiers(options: &[&str]) -> [Command; 3] {
    let mut of_module = pipehost(["run"]);
    of_module.arg(module("plain"));
    let mut all = [of_module, run("plain", [""; 0]), run("plain3", [""; 0])];
    for command in &mut all {
        command.args(options).args(["--", "copy-or-trap"]);
    }
    all
}

/// A guest that somebody talks to. Each word is answered by the same without ` trap`: once the answer is there, the guest
/// has read the word, and nothing that follows is lost with it.
struct Talk {
    child: Child,
    to: Option<Box<dyn Write>>,
    from: Box<dyn BufRead>,
    errors: BufReader<ChildStderr>,
}

impl Talk {
    /// Over stdin and stdout.
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Self::over(child, Box::new(to), Box::new(from))
    }

    fn over(mut child: Child, to: Box<dyn Write>, from: Box<dyn BufRead>) -> Self {
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, to: Some(to), from, errors }
    }

    /// Over the FIFO `a`, which the guest reads, and the FIFO `b`.
    fn over_fifos(command: &mut Command, a: &Path, b: &Path) -> Self {
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let to = fs::OpenOptions::new().write(true).open(a).unwrap();
        let from = BufReader::new(fs::File::open(b).unwrap());
        Self::over(child, Box::new(to), Box::new(from))
    }

    fn say(&mut self, word: &str) {
        self.to.as_mut().unwrap().write_all(word.as_bytes()).unwrap();
    }

    fn hear(&mut self, answer: &str) {
        let mut seen = vec![0; answer.len()];
        self.from.read_exact(&mut seen).unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), answer);
    }

    fn says(&mut self, words: &[&str]) {
        for word in words {
            self.say(word);
            self.hear(word.split("trap").next().unwrap());
        }
    }

    /// Waits for a line on stderr.
    fn is_told(&mut self, part: &str) {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert!(self.errors.read_line(&mut line).unwrap() > 0, "never: {part}");
        }
    }

    /// Closes its input, and returns its status and all that it still says.
    fn end(mut self) -> (Option<i32>, String, String) {
        drop(self.to.take());
        let (mut rest, mut errors) = (String::new(), String::new());
        self.from.read_to_string(&mut rest).unwrap();
        self.errors.read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), rest, errors)
    }
}

#[test]
fn the_next_life_has_the_same_stdin_and_stdout() {
    let _dog = watchdog();
    for mut command in copiers(&["--restart=on-trap"]) {
        let mut talk = Talk::start(&mut command);
        talk.says(&["one\n", "two trap", "three\n", "four trap", "five\n"]);
        let (status, rest, errors) = talk.end();
        assert_eq!((status, &*rest), (Some(0), ""), "{errors}");
        let told: Vec<_> = errors.lines().filter(|line| line.starts_with("pipehost: ")).collect();
        assert_eq!(told.len(), 2, "{errors}");
        assert!(
            told[0].contains("trapped") && told[0].contains("again in 100 ms (1 of 5)"),
            "{errors}"
        );
        assert!(told[1].contains("again in 200 ms (2 of 5)"), "{errors}");
    }
}

/// Named pipes: their peers see neither the end of file nor EPIPE while the guest is started again.
#[test]
fn the_next_life_opens_the_same_named_pipes() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let mut command = run(probe, ["--restart=on-trap"]);
        command.args(fifo("a", &a, ",r")).args(fifo("b", &b, ",w"));
        let mut talk = Talk::over_fifos(command.args(["--", "copy-or-trap", "a", "b"]), &a, &b);
        talk.says(&["one\n", "two trap", "three\n", "four trap", "five\n"]);
        let (status, rest, errors) = talk.end();
        assert_eq!((status, &*rest), (Some(0), ""), "{probe}: {errors}");
    }
}

/// Descriptors can be opened once: the next life gets the same end, unless the guest had closed it.
#[test]
fn the_next_life_has_the_same_descriptors_but_for_closed_ones() {
    let _dog = watchdog();
    for probe in PROBES {
        let script = format!(
            "exec pipehost run {} --restart=on-trap:3 --fd a=5,r --fd b=6,w -- copy-or-trap a b 5<&0 6>&1 \
             > /dev/null",
            guest(probe).display(),
        );
        let mut talk = Talk::start(&mut sh(&script));
        talk.says(&["one\n", "two trap", "three\n"]);
        let (status, rest, errors) = talk.end();
        assert_eq!((status, &*rest), (Some(0), ""), "{probe}: {errors}");

        // It closes its writer first: that stays closed.
        let mut talk = Talk::start(&mut sh(&script));
        talk.says(&["close trap"]);
        let (status, rest, errors) = talk.end();
        assert!(status != Some(0) && rest.is_empty() && errors.contains("1 of 3"), "{errors}");
    }
}

#[test]
fn once_all_restarts_are_used_up_the_trap_ends_the_run() {
    let _dog = watchdog();
    let dir = Dir::new();
    let traps = dir.file("traps.wat", "(module (func (export \"_start\") unreachable))");
    let path = traps.to_str().unwrap();
    let started = Instant::now();
    let ended = pipehost(["run", path, "--restart=on-trap:2"]).end().expect(134);
    assert!(started.elapsed() >= Duration::from_millis(300));
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{ended:#?}");
    assert!(lines[1].contains("again in 200 ms (2 of 2)"), "{ended:#?}");
    assert!(lines[2].contains("the guest trapped"), "{ended:#?}");
    // What ends by itself is not started again.
    let ended = run("plain", ["--restart=on-trap", "--", "exit", "3"]).end();
    assert_eq!(ended.stderr, "");
    // Nor is what ran out of fuel, or whose reader left.
    let spins = dir.file("spins.wat", "(module (func (export \"_start\") (loop br 0)))");
    let spins = spins.to_str().unwrap();
    let ended = pipehost(["run", spins, "--restart=on-trap", "--fuel", "100000"]).end();
    ended.expect_line(134, &["--fuel"]);
    let script = format!(
        "pipehost run {} --restart=on-trap -- lines 1000000 | true; echo ${{PIPESTATUS[0]}}",
        guest("plain").display()
    );
    let ended = sh(&script).end();
    assert_eq!((&*ended.stdout, &*ended.stderr), ("141\n", ""));
}

#[test]
fn a_time_limit_and_a_signal_end_the_wait_at_once() {
    let _dog = watchdog();
    let dir = Dir::new();
    let traps = dir.file("traps.wat", "(module (func (export \"_start\") unreachable))");
    let path = traps.to_str().unwrap();
    let started = Instant::now();
    let ended =
        pipehost(["run", path, "--restart=on-trap:100", "--timeout", "3s"]).end().expect(124);
    assert!(started.elapsed() < Duration::from_secs(3) + SOON, "{ended:#?}");
    assert!(ended.stderr.contains("again in 400 ms"), "{ended:#?}");

    let mut command = pipehost(["run", path, "--restart=on-trap:100"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // It waits for 6.4 seconds now.
    while !lines.next().unwrap().unwrap().contains("6400 ms") {}
    let started = Instant::now();
    let kill = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(started.elapsed() < SOON.min(Duration::from_secs(6)));
}

/// The limits of bytes hold for all lives together, and a record that a trap has cut short is no part of the next one.
#[test]
fn limits_hold_for_all_lives_and_half_a_record_is_none() {
    let _dog = watchdog();
    let options = ["--restart=on-trap", "--max-bytes", "12"];
    for mut command in copiers(&options) {
        let mut talk = Talk::start(&mut command);
        talk.says(&["1234trap", "5678"]);
        // 12 bytes were read.
        let _ = talk.to.as_mut().unwrap().write_all(b"x");
        let (_, rest, errors) = talk.end();
        assert_eq!(rest, "", "{errors}");
        assert!(errors.contains("--max-bytes 12"), "{errors}");
    }
    let of = |frame| copiers(&["--restart=on-trap", "--stdout", frame]);
    let all = [of("frame=lines"), of("frame=lines,frame-error=end")];
    for mut command in all.into_iter().flatten() {
        let mut talk = Talk::start(&mut command);
        talk.say("half trap");
        talk.is_told("unfinished record: `half `");
        talk.is_told("1 of 5");
        talk.says(&["whole\n"]);
        let (status, rest, errors) = talk.end();
        assert_eq!((status, &*rest), (Some(0), ""), "{errors}");
    }
}

/// All lives have one share of fuel.
#[test]
fn fuel_is_for_all_lives_together() {
    let _dog = watchdog();
    let dir = Dir::new();
    let works = dir.file(
        "works.wat",
        "(module (func (export \"_start\") (local i32)
           (loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))
             (br_if 0 (i32.lt_u (local.get 0) (i32.const 100000))))
           unreachable))",
    );
    let works = works.to_str().unwrap();
    let ended = pipehost(["run", works, "--restart=on-trap", "--fuel", "1000000"]).end();
    let ended = ended.expect(134);
    assert!(ended.stderr.contains("1 of 5"), "{ended:#?}");
    assert!(!ended.stderr.contains("3 of 5"), "{ended:#?}");
    assert!(ended.stderr.lines().last().unwrap().contains("ran out of fuel"), "{ended:#?}");
}

#[test]
fn no_life_leaves_a_descriptor_behind() {
    let _dog = watchdog();
    let mut commands = copiers(&["--restart=on-trap"]);
    let mut talks: Vec<_> = commands.iter_mut().map(Talk::start).collect();
    let count =
        |talk: &Talk| fs::read_dir(format!("/proc/{}/fd", talk.child.id())).unwrap().count();
    let mut first = Vec::new();
    for turn in 1..=5 {
        talks.iter_mut().for_each(|talk| talk.says(&["a trap"]));
        talks.iter_mut().for_each(|talk| talk.says(&["b\n"]));
        if turn == 1 {
            first = talks.iter().map(count).collect();
        }
    }
    for (talk, first) in talks.iter().zip(&first) {
        until("there are as many as before", || count(talk) <= *first);
    }
    for talk in talks {
        let (status, _, errors) = talk.end();
        assert_eq!(status, Some(0), "{errors}");
    }
}

/// What a dead guest had handed over comes before anything of the next life.
#[test]
fn what_was_written_is_delivered_first() {
    let _dog = watchdog();
    let dir = Dir::new();
    let out = dir.fifo("out");
    let mut command = run("probe2", ["--restart=on-trap:2"]);
    let command = command.args(fifo("out", &out, ",w")).args(["--", "trap-full", "out"]);
    let running = command.start();
    let mut from = fs::File::open(&out).unwrap();
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    let ended = running.end().expect(134);
    let accepted: usize = ended.stdout.lines().map(|line| line.parse::<usize>().unwrap()).sum();
    assert_eq!((all.len(), ended.stdout.lines().count()), (accepted, 3), "{ended:#?}");
}

#[test]
fn a_stage_is_started_again_and_its_neighbours_see_nothing() {
    let _dog = watchdog();
    for isolate in [&[][..], &["--isolate"]] {
        for path in [guest("plain"), module("plain"), guest("plain3")] {
            let mut command = pipehost(["pipe"]);
            command.args(isolate).args(["--", "--restart=on-trap:2"]).arg(path);
            let mut talk = Talk::start(command.args(["copy-or-trap", "!", "@cat"]));
            talk.says(&["one\n", "two trap", "three\n"]);
            talk.is_told("again in 100 ms (1 of 2)");
            let (status, rest, errors) = talk.end();
            assert_eq!((status, &*rest), (Some(0), ""), "{errors}");
        }
    }
}

/// Folders stay granted, in all versions.
#[test]
fn folders_are_granted_to_the_next_life() {
    let _dog = watchdog();
    let dir = Dir::new();
    let grant = format!("{}::/data", dir.path(".").display());
    for mut command in copiers(&["--restart=on-trap", "--dir", &grant]) {
        let mut talk = Talk::start(&mut command);
        talk.says(&["one\n", "two trap", "three\n"]);
        let (status, rest, errors) = talk.end();
        assert_eq!((status, &*rest), (Some(0), ""), "{errors}");
    }
    // A file that one life has made is there in the next.
    let file = dir.path("made");
    let mut of_module = pipehost(["run"]);
    of_module.arg(module("plain"));
    for mut command in [of_module, run("plain", [""; 0])] {
        command.args(["--restart=on-trap", "--dir", &grant]);
        let ended = command.args(["--", "write-then-read", "/data/made"]).end().expect(0);
        assert_eq!(ended.stdout, "written before\n", "{ended:#?}");
        fs::remove_file(&file).unwrap();
    }
}
