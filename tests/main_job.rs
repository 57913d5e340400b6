//! `pipehost run`: what an operator does with it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::Stdio;

use support::*;

#[test]
fn the_readme_example() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let script = format!(
        "mkfifo {x}; (echo 'hello, pipe' > {x} &) ; pipehost run @upper --fifo {x}",
        x = x.display()
    );
    let ended = sh(&script).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("HELLO, PIPE\n", ""));
    assert!(x.exists(), "a FIFO that was there is left");
}

#[test]
fn bundled_filters_read_in_or_the_only_pipe_or_stdin_and_write_out_or_stdout() {
    let _dog = watchdog();
    let cases = [
        ("@cat", "one\ntwo", "one\ntwo"),
        ("@upper", "one\nTwo é", "ONE\nTWO é"),
        ("@tee", "one\ntwo", "one\ntwo"),
        ("@lines", "one\ntwo\n\nlast", "     1\tone\n     2\ttwo\n     3\t\n     4\tlast"),
    ];
    for (filter, input, output) in cases {
        let dir = Dir::new();
        let from = dir.file("from", input);
        let (into, out) = (dir.fifo("into"), dir.fifo("outof"));
        // stdin to stdout
        let ended = sh(&format!("pipehost run {filter} < {}", from.display())).end().expect(0);
        assert_eq!(ended.stdout, output, "{filter}");
        // the only granted pipe to stdout
        let _cat = cat_into(&from, &into);
        let ended = run(filter, fifo("whatever", &into, "")).end().expect(0);
        assert_eq!(ended.stdout, output, "{filter}");
        // `in` to `out`
        let _cat = cat_into(&from, &into);
        let reader = sh(&format!("cat {}", out.display())).start();
        let grants = [fifo("in", &into, ",r"), fifo("out", &out, ",w")].concat();
        let ended = run(filter, grants).end().expect(0);
        assert_eq!((&*ended.stdout, &*reader.end().stdout), ("", output), "{filter}");
    }
}

#[test]
fn a_missing_fifo_is_made_private_and_removed_at_the_end() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    // The strangest umask must not take the owner's permissions away.
    for umask in ["022", "000", "777"] {
        let running =
            sh(&format!("umask {umask}; exec pipehost run @cat --fifo {}", x.display())).start();
        until("the FIFO is there", || running.has_open(&x));
        let metadata = fs::metadata(&x).unwrap();
        assert!(metadata.file_type().is_fifo());
        assert_eq!(metadata.mode() & 0o7777, 0o600);
        fs::write(&x, "hello").unwrap();
        assert_eq!(running.end().expect(0).stdout, "hello");
        assert!(!x.exists());
    }
}

#[test]
fn keep_keeps_and_existing_demands() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let ended = run("@cat", fifo("x", &x, ",existing")).end();
    ended.expect_line(73, &["no such FIFO", "mkfifo"]);
    assert!(dir.is_empty());
    let running = run("@cat", fifo("x", &x, ",keep")).start();
    until("the FIFO is there", || running.has_open(&x));
    fs::write(&x, "one").unwrap();
    assert_eq!(running.end().expect(0).stdout, "one");
    assert!(x.exists());
    let running = run("@cat", fifo("x", &x, ",existing")).start();
    fs::write(&x, "two").unwrap();
    assert_eq!(running.end().expect(0).stdout, "two");
    assert!(x.exists());
}

#[test]
fn names_and_directions_are_what_the_guest_sees() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        let grants = [
            fifo("in", &dir.path("a"), ",r"),
            fifo("out", &dir.path("b"), ",w"),
            ["--fifo".into(), dir.path("both.sock-1").display().to_string()],
        ];
        let ended = run(probe, grants.concat()).args(["--", "list"]).end().expect(0);
        assert_eq!(ended.stdout, "in true false\nout false true\nboth.sock-1 true true\n");
        assert!(dir.is_empty(), "all removed again");
    }
}

#[test]
fn options_stand_before_or_after_the_guest() {
    let _dog = watchdog();
    let plain = guest("plain");
    let before = pipehost(["run", "--env", "A=1"]).arg(&plain).args(["--", "env"]).end().expect(0);
    let after = pipehost(["run"]).arg(&plain).args(["--env", "A=1", "--", "env"]).end().expect(0);
    assert_eq!(before.stdout, "A=1\n");
    assert_eq!(after.stdout, "A=1\n");
}

#[test]
fn an_inherited_descriptor_is_granted() {
    let _dog = watchdog();
    for probe in PROBES {
        let probe = guest(probe).display().to_string();
        let script = format!(
            "exec 7< <(echo from the shell); exec 8> >(tr a-z A-Z)\n\
             pipehost run {probe} --fd in=7 --fd out=8,w -- copy in out; status=$?\n\
             exec 8>&-; wait $!; exit $status"
        );
        assert_eq!(sh(&script).end().expect(0).stdout, "FROM THE SHELL\n");
        // The path that <(...) gives, and the default name.
        let script = format!("pipehost run {probe} --fd <(echo hi) -- list");
        let ended = sh(&script).end();
        assert_eq!(ended.expect(0).stdout, "fd63 true false\n");
    }
    let ended = sh("echo by the only pipe | pipehost run @cat --fd 5 5<&0 </dev/null").end();
    assert_eq!(ended.expect(0).stdout, "by the only pipe\n");
}

#[test]
fn a_descriptor_that_is_no_grant_is_refused() {
    let _dog = watchdog();
    // Nothing there; one of our own (epoll and the like have low numbers); no pipe; wrong way.
    for number in 3..10 {
        // Whoever runs the tests may have left descriptors of its own open.
        let script = format!("pipehost run @cat --fd {number} {number}>&-");
        sh(&script).end().expect_line(73, &["was not inherited"]);
    }
    sh("pipehost run @cat --fd 5 5</dev/null").end().expect_line(73, &["not a pipe"]);
    sh("echo | pipehost run @cat --fd 5,w 5<&0").end().expect_line(73, &["not open for writing"]);
}

#[test]
fn an_inherited_descriptor_closes_with_the_guests_handle() {
    let _dog = watchdog();
    for probe in PROBES {
        let probe = guest(probe).display().to_string();
        let script = format!("pipehost run {probe} --fd in=5 -- reopen in 5< <(echo)");
        assert_eq!(sh(&script).end().expect(0).stdout, "ok\nPermissionDenied\n");
    }
}

#[test]
fn standard_streams_go_where_they_are_sent() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (a, b) = (dir.file("a", "from a file\n"), dir.path("b"));
    let option = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
    for (program, args) in [("plain", &["--", "copy"][..]), ("probe3", &["--", "stdio"])] {
        let copy = |options: &[[String; 2]]| {
            let mut command = run(program, options.concat());
            command.args(args);
            command
        };
        let from_a = option("--stdin", a.to_str().unwrap());
        // a file to a file
        copy(&[from_a.clone(), option("--stdout", b.to_str().unwrap())]).end().expect(0);
        assert_eq!(fs::read_to_string(&b).unwrap(), "from a file\n");
        // null
        assert_eq!(copy(&[option("--stdin", "null")]).end().expect(0).stdout, "");
        assert_eq!(copy(&[from_a.clone(), option("--stdout", "null")]).end().expect(0).stdout, "");
        // FIFOs, made and removed
        let (x, y) = (dir.path("x"), dir.path("y"));
        let running = copy(&[
            option("--stdin", &format!("fifo:{}", x.display())),
            option("--stdout", &format!("fifo:{}", y.display())),
        ])
        .start();
        until("both FIFOs are there", || x.exists() && y.exists());
        let reader = sh(&format!("cat {}", y.display())).start();
        fs::write(&x, "through FIFOs").unwrap();
        assert_eq!(reader.end().expect(0).stdout, "through FIFOs");
        running.end().expect(0);
        assert!(!x.exists() && !y.exists());
    }
    let log = dir.path("log");
    let to_log = option("--stderr", log.to_str().unwrap());
    let ended = run("plain", to_log).args(["--", "stderr", "oops"]).end().expect(0);
    assert_eq!((&*ended.stderr, &*fs::read_to_string(log).unwrap()), ("", "oops"));
}

#[test]
fn a_fifo_given_as_a_file_is_answered_by_what_to_write() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    for option in ["--stdin", "--stdout", "--stderr"] {
        let ended = run("@cat", [option.as_ref(), x.as_os_str()]).end();
        ended.expect_line(74, &[option, "fifo:"]);
    }
    run("@cat", ["--stdin", "/does/not/exist"]).end().expect_line(66, &["--stdin", "/does/not"]);
}

#[test]
fn a_terminal_is_a_standard_stream_too() {
    use std::io::{Read, Write};
    let _dog = watchdog();
    for (program, args) in [("plain", ["--", "copy"]), ("probe3", ["--", "stdio"])] {
        let (mut master, terminal) = support::terminal::pseudo_terminal();
        let mut command = run(program, args);
        command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
        let running = Running::new(command.stderr(Stdio::piped()));
        drop(command);
        // A line, its echo and its copy; then ^D, the end of file.
        master.write_all(b"hello\n").unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"hello\r\nhello\r\n") {
            let mut buf = [0; 64];
            let n = master.read(&mut buf).unwrap();
            seen.extend_from_slice(&buf[..n]);
        }
        let flags = rustix::fs::fcntl_getfl(&terminal).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        master.write_all(b"\x04").unwrap();
        running.end().expect(0);
    }
}

#[test]
fn environment_arguments_and_folders_are_granted_and_nothing_else() {
    let _dog = watchdog();
    let dir = Dir::new();
    let secret = dir.file("secret", "s3cret");
    let secret = secret.to_str().unwrap();
    assert_eq!(run("plain", ["--", "env"]).env("HOME", "/h").end().expect(0).stdout, "");
    run("plain", ["--", "read", secret]).end().expect(1);
    run("plain", ["--", "resolve", "127.0.0.1:80"]).end().expect(1);

    let ended = run("plain", ["--", "args", "--fifo", "-x", ""]).end().expect(0);
    assert_eq!(ended.stdout, "plain.wasm|args|--fifo|-x|\n");

    let folder = secret.rsplit_once('/').unwrap().0;
    let at = |guest: &str| format!("{folder}::{guest}");
    let ended = run("plain", ["--dir", &at("/d"), "--", "read", "/d/secret"]).end().expect(0);
    assert_eq!(ended.stdout, "s3cret");
    run("plain", ["--dir", folder, "--", "read", secret]).end().expect(0);
    run("plain", ["--dir", &at("/d"), "--", "read", "/d/../../etc/passwd"]).end().expect(1);
    run("plain", ["--dir", &at("/d"), "--", "write", "/d/new", "text"]).end().expect(0);
    assert_eq!(fs::read_to_string(dir.path("new")).unwrap(), "text");
    run("plain", ["--dir", &(at("/d") + ",ro"), "--", "write", "/d/new", "x"]).end().expect(1);
    assert_eq!(fs::read_to_string(dir.path("new")).unwrap(), "text");
    run("plain", ["--dir", "/nowhere", "--", "env"]).end().expect_line(66, &["--dir /nowhere"]);
}

#[test]
fn memory_and_pipes_are_limited() {
    let _dog = watchdog();
    let ended = run("plain", ["--max-memory", "32M", "--", "grow", "64"]).end().expect(0);
    let refused: u32 = ended.stdout.split(' ').nth(2).unwrap().parse().unwrap();
    assert!((24..32).contains(&refused), "{ended:?}");
    let ended = run("plain", ["--", "grow", "64"]).end().expect(0);
    assert_eq!(ended.stdout, "got 64 MiB\n");
    for probe in PROBES {
        let ended = run(probe, ["--", "many", "100"]).end().expect(0);
        assert_eq!(ended.stdout, "64 then QuotaExceeded\n");
        let ended = run(probe, ["--max-pipes", "3", "--", "many", "100"]).end().expect(0);
        assert_eq!(ended.stdout, "3 then QuotaExceeded\n");
        let ended = run(probe, ["--max-pipes", "300", "--", "many", "100"]).end().expect(0);
        assert_eq!(ended.stdout, "100\n");
    }
}

#[test]
#[cfg(not(feature = "portable"))] // What a pipe holds is known on Linux.
fn a_capacity_is_asked_for_and_a_refusal_is_only_said() {
    let _dog = watchdog();
    for probe in PROBES {
        let dir = Dir::new();
        for (wanted, got, warned) in [("8K", 8192, false), ("1T", 65536, true)] {
            let x = dir.fifo(&format!("{wanted}{probe}"));
            let grant = fifo("x", &x, &format!(",capacity={wanted}"));
            let mut writer = sh(&format!("echo hello > {}; read _", x.display()));
            let _writer = writer.stdin(Stdio::piped()).start();
            let ended = run(probe, grant).args(["--", "info", "x"]).end().expect(0);
            assert_eq!(ended.stdout, format!("capacity {got}\navailable 6\nUnsupported\n"));
            assert_eq!(ended.stderr.contains("is refused"), warned, "{}", ended.stderr);
        }
    }
}

#[test]
fn the_examples_do_what_they_say() {
    let _dog = watchdog();
    let dir = Dir::new();

    // tee: one input, several pipes.
    let (from, a, b) = (dir.file("from", "to all"), dir.fifo("a"), dir.fifo("b"));
    let readers = [&a, &b].map(|path| sh(&format!("cat {}", path.display())).start());
    let mut command = run("tee", [fifo("a", &a, ",w"), fifo("b", &b, ",w")].concat());
    command.args(["--stdin".as_ref(), from.as_os_str()]);
    assert_eq!(command.end().expect(0).stdout, "to all");
    for reader in readers {
        assert_eq!(reader.end().expect(0).stdout, "to all");
    }

    // merge: several writers, lines stay whole.
    let mut command = run("merge", [fifo("a", &a, ",r"), fifo("b", &b, ",r")].concat());
    let merging = command.start();
    let writers = [(&a, 1), (&b, 2)]
        .map(|(path, n)| sh(&format!("yes line{n} | head -n 5000 > {}", path.display())).start());
    let merged = merging.end().expect(0).stdout;
    for writer in writers {
        writer.end().expect(0);
    }
    for line in ["line1", "line2"] {
        assert_eq!(merged.lines().filter(|it| *it == line).count(), 5000);
    }
    assert_eq!(merged.lines().count(), 10_000);

    // ping-pong: one starts, one answers; both are guests, on two FIFOs.
    let ends = |input, output| [fifo("in", input, ",r"), fifo("out", output, ",w")].concat();
    let answering = run("ping-pong", ends(&a, &b)).start();
    let asking = run("ping-pong", ends(&b, &a)).args(["--", "1000"]).end().expect(0);
    assert!(asking.stdout.starts_with("1000 round trips, "), "{asking:?}");
    answering.end().expect(0);
}

#[test]
fn the_embedding_example_gives_a_guest_a_fifo() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    // target/debug/deps/main_job-… is this; the examples are beside deps.
    let embed = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/embed");
    assert!(embed.exists(), "built by `cargo test`, or `cargo build --example embed`");
    let mut command = std::process::Command::new(embed);
    let running = command.arg(guest("tee")).arg(&x).start();
    until("the FIFO is there", || running.has_open(&x));
    fs::write(&x, "hello, host").unwrap();
    assert_eq!(running.end().expect(0).stdout, "hello, host");
    assert!(!x.exists());
}

#[test]
fn help_shows_examples_and_every_status() {
    let _dog = watchdog();
    let help = pipehost(["run", "--help"]).end().expect(0).stdout;
    for status in ["2 usage", "65 ", "66 ", "73 ", "74 ", "77 ", "124 ", "134 ", "141 ", "128+n"] {
        assert!(help.contains(status), "{status}");
    }
    assert!(help.contains("Examples:"));
    pipehost(["--version"]).end().expect(0);
    pipehost(["--help"]).end().expect(0);
    pipehost([] as [&str; 0]).end().expect_line(2, &["--help"]);
}
