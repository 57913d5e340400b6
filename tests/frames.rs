//! Frames: of what a guest writes, whole records pass, and nothing else does.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use pipehost_test_guests::module;
use support::*;

/// Guests that copy stdin to stdout: of WASI 0.1, 0.2 and 0.3. The last one hands its stdin on unread.
fn copiers() -> Vec<(Command, &'static [&'static str])> {
    type Args = &'static [&'static str];
    let of_module = |args: Args| {
        let mut command = pipehost(["run"]);
        command.arg(module("plain"));
        (command, args)
    };
    let of = |name: &str, args: Args| (run(name, [""; 0]), args);
    vec![
        of_module(&["--", "copy"]),
        of_module(&["--", "copy-by", "7"]),
        of_module(&["--", "copy-64k"]),
        of("plain", &["--", "copy"]),
        of("plain", &["--", "copy-by", "7"]),
        of("plain", &["--", "copy-64k"]),
        of("plain3", &["--", "copy-by", "7"]),
        of("plain3", &["--", "copy-by", "100000"]),
        of("plain3", &["--", "forward"]),
    ]
}

/// Each guest copies `input` to a stdout with this value of `--stdout`.
fn copied(input: &Path, stdout: &str, check: impl Fn(Ended)) {
    for (mut command, args) in copiers() {
        command.args(["--stdout", stdout]).args(args);
        command.stdin(fs::File::open(input).unwrap());
        check(command.end());
    }
}

#[test]
fn json_passes_and_everything_else_is_shown_on_stderr() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input =
        dir.file("in", "{\"id\": 1}\nloading\x1b[2J...\n[2]\n\n{\"id\": 3\n\"ä\"\n{\"half\":");
    copied(&input, "frame=json", |ended| {
        let ended = ended.expect(0);
        assert_eq!(ended.stdout, "{\"id\": 1}\n[2]\n\"ä\"\n");
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 4, "{ended:#?}");
        assert!(
            lines[0].contains("`stdout`: left out 14 bytes that are no JSON: `loading\\x1b[2J...`")
        );
        assert!(lines[1].contains("an empty line"), "{ended:#?}");
        assert!(lines[3].contains("8 bytes of an unfinished record: `{\"half\":`"), "{ended:#?}");
    });
}

#[test]
fn lines_pass_up_to_their_size_and_the_last_one_gets_its_end() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("in", "abc\nabcd\n\nabcde\nab");
    copied(&input, "inherit,frame=lines:4", |ended| {
        let ended = ended.expect(0);
        assert_eq!(ended.stdout, "abc\nabcd\n\nab\n");
        let what = "`stdout`: left out 5 bytes, more than the 4 of a record: `abcde`";
        assert!(ended.stderr.contains(what), "{ended:#?}");
    });
    // A file, and a path with a comma.
    let out = dir.path("a,b");
    let stdout = format!("file:{},frame=lines:4", out.display().to_string().replace(',', ",,"));
    copied(&input, &stdout, |ended| {
        assert_eq!(ended.expect(0).stdout, "");
        assert_eq!(fs::read_to_string(&out).unwrap(), "abc\nabcd\n\nab\n");
    });
}

#[test]
fn texts_that_a_nul_ends_pass() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("in", "./a\n\0./b c\0./un");
    copied(&input, "frame=nul", |ended| {
        let ended = ended.expect(0);
        assert_eq!(ended.stdout, "./a\n\0./b c\0");
        assert!(ended.stderr.contains("unfinished"), "{ended:#?}");
    });
}

#[test]
fn what_is_no_record_ends_the_run_where_it_is_to() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("in", "[1]\noops\n[2]\n");
    copied(&input, "frame=json,frame-error=end", |ended| {
        let line = ["`stdout`: 4 bytes that are no JSON: `oops`", "frame-error=drop"];
        assert_eq!(ended.expect_line(74, &line).stdout, "[1]\n");
    });
    // Also at its end, which the guest takes for a good one.
    let unfinished = dir.file("unfinished", "[1]\n[2");
    copied(&unfinished, "frame=json,frame-error=end", |ended| {
        assert_eq!(ended.expect_line(74, &["unfinished"]).stdout, "[1]\n");
    });
    let good = dir.file("good", "[1]\n");
    copied(&good, "frame=json,frame-error=end", |ended| {
        let ended = ended.expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("[1]\n", ""));
    });
}

/// Rust's `println!` panics when a write fails. The run ends because of the record all the same.
#[test]
fn what_a_guest_does_after_the_refused_write_does_not_matter() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("in", "[1]\noops\n[2]\n");
    for path in [module("plain"), guest("plain")] {
        for options in [&[][..], &["--restart=on-trap"]] {
            let mut command = pipehost(["run"]);
            command.arg(&path).args(options).args(["--stdout", "frame=json,frame-error=end"]);
            command.args(["--", "echo-lines"]).stdin(fs::File::open(&input).unwrap());
            let ended = command.end().expect(74);
            assert_eq!(ended.stdout, "[1]\n");
            let line = "`stdout`: 4 bytes that are no JSON: `oops`";
            assert!(ended.stderr.contains(line), "{ended:#?}");
            assert!(!ended.stderr.contains("again in"), "{ended:#?}");
        }
    }
}

/// A guest that ends by itself leaves whole records and half a one: its reader may take its time for the whole ones.
#[test]
fn a_slow_reader_gets_all_records_before_the_one_that_ends_the_run() {
    let _dog = watchdog();
    let dir = Dir::new();
    let whole = "[1]\n".repeat(1 << 18);
    let input = dir.file("in", format!("{whole}[2"));
    for (guest, how) in [("plain", "copy-64k"), ("plain3", "forward")] {
        let mut command = run(guest, ["--stdout", "frame=json,frame-error=end", "--", how]);
        command.stdin(fs::File::open(&input).unwrap()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (mut seen, mut piece) = (Vec::new(), vec![0; 1 << 17]);
        loop {
            // Longer than what a run that is ended has for its last bytes.
            let started = std::time::Instant::now();
            until("a while has passed", || started.elapsed().as_millis() > 150);
            let n = stdout.read(&mut piece).unwrap();
            if n == 0 {
                break;
            }
            seen.extend_from_slice(&piece[..n]);
        }
        assert_eq!(child.wait().unwrap().code(), Some(74));
        assert!(seen == whole.as_bytes(), "{how}: {} of {} bytes", seen.len(), whole.len());
    }
}

#[test]
fn a_note_comes_after_the_records_before_it() {
    let _dog = watchdog();
    for (guest, how) in [("plain", "copy"), ("plain3", "copy-by 100")] {
        let guest = pipehost_test_guests::guest(guest);
        let script = format!(
            "printf '[1]\\n[2]\\nno\\n' | pipehost run {} --stdout frame=json -- {how} 2>&1",
            guest.display()
        );
        let ended = sh(&script).end().expect(0);
        assert!(ended.stdout.starts_with("[1]\n[2]\n"), "{ended:#?}");
        assert!(ended.stdout.contains("`stdout`: left out 2 bytes"), "{ended:#?}");
    }
}

#[test]
fn named_pipes_have_frames_too() {
    let _dog = watchdog();
    for probe in PROBES {
        for how in ["copy", "forward"] {
            let dir = Dir::new();
            let (a, b) = (dir.fifo("a"), dir.fifo("b"));
            let from = dir.file("from", "{}\nno\n[]\n");
            let _cat = cat_into(&from, &a);
            let reader = sh(&format!("cat {}", b.display())).start();
            let mut command = run(probe, fifo("a", &a, ",r"));
            command.args(fifo("b", &b, ",w,frame=json")).args(["--", how, "a", "b"]);
            let ended = command.end().expect(0);
            assert_eq!(reader.end().stdout, "{}\n[]\n", "{probe} {how}");
            assert!(ended.stderr.contains("`b`: left out 2 bytes"), "{ended:#?}");
        }
    }
    // An inherited descriptor.
    let script = format!(
        "printf '{{}}\\nno\\n' | pipehost run {} --fd in=5,r --fd out=6,w,frame=json -- copy in out 5<&0 6>&1",
        guest("probe2").display()
    );
    assert_eq!(sh(&format!("({script}) | cat")).end().expect(0).stdout, "{}\n");
}

/// Records through a pipe whose reader takes some bytes now and then: all of them come, in order.
#[test]
fn all_records_come_through_in_order_however_slow_the_reader_is() {
    let _dog = watchdog();
    let dir = Dir::new();
    let line = |n: usize| format!("{{\"n\": {n}, \"text\": \"{}\"}}\n", "x".repeat(n * 7 % 300));
    let all: String = (0..4000).map(line).collect();
    let input = dir.file("in", &all);
    for (mut command, args) in copiers() {
        command.args(["--stdout", "frame=json"]).args(args).stdin(fs::File::open(&input).unwrap());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (mut seen, mut piece) = (Vec::new(), vec![0; 70_000]);
        for turn in 1.. {
            let n = stdout.read(&mut piece[..1 + turn * 977 % 70_000]).unwrap();
            if n == 0 {
                break;
            }
            seen.extend_from_slice(&piece[..n]);
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(seen == all.as_bytes(), "{args:?}: {} of {} bytes", seen.len(), all.len());
    }
}

/// Two guests write to one pipe, which is full most of the time: a record of up to PIPE_BUF bytes stays whole, even
/// though the guests write half a record at a time.
#[test]
fn records_of_two_writers_are_not_mixed() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (guest, how) in [("plain", "copy-by 700"), ("plain3", "copy-by 5000")] {
        let script = ["a", "b"].map(|letter| {
            let line = format!("\"{}\"\n", letter.repeat(1200));
            let input = dir.file(letter, line.repeat(3000));
            let guest = pipehost_test_guests::guest(guest);
            let (guest, input) = (guest.display(), input.display());
            format!("pipehost run {guest} --stdout frame=json -- {how} < {input} & ")
        });
        let ended = sh(&format!("({} wait) | sort | uniq -c", script.concat())).end().expect(0);
        let counts: Vec<_> = ended.stdout.split_whitespace().step_by(2).collect();
        assert_eq!(counts, ["3000", "3000"], "{guest}");
    }
}

/// A record as large as is permitted, and one that never ends: the host holds no more.
#[test]
fn the_host_holds_one_record_and_no_more() {
    let _dog = watchdog();
    let script = |stdin: &str, keys: &str, guest: &str, how: &str| {
        let guest = pipehost_test_guests::guest(guest);
        format!(
            "{stdin} | (ulimit -v 900000; pipehost run --max-memory 16M {} --stdout {keys} -- {how}) | wc -c",
            guest.display()
        )
    };
    let endless = "head -c 1000000000 /dev/zero";
    let large = "(head -c 4000000 /dev/zero | tr '\\0' 7; echo)";
    for (guest, how) in [("plain", "copy-64k"), ("plain3", "copy-by 65536"), ("plain3", "forward")]
    {
        let ended = sh(&script(endless, "frame=lines", guest, how)).end().expect(0);
        assert_eq!(ended.stdout.trim(), "0", "{guest} {how}");
        assert!(ended.stderr.contains("left out 1000000000 bytes, more than the 1M of a record"));
        let ended = sh(&script(large, "frame=json:4M", guest, how)).end().expect(0);
        assert_eq!(ended.stdout.trim(), "4000001", "{guest} {how}: {}", ended.stderr);
    }
}

#[test]
fn the_reader_who_leaves_ends_the_guest_as_ever() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("in", "[1]\n".repeat(1_000_000));
    for (command, args) in copiers() {
        let words = |command: &Command| {
            let words = command.get_args().skip_while(|word| *word != "run");
            words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        let args = args.join(" ");
        let script = format!(
            "pipehost {} --stdout frame=json {args} < {} | head -n 1; echo ${{PIPESTATUS[0]}}",
            words(&command),
            input.display()
        );
        let ended = sh(&script).end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("[1]\n141\n", ""), "{args}");
    }
    // One that writes no record is told as well.
    let script = format!(
        "yes no | pipehost run {} --stdout frame=json -- copy 2> /dev/null | true; echo ${{PIPESTATUS[1]}}",
        guest("plain").display()
    );
    assert_eq!(sh(&script).end().expect(0).stdout, "141\n");
}

#[test]
fn a_record_that_was_cut_short_does_not_pass() {
    let _dog = watchdog();
    // By a trap, which is how the run ends, whatever is to become of what is no record.
    for frame in ["frame=lines", "frame=lines,frame-error=end"] {
        let mut traps = run("plain", ["--stdout", frame, "--", "copy-or-trap"]);
        let mut traps = traps.stdin(Stdio::piped()).start();
        traps.stdin().write_all(b"whole\nhalf trap").unwrap();
        let ended = traps.end().expect(134);
        assert_eq!(ended.stdout, "whole\n");
        let note = "`stdout`: left out 5 bytes of an unfinished record: `half `";
        assert!(ended.stderr.contains(note), "{ended:#?}");
    }
    // By a signal, and by a time limit.
    for stop in [&["--timeout", "10s"][..], &[]] {
        let mut command = run("plain3", stop);
        command.args(["--stdout", "frame=lines", "--", "copy-by", "100"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut running = Running::of(child);
        let mut stdin = running.stdin();
        stdin.write_all(b"whole\nhalf").unwrap();
        // Once the one is here, the guest has written the other, too.
        let mut whole = [0; 6];
        stdout.read_exact(&mut whole).unwrap();
        assert_eq!(&whole, b"whole\n");
        if stop.is_empty() {
            running.signal("TERM");
        }
        let ended = running.end();
        assert_ne!(ended.code, Some(0), "{ended:#?}");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "{ended:#?}");
    }
}

#[test]
fn bytes_count_as_the_guest_writes_them() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("in", "[1]\n[2]\nnone\n[3]\n");
    // The 10th byte is in the third line.
    for (guest, how) in [("plain", "copy"), ("plain3", "copy-by")] {
        let mut command = run(guest, ["--max-bytes", "10", "--stdout", "frame=json", "--", how]);
        if how == "copy-by" {
            command.arg("4");
        }
        let ended = command.stdin(fs::File::open(&input).unwrap()).end();
        assert_eq!(ended.stdout, "[1]\n[2]\n", "{ended:#?}");
        assert!(ended.stderr.contains("--max-bytes"), "{ended:#?}");
    }
    let mut command = run("plain", ["--stats=json", "--stdout", "frame=json", "--", "copy"]);
    let ended = command.stdin(fs::File::open(&input).unwrap()).end().expect(0);
    assert!(ended.stderr.contains("\"written_bytes\":17"), "{ended:#?}");
    // A rate is kept to.
    let mut command = run("plain", ["--rate", "1K", "--stdout", "frame=json", "--", "copy"]);
    let started = std::time::Instant::now();
    let lines = dir.file("lines", "[1]\n".repeat(400));
    assert_eq!(command.stdin(fs::File::open(lines).unwrap()).end().expect(0).stdout.len(), 1600);
    assert!(started.elapsed().as_millis() > 300);
}

#[test]
fn what_is_refused_is_shown_within_bounds() {
    let _dog = watchdog();
    let dir = Dir::new();
    let input = dir.file("in", "no\n".repeat(10_000));
    let mut command = run("plain", ["--stdout", "frame=json", "--", "copy"]);
    let ended = command.stdin(fs::File::open(input).unwrap()).end().expect(0);
    assert_eq!(ended.stderr.lines().count(), 17, "{ended:#?}");
    let sum = "left out 10000 pieces that are no records, 20000 bytes in all";
    assert!(ended.stderr.lines().last().unwrap().contains(sum), "{ended:#?}");
}

#[test]
fn a_native_child_cannot_go_past_the_records() {
    let _dog = watchdog();
    let mut command = run("shell", ["--exec", "sort=sort", "--stdout", "frame=json"]);
    let ended = command.args(["--", "-c", "sort"]).end();
    assert!(ended.stderr.contains("a native command cannot have `stdout`"), "{ended:#?}");
    assert!(ended.stderr.contains("put a guest behind it, such as @cat"), "{ended:#?}");
    // A child that is a guest writes records as its parent does.
    let mut command = run("shell", ["--child", "cat=@cat", "--stdout", "frame=json"]);
    command.args(["--", "-c", "cat"]).stdin(Stdio::piped());
    let mut running = command.start();
    running.stdin().write_all(b"[1]\nno\n").unwrap();
    let ended = running.end().expect(0);
    assert_eq!(ended.stdout, "[1]\n", "{ended:#?}");
}

#[test]
fn a_stage_of_a_pipeline_has_a_frame() {
    let _dog = watchdog();
    let dir = Dir::new();
    for isolate in [&[][..], &["--isolate"]] {
        // Within the pipeline, and at its end.
        let mut command = pipehost(["pipe"]);
        command.args(isolate).args(["--stdout", "frame=lines:5", "--"]);
        command.args(["--stdout", "frame=json", "@cat", "!", "@cat"]);
        let mut running = command.stdin(Stdio::piped()).start();
        running.stdin().write_all(b"[1]\nno\n[1, 2, 3]\n").unwrap();
        let ended = running.end().expect(0);
        assert_eq!(ended.stdout, "[1]\n", "{ended:#?}");
        // From a file.
        let file = dir.file(
            "p.toml",
            "[[stage]]\nguest = \"@cat\"\nstdout = \"file:out,frame=json\"\nrestart = \"on-trap:2\"\n",
        );
        let mut command = pipehost(["pipe", "-f"]);
        command.arg(file).args(isolate).stdin(Stdio::piped());
        let mut running = command.start();
        running.stdin().write_all(b"[1]\nno\n").unwrap();
        running.end().expect(0);
        assert_eq!(fs::read_to_string(dir.path("out")).unwrap(), "[1]\n");
    }
    let file = dir.file("n.toml", "[[stage]]\nexec = [\"cat\"]\nstdout = \"frame=json\"\n");
    let mut command = pipehost(["pipe", "-f"]);
    command.arg(file).end().expect_line(2, &["for guests"]);
    pipehost(["pipe", "--stdout", "frame=json", "@cat", "!", "exec", "cat"])
        .end()
        .expect_line(2, &["a frame is for what a guest writes", "! @cat"]);
}

#[test]
fn mistakes_are_answered_by_what_to_type() {
    let _dog = watchdog();
    let cases = [
        ("--stdout", "frame=json:1G", "from 1 byte to 64M"),
        ("--stdout", "frame=xml", "write frame=lines, frame=nul or frame=json"),
        ("--stdout", "out.txt,frame=json", "write file:out.txt,frame=json"),
        ("--stdout", "frame-error=end", "add frame=lines, frame=nul or frame=json"),
        ("--stdout", "drop", "is for --stderr"),
        ("--fifo", "x,r,frame=json", "add the key w"),
        ("--stderr", "frame=json", "a frame is for --stdout"),
        ("--stderr", "log,max=1M", "write file:log,max=1M"),
        ("--restart", "always", "write on-trap"),
    ];
    for (option, value, remedy) in cases {
        run("@cat", [option, value]).end().expect_line(2, &[remedy]);
    }
}
