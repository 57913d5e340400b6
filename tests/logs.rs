//! `--log-format`, `--log-file`, `-v` and `-vv`: the host's own messages.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use support::*;

/// Returns the messages of a text in which each line is one.
#[track_caller]
fn messages(text: &str) -> Vec<Value> {
    let keys = ["fields", "level", "message", "pid", "spans", "target", "timestamp"];
    let message = |line: &str| {
        let message: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let found: BTreeSet<_> = message.as_object().unwrap().keys().map(|it| &**it).collect();
        assert_eq!(found, BTreeSet::from(keys), "{line}");
        assert!(message["fields"].is_object() && message["pid"].as_u64().unwrap() > 1, "{line}");
        let level = message["level"].as_str().unwrap();
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level), "{line}");
        let time = message["timestamp"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z') && time.contains('T'), "{line}");
        assert!(message["target"].as_str().unwrap().starts_with("pipehost"), "{line}");
        message
    };
    text.lines().map(message).collect()
}

/// Returns where a message comes from: `stage upper, pipe stdin`.
fn from(message: &Value) -> String {
    let spans = message["spans"].as_array().unwrap().iter().map(|span| {
        let name = span["name"].as_str().unwrap();
        format!("{name} {}", span[name].as_str().unwrap())
    });
    spans.collect::<Vec<_>>().join(", ")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn json_says_from_which_stage_and_pipe_a_message_comes() {
    let _dog = watchdog();
    let line = "printf abc | pipehost -vv --log-format json pipe @cat ! exec cat ! @upper";
    let ended = sh(line).end().expect(0);
    assert_eq!(ended.stdout, "ABC");
    let told = messages(&ended.stderr);
    let places: BTreeSet<_> = told.iter().map(from).collect();
    for place in ["stage cat, pipe stdin", "stage cat, pipe stdout", "stage upper, pipe stdin"] {
        assert!(places.contains(place), "{place} is in {places:?}");
    }
    let done = told.iter().find(|it| {
        from(it) == "stage upper, pipe stdout" && it["message"] == "done, after 3 bytes in all"
    });
    assert_eq!(done.unwrap()["spans"][1]["direction"], "writing");
    // The options stand behind the command as well. Without -v, a run that ends well says nothing.
    let line = "printf abc | pipehost run @upper --log-format=json";
    assert_eq!(sh(line).end().expect(0).stderr, "");
    let ended = sh(&format!("{line} -v")).end().expect(0);
    assert!(messages(&ended.stderr).iter().all(|it| it["level"] == "INFO"), "{ended:?}");
}

#[test]
fn text_says_it_at_vv() {
    let _dog = watchdog();
    let ended = sh("printf abc | pipehost -vv pipe @cat ! @upper").end().expect(0);
    assert!(ended.stderr.lines().all(|line| line.starts_with("pipehost: ")), "{ended:?}");
    let line = "pipehost: stage upper: pipe stdin: opened for reading\n";
    assert!(ended.stderr.contains(line), "{ended:?}");
    let ended = sh("printf abc | pipehost -v pipe @cat ! @upper").end().expect(0);
    assert!(!ended.stderr.contains("stage "), "{ended:?}");
}

#[test]
fn why_a_run_ends_is_json_too() {
    let _dog = watchdog();
    let ended = run("probe2", ["--log-format=json", "--", "trap"]).end().expect(134);
    let told = messages(&ended.stderr);
    assert_eq!((told.len(), &told[0]["level"]), (1, &"ERROR".into()), "{told:?}");
    assert!(told[0]["message"].as_str().unwrap().contains("trapped"), "{told:?}");
    let ended = pipehost(["pipe", "--log-format=json", "@cat", "!", "exec", "no-such"]).end();
    let told = messages(&ended.expect(127).stderr);
    assert_eq!(from(told.last().unwrap()), "stage no-such", "{told:?}");
    // An error with lines of a file is one object.
    let dir = Dir::new();
    let wat = dir.file("odd.wat", "(module\n  (funk))\n");
    let ended = pipehost(["run", "--log-format=json"]).arg(wat).end();
    let told = messages(&ended.expect(65).stderr);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["message"].as_str().unwrap().contains("\n    "), "{told:?}");
    // What is wrong with the command line itself is text.
    pipehost(["run", "--log-format=json", "--no-such"]).end().expect_line(2, &["--no-such"]);
}

#[test]
fn a_file_takes_all_and_stderr_the_last_line() {
    let _dog = watchdog();
    let dir = Dir::new();
    let log = dir.path("log");
    for round in 1..=2 {
        let mut command = run("probe2", ["-v", "--log-file"]);
        let ended = command.arg(&log).args(["--", "trap"]).end();
        let ended = ended.expect_line(134, &["trapped"]);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        let text = read(&log);
        let last = ended.stderr.trim_start_matches("pipehost: ");
        assert_eq!(text.matches(last).count(), round, "{text}");
        assert!(text.contains("this process has given up what it does not need") || !confined());
        // The backtrace, which is for -v only, has lines of its own.
        assert!(text.contains("\n    "), "{text}");
        let own = |line: &&str| !line.starts_with("    ");
        for line in text.lines().filter(own) {
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(time.len() == 27 && time.starts_with("20"), "{line}");
            assert!(rest.starts_with("pipehost["), "{line}");
        }
    }
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o7777, 0o600);
    // A warning is no last line. The mode of a file that is there stays.
    fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&log, "").unwrap();
    let mut command = run("probe2", ["--log-format=json", "--log-file"]);
    let x = dir.path("x");
    let ended = command.arg(&log).args(fifo("in", &x, "")).args(["--", "list"]).end().expect(0);
    assert_eq!(ended.stderr, "");
    let told = messages(&read(&log));
    assert_eq!((told.len(), &told[0]["level"]), (1, &"WARN".into()), "{told:?}");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o7777, 0o640);
}

/// Whether the processes of the tests confine themselves.
fn confined() -> bool {
    cfg!(not(feature = "portable")) && rustix::process::geteuid().is_root()
}

#[test]
fn isolated_stages_share_the_file() {
    let _dog = watchdog();
    let dir = Dir::new();
    // A file that is called like the command.
    let line = format!(
        "cd {} && printf abc | pipehost -vv --log-format json --log-file pipe pipe --isolate @cat ! @upper",
        dir.path(".").display()
    );
    let ended = sh(&line).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("ABC", ""));
    let told = messages(&read(&dir.path("pipe")));
    let of = |stage: &str| -> BTreeSet<_> {
        let place = format!("stage {stage}, pipe stdin");
        let its = told.iter().filter(|it| from(it) == place);
        its.map(|it| it["pid"].as_u64().unwrap()).collect()
    };
    let [cat, upper] = [of("cat"), of("upper")];
    assert!(cat.len() == 1 && upper.len() == 1 && cat != upper, "{cat:?} {upper:?}");
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let _dog = watchdog();
    let dir = Dir::new();
    let refused = |path: &Path, code: i32, part: &str| {
        let ended = run("@cat", ["--log-file"]).arg(path).end();
        ended.expect_line(code, &["--log-file", part]);
    };
    let x = dir.fifo("x");
    refused(&x, 74, "is no regular file");
    // With a reader, which sees nothing of it: it still waits for its writer.
    let reader = sh(&format!("cat {}", x.display())).start();
    refused(&x, 74, "is no regular file");
    fs::write(&x, "hello").unwrap();
    assert_eq!(reader.end().expect(0).stdout, "hello");
    refused(Path::new("/dev/null"), 74, "is no regular file");
    refused(&dir.path("."), 74, "is no regular file");
    refused(&dir.path("no/log"), 66, "No such file");
}

/// A file that can have no more bytes, as on a full disk: setrlimit(2).
#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let _dog = watchdog();
    let dir = Dir::new();
    let log = dir.path("log");
    let size = 64 << 20;
    File::create(&log).unwrap().set_len(size).unwrap();
    let line = format!(
        "ulimit -f {}; printf abc | pipehost run @upper -vv --log-file {}",
        size / 1024,
        log.display()
    );
    let ended = sh(&line).end().expect_line(0, &["warning: --log-file", "messages are missing"]);
    assert_eq!(ended.stdout, "ABC");
    assert_eq!(fs::metadata(&log).unwrap().len(), size);
}

#[test]
fn why_a_signal_ends_a_run_is_in_the_file() {
    let _dog = watchdog();
    let dir = Dir::new();
    let log = dir.path("log");
    let mut command = run("probe2", ["-vv", "--log-file"]);
    let running = command.arg(&log).args(["--", "spin"]).start();
    until("it runs", || fs::read_to_string(&log).is_ok_and(|it| it.contains(": running ")));
    running.signal("TERM");
    running.end().expect_line(143, &["signal 15"]);
    // The thread that cuts a run short may say it before the main thread says its last.
    assert!(read(&log).lines().any(|line| line.ends_with("error: ended by signal 15")));
}

/// A guest's name can do nothing to whoever reads the log, decoded or not.
#[test]
fn what_quotes_a_guest_is_escaped() {
    let _dog = watchdog();
    let dir = Dir::new();
    let name = "a\u{1b}[2Jb\u{202e}c\nd.wat";
    dir.file(name, "(module (func (export \"_start\") unreachable))");
    for form in ["text", "json"] {
        let log = dir.path(form);
        let mut command = pipehost(["run", "-vv", "--log-format", form, "--log-file"]);
        command.arg(&log).arg(dir.path(name)).end().expect(134);
        let mut text = read(&log);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        if form == "json" {
            text =
                messages(&text).iter().map(|it| format!("{}{}", from(it), it["message"])).collect();
        }
        assert!(text.contains("x1b[2Jb") && !text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
}
