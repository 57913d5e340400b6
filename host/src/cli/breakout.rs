//! Tests of the sandbox around the process: a run as an operator would start it, in which the guest is
//! taken to have broken out of the engine. Each test runs this test program again, as its own child.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock};

use super::args::{Cli, Command as Typed, LogFormat};
use crate::sys::breakout;

/// The variable with the arguments of the run, one word a line.
const ARGS: &str = "PIPEHOST_TEST_ARGS";
/// The variable with the path of a file beside the granted FIFO.
const BESIDE: &str = "PIPEHOST_TEST_BESIDE";

/// Another thread of this process, which was started before the process confined itself.
static OTHER: OnceLock<Mutex<Asking>> = OnceLock::new();

/// Asks that thread to try, and receives the result.
type Asking = (mpsc::Sender<()>, mpsc::Receiver<Option<i32>>);

/// Makes the attempts. Called at the place where the guest would run.
pub(crate) fn broken_out() {
    let Some(beside) = env::var_os(BESIDE) else { return };
    let victim = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
    let mut attempts = breakout::attempts(Path::new(&beside), victim);
    let other = OTHER.get().unwrap().lock().unwrap();
    other.0.send(()).unwrap();
    attempts.push(("/etc/passwd, in another thread", other.1.recv().unwrap()));
    // Of the standard streams, this process has only stderr left.
    for (what, error) in attempts {
        eprintln!("{what}: {}", error.map_or("done".into(), |error| format!("errno {error}")));
    }
    eprintln!("a program: {}", breakout::execute().map_or("done", |_| "refused"));
}

/// Runs pipehost, if this process was started as the child of a test.
fn as_child() -> bool {
    let Ok(args) = env::var(ARGS) else { return false };
    let (ask, asked) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    OTHER.set(Mutex::new((ask, answers))).ok().unwrap();
    std::thread::spawn(move || {
        asked.recv().unwrap();
        answer.send(breakout::passwd()).unwrap();
    });
    let cli = Cli::of(args.lines().map(Into::into)).unwrap();
    super::log::start(0, LogFormat::Text, None);
    let status = match cli.command {
        Typed::Run(args) => super::run::main(*args),
        Typed::Pipe(args) => super::pipe::main(*args),
        _ => unreachable!("only these run guests"),
    };
    eprintln!("status: {}", status.unwrap().code());
    true
}

/// Runs a guest, or a pipeline, with these options for the guest, and returns its lines, one for each
/// attempt.
fn child(test: &str, command: &str, mode: &str, options: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let (guest, fifo, beside) =
        (dir.path().join("g.wat"), dir.path().join("f"), dir.path().join("beside"));
    std::fs::write(&guest, "(module (func (export \"_start\")))").unwrap();
    std::fs::write(&beside, "kept").unwrap();
    let mode_before = std::fs::metadata(dir.path()).unwrap().mode();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let mut words: Vec<String> =
        ["pipehost", command, "--no-cache", "--sandbox", mode].map(Into::into).into();
    if command == "pipe" {
        words.push("--".into());
    }
    words.extend(["--fifo".into(), path(&fifo)]);
    words.extend(options.iter().map(|option| (*option).to_owned()));
    words.push(path(&guest));
    if command == "pipe" {
        words.extend(["!", "exec", "cat"].map(Into::into));
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("cli::breakout::{test}"), "--nocapture", "--test-threads=1"])
        .env(ARGS, words.join("\n"))
        .env(BESIDE, &beside)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if mode != "off" {
        assert!(!fifo.exists(), "the FIFO is removed: {text}");
        assert!(output.status.success(), "{text}");
        assert!(text.contains("status: 0"), "{text}");
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), "kept");
        assert_eq!(std::fs::metadata(dir.path()).unwrap().mode(), mode_before);
    }
    assert!(text.contains("/etc/passwd:"), "{text}");
    text.lines().filter(|line| line.contains(": ")).map(str::to_owned).collect()
}

fn refused(line: &str) -> bool {
    line.contains("errno") || line.contains("refused") || line.starts_with("status")
}

#[test]
fn whoever_breaks_out_has_nothing() {
    if as_child() {
        return;
    }
    let exec: &[&str] = &["--exec", "s=sort -u"];
    let watch: &[&str] = &["--watch"];
    for (command, options) in [
        ("run", &[][..]),
        ("run", exec),
        ("run", watch),
        ("pipe", &[]),
        ("pipe", exec),
        ("pipe", watch),
    ] {
        let lines = child("whoever_breaks_out_has_nothing", command, "require", options);
        let done: Vec<_> = lines.iter().filter(|line| line.ends_with(": done")).collect();
        assert!(done.is_empty(), "{command} {options:?}: {done:?}");
        assert!(lines.iter().filter(|line| refused(line)).count() > 25, "{lines:?}");
    }
}

#[test]
fn a_granted_folder_opens_no_other() {
    if as_child() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let grant = dir.path().to_str().unwrap();
    let read_only = format!("{grant}::{grant},ro");
    for (command, grant) in [("run", grant), ("run", &read_only), ("pipe", grant)] {
        let options = ["--dir", grant];
        // The threads of the test program itself are not bounded, which `require` refuses.
        let lines = child("a_granted_folder_opens_no_other", command, "auto", &options);
        for what in [
            "/etc/passwd",
            "the home folder",
            "a file beside the FIFO",
            "a new file",
            "removing a file",
            "renaming a file",
            "truncating a file",
            "a file's mode",
            "the FIFO's folder's mode",
            "a signal to everybody",
            "a program",
        ] {
            let found = lines.iter().find(|line| line.starts_with(&format!("{what}: ")));
            assert!(found.is_some_and(|line| refused(line)), "{what}: {lines:?}");
        }
    }
}

/// Shows that the attempts above are real: without the sandbox they succeed.
#[test]
fn without_the_sandbox_all_of_it_can_be_had() {
    if as_child() {
        return;
    }
    let lines = child("without_the_sandbox_all_of_it_can_be_had", "run", "off", &[]);
    for what in [
        "/etc/passwd",
        "a new file",
        "a file's mode",
        "truncating a file",
        "the FIFO's folder's mode",
        "a datagram to somebody",
        "an internet socket",
        "a signal by way of a pipe",
        "new code",
        "a new process",
    ] {
        assert!(lines.contains(&format!("{what}: done")), "{what}: {lines:?}");
    }
    // The process has become another program, and prints nothing more.
    assert!(!lines.iter().any(|line| line.starts_with("a program: ")), "{lines:?}");
}
