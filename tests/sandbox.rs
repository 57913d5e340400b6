//! The host gives up its own powers: what a process may still do while a guest runs in it, and
//! guests in processes of their own. What an attacker could try in such a process is tested next to
//! the host's code, in host/src/cli/breakout.rs.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use support::*;

/// Returns a line of /proc/PID/status of each thread of a process.
fn of_each_thread(pid: u32, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let value = |text: String| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key}:"))).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    tasks.filter_map(status).map(value).collect()
}

/// Starts a process that copies lines, and waits until it has copied the first: its guest runs
/// then.
fn copying(mut command: Command) -> (std::process::Child, std::process::ChildStdin) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x\n").unwrap();
    let mut line = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(line, *b"x\n");
    (child, stdin)
}

/// Makes `command` run as on a kernel without these calls.
fn without(command: &mut Command, calls: &[libc::c_long]) {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    let install = move || seccompiler::apply_filter(&program).map_err(std::io::Error::other);
    // SAFETY: seccompiler makes two system calls and allocates nothing where they succeed.
    unsafe { command.pre_exec(install) };
}

#[test]
fn every_thread_is_confined_while_a_guest_runs() {
    let _dog = watchdog();
    sandboxed();
    for (options, confined) in [(&[][..], true), (&["--sandbox", "off"], false)] {
        for subcommand in ["run", "pipe"] {
            let mut command = pipehost([subcommand]);
            command.args(options).arg("@cat");
            let (mut child, stdin) = copying(command);
            let filtered = of_each_thread(child.id(), "Seccomp");
            let privileged = of_each_thread(child.id(), "NoNewPrivs");
            let expected = if confined { ("2", "1") } else { ("0", "0") };
            assert!(filtered.len() > 1, "{filtered:?}");
            assert!(filtered.iter().all(|it| it == expected.0), "{subcommand} {filtered:?}");
            assert!(privileged.iter().all(|it| it == expected.1), "{subcommand} {privileged:?}");
            drop(stdin);
            assert!(child.wait().unwrap().success());
        }
    }
}

/// The calls that Linux 6.1 does not have, with its Landlock switched off: only seccomp is left.
const NEW: &[libc::c_long] = &[
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    // mseal(2), which libc does not name on all architectures.
    462,
];

#[test]
fn row_41_a_kernel_without_landlock_or_seccomp() {
    let _dog = watchdog();
    sandboxed();
    let dir = Dir::new();
    let folder = dir.path("").display().to_string();
    for (calls, what, options) in
        [(NEW, "Landlock", &["--dir", &*folder][..]), (&[libc::SYS_seccomp], "seccomp", &[])]
    {
        for subcommand in ["run", "pipe"] {
            let with = |mode: &[&str]| {
                let mut command = pipehost([subcommand]);
                command.args(mode);
                if subcommand == "pipe" {
                    command.arg("--");
                }
                without(command.args(options).arg("@cat").stdin(Stdio::null()), calls);
                command.end()
            };
            let warned = with(&[]).expect(0);
            assert!(
                warned.stderr.contains("warning") && warned.stderr.contains(what),
                "{warned:?}"
            );
            assert_eq!(warned.stderr.lines().count(), 1, "{warned:?}");
            assert_eq!(with(&["--sandbox", "off"]).expect(0).stderr, "");
            with(&["--sandbox", "require"]).expect_line(77, &[what, "--sandbox auto"]);
        }
    }
    for words in
        [&["run"][..], &["run", "--dir", &folder], &["pipe"], &["pipe", "--", "--dir", &folder]]
    {
        let mut command = pipehost(words.iter().copied().chain(["@cat"]));
        command.env("PIPEHOST_SANDBOX", "require");
        assert_eq!(command.end().expect(0).stderr, "");
        command.arg("!").args(["exec", "cat", "!", "@cat"]);
        if words[0] == "pipe" {
            assert_eq!(command.end().expect(0).stderr, "");
        }
    }
}

/// An old kernel has everything that is required if no folder is granted.
#[test]
fn row_41_what_needs_no_folder_is_required_on_an_old_kernel() {
    let _dog = watchdog();
    sandboxed();
    let dir = Dir::new();
    let (a, b) = (dir.path("a").display().to_string(), dir.path("b").display().to_string());
    let expect = |words: &[&str], stdout: &str| {
        let mut command = pipehost(words);
        without(&mut command, NEW);
        let ended = command.end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), (stdout, ""), "{words:?}");
    };
    let path = |name| guest(name).display().to_string();
    let (family, probe) = (path("family2"), path("probe2"));
    let require = ["--sandbox", "require"];
    expect(
        &[&["run"], &require[..], &["--exec", "c=echo hi", &family, "--", "run", "c"]].concat(),
        "hi\nexit status: 0\n",
    );
    expect(&[&["pipe"], &require[..], &["exec", "echo", "hi", "!", "@upper"]].concat(), "HI\n");
    let isolated = ["--isolate", "exec", "echo", "hi", "!", "@upper", "!", "@cat"];
    expect(&[&["pipe"], &require[..], &isolated].concat(), "HI\n");
    // A writer that comes late, and a reader that does.
    let script = format!(
        "mkfifo {a}; pipehost run --sandbox require --fifo in={a},r --fifo out={b},w {probe} -- copy in out & \
         until [ -p {b} ]; do :; done; echo hi > {a}; cat {b}; wait $!"
    );
    let mut command = sh(&script);
    without(&mut command, NEW);
    let ended = command.end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("hi\n", ""));
    assert!(!dir.path("b").exists() && dir.path("a").exists());
}

/// There is one more process if a guest needs it, and none otherwise.
#[test]
fn there_is_one_helper_at_most() {
    let _dog = watchdog();
    sandboxed();
    let dir = Dir::new();
    let fifo = dir.path("x").display().to_string();
    let folder = dir.path("").display().to_string();
    let both = ["--fifo", &fifo, "--exec", "c=true", "--exec", "d=true"];
    for (options, count) in [
        (&[][..], 0),
        (&["--dir", &folder], 0),
        (&["--fifo", &fifo], 1),
        (&["--exec", "c=true"], 1),
        (&both, 1),
    ] {
        for subcommand in ["run", "pipe"] {
            let mut command = pipehost([subcommand]);
            if subcommand == "pipe" {
                command.arg("--");
            }
            let words = if subcommand == "run" { &["--", "copy"][..] } else { &["copy"] };
            command.args(options).arg(guest("plain")).args(words).stderr(Stdio::null());
            let (mut child, stdin) = copying(command);
            assert_eq!(children_of(child.id()).len(), count, "{subcommand} {options:?}");
            drop(stdin);
            assert!(child.wait().unwrap().success());
        }
    }
}

/// A fence for which this process has too few descriptors is not left out.
#[test]
fn row_51_a_fence_is_not_left_out_for_want_of_descriptors() {
    let _dog = watchdog();
    sandboxed();
    let (mut worked, mut refused) = (0, 0);
    for most in 4..40 {
        let ended = sh(&format!("ulimit -n {most}; echo x | pipehost run @cat")).end();
        match ended.code {
            Some(0) => {
                assert_eq!((&*ended.stdout, &*ended.stderr), ("x\n", ""), "{most}: {ended:?}");
                worked += 1;
            }
            Some(74) => {
                assert!(ended.stderr.starts_with("pipehost: "), "{most}: {ended:?}");
                refused += 1;
            }
            // The shell, or the loader.
            _ => assert!(!ended.stderr.contains("panicked"), "{most}: {ended:?}"),
        }
    }
    assert!(worked > 0 && refused > 0, "{worked} worked, {refused} were refused");
}

/// Older kernels have no close_range(2), and some containers refuse it. The processes that remove
/// and start things for this process are copies of it, which then close the descriptors that they
/// have inherited.
#[test]
fn row_41_a_kernel_without_close_range() {
    let _dog = watchdog();
    sandboxed();
    let dir = Dir::new();
    let fifo = dir.path("x");
    let mut command = run("family2", ["--exec", "c=true", "--fifo"]);
    command.arg(&fifo).args(["--", "run", "c"]);
    without(&mut command, &[libc::SYS_close_range]);
    // Its one complaint is that the guest had no use for the FIFO.
    let ended = command.end().expect_line(0, &["none of the granted pipes was opened: x"]);
    assert_eq!(ended.stdout, "exit status: 0\n");
    assert!(!fifo.exists());
}

/// A command that the operator trusts is not confined with the host.
#[test]
fn native_commands_are_not_confined() {
    let _dog = watchdog();
    sandboxed();
    let look = "exit $(grep -c -E '^(NoNewPrivs|Seccomp):.*[12]' /proc/self/status)";
    for family in ["family2", "family3"] {
        let exec = format!("look=sh -c \"{look}\"");
        let ended = run(family, ["--exec", &exec]).args(["--", "run", "look"]).end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("exit status: 0\n", ""));
        // Its status and its signals are its own, its streams the guest's.
        let exec = "die=sh -c 'echo on; kill -TERM $$'";
        let ended = run(family, ["--exec", exec]).args(["--", "run", "die"]).end().expect(0);
        assert_eq!(ended.stdout, "on\nsignal: 15\n");
        let exec = "gone=/nowhere/gone";
        let ended = run(family, ["--exec", exec]).args(["--", "try", "gone"]).end().expect(0);
        assert!(ended.stderr.contains("No such file"), "{ended:?}");
    }
    let ended = pipehost(["pipe", "@cat", "!", "exec", "sh", "-c", look]).end().expect(0);
    assert_eq!(ended.stderr, "");
}

/// Returns `pipehost pipe --isolate` with these words.
fn isolated(words: &[&str]) -> Command {
    let mut command = pipehost(["pipe", "--isolate"]);
    command.args(words);
    command
}

#[test]
fn isolated_stages_are_processes_and_confined() {
    let _dog = watchdog();
    sandboxed();
    let (mut child, stdin) = copying(isolated(&["@cat", "!", "@cat", "!", "exec", "cat"]));
    let stages = children_of(child.id());
    assert_eq!(stages.len(), 3, "{stages:?}");
    let of = |pid| of_each_thread(pid, "Seccomp");
    let is_confined = |pid: u32| of(pid).iter().all(|it| it == "2");
    // It starts its stages first.
    until("it is confined", || is_confined(child.id()));
    // All but the native command.
    assert_eq!(stages.iter().filter(|pid| is_confined(**pid)).count(), 2);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_isolated_pipeline_does_what_any_does() {
    let _dog = watchdog();
    sandboxed();
    let dir = Dir::new();
    let ended = sh("printf 'a\\nb\\n' | pipehost pipe --isolate --stats=json \
                    @lines ! exec cat ! @upper")
    .end()
    .expect(0);
    assert_eq!(ended.stdout, "     1\tA\n     2\tB\n");
    let stats: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(stats["stages"][0]["read_bytes"], 4, "{stats}");
    assert_eq!(stats["stages"][2]["written_bytes"], 18, "{stats}");
    assert!(stats["stages"][1]["read_bytes"].is_null(), "{stats}");

    // Ends under names, FIFOs with paths, and a file for all.
    let text = format!(
        "[[stage]]\nname = \"a\"\nguest = {:?}\nargs = [\"copy\", \"in\", \"out\"]\n\
         fifo = [\"in={},r\"]\n\
         [[stage]]\nname = \"b\"\nguest = \"@upper\"\nstdin = \"null\"\n\
         [pipes]\nx = {{ from = \"a.out\", to = \"b.stdin\" }}\n",
        guest("probe2"),
        dir.path("in").display(),
    );
    let text = text.replace("stdin = \"null\"\n", "");
    let file = dir.file("p.toml", text);
    let script = format!(
        "pipehost pipe --isolate -f {} & until [ -p {fifo} ]; do :; done; echo hi > {fifo}; wait $!",
        file.display(),
        fifo = dir.path("in").display()
    );
    let ended = sh(&script).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("HI\n", ""));
    assert!(!dir.path("in").exists());

    // Statuses and lines are those of a pipeline in one process.
    let file = dir.file("no.wasm", "no");
    let file = file.display().to_string();
    isolated(&[&file]).end().expect_line(65, &["stage no", "not a WebAssembly component"]);
    let module = dir.file("trap.wat", "(module (func (export \"_start\") unreachable))");
    let module = module.display().to_string();
    isolated(&[&module]).end().expect_line(134, &["stage trap", "trapped"]);
    let ended = sh("yes | pipehost pipe --isolate @cat ! exec head -n 1").end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("y\n", ""));
    let spin = dir.file("spin.wat", "(module (func (export \"_start\") (loop (br 0))))");
    let spin = spin.display().to_string();
    isolated(&["--", "--timeout", "200ms", &spin]).end().expect_line(124, &["--timeout 200ms"]);
    let begun = Instant::now();
    pipehost(["pipe", "--isolate", "--timeout", "300ms", &spin])
        .end()
        .expect_line(124, &["--timeout 300ms"]);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Returns whether a process is gone, or waits to be reaped.
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// A signal that ends one stage, even one of the engine's own, takes no other stage down.
#[test]
fn an_isolated_stage_that_is_killed_takes_no_other_down() {
    let _dog = watchdog();
    sandboxed();
    for (signal, status) in [("ABRT", 134), ("SEGV", 139), ("KILL", 137)] {
        let dir = Dir::new();
        let out = dir.path("out");
        let mut command = isolated(&["--stdout"]);
        command.arg(&out).args(["--", "@cat", "!", "@upper"]);
        let mut running = Running::new(
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        );
        let mut stdin = running.stdin();
        stdin.write_all(b"x\n").unwrap();
        until("the last stage writes", || fs::read(&out).is_ok_and(|text| text == b"X\n"));
        let first = children_of(running.pid())[0];
        // The first SIGSEGV without a fault meets a handler of the runtime's, which then gives way; and two
        // that are sent before it has run are one. So it is sent until the stage is gone.
        until("the stage ends", || {
            let kill = ["-s", signal, &first.to_string()].map(ToOwned::to_owned);
            let _ = Command::new("kill").args(kill).stderr(Stdio::null()).status().unwrap();
            has_ended(first)
        });
        let ended = running.end();
        drop(stdin);
        let ended = ended.expect_line(status, &["stage cat", "ended by signal"]);
        assert_eq!(ended.stdout, "");
        // The other has seen the end of file, and ended well.
        assert_eq!(fs::read(&out).unwrap(), b"X\n");
    }
}
