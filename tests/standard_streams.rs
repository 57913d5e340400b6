//! Standard streams that are missing, or that are not open for the direction in which they are
//! used.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::Stdio;

use support::*;

/// Writes four bytes to descriptor 1, or reads some from 0, and exits with the errno.
const ERRNO_MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "CALL" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 4))
    (call $exit (call $call (i32.const NUMBER) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

const EXIT_MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 5))))"#;

/// EBADF, as WASI 0.1 numbers it.
const BADF: i32 = 8;

const NOT_OPEN: &str = "stdout is not open for writing";

#[test]
fn what_is_written_to_a_stream_that_is_not_there_is_not_lost_silently() {
    let _dog = watchdog();
    let plain3 = guest("plain3").display().to_string();
    let plain = guest("plain").display().to_string();
    for line in [
        "echo x | pipehost run @cat >&-".to_owned(),
        "echo x | pipehost run --sandbox off @cat >&-".into(),
        "echo x | pipehost run @cat 1</dev/null".into(),
        "echo x | pipehost run @cat >&0".into(),
        "echo x | pipehost run @lines >&-".into(),
        // It would never end by itself.
        format!("yes | pipehost run {plain} -- copy >&-"),
        format!("echo x | pipehost run {plain3} -- forward >&-"),
        format!("echo x | pipehost run {plain3} -- copy-by 100 >&-"),
        format!("pipehost run {plain} -- lines 10000000 >&-"),
        "echo x | pipehost pipe @cat ! @upper >&-".into(),
        "echo x | pipehost pipe --isolate @cat ! @upper >&-".into(),
    ] {
        sh(&line).end().expect_line(74, &[NOT_OPEN, "--stdout null"]);
    }
    // Its own complaint has no place to go, and its status tells.
    let line = format!("pipehost run {plain} -- stderr text 2>&-");
    sh(&line).end().expect(74);
}

#[test]
fn what_is_read_from_a_stream_that_is_not_there_is_no_empty_file() {
    let _dog = watchdog();
    let plain3 = guest("plain3").display().to_string();
    for line in [
        "pipehost run @cat <&-".to_owned(),
        "pipehost run @cat 0>/dev/null".into(),
        "pipehost pipe @cat ! @upper <&-".into(),
        "pipehost pipe --isolate @cat ! @upper <&-".into(),
        format!("pipehost run {plain3} -- forward <&-"),
        format!("pipehost run {plain3} -- copy-by 100 <&-"),
    ] {
        let parts = ["stdin is not open for reading", "--stdin null"];
        sh(&line).end().expect_line(74, &parts);
    }
}

#[test]
fn a_module_is_told_ebadf() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (call, number, redirection) in
        [("fd_write", 1, ">&-"), ("fd_write", 2, "2>&-"), ("fd_read", 0, "<&-")]
    {
        let text = ERRNO_MODULE.replace("CALL", call).replace("NUMBER", &number.to_string());
        let module = dir.file("errno.wat", text);
        let line = format!("pipehost run {} {redirection}", module.display());
        sh(&line).end().expect(BADF);
    }
}

#[test]
fn native_commands_are_told_as_by_a_shell() {
    let _dog = watchdog();
    let ended = sh("pipehost pipe exec cat <&-").end().expect(1);
    assert!(ended.stderr.contains("Bad file descriptor"), "{ended:#?}");
    let ended = sh("echo x | pipehost pipe @cat ! exec cat >&-").end().expect(1);
    assert!(ended.stderr.contains("Bad file descriptor"), "{ended:#?}");
}

#[test]
fn what_the_host_itself_has_to_say_is_not_lost_silently() {
    let _dog = watchdog();
    for command in [
        "wit",
        "inspect @cat",
        "inspect --json @cat",
        "compile @cat",
        "--help",
        "--version",
        "run --help",
        "pipe --check @cat ! @upper",
        "pipe --graph @cat ! @upper",
    ] {
        for redirection in [">&-", "1</dev/null"] {
            let line = format!("pipehost {command} {redirection}");
            sh(&line).end().expect_line(74, &["stdout", "Bad file descriptor"]);
        }
        sh(&format!("pipehost {command} >/dev/full"))
            .end()
            .expect_line(74, &["stdout", "No space left on device"]);
    }
}

/// Every combination of closed streams, with a guest that uses none of them.
#[test]
fn a_stream_that_is_not_used_need_not_be_there() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file("exit.wat", EXIT_MODULE);
    let plain = module.display();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        for command in [
            format!("run {plain}"),
            format!("run --sandbox off {plain}"),
            format!("pipe {plain}"),
            format!("pipe --isolate {plain}"),
            "pipe exec sh -c 'exit 5'".into(),
        ] {
            sh(&format!("pipehost {command} {closed}")).end().expect(5);
        }
        // What is granted in their place is.
        let (from, to) = (dir.file("from", "text\n"), dir.path("to"));
        let (from, out) = (from.display(), to.display());
        sh(&format!("pipehost run @upper --stdin {from} --stdout {out} {closed}")).end().expect(0);
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "TEXT\n", "{closed}");
        sh(&format!("pipehost run @upper --stdin null --stdout null {closed}")).end().expect(0);
    }
}

/// A file, a terminal or a pipe that is open for both directions works as before.
#[test]
fn what_is_open_for_both_serves() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = dir.file("file", "text\n");
    let line = format!("pipehost run @upper <>{}", file.display());
    assert_eq!(sh(&line).end().expect(0).stdout, "TEXT\n");
    let mut command = run("@cat", [""; 0]);
    assert_eq!(command.stdin(Stdio::null()).end().expect(0).stdout, "");
}

/// A program that is started again, as those of log daemons are, keeps what it wrote before.
#[test]
fn appending_keeps_what_is_there() {
    let _dog = watchdog();
    let dir = Dir::new();
    let script = format!(
        "cd {}
        for guest in @upper @cat @tee {}; do echo hi | pipehost run $guest --stdout append:log; done
        echo hi | pipehost pipe --stdout append:log @upper ! @cat
        echo hi | pipehost pipe --isolate --stdout append:log @upper ! @cat
        echo hi | pipehost run @cat --stdout append:/dev/stdout
        echo hi | pipehost run @cat --stdout append:/dev/null
        pipehost run @cat --stdin fifo:in,eof=close --stdout append:log & echo hi > in; wait
        cat log; stat -c %a log",
        dir.path(".").display(),
        guest("redact").display(),
    );
    let script = format!("umask 022; mkfifo {}; {script}", dir.path("in").display());
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stdout, "hi\nHI\nhi\nhi\nhi\nHI\nHI\nhi\n644\n", "{ended:#?}");
    // Two at once: neither writes over the other.
    let script = format!(
        "cd {}; one() {{ yes $1 | head -c 1000000 | pipehost run @cat --stdout append:both; }}
        one a & one b; wait; tr -d '\\n' < both | wc -c; tr -d 'a\\n' < both | wc -c",
        dir.path(".").display(),
    );
    assert_eq!(sh(&script).end().expect(0).stdout, "1000000\n500000\n");
    let folder = dir.path(".").display().to_string();
    run("@cat", ["--stdout", &format!("append:{folder}")]).end().expect_line(74, &[&folder]);
    pipehost(["run", "@cat", "--stdin", "append:x"]).end().expect_line(2, &["--stdin FILE"]);
}
