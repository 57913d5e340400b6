//! One file that is named for two things: it is refused, and left as it is.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use support::*;

const GUEST: &str = "(module (func (export \"_start\")))";

/// A folder with a guest, some input, two other names of it, and files that name the guest.
fn folder() -> Dir {
    let dir = Dir::new();
    dir.file("guest.wat", GUEST);
    let input = dir.file("in", "some input\n");
    fs::hard_link(&input, dir.path("hard")).unwrap();
    symlink("in", dir.path("soft")).unwrap();
    dir.file("grants.toml", "guest = \"guest.wat\"\nstdout = \"out\"\n");
    dir.file("line.toml", "[[stage]]\nguest = \"guest.wat\"\n");
    dir
}

#[test]
fn one_file_for_two_things_is_refused_and_kept() {
    let _dog = watchdog();
    let dir = folder();
    let before = |name: &str| fs::read(dir.path(name)).unwrap();
    let files = ["guest.wat", "in", "grants.toml", "line.toml"];
    let kept: Vec<_> = files.iter().map(|name| before(name)).collect();
    for (line, one, other) in [
        ("run guest.wat --stdin in --stdout in", "--stdin", "--stdout"),
        ("run guest.wat --stdin in --stdout ./in", "--stdin", "--stdout"),
        ("run guest.wat --stdin in --stdout hard", "--stdin", "--stdout"),
        ("run guest.wat --stdin soft --stderr in", "--stdin", "--stderr"),
        ("run guest.wat --stdout guest.wat", "the guest", "--stdout"),
        ("run guest.wat --stdout append:guest.wat", "the guest", "--stdout"),
        ("run @cat --child c=guest.wat --stdout guest.wat", "--child", "--stdout"),
        ("run guest.wat --report guest.wat", "the guest", "--report"),
        ("run guest.wat --stdin in --report hard", "--stdin", "--report"),
        ("run guest.wat --stdout new --report new", "--stdout", "--report"),
        ("run guest.wat --stdout append:new --report ./new", "--stdout", "--report"),
        ("run --grants grants.toml --report grants.toml", "--grants", "--report"),
        ("run --grants grants.toml --report out", "--stdout", "--report"),
        ("--log-file guest.wat run guest.wat", "the guest", "--log-file"),
        ("--log-file in run guest.wat --stdin in", "--stdin", "--log-file"),
        ("--log-file both run guest.wat --report both", "--report", "--log-file"),
        ("--log-file both run guest.wat --stderr append:both", "--stderr", "--log-file"),
        ("--log-file grants.toml run --grants grants.toml", "--grants", "--log-file"),
        ("pipe --report guest.wat @cat ! guest.wat", "the guest of guest", "--report"),
        ("pipe --report in --stdin in @cat ! @upper", "--stdin of cat", "--report"),
        ("pipe -f line.toml --report line.toml", "-f", "--report"),
        ("--log-file line.toml pipe -f line.toml", "-f", "--log-file"),
        ("pipe --stdin in @cat ! --stdout hard @cat", "--stdin of cat", "--stdout of cat-2"),
        ("pipe --graph=x.svg @cat ! --stdout x.svg @cat", "--graph", "--stdout of cat-2"),
    ] {
        let mut command = pipehost(line.split(' '));
        let ended = command.current_dir(dir.path(".")).start().end();
        let ended = ended.expect_line(2, &["is named twice", "name another file"]);
        let names = format!("as {one} and as {other},");
        let swapped = format!("as {other} and as {one},");
        assert!(
            ended.stderr.contains(&names) || ended.stderr.contains(&swapped),
            "{line}: {}",
            ended.stderr
        );
        for (name, bytes) in files.iter().zip(&kept) {
            assert_eq!(&before(name), bytes, "{line}: {name}");
        }
        // What was made by the attempt is empty.
        for name in ["both", "new", "out", "x.svg"] {
            assert!(fs::read(dir.path(name)).unwrap_or_default().is_empty(), "{line}: {name}");
        }
    }
}

#[test]
fn what_goes_together_is_taken() {
    let _dog = watchdog();
    let dir = folder();
    for line in [
        // As a shell's `>out 2>&1`.
        "run guest.wat --stdout out --stderr out",
        "run guest.wat --stdout append:out --stderr append:out",
        // A queue that feeds itself.
        "run guest.wat --stdin in --stdout append:in",
        "run guest.wat --stdin /dev/null --stdout /dev/null --stderr /dev/null",
        "run guest.wat --stdin guest.wat --report page.html",
        "pipe --stdin in @cat ! --stderr log @cat ! --stderr log @cat",
        "--log-file log run guest.wat --stdin in --stdout out --report page.html",
    ] {
        let mut command = pipehost(line.split(' '));
        command.current_dir(dir.path(".")).start().end().expect(0);
    }
}

#[test]
fn no_stage_may_write_to_the_file_of_its_pipeline() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.file("guest.wat", GUEST);
    for (grant, code) in [(".::/data", 77), (".::/data,ro", 0), ("sub::/data", 0)] {
        fs::create_dir_all(dir.path("sub")).unwrap();
        dir.file("line.toml", format!("[[stage]]\nguest = \"guest.wat\"\ndir = \"{grant}\"\n"));
        let mut command = pipehost(["pipe", "-f", "line.toml"]);
        let ended = command.current_dir(dir.path(".")).start().end();
        match code {
            0 => drop(ended.expect(0)),
            code => drop(ended.expect_line(code, &["-f line.toml", "by dir", ",ro"])),
        }
    }
}
