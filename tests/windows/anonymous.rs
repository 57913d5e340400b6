//! The pipes that guests make, and what guests start on them.

use super::support::*;

#[test]
fn what_goes_in_comes_out() {
    let _dog = watchdog();
    for probe in PROBES {
        let ended = run(probe, ["--", "anonymous"]).end().expect(0);
        for line in [
            "capacity 65536 65536",
            "available 5",
            "hello and the end",
            "again 0",
            "BrokenPipe",
            "all true",
        ] {
            assert!(ended.stdout.lines().any(|it| it == line), "{probe}: no {line:?}: {ended:?}");
        }
    }
}

#[test]
fn a_flush_of_a_full_pipe_waits_for_nobody() {
    let _dog = watchdog();
    let ended = run("probe2", ["--", "anonymous"]).end().expect(0);
    assert!(ended.stdout.contains("flushed true\n"), "{ended:?}");
}

#[test]
fn large_transfers_are_whole() {
    let _dog = watchdog();
    for probe in PROBES {
        passes_whole(probe, &["through", "in", "out"], LARGE);
    }
}

#[test]
fn many_pipes_at_once() {
    let _dog = watchdog();
    let ended = run("probe2", ["--max-pipes", "200", "--", "many-busy", "150"]).end().expect(0);
    assert!(ended.stdout.ends_with("moved 1000000\n"), "{ended:?}");
}

#[test]
fn grants_are_listed() {
    let _dog = watchdog();
    for probe in PROBES {
        let ended = run(probe, ["--fifo", &format!("a={},r", path(&name()))])
            .args(["--fifo", &format!("b={},w", path(&name()))])
            .args(["--fifo", &format!("c={}", path(&name())), "--", "list"])
            .end();
        assert_eq!(ended.expect(0).stdout, "a true false\nb false true\nc true true\n", "{probe}");
    }
}

#[test]
fn ends_that_are_not_granted() {
    let _dog = watchdog();
    for probe in PROBES {
        let ended = run(probe, ["--fifo", &format!("x={},r", path(&name()))])
            .args(["--", "open", "w", "x", "r", "y", "r", "EMPTY", "r", "x", "r", "x"])
            .end()
            .expect(0);
        let said: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(said.len(), 5, "{ended:?}");
        assert_eq!((said[0], said[1]), ("PermissionDenied", "PermissionDenied"), "{probe}");
        assert_eq!((said[2], said[3]), ("InvalidInput", "ok"), "{probe}");
        assert_ne!(said[4], "ok", "{probe}: it is in use");
    }
}

#[test]
fn guests_start_guests() {
    let _dog = watchdog();
    for family in FAMILIES {
        let ended = run(family, ["--child", "upper=@upper", "--", "list"]).end().expect(0);
        assert_eq!(ended.stdout, "upper\n", "{family}");
        let ended = run(family, ["--child", "upper=@upper", "--", "feed", "upper", "hello"]).end();
        assert!(ended.expect(0).stdout.ends_with("HELLO\n"), "{family}");
    }
}

#[test]
fn a_child_that_is_not_granted() {
    let _dog = watchdog();
    for family in FAMILIES {
        let ended = run(family, ["--", "try", "x"]).end().expect(0);
        assert_eq!(ended.stdout, "PermissionDenied\n", "{family}");
    }
}

#[test]
fn children_are_killed() {
    let _dog = watchdog();
    for family in FAMILIES {
        let child = format!("probe={}", guest("probe2").display());
        let ended = run(family, ["--child", &child, "--", "kill", "probe", "spin"]).end().expect(0);
        assert_eq!(
            ended.stdout.lines().filter(|line| line.contains("killed")).count(),
            2,
            "{ended:?}"
        );
    }
}

#[test]
fn ends_are_given_to_children() {
    let _dog = watchdog();
    for family in FAMILIES {
        let (from, to) = (name(), name());
        let running =
            run(family, ["--child", "cat=@cat", "--fifo", &format!("in={},r", path(&from))])
                .args(["--fifo", &format!("out={},w", path(&to)), "--", "give", "cat", "in", "out"])
                .start();
        let source = writer_of(&from);
        let fed = std::thread::spawn(move || feed(source, 1 << 20));
        assert_eq!(sum(reader_of(&to)), expected(1 << 20), "{family}");
        fed.join().unwrap().unwrap();
        running.end().expect(0);
    }
}

/// A guest gives a native command the ends of its own pipes.
#[test]
fn a_native_command_gets_a_guest_s_pipe() {
    let _dog = watchdog();
    for family in FAMILIES {
        let exec = format!("copy={}", peer(&["copy"]).join(" "));
        let ended = run(family, ["--exec", &exec, "--", "feed", "copy", "hello"]).end().expect(0);
        assert!(ended.stdout.ends_with("hello\n"), "{family}: {ended:?}");
    }
}

#[test]
fn a_native_command_s_status_is_told() {
    let _dog = watchdog();
    for family in FAMILIES {
        let exec = format!("seven={}", peer(&["exit", "7"]).join(" "));
        let ended = run(family, ["--exec", &exec, "--", "run", "seven"]).end().expect(0);
        assert!(ended.stdout.contains('7'), "{family}: {ended:?}");
    }
}

#[test]
fn a_native_command_is_killed() {
    let _dog = watchdog();
    let name = name();
    let exec = format!("stay={}", peer(&["stay", &name]).join(" "));
    let ended = run("family2", ["--exec", &exec, "--", "kill", "stay"]).end().expect(0);
    assert_eq!(ended.stdout, "None\nkilled\nkilled\n");
}
