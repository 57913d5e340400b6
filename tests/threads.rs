//! Runs on a system that has few threads left, as under `ulimit -u`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use support::*;

/// A user who owns nothing: RLIMIT_NPROC does not bind root.
const NOBODY: &str = "54321";

/// The binary and a guest, in a place where any user may execute and read them.
struct Place {
    dir: Dir,
    binary: PathBuf,
    guest: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = Dir::new();
        let open = |path: PathBuf, mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        open(dir.path("."), 0o755);
        let (binary, plain) = (dir.path("pipehost"), dir.path("plain.wasm"));
        copy_program(env!("CARGO_BIN_EXE_pipehost"), &binary);
        fs::copy(guest("plain"), &plain).unwrap();
        fs::create_dir(dir.path("home")).unwrap();
        open(dir.path("home"), 0o777);
        let (binary, guest) = (open(binary, 0o755), open(plain, 0o644));
        Self { dir, binary, guest }
    }

    /// Returns `pipehost ARGS...` for a user who may have this many processes and threads, with
    /// three bytes of input.
    fn limited(&self, threads: usize, args: &str) -> Command {
        let home = self.dir.path("home");
        let input = self.dir.file("input", "abc");
        let args = args.replace("PLAIN", self.guest.to_str().unwrap());
        let args = args.replace("HOME", home.to_str().unwrap());
        let (ours, binary) = (threads_of_ours(), self.binary.display());
        let input = input.display();
        let root = rustix::process::geteuid().is_root();
        let limit = if root { threads } else { ours + threads };
        let text = format!("ulimit -u {limit}; exec {binary} {args} < {input}");
        let mut command = match root {
            true => undisturbed("setpriv"),
            false => undisturbed("bash"),
        };
        if root {
            let reuid = format!("--reuid={NOBODY}");
            command.args([
                &reuid,
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
                "bash",
            ]);
        }
        command.args(["-c", &text]).env("XDG_CACHE_HOME", home);
        command
    }
}

/// Returns how many threads this process's user has.
fn threads_of_ours() -> usize {
    let user = rustix::process::geteuid().as_raw();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let of_user = processes.filter(|it| {
        let status = fs::read_to_string(it.path().join("status")).unwrap_or_default();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        uid.and_then(|uid| uid.split_whitespace().next()?.parse().ok()) == Some(user)
    });
    of_user.map(|it| fs::read_dir(it.path().join("task")).map_or(0, Iterator::count)).sum()
}

/// However few there are, the run works, or ends with 74 and one line, or a guest gets its error.
/// It never panics.
#[test]
fn row_47_too_few_threads_are_74() {
    let _dog = watchdog();
    let place = Place::new();
    let (mut worked, mut refused) = (0, 0);
    for args in [
        "run @cat",
        "run --no-cache @cat",
        "run @cat --open-timeout 100ms --fifo HOME/x",
        "pipe @cat ! @upper",
        "pipe --isolate @cat ! @upper",
        "run PLAIN --dir HOME::/d -- write /d/f text",
    ] {
        for threads in 1..12 {
            let ended = place.limited(threads, args).end();
            let what = format!("{threads} threads, {args}: {ended:?}");
            assert!(!ended.stderr.contains("panicked at"), "{what}");
            match ended.code {
                Some(0) => worked += 1,
                Some(74) => {
                    assert!(ended.stderr.contains("pipehost: "), "{what}");
                    let begins = ended.stderr.split("pipehost: ").nth(1).unwrap();
                    assert!(!begins.starts_with("Resource temporarily"), "for what? {what}");
                    refused += 1;
                }
                // The shell or the guest.
                _ => assert!(matches!(ended.code, Some(1 | 2 | 124 | 126 | 134 | 254)), "{what}"),
            }
        }
    }
    assert!(worked > 5 && refused > 3, "{worked} worked, {refused} were refused");
}
