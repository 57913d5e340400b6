//! Tests of the sandbox around the process: a run as an operator would start it, in which the guest
//! has, so to speak, broken out of the engine. Each runs this test program again, as its own child.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock};

use super::args::{Cli, Command as Typed};
use crate::os::breakout;

/// The arguments of the run, a word a line.
const ARGS: &str = "PIPEHOST_TEST_ARGS";
/// A file beside the FIFO that is granted.
const BESIDE: &str = "PIPEHOST_TEST_BESIDE";

/// Another thread of this process, that was there before it confined itself.
static OTHER: OnceLock<Mutex<(mpsc::Sender<()>, mpsc::Receiver<Option<i32>>)>> = OnceLock::new();

/// The guest has broken out: called where it would run.
pub(crate) fn broken_out() {
    let Some(beside) = env::var_os(BESIDE) else { return };
    let victim = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
    let mut attempts = breakout::attempts(Path::new(&beside), victim);
    let other = OTHER.get().unwrap().lock().unwrap();
    other.0.send(()).unwrap();
    attempts.push(("/etc/passwd, in another thread", other.1.recv().unwrap()));
    // The test harness has not ended its line.
    println!();
    for (what, error) in attempts {
        println!("{what}: {}", error.map_or("done".into(), |error| format!("errno {error}")));
    }
    println!("a program: {}", breakout::execute().map_or("done", |_| "refused"));
}

/// This process is the one that is broken out of, if it was started as that.
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
    super::log::start(0);
    let status = match cli.command {
        Typed::Run(args) => super::run::main(*args),
        Typed::Pipe(args) => super::pipe::main(*args),
        _ => unreachable!("only these run guests"),
    };
    println!("status: {}", status.unwrap().code());
    true
}

/// What the run with these options says, each attempt in a line.
fn child(test: &str, options: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let (guest, fifo, beside) =
        (dir.path().join("g.wat"), dir.path().join("f"), dir.path().join("beside"));
    std::fs::write(&guest, "(module (func (export \"_start\")))").unwrap();
    std::fs::write(&beside, "kept").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let mut words = vec!["pipehost".into(), "run".into(), path(&guest), "--no-cache".into()];
    words.extend(["--fifo".into(), path(&fifo)]);
    words.extend(options.iter().map(|option| (*option).to_owned()));
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("cli::breakout::{test}"), "--nocapture", "--test-threads=1"])
        .env(ARGS, words.join("\n"))
        .env(BESIDE, &beside)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if !options.contains(&"off") {
        assert!(!fifo.exists(), "the FIFO is removed: {text}{complaints}");
        assert!(output.status.success(), "{text}{complaints}");
        assert!(text.contains("status: 0"), "{text}{complaints}");
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), "kept");
    }
    assert!(text.contains("/etc/passwd:"), "{text}{complaints}");
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
    let lines = child("whoever_breaks_out_has_nothing", &["--sandbox", "require"]);
    let done: Vec<_> = lines.iter().filter(|line| line.ends_with(": done")).collect();
    assert!(done.is_empty(), "{done:?}");
    assert!(lines.iter().filter(|line| refused(line)).count() > 20, "{lines:?}");
}

#[test]
fn a_granted_folder_opens_no_other() {
    if as_child() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let grant = dir.path().to_str().unwrap();
    let options = ["--sandbox", "require", "--dir", grant];
    let lines = child("a_granted_folder_opens_no_other", &options);
    for what in ["/etc/passwd", "the home folder", "a new file", "removing a file", "a program"] {
        let found = lines.iter().find(|line| line.starts_with(&format!("{what}: ")));
        assert!(found.is_some_and(|line| refused(line)), "{what}: {lines:?}");
    }
}

/// What the attempts above are worth: without the sandbox they succeed.
#[test]
fn without_the_sandbox_all_of_it_can_be_had() {
    if as_child() {
        return;
    }
    let lines = child("without_the_sandbox_all_of_it_can_be_had", &["--sandbox", "off"]);
    for what in ["/etc/passwd", "a new file", "an internet socket", "new code", "a new process"] {
        assert!(lines.contains(&format!("{what}: done")), "{what}: {lines:?}");
    }
    // The process has become another program, and says no more.
    assert!(!lines.iter().any(|line| line.starts_with("a program")), "{lines:?}");
}
