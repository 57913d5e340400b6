//! Guests that start guests and native commands: what a child gets, and what it never gets.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::*;

/// The test programs that start children, in both versions of the package.
const FAMILIES: [&str; 2] = ["family2", "family3"];

/// Returns `--child NAME=GUEST KEYS`.
fn child(name: &str, program: &str, keys: &str) -> [String; 2] {
    let program = match program.starts_with('@') {
        true => program.to_owned(),
        false => guest(program).display().to_string(),
    };
    ["--child".into(), format!("{name}={program}{keys}")]
}

#[test]
fn nothing_can_be_started_that_is_not_granted() {
    let _dog = watchdog();
    for family in FAMILIES {
        let grants = [child("a", "@cat", ""), ["--exec".into(), "b=cat".into()]].concat();
        let ended = run(family, &grants).args(["--", "list"]).end().expect(0);
        assert_eq!(ended.stdout, "a b\n");
        for (name, error) in
            [("c", "PermissionDenied"), ("../a", "InvalidInput"), ("", "InvalidInput")]
        {
            let ended = run(family, &grants).args(["--", "try", name]).end().expect(0);
            assert_eq!(ended.stdout, format!("{error}\n"), "{name}");
        }
        let ended = run(family, [""; 0]).args(["--", "try", "a"]).end().expect(0);
        assert_eq!(ended.stdout, "PermissionDenied\n");
    }
}

#[test]
fn a_child_inherits_streams_and_nothing_else() {
    let _dog = watchdog();
    for family in FAMILIES {
        let dir = Dir::new();
        let secret = dir.file("secret", "secret");
        let own = [
            child("probe", "probe2", ""),
            child("plain", "plain", ""),
            fifo("x", &dir.path("x"), ""),
            ["--env".into(), "SECRET=1".into()],
            ["--dir".into(), dir.path(".").display().to_string()],
        ]
        .concat();
        let with = |args: &[&str]| run(family, &own).arg("--").args(args).end().expect(0);
        assert_eq!(with(&["run", "probe", "list"]).stdout, "exit status: 0\n");
        assert_eq!(with(&["run", "plain", "env"]).stdout, "exit status: 0\n");
        assert_eq!(
            with(&["run", "plain", "args", "1", ""]).stdout,
            "plain.wasm|args|1|\nexit status: 0\n"
        );
        let read = with(&["run", "plain", "read", &secret.display().to_string()]);
        assert_eq!(read.stdout, "exit status: 1\n");
        assert!(read.stderr.contains("Error"), "{read:?}");
        assert_eq!(
            with(&["run", "probe", "open", "r", "x"]).stdout,
            "PermissionDenied\nexit status: 0\n"
        );
    }
}

#[test]
fn a_pipe_and_two_children_on_its_ends() {
    let _dog = watchdog();
    let sum = big_sum();
    for family in FAMILIES {
        for (first, second) in [
            (child("a", "@cat", ""), child("b", "@cat", "")),
            (["--exec".into(), "a=cat".into()], child("b", "@cat", "")),
            (child("a", "@cat", ""), ["--exec".into(), "b=cat".into()]),
            (["--exec".into(), "a=cat".into()], ["--exec".into(), "b=cat".into()]),
        ] {
            let grants = [first, second].concat();
            let script = format!(
                "pipehost run {} {} -- pipe a b < {} | sha256sum",
                guest(family).display(),
                grants.join(" "),
                big_file().display()
            );
            let ended = sh(&script).end().expect(0);
            assert_eq!((&*ended.stdout, &*ended.stderr), (sum, "exit status: 0 exit status: 0\n"));
        }
    }
}

#[test]
fn a_childs_end_is_told() {
    let _dog = watchdog();
    for family in FAMILIES {
        let grants = [
            child("plain", "plain", ""),
            child("probe", "probe3", ""),
            child("short", "probe2", ",timeout=50ms"),
            ["--exec".into(), "sh=sh -c".into()],
            ["--exec".into(), "no=/nonexistent".into()],
        ]
        .concat();
        let cases: [(&[&str], &str); 7] = [
            (&["run", "plain", "args"], "exit status: 0"),
            (&["run", "probe", "exit", "3"], "exit status: 1"),
            (&["run", "probe", "trap"], "trapped"),
            (&["run", "short", "spin"], "timed out"),
            (&["run", "sh", "exit 7"], "exit status: 7"),
            (&["run", "sh", "kill -9 $$"], "signal: 9"),
            (&["run", "sh", "kill -PIPE $$"], "broken pipe"),
        ];
        for (args, status) in cases {
            let ended = run(family, &grants).arg("--").args(args).end().expect(0);
            assert_eq!(ended.stdout.lines().last(), Some(status), "{args:?}");
        }
        let ended = run(family, &grants).args(["--", "try", "no"]).end().expect(0);
        assert!(ended.stderr.contains("/nonexistent"), "{ended:?}");
        assert_eq!(ended.stdout, "Other\n");
        // Its reader leaves: as for a program that SIGPIPE ends.
        let script = format!(
            "pipehost run {} {} -- output plain lines 3 ; pipehost run {0} {1} -- run plain lines 1000000 | head -n 1",
            guest(family).display(),
            child("plain", "plain", "").join(" ")
        );
        let ended = sh(&script).end().expect(0);
        assert_eq!(ended.stdout, "exit status: 0\nstdout 0\n1\n2\n\nstderr \n0\n");
    }
}

#[test]
fn streams_are_piped_both_ways() {
    let _dog = watchdog();
    for family in FAMILIES {
        let grants = [child("upper", "@upper", ""), ["--exec".into(), "rev=rev".into()]].concat();
        for (name, reply) in [("upper", "HELLO"), ("rev", "olleh")] {
            let ended = run(family, &grants).args(["--", "feed", name, "hello"]).end().expect(0);
            assert_eq!(ended.stdout, format!("exit status: 0 {reply}\n"), "{family}");
        }
    }
}

#[test]
fn granted_ends_are_given_away_for_good() {
    let _dog = watchdog();
    for family in FAMILIES {
        for probe in PROBES {
            let dir = Dir::new();
            let (a, b) = (dir.fifo("a"), dir.fifo("b"));
            let input = dir.file("input", "through a child");
            let grants =
                [child("copy", probe, ""), fifo("from", &a, ",r"), fifo("to", &b, ",w")].concat();
            let _writer = cat_into(&input, &a);
            let reader = sh(&format!("cat {}", b.display())).start();
            let args = ["--", "give", "copy", "from", "to", "copy", "in", "out"];
            let ended = run(family, grants).args(args).end().expect(0);
            // The end is open no longer, so it can be opened again.
            assert_eq!(ended.stdout, "exit status: 0\nok\n");
            assert_eq!(reader.end().stdout, "through a child");
        }
        let none = run(family, child("a", "@cat", "")).args(["--", "used", "a"]).end().expect(0);
        assert_eq!(none.stdout, "InvalidInput\nInvalidInput\n");
        let same = run(family, child("a", "@cat", "")).args(["--", "same-name", "a"]).end();
        assert_eq!(same.expect(0).stdout, "ResourceBusy\n");
    }
}

#[test]
#[cfg(not(feature = "portable"))] // What is inherited is closed by the fences.
fn a_native_child_has_its_pipes_by_number() {
    let _dog = watchdog();
    let list = "ls /proc/self/fd | tr '\\n' ' '";
    let grant = ["--exec".to_owned(), format!("sh=sh -c \"echo by 7 >&7; ({list}) >&7\"")];
    let ended = run("family2", &grant).args(["--", "number", "sh", "fd7"]).end().expect(0);
    let (head, numbers) = ended.stdout.trim_end().rsplit_once('\n').unwrap();
    // 3 is what lists them: of what this process or whoever runs the tests has open, there is nothing.
    assert_eq!((head, numbers.trim_end()), ("ok\nby 7", "0 1 2 3 7"));
    for bad in ["out", "fd2", "fd1024", "fd-1"] {
        let ended = run("family2", &grant).args(["--", "number", "sh", bad]).end().expect(0);
        assert_eq!(ended.stdout, "InvalidInput\n\n", "{bad}");
    }
}

#[test]
fn a_child_is_killed() {
    let _dog = watchdog();
    for family in FAMILIES {
        let grants =
            [child("spin", "probe2", ""), ["--exec".into(), "sleep=sleep".into()]].concat();
        for args in [["--", "kill", "spin", "spin"], ["--", "kill", "sleep", "1000"]] {
            let ended = run(family, &grants).args(args).end().expect(0);
            assert_eq!(ended.stdout, "None\nkilled\nkilled\n", "{family} {args:?}");
        }
    }
}

#[test]
fn no_child_outlives_its_parent() {
    let _dog = watchdog();
    for family in FAMILIES {
        let dir = Dir::new();
        let pid = dir.path("pid");
        let script =
            format!("sleep=sh -c 'echo $$ > {}; echo ready; exec sleep 1000'", pid.display());
        let grants = [child("spin", "probe2", ""), ["--exec".into(), script]].concat();
        // If it were waited for, this would not end.
        let ended = run(family, &grants).args(["--", "orphan", "spin", "spin"]).end().expect(0);
        assert_eq!(ended.stdout, "");
        let gone = || {
            let pid = fs::read_to_string(&pid).unwrap();
            until("the command is gone", || !fs::exists(format!("/proc/{}", pid.trim())).unwrap());
        };
        run(family, &grants).args(["--", "orphan-told", "sleep"]).end().expect(0);
        gone();
        // However the parent ends.
        fs::remove_file(&pid).unwrap();
        let running = run(family, &grants).args(["--", "run", "sleep"]).start();
        until("it runs", || fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')));
        running.signal("TERM");
        running.end().expect(143);
        gone();
    }
}

#[test]
#[cfg(not(feature = "portable"))] // Pipes grow on Linux.
fn what_a_child_leaves_behind_is_its_own() {
    let _dog = watchdog();
    for family in FAMILIES {
        // More than the pipe holds, and its reader goes: the child is told, not its parent.
        let dir = Dir::new();
        let (a, b) = (dir.fifo("a"), dir.fifo("b"));
        let grants =
            [child("p", "probe2", ""), fifo("from", &a, ",r"), fifo("to", &b, ",w")].concat();
        let _writer = sh(&format!("exec sleep 1000 > {}", a.display())).start();
        let _reader =
            sh(&format!("exec 3< {}; sleep 5; exec 3<&-; exec sleep 1000", b.display())).start();
        let args = ["--", "give", "p", "from", "to", "leave-behind", "out"];
        let ended = run(family, grants).args(args).end();
        let ended = ended.expect_line(0, &["child `p`"]);
        assert_eq!(ended.stdout, "failed\nok\n");
    }
}

#[test]
fn a_native_child_cannot_have_what_has_no_end_yet() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let stdin = format!("fifo:{}", x.display());
    let ended = run("family2", ["--exec", "c=cat", "--stdin", &stdin, "--", "run", "c"]).end();
    assert!(ended.expect(1).stderr.contains("Unsupported"));
    // With a writer there, it reads to the real end.
    let _writer = cat_into(&dir.file("text", "by a FIFO"), &x);
    let grants =
        ["--exec".to_owned(), "c=cat".into(), "--fifo".into(), format!("{},r", x.display())];
    let ended = run("family2", grants).args(["--", "wait-and-give", "x", "c"]).end().expect(0);
    assert_eq!(ended.stdout, "by a FIFOexit status: 0\n");
}

#[test]
fn native_children_keep_their_pipes_places() {
    let _dog = watchdog();
    let line = |places: &str| {
        let args = ["--exec", "s=cat", "--max-pipes", places, "--", "-c", "s | s | s | s"];
        Running::fed(&mut run("shell", args))
    };
    let (running, mut input) = line("3");
    // Where the system does not tell whether an empty pipe has had a writer, its bytes do.
    std::io::Write::write_all(&mut input, b"through\n").unwrap();
    drop(input);
    assert_eq!(running.end().expect(0).stdout, "through\n");
    // No child ends, and gives its place back, before its input does.
    let (running, _input) = line("2");
    assert!(running.end().expect(1).stderr.contains("QuotaExceeded"));
}

#[test]
fn a_storm_of_children_does_not_outrun_the_time_limit() {
    let _dog = watchdog();
    for grant in
        [["--exec".to_owned(), "p=true".into()], child("p", "@cat", ""), child("p", "probe3", "")]
    {
        let started = Instant::now();
        let ended = run("family2", &grant).args(["--timeout", "1s", "--", "storm", "p"]).end();
        let took = started.elapsed();
        ended.expect(124);
        assert!(took < Duration::from_secs(1) + SOON, "{grant:?}: {took:?}");
    }
}

#[test]
fn a_fork_bomb_ends_at_the_limit() {
    let _dog = watchdog();
    let bomb =
        [child("bomb", "family2", ",spawn"), ["--max-children".into(), "10".into()]].concat();
    // None of them ends by itself.
    let started = Instant::now();
    let args = ["--timeout", "10s", "--", "bomb", "bomb", "hold"];
    let ended = run("family2", &bomb).args(args).end().expect(124);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10) + SOON, "{took:?}");
    let counts: Vec<u32> = ended
        .stderr
        .lines()
        .filter_map(|line| line.strip_suffix(" then QuotaExceeded")?.parse().ok())
        .collect();
    assert_eq!((counts.len(), counts.iter().sum()), (11, 10), "{ended:?}");
    // Each ends when its own children have: places become free, and are taken again.
    let args = ["--timeout", "60s", "--", "bomb", "bomb"];
    let ended = run("family2", &bomb).args(args).end().expect(0);
    assert!(ended.stderr.lines().count() > 11, "{ended:?}");
}

#[test]
fn children_of_children_go_so_deep_and_no_deeper() {
    let _dog = watchdog();
    let ended = run("family2", child("deep", "family2", ",spawn"))
        .args(["--", "deep", "deep", "0"])
        .end()
        .expect(0);
    assert_eq!(ended.stdout, "8 then QuotaExceeded\n");
    // Without the key, a child starts nothing.
    let ended =
        run("family2", child("deep", "family2", "")).args(["--", "deep", "deep", "0"]).end();
    assert_eq!(ended.expect(0).stdout, "1 then PermissionDenied\n");
}

#[test]
fn an_end_that_is_not_the_guests_to_give_is_a_trap() {
    let _dog = watchdog();
    for attack in ["twice", "streamed"] {
        let ended = run("family2", child("a", "@cat", "")).args(["--", "raw", attack, "a"]).end();
        let ended = ended.expect_line(134, &["trapped"]);
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn limits_bound_the_sum_of_parent_and_children() {
    let _dog = watchdog();
    let memory = |theirs, ours| {
        run("family2", child("c", "family2", ""))
            .args(["--max-memory", "64M", "--", "memory", "c", theirs, ours])
            .end()
            .expect(0)
            .stdout
    };
    assert_eq!(memory("20", "20"), "yes:  then true\nexit status: 0\ntrue\n");
    assert_eq!(memory("40", "40"), "yes:  then false\nexit status: 0\ntrue\n");
    assert_eq!(memory("70", "40"), "no:   then true\nexit status: 0\ntrue\n");
    let own = run("family2", child("c", "family2", ",max-memory=16M"))
        .args(["--", "memory", "c", "20", "100"])
        .end();
    assert_eq!(own.expect(0).stdout, "no:   then true\nexit status: 0\ntrue\n");
    // Three are the parent's.
    let pipes = run("family2", child("c", "probe2", ""))
        .args(["--max-pipes", "5", "--", "pipes", "c"])
        .end();
    assert_eq!(pipes.expect(0).stdout, "2 then QuotaExceeded\nexit status: 0\n");
}

#[test]
fn the_time_limit_counts_for_children() {
    let _dog = watchdog();
    for family in FAMILIES {
        let grants = [child("spin", "probe2", ""), ["--exec".into(), "sleep=sleep 1000".into()]];
        for args in [["run", "spin", "spin"].as_slice(), &["run", "sleep"]] {
            let started = Instant::now();
            let mut command = run(family, grants.concat());
            let ended = command.args(["--timeout", "1s", "--"]).args(args).end();
            let took = started.elapsed();
            ended.expect_line(124, &["--timeout 1s"]);
            assert!(took < Duration::from_secs(1) + SOON, "{args:?}: {took:?}");
        }
    }
}

#[test]
fn a_child_that_is_no_guest_is_told_before_the_run() {
    let _dog = watchdog();
    let dir = Dir::new();
    let text = dir.file("text", "hello");
    let grant = ["--child".into(), format!("a={}", text.display())];
    run("family2", grant).args(["--", "list"]).end().expect_line(65, &["text"]);
    let grant = ["--child".to_owned(), "a=/nonexistent".into()];
    run("family2", grant).args(["--", "list"]).end().expect_line(66, &["/nonexistent"]);
    let twice = [child("a", "@cat", ""), ["--exec".into(), "a=cat".into()]].concat();
    run("family2", twice).args(["--", "list"]).end().expect_line(2, &["`a` is granted twice"]);
}

#[test]
fn a_shell_in_the_sandbox() {
    let _dog = watchdog();
    let grants = [
        child("upper", "@upper", ""),
        child("cat", "@cat", ""),
        ["--exec".into(), "sort=sort".into()],
        ["--exec".into(), "false=false".into()],
        ["--exec".into(), "head=head".into()],
    ]
    .concat();
    let script = |line: &str| {
        let guest = guest("shell").display().to_string();
        let grants: Vec<_> = grants.iter().map(|grant| format!("'{grant}'")).collect();
        sh(&format!(
            "printf 'b\\na\\nc\\n' | pipehost run {guest} {} -- -c {line:?}",
            grants.join(" ")
        ))
        .end()
    };
    assert_eq!(script("sort -r | upper | cat").expect(0).stdout, "C\nB\nA\n");
    assert_eq!(script("cat | head -n 1").expect(0).stdout, "b\n");
    let failed = script("cat | false | cat").expect(1);
    assert!(failed.stderr.contains("false: exit status: 1"), "{failed:?}");
    let unknown = script("cat | nothing").expect(1);
    assert!(unknown.stderr.contains("nothing"), "{unknown:?}");

    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let _writer = cat_into(&dir.file("text", "z\ny\n"), &a);
    let reader = sh(&format!("cat {}", b.display())).start();
    let pipes = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
    run("shell", pipes).args(&grants).args(["--", "-c", "sort < in | upper > out"]).end().expect(0);
    assert_eq!(reader.end().stdout, "Y\nZ\n");
}
