//! `pipehost pipe`: several guests and native commands at once, joined by pipes.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
#![cfg_attr(
    feature = "portable",
    allow(dead_code, unused_imports, reason = "what is about Linux is left out")
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use support::*;

/// Returns the words of a line. `@@NAME` is a test's guest, and `~` is a space inside of a word.
fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(' ').map(|word| match word.strip_prefix("@@") {
        Some(name) => guest(name).display().to_string(),
        None => word.replace('~', " "),
    })
}

/// Returns `pipehost pipe` with the words of `line`.
fn pipe(line: &str) -> Command {
    let mut command = pipehost(["pipe"]);
    command.args(words(line));
    command
}

/// Returns the same as text for a shell.
fn script(line: &str) -> String {
    let quoted: Vec<_> = words(line).map(|word| format!("'{word}'")).collect();
    format!("pipehost pipe {}", quoted.join(" "))
}

fn stats(ended: &Ended) -> serde_json::Value {
    let line = ended.stderr.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("statistics in {ended:?}"))).unwrap()
}

#[test]
fn a_log_on_its_way_through_guests_and_a_command() {
    let _dog = watchdog();
    let dir = Dir::new();
    let log = dir.file("app.log", "from a@example.org\nDEBUG x\nfrom 10.0.0.1 to nobody\n");
    let line = script("@lines ! exec grep -v DEBUG ! @@redact --strict ! @upper");
    let ended = sh(&format!("{line} < {}", log.display())).end().expect(0);
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.stdout, "     1\tFROM [EMAIL]\n     3\tFROM [IP] TO NOBODY\n");
}

#[test]
fn a_reader_that_has_enough_ends_all_quietly() {
    let _dog = watchdog();
    let line = script("@cat ! exec head -n 1");
    let ended = sh(&format!("yes | {line}; echo ${{PIPESTATUS[@]}}")).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("y\n141 0\n", ""));
    // Through many, of all kinds, as far as the first that writes.
    let line =
        script("exec yes ! @cat ! @upper ! @@plain copy ! exec cat ! @lines ! exec head -n 1");
    let ended = sh(&line).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("     1\tY\n", ""));
    // The pipeline's own reader leaves.
    let line = script("exec yes ! @cat ! @upper");
    let ended = sh(&format!("{line} | head -n 1; exit ${{PIPESTATUS[0]}}")).end().expect(141);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("Y\n", ""));
}

#[test]
fn a_gibibyte_through_five_stages() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let dir = Dir::new();
    let module = dir.file("copy.wat", COPY_MODULE);
    let feed = format!(
        "(for i in 1 2 3 4 5 6 7 8 9 10 11; do cat {}; done) | head -c 1073741824",
        big_file().display()
    );
    let line = script(&format!(
        "{} ! exec cat ! @@plain copy-64k ! exec tee /dev/null ! @@plain3 forward",
        module.display()
    ));
    let direct = sh(&format!("{feed} | sha256sum")).end().expect(0);
    let through = sh(&format!("{feed} | {line} | sha256sum")).end().expect(0);
    assert_eq!((direct.stdout, &*through.stderr), (through.stdout, ""));
}

#[test]
fn the_status_is_that_of_pipefail() {
    let _dog = watchdog();
    let cases = [
        ("exec true ! @cat", 0),
        ("exec false ! @cat", 1),
        ("exec sh -c exit~3 ! exec sh -c exit~4 ! @cat", 4),
        ("exec sh -c exit~3 ! @cat", 3),
        ("@cat ! exec sh -c exit~5", 5),
        ("@cat ! exec sh -c kill~-9~$$", 137),
        ("@@probe3 trap ! @cat", 134),
        ("@@probe3 trap ! exec sh -c exit~5", 5),
        ("@cat ! @@probe3 fail", 1),
        ("exec yes ! exec true", 0),
        ("exec yes ! @@plain exit 0", 0),
        ("exec yes ! exec false", 1),
        ("exec sh -c exit~9 ! exec yes ! exec true", 9),
    ];
    for (line, status) in cases {
        let ended = pipe(line).end();
        assert_eq!(ended.code, Some(status), "{line}: {ended:?}");
    }
}

#[test]
fn a_command_that_cannot_be_started_has_ended() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = dir.file("file", "text");
    for (command, status, part) in [
        ("/nonexistent", 127, "no such command"),
        ("nonexistent-command", 127, "no such command"),
        (&*file.display().to_string(), 126, "cannot be executed"),
        (&*format!("{}/x", file.display()), 126, "is no folder"),
    ] {
        let started = Instant::now();
        let ended = pipe(&format!("exec yes ! @cat ! exec {command}")).end();
        ended.expect_line(status, &["stage", command, part]);
        let ended = pipe(&format!("exec {command} ! @cat ! exec wc -c")).end();
        assert_eq!(ended.expect_line(status, &[part]).stdout.trim(), "0");
        assert!(started.elapsed() < Duration::from_secs(30));
        let ended = pipe(&format!("--check @cat ! exec {command}")).end();
        ended.expect_line(status, &[command, part]);
    }
}

/// However a stage ends, its neighbours see the end of file or EPIPE, and all are gone at once.
#[test]
fn a_stage_that_fails_frees_its_peers() {
    let _dog = watchdog();
    for (stage, status) in [
        ("@@probe2 trap", 134),
        ("@@probe3 trap", 134),
        ("--timeout 100ms @@probe2 spin", 124),
        ("@@plain panic", 134),
        ("exec sh -c kill~-9~$$", 137),
    ] {
        for line in [
            format!("-- @@cat ! {stage} ! @@plain copy"),
            format!("-- exec yes ! @@cat ! {stage} ! exec cat"),
        ] {
            let mut command = pipehost(["pipe", "--stats=json"]);
            let started = Instant::now();
            let ended = command.args(words(&line)).end();
            let took = started.elapsed();
            let told = stats(&ended);
            let seconds = |stage: &serde_json::Value| stage["seconds"].as_f64().unwrap();
            let failing = told["stages"].as_array().unwrap().iter();
            let failing: Vec<_> = failing.filter(|it| it["status"] == status).collect();
            assert!(!failing.is_empty(), "{line}: {ended:?}");
            let last = failing.iter().map(|stage| seconds(stage)).fold(0.0, f64::max);
            let whole = told["seconds"].as_f64().unwrap();
            assert!(whole - last < SOON.as_secs_f64(), "{line}: {told}");
            assert!(took < Duration::from_secs(30), "{line}: {took:?}");
            assert_eq!(ended.code, Some(status), "{line}: {ended:?}");
        }
    }
}

#[test]
fn a_signal_ends_all() {
    let _dog = watchdog();
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        for line in [
            "exec sleep 1000 ! @cat ! exec cat",
            "exec yes ! @cat ! exec sleep 1000",
            "@@probe2 spin ! @cat ! exec sleep 1000",
            // It does not listen, and has a child of its own.
            "exec sh -c trap~''~INT~TERM~HUP;~sleep~1000;~sleep~1000 ! @cat",
        ] {
            let dir = Dir::new();
            let x = dir.path("x");
            let mut command = pipehost(["pipe"]);
            command.arg("--fifo").arg(&x).args(words(line));
            let running = command.start();
            // Its commands, and what removes its FIFO.
            let natives =
                line.matches("exec ").count() + usize::from(cfg!(not(feature = "portable")));
            until("all run", || x.exists() && children_of(running.pid()).len() == natives);
            let children = children_of(running.pid());
            let sent = Instant::now();
            running.signal(signal);
            let ended = running.end();
            let took = sent.elapsed();
            ended.expect_line(status, &["signal"]);
            assert!(took < SOON, "{line}: {took:?}");
            assert!(!x.exists());
            for child in children {
                until("it is gone", || !fs::exists(format!("/proc/{child}")).unwrap());
            }
        }
    }
}

/// Returns the processes whose parent is `pid`.
fn children_of(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    children
}

/// If the process that starts pipehost ignores SIGCHLD, the kernel reaps pipehost's children before
/// pipehost can wait for them.
#[test]
fn an_ignored_sigchld_is_taken_back() {
    let _dog = watchdog();
    let line = script("exec sh -c exit~3 ! @cat");
    sh(&format!("exec env --ignore-signal=CHLD {line}")).end().expect(3);
}

#[test]
fn a_time_limit_bounds_the_whole() {
    let _dog = watchdog();
    for line in
        ["exec sleep 1000 ! @cat", "@@probe2 spin ! exec cat", "exec yes ! @cat ! exec sleep 1000"]
    {
        let started = Instant::now();
        let ended = pipe(&format!("--timeout 1s {line}")).end();
        let took = started.elapsed();
        ended.expect_line(124, &["--timeout 1s"]);
        assert!(took < Duration::from_secs(1) + SOON, "{line}: {took:?}");
    }
}

/// If another process than its own stage kept a writer open, its reader would wait for ever.
#[test]
fn no_stage_holds_another_ones_ends() {
    let _dog = watchdog();
    let own = sh("exec 3>&-; ls /proc/self/fd").end().expect(0).stdout;
    let own: Vec<_> = own.lines().filter(|number| *number != "3").collect();
    for line in [
        "@cat ! exec ls /proc/self/fd ! @cat ! exec cat",
        "exec true ! exec ls /proc/self/fd ! exec cat",
    ] {
        let mut command = pipe(line);
        let ended = command.end().expect(0);
        let theirs: Vec<_> = ended.stdout.lines().filter(|number| *number != "3").collect();
        assert_eq!(theirs, own, "{line}");
    }
    // The host keeps no end either: while one stage goes on, the others have ended.
    let line = "exec true ! @cat ! exec cat ! @@probe2 spin";
    let running = pipe(&format!("--timeout 20s {line}")).start();
    until("only the last stage runs", || {
        running.has_thread("stage 4")
            && !running.has_thread("stage 2")
            && children_of(running.pid()).is_empty()
    });
    running.signal("TERM");
    running.end().expect(143);
    // Nor does it keep its own standard streams: whoever writes to the first stage is told at once.
    let dir = Dir::new();
    let told = dir.path("told");
    let line = script("--timeout 10s exec head -n 1 ! @@probe2 spin");
    let feed = format!("yes; echo $? > {}", told.display());
    let mut running = sh(&format!("({feed}) | {line}")).start();
    until("`yes` has ended", || fs::read_to_string(&told).is_ok_and(|text| text == "141\n"));
    assert!(!running.is_over());
    running.end().expect(124);
}

#[test]
#[cfg(not(feature = "portable"))] // Linux hands on without a copy.
fn the_host_copies_nothing_between_stages() {
    let _dog = watchdog();
    // When so much has come, and more is under way, how much has been read by anybody in the host's
    // process? Once by each guest that reads it; those that hand it on unread do not.
    const LENGTH: u64 = 300_000_000;
    let dir = Dir::new();
    let pid = dir.path("pid");
    for (line, readers) in
        [("@@probe3 forward-stdio ! @@plain3 forward", 0), ("@upper ! @@plain copy-64k ! @cat", 2)]
    {
        let script = format!(
            "yes | (echo $BASHPID > {0}; exec {1}) |
                (head -c {LENGTH} | wc -c; cat /proc/$(cat {0})/io)",
            pid.display(),
            script(line)
        );
        let ended = sh(&script).end().expect(0);
        assert_eq!(ended.stdout.lines().next().unwrap().trim(), LENGTH.to_string());
        let read = ended.stdout.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
        let read: u64 = read.parse().unwrap();
        let expected = LENGTH * readers;
        assert!(read >= expected && read < expected + LENGTH / 5, "{line}: {}", ended.stdout);
    }
}

#[test]
fn sixty_four_stages() {
    let _dog = watchdog();
    let peak = |stages: usize| {
        let mut words = vec!["@cat"; stages].join(" ! ");
        words += " ! exec sh -c";
        let mut command = pipe(&words);
        let ended =
            command.arg("cat; grep VmHWM /proc/$PPID/status").start_with("hello\n").expect(0);
        let mut lines = ended.stdout.lines();
        assert_eq!(lines.next(), Some("hello"), "{ended:?}");
        let kib = lines.next().unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap()
    };
    let (few, many) = (peak(2), peak(64));
    let each = many.saturating_sub(few) / 62;
    assert!(each <= 5 * 1024, "{few} KiB with 2, {many} KiB with 64, {each} KiB each");
}

trait StartWith {
    fn start_with(&mut self, input: &str) -> Ended;
}

impl StartWith for Command {
    /// Starts the command with `input` on its stdin.
    fn start_with(&mut self, input: &str) -> Ended {
        use std::io::Write as _;
        let mut running = self.stdin(std::process::Stdio::piped()).start();
        running.stdin().write_all(input.as_bytes()).unwrap();
        running.end()
    }
}

#[test]
fn options_hold_for_all_guests_or_for_one() {
    let _dog = watchdog();
    let line = "--env A=1 -- --env B=2 @@plain env ! @@plain env";
    let ended = pipe(line).end().expect(0);
    assert_eq!(ended.stdout, "A=1\n");
    let ended = pipe("--env A=1 @@plain env ! --env B=2 @@plain env").end().expect(0);
    assert_eq!(ended.stdout, "A=1\nB=2\n");
    // The outer streams are the outer stages'; messages all go to one place.
    let dir = Dir::new();
    let (input, output, errors) = (dir.file("in", "text\n"), dir.path("out"), dir.path("errors"));
    let ended = pipe(&format!(
        "--stdin {} --stdout {} --stderr {} exec cat ! @@plain copy ! exec sh -c",
        input.display(),
        output.display(),
        errors.display()
    ))
    .arg("cat; echo one >&2; echo two >&2")
    .end()
    .expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    assert_eq!(fs::read_to_string(output).unwrap(), "text\n");
    assert_eq!(fs::read_to_string(errors).unwrap(), "one\ntwo\n");
    // Guests share a FIFO that all are granted.
    let x = dir.fifo("x");
    let _writer = cat_into(&dir.file("text", "by a FIFO\n"), &x);
    let ended = pipe(&format!("-- --fifo {},r @cat ! @upper", x.display())).end().expect(0);
    assert_eq!(ended.stdout, "BY A FIFO\n");
    // A descriptor is one guest's.
    let line = script("--fd 7 @cat ! @cat");
    sh(&format!("{line} 7</dev/null")).end().expect_line(2, &["--fd", "one guest"]);
    let line = script("-- --fd 7,r @cat ! @upper");
    assert_eq!(sh(&format!("{line} 7< <(echo hi)")).end().expect(0).stdout, "HI\n");
}

#[test]
fn mistakes_are_answered_before_anything_runs() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let trace = dir.path("trace");
    let cases = [
        ("@cat ! ! @cat", 2, "is empty"),
        ("@cat ! exec", 2, "exec COMMAND"),
        ("@cat ! --nope @cat", 2, "--nope"),
        ("@cat ! --stdin null @cat", 0, ""),
        ("@cat ! @nope", 66, "@nope"),
        ("@cat ! /nonexistent.wasm", 66, "/nonexistent.wasm"),
        ("@cat ! --max-memory 12Q @cat", 2, "12Q"),
        ("@cat ! --fifo a=/x --fifo a=/y @cat", 2, "granted twice"),
    ];
    for (line, status, part) in cases {
        let mut command = pipehost(["pipe", "--fifo"]);
        command
            .arg(format!("{},w", x.display()))
            .args(["exec", "touch"])
            .arg(&trace)
            .arg("!")
            .args(line.split(' '));
        let ended = command.end();
        if status == 0 {
            fs::remove_file(&trace).unwrap();
            ended.expect(0);
            continue;
        }
        ended.expect_line(status, &[part]);
        assert!(dir.is_empty(), "{line}: nothing is made, and nothing has run");
    }
    pipe("-f x @cat").end().expect_line(2, &["-f", "--file"]);
    pipehost(["pipe"]).end().expect_line(2, &["STAGE"]);
    // A guest whose imports do not fit ends as a stage; the others see its end.
    let wat =
        dir.file("odd.wat", "(module (import \"odd\" \"f\" (func)) (func (export \"_start\")))");
    let ended = pipe(&format!("{} ! exec wc -c", wat.display())).end();
    assert_eq!(ended.expect_line(65, &["stage odd", "`odd`"]).stdout.trim(), "0");
}

#[test]
fn statistics_tell_who_waited() {
    let _dog = watchdog();
    let line = "--stats=json exec sh -c";
    let ended = pipe(line)
        .args(["sleep 2; head -c 1000 /dev/zero", "!", "@upper", "!"])
        .arg(guest("plain"))
        .args(["copy"])
        .end()
        .expect(0);
    assert_eq!(ended.stdout.len(), 1000);
    let told = stats(&ended);
    assert_eq!((&told["status"], &told["stages"][1]["read_bytes"]), (&0.into(), &1000.into()));
    assert_eq!(told["stages"][2]["written_bytes"], 1000);
    assert_eq!(told["stages"][0]["read_bytes"], serde_json::Value::Null);
    assert_eq!(
        (&told["pipes"][0]["from"], &told["pipes"][0]["to"]),
        (&"sh.stdout".into(), &"upper.stdin".into())
    );
    assert_eq!(
        (&told["pipes"][0]["bytes"], &told["pipes"][1]["bytes"]),
        (&1000.into(), &1000.into())
    );
    let waited = |pipe: usize| told["pipes"][pipe]["reader_waited_seconds"].as_f64().unwrap();
    assert!(waited(0) > 0.25 && waited(1) > 0.25, "{told}");
    assert!(told["stages"][1]["memory_bytes"].as_u64().unwrap() >= 64 << 10, "{told}");
    // A slow reader: its writer waits. As text, for people.
    let ended = pipe("--stats exec yes ! @cat ! exec sh -c")
        .arg("sleep 2; head -c 10000000 > /dev/null")
        .end()
        .expect(0);
    let row = ended.stderr.lines().find(|line| line.starts_with("cat.stdout → sh.stdin"));
    let row: Vec<_> = row.unwrap().split_whitespace().collect();
    assert!(row[5].parse::<f64>().unwrap() > 0.3, "{row:?}");
    // For a single guest, too.
    let ended = sh("printf abc | pipehost run @upper --stats=json").end().expect(0);
    assert_eq!(stats(&ended)["stages"][0]["read_bytes"], 3);
}

/// Writes to stdout until that fails, and then a line to stderr.
const LATE_WORDS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "hello\n")
  (data (i32.const 128) "3 of 10 lines bad!\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 6))
    (i32.store (i32.const 8) (i32.const 128)) (i32.store (i32.const 12) (i32.const 19))
    (block $failed (loop $more
      (br_if $failed (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
      (br $more)))
    (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 32)))))"#;

/// What it said last was kept back, as its reader had left, and is delivered to a pipe that is full: within its time.
#[test]
#[cfg(not(feature = "portable"))] // What a pipe holds is known on Linux.
fn a_stages_time_limit_holds_while_its_last_words_are_delivered() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (late, fifo) = (dir.file("late.wat", LATE_WORDS), dir.fifo("e"));
    let mut full = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    full.write_all(&[0; 65536]).unwrap();
    for isolated in ["", "--isolate"] {
        let script = format!(
            "pipehost pipe {isolated} -- --timeout 1s --stderr fifo:{},existing,capacity=64K {} ! exec true",
            fifo.display(),
            late.display()
        );
        sh(&script).end().expect_line(124, &["stage late: ", "--timeout 1s"]);
    }
}
