//! `pipehost ps` and `pipehost trace`: what they tell of runs that go on, and that nothing which lies in the folder does harm.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "support/schema.rs"]
mod schema;
mod support;

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use support::*;

/// A runtime folder that only one test uses. `ps` lists runs of other tests, too, which lie elsewhere.
struct Runtime(Dir);

impl Runtime {
    fn new() -> Self {
        let dir = Dir::new();
        fs::create_dir(dir.path("runtime")).unwrap();
        fs::set_permissions(dir.path("runtime"), Permissions::from_mode(0o700)).unwrap();
        Self(dir)
    }

    fn with(&self, mut command: Command) -> Command {
        command.env("XDG_RUNTIME_DIR", self.0.path("runtime"));
        command
    }

    fn run(&self, guest: &str, args: &[&str]) -> Command {
        self.with(run(guest, args))
    }

    fn folder(&self) -> PathBuf {
        self.0.path("runtime/pipehost")
    }

    fn file(&self, pid: u32) -> PathBuf {
        self.folder().join(format!("run-{pid}"))
    }

    /// Makes the folder, as a run would.
    fn make_folder(&self) -> PathBuf {
        fs::create_dir(self.folder()).unwrap();
        fs::set_permissions(self.folder(), Permissions::from_mode(0o700)).unwrap();
        self.folder()
    }

    fn ps(&self) -> String {
        self.with(pipehost(["ps"])).end().expect(0).stdout
    }

    /// Returns what is listed, if it has the form of the schema.
    #[track_caller]
    fn list(&self) -> Vec<Value> {
        let ended = self.with(pipehost(["ps", "--json"])).end().expect(0);
        let list: Value = serde_json::from_str(&ended.stdout).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ps.schema.json");
        let schema = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let faults = schema::faults(&schema, &list);
        assert!(faults.is_empty(), "{faults:#?}");
        assert_eq!(schema::undescribed(&schema), [""; 0]);
        list.as_array().unwrap().clone()
    }

    fn find(&self, pid: u32) -> Option<Value> {
        self.list().into_iter().find(|host| host["pid"] == pid)
    }

    /// Waits until an end of that name has `wanted`, and returns its host.
    #[track_caller]
    fn until_end(&self, pid: u32, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = None;
        until_some(&format!("{name} of {pid}"), || {
            seen = self.find(pid);
            let host = seen.as_ref()?;
            host["ends"].as_array()?.iter().find(|end| end["name"] == name && wanted(end))?;
            Some(host.clone())
        })
    }
}

fn waits(end: &Value) -> bool {
    end["waiting_seconds"].as_f64().is_some_and(|seconds| seconds >= 0.2)
}

fn has_moved(bytes: u64) -> impl Fn(&Value) -> bool {
    move |end| end["bytes"] == bytes
}

/// What a program has printed so far.
struct Printed(PathBuf, Running);

impl Printed {
    fn start(to: PathBuf, command: &mut Command) -> Self {
        let stdout = File::create(&to).unwrap();
        Self(to, Running::new(command.stdout(stdout).stderr(Stdio::piped())))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        until_some(part, || self.text().contains(part).then_some(()));
    }

    fn end(self) -> (Ended, String) {
        let ended = self.1.end();
        let text = fs::read_to_string(self.0).unwrap();
        (ended, text)
    }
}

#[test]
fn a_run_is_listed_with_what_it_waits_for() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let fifo = runtime.0.path("x");
    let grant = format!("in={},r", fifo.display());
    let running = runtime.run("@cat", &["--fifo", &grant]).start();
    let pid = running.pid();
    let host = runtime.until_end(pid, "in", waits);
    let end = &host["ends"].as_array().unwrap().iter().find(|end| end["name"] == "in").unwrap();
    assert_eq!((&end["peer"], &end["bytes"]), (&"its writer".into(), &0.into()), "{host}");
    assert_eq!((&end["path"], &end["direction"]), (&fifo.to_str().into(), &"reading".into()));
    assert_eq!((&host["command"], &host["runs"]), (&"run".into(), &"@cat".into()), "{host}");
    let table = runtime.ps();
    let lines: Vec<_> = table.lines().collect();
    let at = lines.iter().position(|line| line.starts_with(&format!("{pid:>7} "))).unwrap();
    assert!(lines[0].contains("PID") && lines[at].ends_with("run @cat"), "{table}");
    assert!(lines[at + 1].contains(fifo.to_str().unwrap()), "{table}");
    assert!(lines[at + 1].contains("0 B  waits ") && lines[at + 1].ends_with("for its writer"));
    // Its file is nobody else's.
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&runtime.file(pid)), mode(&runtime.folder())), (0o600, 0o700));
    // Bytes are counted, and a wait is the next one.
    let mut writer = File::options().write(true).open(&fifo).unwrap();
    writer.write_all(b"hello").unwrap();
    runtime.until_end(pid, "in", |end| has_moved(5)(end) && waits(end));
    writer.write_all(b"hello").unwrap();
    runtime.until_end(pid, "in", has_moved(10));
    drop(writer);
    assert_eq!(running.end().expect(0).stdout, "hellohello");
    assert!(runtime.find(pid).is_none());
    // The monitor removes it.
    until("the file is gone", || !runtime.file(pid).exists());
}

#[test]
fn a_run_that_is_followed_is_told_of_until_it_ends() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let (running, mut stdin) = Running::fed(&mut runtime.run("@cat", &[]));
    let pid = running.pid().to_string();
    runtime.until_end(running.pid(), "stdin", waits);
    let follow = |name: &str, args: &[&str]| {
        let mut command = runtime.with(pipehost(["trace", &pid]));
        Printed::start(runtime.0.path(name), command.args(args))
    };
    let (text, json) = (follow("text", &[]), follow("json", &["--json"]));
    text.wait_for("stdin: opened");
    text.wait_for("for its writer");
    json.wait_for("\"waits\"");
    stdin.write_all(b"hello").unwrap();
    text.wait_for("stdin: read 5 B, 5 B in all\n");
    text.wait_for("stdout: wrote 5 B, 5 B in all\n");
    json.wait_for("\"moved\"");
    stdin.write_all(b"hello, you").unwrap();
    text.wait_for("stdin: read 10 B, 15 B in all\n");
    drop(stdin);
    running.end().expect(0);
    let (ended, told) = text.end();
    assert_eq!(ended.expect(0).stderr, "");
    assert!(told.contains("stdin: at the end of file\n"), "{told}");
    assert!(told.lines().last().unwrap().ends_with(" s  ended with 0"), "{told}");
    let (ended, told) = json.end();
    ended.expect(0);
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let moved = lines.iter().filter(|line| line["event"] == "moved" && line["name"] == "stdin");
    let moved: Vec<_> = moved.collect();
    let sum: u64 = moved.iter().map(|line| line["bytes"].as_u64().unwrap()).sum();
    assert_eq!((sum, &moved.last().unwrap()["total_bytes"]), (15, &15.into()), "{told}");
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"ended".into(), &0.into()), "{told}");
    // It has ended now.
    let ended = runtime.with(pipehost(["trace", &pid])).end();
    ended.expect_line(66, &[&pid, "`pipehost ps`"]);
}

#[test]
fn following_ends_quietly() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let (running, _stdin) = Running::fed(&mut runtime.run("@cat", &[]));
    let pid = running.pid().to_string();
    runtime.until_end(running.pid(), "stdin", waits);
    let trace = || runtime.with(pipehost(["trace", &pid]));
    let following = Printed::start(runtime.0.path("told"), &mut trace());
    following.wait_for("for its writer");
    following.1.signal("INT");
    let (ended, _) = following.end();
    // On a machine that stands still for long the thread that cuts a run short says so.
    let is_quiet = ["", "pipehost: ended by signal 2\n"].contains(&&*ended.stderr);
    assert!(ended.code == Some(130) && is_quiet, "{ended:?}");
    // Its reader leaves, and nothing more happens in the run.
    let mut command = trace();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    drop(child.stdout.take());
    let ended = Running::of(child).end();
    assert_eq!((ended.code, &*ended.stderr), (Some(141), ""));
    // Killed, it could not say how it ended.
    let following = Printed::start(runtime.0.path("told"), &mut trace());
    following.wait_for("for its writer");
    running.signal("KILL");
    running.end();
    let (ended, told) = following.end();
    ended.expect(0);
    assert!(told.ends_with("ended, and did not say how\n"), "{told}");
    for pid in ["1", "4294967295"] {
        runtime.with(pipehost(["trace", pid])).end().expect_line(66, &[pid, "`pipehost ps`"]);
    }
    runtime.with(pipehost(["trace", "x"])).end().expect(2);
}

#[test]
fn a_killed_host_is_not_listed_and_its_file_is_removed() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    for sandbox in ["auto", "off"] {
        let (running, _stdin) = Running::fed(&mut runtime.run("@cat", &["--sandbox", sandbox]));
        let pid = running.pid();
        runtime.until_end(pid, "stdin", waits);
        running.signal("KILL");
        running.end();
        assert!(runtime.file(pid).exists());
        assert!(runtime.find(pid).is_none());
        assert!(!runtime.file(pid).exists(), "{sandbox}");
    }
    // The next run does it, too.
    let (running, _stdin) = Running::fed(&mut runtime.run("@cat", &[]));
    runtime.until_end(running.pid(), "stdin", waits);
    let file = runtime.file(running.pid());
    running.signal("KILL");
    running.end();
    runtime.run("@cat", &[]).end().expect(0);
    assert!(!file.exists());
    // At most that of the last one is left.
    assert!(fs::read_dir(runtime.folder()).unwrap().count() <= 1);
}

/// Locks a file as a running host does.
fn held(path: &Path, text: &[u8]) -> File {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    let file = File::open(path).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    file
}

fn framed(json: &str) -> Vec<u8> {
    let hash = twox_hash::XxHash3_64::oneshot(json.as_bytes());
    format!("pipehost-run {:08x} {:08x} {hash:016x}\n{json}", 1, json.len()).into_bytes()
}

const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{202e}\n";

#[test]
fn whatever_lies_in_the_folder_does_no_harm() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let folder = runtime.make_folder();
    let at = |pid: u32| folder.join(format!("run-{pid}"));
    // None of these numbers is one of a process: they are larger than any.
    let number = |n: u32| 4_300_000 + n;
    let text = |n: u32, runs: &str| {
        let runs = serde_json::to_string(runs).unwrap();
        framed(&format!(
            r#"{{"pid":{},"command":"run","runs":{runs},"state":"running","status":null,"began":18446744073709551615,
               "at":0,"part":null,"stages":[{{"name":{runs},"runs":{runs},"kind":"guest","status":null}}],
               "ends":[{{"stage":0,"name":{runs},"direction":"reading","path":{runs},"peer":{runs},
               "bytes":18446744073709551615,"max_bytes":null,"waited":18446744073709551615,"waiting":18446744073709551615,
               "is_open":true,"met":null}},{{"stage":77,"name":"x","direction":"writing","path":null,"peer":"y",
               "bytes":0,"max_bytes":0,"waited":0,"waiting":0,"is_open":false,"met":"error"}}],
               "left_out":18446744073709551615}}"#,
            number(n)
        ))
    };
    let outside = runtime.0.file("outside", text(1, "linked"));
    symlink(&outside, at(number(1))).unwrap();
    let fifo = Command::new("mkfifo").arg(at(number(2))).status().unwrap();
    assert!(fifo.success());
    let huge = held(&at(number(3)), b"");
    File::options().write(true).open(at(number(3))).unwrap().set_len(1 << 40).unwrap();
    let _held = [
        huge,
        held(&at(number(4)), b"nothing"),
        held(&at(number(5)), &framed("{\"pid\":")),
        held(&at(number(6)), &framed(&"[".repeat(200_000))),
        held(&at(number(7)), &text(8, "another's number")),
        held(&at(number(9)), &text(9, HOSTILE)[..60]),
        held(&at(number(10)), b""),
        held(&at(number(11)), &text(11, HOSTILE)),
        held(&at(number(12)), &text(12, &"x".repeat(20_000))),
        held(&runtime.0.path("runtime/pipehost/run-0007"), &text(7, "no number")),
        held(&folder.join("run-"), b"x"),
    ];
    fs::create_dir(at(number(13))).unwrap();
    let _twin = held(&at(number(14)), &text(14, "two names"));
    fs::hard_link(at(number(14)), runtime.0.path("runtime/twin")).unwrap();
    let _open = held(&at(number(15)), &text(15, "others may read"));
    fs::set_permissions(at(number(15)), Permissions::from_mode(0o644)).unwrap();
    fs::write(at(number(16)), "left behind").unwrap();
    fs::set_permissions(at(number(16)), Permissions::from_mode(0o600)).unwrap();

    let listed: Vec<_> = runtime.list().iter().map(|host| host["pid"].as_u64().unwrap()).collect();
    let ours: Vec<_> = listed.into_iter().filter(|pid| *pid >= number(0).into()).collect();
    assert_eq!(ours, [u64::from(number(11)), u64::from(number(12))]);
    for ended in
        [runtime.with(pipehost(["ps"])).end(), runtime.with(pipehost(["ps", "--json"])).end()]
    {
        let text = ended.expect(0).stdout;
        let acts = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!text.contains(acts) && !text.contains(&"x".repeat(2000)), "{text:?}");
    }
    assert!(!at(number(16)).exists() && outside.exists());
    // The lines of one that is followed, too.
    let pid = number(11).to_string();
    let following =
        Printed::start(runtime.0.path("told"), &mut runtime.with(pipehost(["trace", &pid])));
    following.wait_for("opened, ");
    following.1.signal("INT");
    let (ended, told) = following.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(!told.contains(|c: char| c != '\n' && c.is_control()), "{told:?}");
    for n in 1..=15 {
        if ![11, 12].contains(&n) {
            let pid = number(n).to_string();
            runtime.with(pipehost(["trace", &pid])).end().expect_line(66, &[&pid]);
        }
    }
    // A run finds the same folder, and is listed there.
    let (running, stdin) = Running::fed(&mut runtime.run("@cat", &[]));
    runtime.until_end(running.pid(), "stdin", waits);
    drop(stdin);
    running.end().expect(0);
}

#[test]
fn names_of_guests_are_shown_and_do_not_act() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let guest = runtime.0.file(&format!("{HOSTILE}.wat"), COPY_MODULE);
    let mut command = runtime.with(pipehost(["run".as_ref(), guest.as_os_str()]));
    let (running, _stdin) = Running::fed(&mut command);
    runtime.until_end(running.pid(), "stdin", waits);
    let table = runtime.ps();
    assert!(table.contains("\\x1b]0;x"), "{table:?}");
    assert!(!table.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "{table:?}");
}

#[test]
fn folders_that_are_not_ours_alone_are_not_looked_into() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let folder = runtime.make_folder();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let path = folder.to_str().unwrap();
    let ended = runtime.with(pipehost(["ps"])).end().expect(0);
    assert!(ended.stderr.contains(&format!("chmod 700 {path}")), "{ended:?}");
    // A run does without it, by the folder in /tmp.
    let (running, stdin) = Running::fed(&mut runtime.run("@cat", &[]));
    runtime.until_end(running.pid(), "stdin", waits);
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
    drop(stdin);
    running.end().expect(0);
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&folder, Some(65534), Some(65534)).unwrap();
        let ended = runtime.with(pipehost(["ps"])).end().expect(0);
        assert!(ended.stderr.contains("belongs to user 65534"), "{ended:?}");
    }
}

/// As `sudo -E` leaves it, or of a mode with which no run uses it.
#[test]
fn a_runtime_folder_that_is_not_ours_alone_is_passed_over() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    fs::set_permissions(runtime.make_folder(), Permissions::from_mode(0o755)).unwrap();
    let is_passed_over = |ended: Ended| {
        let path = runtime.0.path("runtime").display().to_string();
        assert!(!ended.expect(0).stderr.contains(&path));
    };
    fs::set_permissions(runtime.0.path("runtime"), Permissions::from_mode(0o755)).unwrap();
    is_passed_over(runtime.with(pipehost(["ps"])).end());
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(runtime.0.path("runtime"), Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(runtime.0.path("runtime"), Some(65534), Some(65534)).unwrap();
        is_passed_over(runtime.with(pipehost(["ps"])).end());
    }
}

#[test]
fn a_run_that_cannot_be_listed_runs() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let unshare = match rustix::process::geteuid().is_root() {
        true => "unshare --mount",
        false => "unshare --map-root-user --mount",
    };
    // No XDG_RUNTIME_DIR, and /tmp read-only, or full; in both, a folder that is there already, or not.
    for (options, folder) in
        [("ro", ""), ("nr_inodes=1", ""), ("size=4k", "mkdir -m 700 /tmp/pipehost-0 &&")]
    {
        let full = "{ head -c 1M /dev/zero > /tmp/full; } 2> /dev/null";
        let script = format!(
            "exec 9< {}; {unshare} bash -c 'mount -t tmpfs -o {options} none /tmp && {folder} {{ {full}; true; }} && \
             echo hello | /proc/self/fd/9 run @upper --no-cache'",
            program().display()
        );
        let ended = sh(&script).env("XDG_RUNTIME_DIR", "/nowhere").end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("HELLO\n", ""), "{options}");
    }
    // Nor does the size of files matter.
    let script = "ulimit -f 0; echo hello | pipehost run @upper --no-cache | cat";
    let ended = runtime.with(sh(script)).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("HELLO\n", ""));
}

#[test]
fn a_pipeline_is_listed_with_its_stages() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    for isolate in [&[][..], &["--isolate"]] {
        let mut command = runtime.with(pipehost(["pipe"]));
        command.args(isolate).args(["@cat", "!", "exec", "cat", "!", "@upper"]);
        let (running, mut stdin) = Running::fed(&mut command);
        let pid = running.pid();
        runtime.until_end(pid, "upper.stdin", waits);
        let told = runtime.0.path("told");
        let mut trace = runtime.with(pipehost(["trace", &pid.to_string()]));
        let following = Printed::start(told, &mut trace);
        following.wait_for("upper.stdin: opened");
        stdin.write_all(b"hello").unwrap();
        let host = runtime.until_end(pid, "upper.stdout", has_moved(5));
        let stages = host["stages"].as_array().unwrap();
        let kinds: Vec<_> = stages.iter().map(|it| (&it["name"], &it["kind"])).collect();
        let expected = [("cat", "guest"), ("cat-2", "command"), ("upper", "guest")];
        let expected = expected.map(|(name, kind)| (Value::from(name), Value::from(kind)));
        assert_eq!(kinds, expected.each_ref().map(|(name, kind)| (name, kind)), "{host}");
        let host = runtime.until_end(pid, "cat.stdin", |end| has_moved(5)(end) && waits(end));
        let end = |name: &str| {
            let ends = host["ends"].as_array().unwrap();
            ends.iter().find(|end| end["name"] == name).unwrap().clone()
        };
        assert_eq!(end("upper.stdin")["peer"], "cat-2", "{host}");
        assert_eq!(
            (&end("cat.stdout")["stage"], &end("upper.stdin")["stage"]),
            (&0.into(), &2.into())
        );
        assert_eq!(host["runs"], "@cat ! exec cat ! @upper");
        let table = runtime.ps();
        assert!(table.contains("a native command") && table.contains("upper.stdout"), "{table}");
        // The processes of stages are not listed by themselves.
        let of = |host: &Value| host["runs"] == "@cat ! exec cat ! @upper";
        assert_eq!(runtime.list().iter().filter(|host| of(host)).count(), 1, "{isolate:?}");
        following.wait_for("upper.stdout: wrote 5 B, 5 B in all");
        drop(stdin);
        assert_eq!(running.end().expect(0).stdout, "HELLO");
        let (ended, told) = following.end();
        ended.expect(0);
        assert!(told.contains("upper: ended with 0\n"), "{told}");
        assert!(told.lines().last().unwrap().ends_with(" s  ended with 0"), "{told}");
    }
}

#[test]
fn the_only_stage_of_an_isolated_pipeline_is_followed() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let (running, stdin) = Running::fed(&mut runtime.with(pipehost(["pipe", "--isolate", "@cat"])));
    let pid = running.pid();
    runtime.until_end(pid, "cat.stdin", waits);
    let mut trace = runtime.with(pipehost(["trace", &pid.to_string()]));
    let following = Printed::start(runtime.0.path("told"), &mut trace);
    following.wait_for("cat.stdin: opened");
    drop(stdin);
    running.end().expect(0);
    following.end().0.expect(0);
}

#[test]
fn fifty_hosts_at_once_are_all_listed() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let hosts: Vec<_> = (0..50).map(|_| Running::fed(&mut runtime.run("@cat", &[]))).collect();
    until("all are listed", || {
        let listed = runtime.list();
        hosts.iter().all(|(host, _)| listed.iter().any(|it| it["pid"] == host.pid()))
    });
    let hosts: Vec<_> = hosts.into_iter().map(|(host, stdin)| (drop(stdin), host).1).collect();
    for host in hosts {
        host.end().expect(0);
    }
}

/// Nothing happens, so nothing is looked at: no thread of the host is woken up.
#[test]
fn a_run_in_which_nothing_happens_sleeps() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let (running, stdin) = Running::fed(&mut runtime.run("@cat", &[]));
    let pid = running.pid();
    runtime.until_end(pid, "stdin", waits);
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let of = |task: fs::DirEntry| {
            // A thread may end.
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let mut lines = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
            let numbers = lines.by_ref().map(|line| line.rsplit('\t').next().unwrap());
            numbers.map(|number| number.parse::<u64>().unwrap()).sum::<u64>()
        };
        tasks.map(of).sum::<u64>()
    };
    until("a second without being woken up", || {
        let before = switches();
        std::thread::sleep(Duration::from_secs(1));
        switches() == before
    });
    drop(stdin);
    running.end().expect(0);
}

#[test]
fn a_guest_that_could_look_into_the_folder_is_warned_of() {
    let _dog = watchdog();
    let runtime = Runtime::new();
    let grant = |path: &str| format!("{}::/d,ro", runtime.0.path(path).display());
    fs::create_dir(runtime.0.path("elsewhere")).unwrap();
    for (path, warns) in
        [("runtime", true), (".", true), ("runtime/pipehost", true), ("elsewhere", false)]
    {
        let ended = runtime.run("@cat", &["--dir", &grant(path)]).end().expect(0);
        assert_eq!(ended.stderr.contains("can look into"), warns, "{path}: {ended:?}");
    }
    // By the process of an isolated stage, and not by that of the pipeline, too.
    for isolate in [&[][..], &["--isolate"]] {
        let mut command = runtime.with(pipehost(["pipe"]));
        command.args(isolate).args(["--dir", &grant("runtime"), "@cat"]);
        let ended = command.end().expect(0);
        assert_eq!(ended.stderr.matches("can look into").count(), 1, "{isolate:?}: {ended:?}");
    }
}
