//! The host's work for a guest: streams whose handles are dropped, and streams that are always
//! ready.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::*;

/// Returns `field` of a process's status, in KiB.
fn kib(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Memory is measured after these numbers of rounds.
const MARKS: [&str; 6] = ["30000", "60000", "90000", "120000", "150000", "180000"];

#[test]
fn row_43_streams_whose_handles_are_dropped_are_bounded() {
    let _dog = watchdog();
    for output in ["stdout", "stderr"] {
        let options = ["--max-memory", "32M", "--max-pipes", "1", "--max-bytes", "1K"];
        let mut command = run("plain3", options);
        command.args(["--", "streams-to", output]).args(MARKS);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let marks = MARKS.map(|mark| {
            assert_eq!(lines.next().as_deref(), Some(mark), "{output}");
            // Not the program, whose pages come in when they are first used.
            kib(child.id(), "RssAnon")
        });
        // The first time that something happens, such as a yield, may cost some pages, once.
        let mut steps: Vec<_> =
            marks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        steps.sort_unstable();
        assert!(steps[steps.len() / 2] <= 64, "{output}: {marks:?} KiB");
        assert!(marks[MARKS.len() - 1] <= marks[0] + 4096, "{output}: {marks:?} KiB");
        // What cannot be had is told: no byte, and an error.
        let told = lines.next().unwrap();
        assert!(told.starts_with("0 Err("), "{output}: {told}");
        // The first stream is still served.
        drop(child.stdin.take());
        assert_eq!(lines.collect::<Vec<_>>(), Vec::<String>::new(), "{output}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{output}");
    }
}

#[test]
fn row_44_a_stream_that_is_always_ready_ends_on_time() {
    let _dog = watchdog();
    for how in ["forward", "forward-to-stderr", "copy-by"] {
        for isolate in [&[][..], &["--isolate"]] {
            let mut command = pipehost(["pipe"]);
            command.args(isolate).args(["--timeout", "1s", "--"]).arg(guest("plain3")).arg(how);
            command.args((how == "copy-by").then_some("65536"));
            command.stdin(File::open("/dev/zero").unwrap());
            command.stdout(File::create("/dev/null").unwrap());
            command.stderr(File::create("/dev/null").unwrap());
            assert_eq!(command.status().unwrap().code(), Some(124), "{how} {isolate:?}");
        }
    }
}

#[test]
fn row_44_a_child_that_is_always_busy_leaves_others_their_turn() {
    let _dog = watchdog();
    for family in ["family2", "family3"] {
        for how in ["forward", "forward-to-stderr"] {
            let child = |keys| format!("p={}{keys}", guest("plain3").display());
            // Its own time limit ends it.
            let mut limited = run(family, ["--child".to_owned(), child(",timeout=1s")]);
            limited.args(["--", "run", "p", how]);
            // Its parent gets to end it.
            let mut killed = run(family, ["--child".to_owned(), child("")]);
            killed.args(["--", "kill", "p", how]);
            for (mut command, says) in [(limited, "timed out"), (killed, "killed")] {
                command.stdin(File::open("/dev/zero").unwrap()).stderr(Stdio::null());
                // What the parent says goes after the child's bytes, where those are on stdout, too.
                if how == "forward" {
                    let status = command.stdout(Stdio::null()).status().unwrap();
                    assert_eq!(status.code(), Some(0), "{family} {how}");
                } else {
                    let output = command.output().unwrap();
                    let text = String::from_utf8_lossy(&output.stdout);
                    assert_eq!(output.status.code(), Some(0), "{family} {how}: {text}");
                    assert!(text.contains(says), "{family} {how}: {text}");
                }
            }
        }
    }
}

#[test]
fn row_49_folders_that_are_read_at_once_are_bounded() {
    let _dog = watchdog();
    let dir = Dir::new();
    let names = dir.path("names");
    fs::create_dir(&names).unwrap();
    for n in 0..3000 {
        File::create(names.join(format!("{n:0200}"))).unwrap();
    }
    for probe in PROBES {
        let grant = ["--max-memory", "32M", "--dir", &format!("{}::/names,ro", names.display())];
        let mut command = run(probe, grant);
        command.args(["--", "folders", "/names", "800"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut seen = Vec::new();
        for line in lines {
            let held = line.starts_with("held ");
            seen.push(line);
            if held {
                break;
            }
        }
        // The guest's own 32 MiB, and 16 MiB for all that the host holds for it.
        let used = kib(child.id(), "RssAnon");
        drop(child.stdin.take());
        let status = child.wait().unwrap();
        assert_eq!(seen.first().map(String::as_str), Some("3000 names"), "{probe}: {seen:?}");
        assert!(used < 48 * 1024, "{probe}: {used} KiB, {seen:?}");
        assert_eq!(status.code(), Some(0), "{probe}: {seen:?}");
    }
}
