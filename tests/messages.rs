//! The messages to a new user who types something wrong: the exact lines.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use support::*;

/// Returns pipehost's lines on stderr, without `pipehost: `.
fn said(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter_map(|line| line.strip_prefix("pipehost: ")).collect()
}

/// Checks the answer to each command line. Its words are separated by spaces.
fn answers(cases: &[(&str, i32, &str)]) {
    let dir = Dir::new();
    answers_in(&dir, cases);
    assert!(dir.is_empty(), "nothing is left behind");
}

#[test]
fn mistakes_have_one_remedy() {
    let _dog = watchdog();
    answers(&[
        (
            "run @cat hello",
            2,
            "`hello` is an argument too many; the guest's own arguments stand behind `--`: pipehost \
             run GUEST -- hello",
        ),
        ("run --dri x @cat", 2, "`pipehost run` has no option `--dri`; did you mean `--dir`?"),
        (
            "run @cat --strict",
            2,
            "`pipehost run` has no option `--strict`; if it is the guest's, write it behind `--`",
        ),
        (
            "run @cat --isolate",
            2,
            "`pipehost run` has no option `--isolate`; that is one of `pipehost pipe`",
        ),
        (
            "pipe @cat ! --dri x @cat",
            2,
            "stage 2: `pipehost pipe` has no option `--dri`; did you mean `--dir`?",
        ),
        (
            "up.wasm",
            2,
            "there is no command `up.wasm`; to run that guest, type `pipehost run up.wasm`",
        ),
        ("@cat", 2, "there is no command `@cat`; to run that guest, type `pipehost run @cat`"),
        ("upper", 2, "there is no command `upper`; to run that guest, type `pipehost run @upper`"),
        ("rn", 2, "there is no command `rn`; did you mean `run`?"),
        ("xyzzy", 2, "there is no command `xyzzy`; type `pipehost --help` for the commands"),
        (
            "--fifo x @cat",
            2,
            "`--fifo` stands behind a command; type `pipehost run --fifo [NAME=]PATH[,KEY...] ...`",
        ),
        ("run", 2, "GUEST is missing; see `pipehost run --help`"),
        (
            "run @cat --sandbox requires",
            2,
            "--sandbox: there is no `requires`; did you mean `require`?",
        ),
        ("run @cat --sandbox xx", 2, "--sandbox: there is no `xx`; there are auto, require, off"),
        ("run @cat --stats=foo", 2, "--stats: there is no `foo`; there are text, json"),
        ("run @cat --fd", 2, "the value is missing; write --fd [NAME=]N[,KEY...]"),
        (
            "run upper",
            66,
            "upper: No such file or directory; the guest that comes with pipehost is @upper",
        ),
        ("run nope.wasm", 66, "nope.wasm: No such file or directory"),
        ("pipe -f nope.toml", 66, "-f nope.toml: No such file or directory"),
    ]);
}

#[test]
fn values_of_other_programs_are_answered_by_ours() {
    let _dog = watchdog();
    let invalid = |value: &str, option: &str, text: &str| {
        format!("invalid value '{value}' for '{option}': {text}")
    };
    let dir = "--dir <HOST[::GUEST][,ro]>";
    let fifo = "--fifo <[NAME=]PATH[,KEY...]>";
    answers(&[
        (
            "run @cat --dir data::/d,rw",
            2,
            &invalid(
                "data::/d,rw",
                dir,
                "unknown key `rw`; there is ro, for reading only; a comma of the path's is written `,,`",
            ),
        ),
        (
            "run @cat --dir data:/d",
            2,
            &invalid("data:/d", dir, "`:` stands for nothing here; write data::/d"),
        ),
        (
            "run @cat --fifo in:/x",
            2,
            &invalid("in:/x", fifo, "`:` stands for nothing here; write in=/x"),
        ),
        (
            "run @cat --fifo a=x,r --fifo b=x,r",
            2,
            "x is granted twice for reading, as a and as b; drop one of the two",
        ),
        (
            "run @cat --stdout fifo:x --fifo b=x",
            2,
            "x is granted twice for writing, as --stdout and as b; drop one of the two",
        ),
    ]);
    // Once for each direction is right.
    let here = Dir::new();
    let args = ["--fifo", "a=x,r", "--fifo", "b=x,w", "--open-timeout", "10ms"];
    let ended = run("@cat", args).current_dir(here.path(".")).end();
    assert_eq!(ended.code, Some(124), "{ended:?}");
}

/// Wherever statuses are described, so is what a language's library makes of a status in its
/// `exit`.
#[test]
fn help_says_what_becomes_of_a_status() {
    let _dog = watchdog();
    for args in [&["--help"][..], &["run", "--help"]] {
        let help = pipehost(args).end().expect(0).stdout.replace('\n', " ");
        let statuses = help.split("Exit status:").nth(1).unwrap();
        for part in ["std::process::exit(3) is 1 in WASI 0.2 and 0.3", "pipehost_guest::exit(3)"] {
            assert!(statuses.contains(part), "{help}");
        }
    }
}

/// Runs the commands that messages offer as they stand. Placeholders are replaced by a user's
/// words.
#[test]
fn hints_are_commands_that_work() {
    let _dog = watchdog();
    let dir = Dir::new();
    fs::copy(guest("upper"), dir.path("up.wasm")).unwrap();
    for (typed, hint) in [
        ("pipehost up.wasm", "pipehost run up.wasm"),
        ("pipehost upper", "pipehost run @upper"),
        ("pipehost @upper", "pipehost run @upper"),
        ("pipehost run @upper -- --stats", "pipehost run @upper --stats"),
        ("pipehost pipe @upper ! @lines --max-memory 1M", "--max-memory SIZE @lines"),
    ] {
        let ended = sh(&format!("cd {}; {typed}", dir.path("").display())).end();
        assert!(matches!(ended.code, Some(2 | 66)), "{typed} {ended:?}");
        assert!(ended.stderr.contains(hint), "{typed} {ended:?}");
        let command = match hint.strip_prefix("--") {
            Some(_) => format!("pipehost pipe @upper ! {}", hint.replace("SIZE", "16M")),
            None => hint.to_owned(),
        };
        let ended = sh(&format!("cd {}; echo hi | {command}", dir.path("").display())).end();
        assert!(ended.code == Some(0) && ended.stdout.ends_with("HI\n"), "{command} {ended:?}");
    }
}

#[test]
fn sizes_are_taken_as_others_write_them() {
    let _dog = watchdog();
    run("@cat", ["--max-memory", "16MB", "--max-bytes", "1kB"]).end().expect(0);
}

#[test]
fn guests_that_come_with_pipehost_refuse_arguments_without_a_use() {
    let _dog = watchdog();
    answers(&[
        (
            "run @cat -- /etc/hostname",
            2,
            "@cat has no use for the argument `/etc/hostname`; it takes none, and reads stdin or a \
             granted pipe",
        ),
        (
            "run @lines -- --timeout=1s",
            2,
            "@lines has no use for the argument `--timeout=1s`; as an option of pipehost's it stands \
             before `--`: pipehost run @lines --timeout=1s",
        ),
        (
            "pipe @cat --stats",
            2,
            "stage 1: @cat has no use for the argument `--stats`; as an option of pipehost's it stands \
             in front of the first stage: pipehost pipe --stats ...",
        ),
        (
            "pipe @upper ! @lines --max-memory 1M",
            2,
            "stage 2: @lines has no use for the argument `--max-memory`; as an option of pipehost's it \
             stands in front of the guest: --max-memory SIZE @lines",
        ),
        (
            "pipe @cat | @upper",
            2,
            "stage 1: @cat has no use for the argument `|`; stages are joined by `!`",
        ),
        (
            "run @tee -- --append",
            2,
            "@tee has no use for the argument `--append`; its arguments are the names of granted pipes",
        ),
    ]);
    // So do they where another guest starts them.
    for (child, words) in [("cat", "c x"), ("upper", "c x"), ("lines", "c x"), ("tee", "c -a")] {
        let child = format!("c=@{child}");
        let ended = run("shell", ["--child", &child, "--", "-c", words]).end();
        let arg = &words[2..];
        assert!(ended.stderr.contains(&format!("`{arg}`")), "{ended:?}");
        assert!(ended.stderr.contains("exit status: 2"), "{ended:?}");
    }
}

#[test]
fn what_is_behind_a_guest_and_meant_for_pipehost_is_warned_of() {
    let _dog = watchdog();
    let dir = Dir::new();
    let plain = guest("plain").display().to_string();
    let lines = |args: &[&str]| {
        let ended = pipehost(["pipe"]).args(args).current_dir(dir.path(".")).end();
        said(&ended).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&[&plain, "args", "--stats", "--max-memory=1M", "--strict", "--help"]),
        [
            format!(
                "warning: stage 1: `--stats` is an argument of the guest {plain} here; as an option of \
                 pipehost's it stands in front of the first stage: pipehost pipe --stats ..."
            ),
            format!(
                "warning: stage 1: `--max-memory=1M` is an argument of the guest {plain} here; as an \
                 option of pipehost's it stands in front of the guest: --max-memory=1M {plain}"
            ),
        ]
    );
    let bar = "`|` is passed on as an argument; stages are joined by `!`";
    assert_eq!(lines(&[&plain, "args", "|", "@cat"]), [format!("warning: stage 1: {bar}")]);
    assert_eq!(
        lines(&["@cat", "!", "exec", "true", "|", "@cat"]),
        [format!("warning: stage 2: {bar}")]
    );
}

#[test]
fn the_least_memory_of_a_guest_is_named() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = "(module (memory 3) (table 100 funcref) (func (export \"_start\")))";
    dir.file("three.wat", module);
    let (page, element) = (65536, 16);
    let least = 3 * page + 100 * element;
    let with = |memory: &str, guest: &str| {
        pipehost(["run", "--max-memory", memory, guest]).current_dir(dir.path(".")).end()
    };
    let needs =
        format!("needs at least {least} bytes of memory to start; give it --max-memory {least}");
    for memory in ["1".to_owned(), (least - 1).to_string()] {
        let ended = with(&memory, "three.wat");
        let line = format!("three.wat: {needs} (--max-memory {memory})");
        assert_eq!((ended.code, said(&ended)), (Some(65), vec![&*line]));
    }
    with(&least.to_string(), "three.wat").expect(0);
    // What is named lets every guest start.
    for guest in ["@cat", "@lines"] {
        let ended = with("1", guest).expect(65);
        let least = ended.stderr.split("--max-memory ").nth(1).unwrap().split(' ').next().unwrap();
        assert_ne!(with(least, guest).code, Some(65), "{guest} {least}");
    }
}

#[test]
fn pipes_that_nobody_opened_are_told_of() {
    let _dog = watchdog();
    let dir = Dir::new();
    let ended =
        run("@cat", ["--fifo", "a=x,r", "--fifo", "b=y,r"]).current_dir(dir.path(".")).end();
    let line = "warning: none of the granted pipes was opened: a, b; a guest that comes with pipehost \
                opens `in` and `out`: write in=PATH, out=PATH";
    assert_eq!((ended.code, said(&ended)), (Some(0), vec![line]));
}

/// The host says so, whatever the guest itself makes of it.
#[test]
fn a_missing_grant_of_a_guest_that_fails_is_told_by_the_host() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut command = run("probe2", ["--fifo", "log=x,w", "--", "write", "nope", "text"]);
    let ended = command.current_dir(dir.path(".")).end().expect(1);
    let line = "warning: the guest asked for the pipe `nope` for writing, which is not granted (granted are log): \
                write --fifo nope=PATH";
    assert!(said(&ended).contains(&line), "{ended:?}");
    let hinted = run("probe2", ["--fifo", "nope=y", "--", "write", "nope", "text"])
        .current_dir(dir.path("."))
        .start();
    until("the FIFO is there", || dir.path("y").exists());
    assert_eq!(sh("cat y").current_dir(dir.path(".")).end().expect(0).stdout, "text");
    hinted.end().expect(0);
}

#[test]
fn a_missing_grant_is_told_with_what_is_granted() {
    let _dog = watchdog();
    let dir = Dir::new();
    let args = ["--fifo", "log=x,w", "--fifo", "both=y", "--", "nope"];
    let ended = run("@tee", args).current_dir(dir.path(".")).end().expect(1);
    let says =
        "no pipe `nope` is granted for writing; there are `log` for writing, `both` for both";
    assert!(ended.stderr.contains(says), "{ended:?}");
    let ended = run("merge", ["--", "nope"]).end().expect(1);
    assert!(
        ended.stderr.contains("no pipe `nope` is granted for reading; no pipe is"),
        "{ended:?}"
    );
}

#[test]
fn a_peer_that_does_not_come_is_told_of_in_one_line() {
    let _dog = watchdog();
    let dir = Dir::new();
    for guest in ["@cat", "@lines", "@upper"] {
        let args = ["--stdin", "fifo:x", "--open-timeout", "10ms"];
        let ended = run(guest, args).current_dir(dir.path(".")).end().expect(124);
        let line = "pipehost: `stdin`: no writer came within --open-timeout 10ms\n";
        assert_eq!(ended.stderr, line, "{guest}");
    }
    let args = ["--stdout", "fifo:x", "--open-timeout", "10ms"];
    let script = "echo hello | pipehost run @lines --stdout fifo:x --open-timeout 10ms";
    for ended in [
        sh(script).current_dir(dir.path(".")).end(),
        run("plain", args).args(["--", "args"]).current_dir(dir.path(".")).end(),
    ] {
        let line = "pipehost: `stdout`: no reader came within --open-timeout 10ms\n";
        assert_eq!((ended.code, &*ended.stderr), (Some(124), line));
    }
}

#[test]
fn inspect_says_what_any_guest_can_have() {
    let _dog = watchdog();
    let text = pipehost(["inspect", guest("plain").to_str().unwrap()]).end().expect(0).stdout;
    assert!(text.contains("`< FILE` and `--stdin FILE` work with any guest\n"), "{text}");
    let dir = Dir::new();
    dir.file("library.wat", "(component)");
    let ended = pipehost(["inspect", "library.wat"]).current_dir(dir.path(".")).end().expect(0);
    assert_eq!(ended.stdout, "library.wat: a component that exports no wasi:cli/run\n");
    let sockets = "(component (import \"wasi:sockets/network@0.2.0\" (instance)))";
    dir.file("sockets.wat", sockets);
    let ended = pipehost(["inspect", "sockets.wat"]).current_dir(dir.path(".")).end().expect(0);
    assert!(ended.stdout.contains("sockets (wasi:sockets), which are all refused"), "{ended:?}");
}

#[test]
fn a_native_command_is_written_with_exec() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (command, says) in [
        ("grep", "stage grep: grep: No such file or directory; "),
        ("/bin/sh", "stage sh: /bin/sh: is not a WebAssembly component or module, "),
    ] {
        let ended = pipehost(["pipe", "@cat", "!", command, "x"]).current_dir(dir.path(".")).end();
        let lines = said(&ended);
        assert!(lines.len() == 1 && lines[0].starts_with(says), "{ended:?}");
        let hint = format!("; a native command is written: exec {command} x");
        assert!(lines[0].ends_with(&hint), "{ended:?}");
    }
}

#[test]
fn a_texts_mistake_is_shown_where_it_is() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.file("bad.wat", "(module\n  (func (export \"_start\")\n    i32.add2))\n");
    for command in [&["run", "bad.wat"][..], &["inspect", "bad.wat"], &["pipe", "bad.wat"]] {
        let ended = pipehost(command).current_dir(dir.path(".")).end().expect(65);
        let mut lines = ended.stderr.lines();
        let first = lines.next().unwrap();
        assert!(first.starts_with("pipehost: "), "{ended:?}");
        assert!(first.ends_with("bad.wat:3:5: unknown operator or unexpected token"), "{ended:?}");
        let rest: Vec<_> = lines.collect();
        assert_eq!(
            rest,
            ["          |", "        3 |     i32.add2))", "          |     ^"],
            "{ended:?}"
        );
    }
}

#[test]
fn a_key_of_a_pipelines_file_is_answered_by_the_nearest() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.file("p.toml", "[[stage]]\nguest = \"@cat\"\nmax-memroy = \"1M\"\n");
    dir.file("q.toml", "[[stage]]\nguest = \"./nope.wasm\"\n");
    answers_in(
        &dir,
        &[
            (
                "pipe -f p.toml",
                2,
                "p.toml: line 3: unknown key `max-memroy`; did you mean `max-memory`?",
            ),
            ("pipe -f q.toml", 66, "stage nope: ./nope.wasm: No such file or directory"),
        ],
    );
}

fn answers_in(dir: &Dir, cases: &[(&str, i32, &str)]) {
    for (line, status, answer) in cases {
        let ended = pipehost(line.split(' ')).current_dir(dir.path(".")).end();
        assert_eq!((ended.code, said(&ended)), (Some(*status), vec![*answer]), "{line}");
    }
}

#[test]
fn backtraces_have_the_guests_frames_only() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module =
        "(module (func $first (export \"_start\") call $second) (func $second unreachable))";
    dir.file("trap.wat", module);
    let mut command = pipehost(["run", "trap.wat"]);
    let ended = command.env("RUST_BACKTRACE", "1").current_dir(dir.path(".")).end();
    ended.expect_line(
        134,
        &["the guest trapped: wasm `unreachable` instruction executed (-v shows where)"],
    );
    let mut command = pipehost(["run", "-v", "trap.wat"]);
    let ended = command.env("RUST_BACKTRACE", "full").current_dir(dir.path(".")).end().expect(134);
    assert!(ended.stderr.contains("first\n") && ended.stderr.contains("second\n"), "{ended:?}");
    assert!(!ended.stderr.contains("unknown"), "{ended:?}");
}
