//! What the end-to-end tests share: the built binary, the built guests, real peers, and a watchdog.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

mod running;
#[cfg(unix)]
pub mod terminal;

pub use pipehost_test_guests::guest;
pub use running::*;

/// The probes, one for each version of the package.
pub const PROBES: [&str; 2] = ["probe2", "probe3"];

/// A WASI 0.1 module that copies stdin to stdout by `fd_read` and `fd_write`, 64 KiB at a time, and
/// exits with 3 if a write fails with EPIPE, 4 for any other error.
pub const COPY_MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 3)
  (func $check (param $errno i32)
    (if (i32.eq (local.get $errno) (i32.const 64)) (then (call $exit (i32.const 3))))
    (if (local.get $errno) (then (call $exit (i32.const 4)))))
  (func (export "_start") (local $left i32) (local $at i32)
    (loop $next
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (i32.const 65536))
      (call $check (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $left (i32.load (i32.const 8)))
      (local.set $at (i32.const 65536))
      (if (i32.eqz (local.get $left)) (then (return)))
      (loop $more
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $left))
        (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
        (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 8))))
        (br_if $more (local.get $left)))
      (br $next))))"#;

pub fn watchdog() -> Watchdog {
    watchdog_after(Duration::from_secs(120))
}

/// A folder that only one test uses.
pub struct Dir(tempfile::TempDir);

impl Dir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a FIFO by mkfifo(1).
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn is_empty(&self) -> bool {
        fs::read_dir(self.0.path()).unwrap().next().is_none()
    }
}

/// The tested program: the built one, or, for a build that only an emulator runs, the one that is named.
pub fn program() -> PathBuf {
    std::env::var_os("PIPEHOST_TEST_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_pipehost").into(), PathBuf::from)
}

/// Returns the command `pipehost ARGS...`, with an empty stdin.
pub fn pipehost<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = undisturbed(program());
    command.args(args).stdin(Stdio::null());
    command
}

/// Returns a command with the default reactions to signals, and with the tests' own cache. The
/// process that runs the tests may ignore some signals, as a shell makes background processes
/// ignore SIGINT, and children would inherit that.
pub fn undisturbed(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,QUIT,TERM").arg(program);
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("caches"));
    command.env("XDG_STATE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("state"));
    if !rustix::process::geteuid().is_root() && !SANDBOXED.load(Ordering::Relaxed) {
        command.env("PIPEHOST_SANDBOX", "off");
    }
    command
}

/// Only root can see what a confined process has open, and many tests look at that. For other
/// users, the tests run without the sandbox, unless they test the sandbox.
static SANDBOXED: AtomicBool = AtomicBool::new(false);

/// Makes every command that this process starts from now on sandboxed, for every user.
pub fn sandboxed() {
    SANDBOXED.store(true, Ordering::Relaxed);
}

/// Returns the command `pipehost run GUEST ARGS...`.
pub fn run<I: AsRef<OsStr>>(guest_name: &str, args: impl IntoIterator<Item = I>) -> Command {
    let mut command = pipehost(["run"]);
    match guest_name.starts_with('@') {
        true => command.arg(guest_name),
        false => command.arg(guest(guest_name)),
    };
    command.args(args);
    command
}

/// Returns a command that a shell runs, with the tested `pipehost` on its PATH.
pub fn sh(script: &str) -> Command {
    let program = program();
    let bin = program.parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = undisturbed("bash");
    command.arg("-c").arg(script).env("PATH", path).stdin(Stdio::null());
    command
}

/// What Linux tells of a process.
impl Running {
    /// Kills the process that removes what this process made. It must be the only child: no guest
    /// has started another.
    pub fn kill_helper(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        let helper = fs::read_to_string(children).unwrap().trim().to_owned();
        assert!(Command::new("kill").args(["-KILL", &helper]).status().unwrap().success());
        // It holds locks until it is dead.
        until("the helper is dead", || {
            let stat = fs::read_to_string(format!("/proc/{helper}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
        });
    }

    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}")).arg(self.pid().to_string());
        assert!(kill.status().unwrap().success());
    }

    /// Returns whether the process, or its monitor, has a thread of that name.
    pub fn has_thread(&self, name: &str) -> bool {
        let of = |pid: u32| {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
            tasks.flatten().any(|task| {
                fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim() == name
            })
        };
        of(self.pid()) || children_of(self.pid()).into_iter().any(of)
    }

    /// Returns whether the process has `path` open.
    pub fn has_open(&self, path: &Path) -> bool {
        let Ok(fds) = fs::read_dir(format!("/proc/{}/fd", self.pid())) else { return false };
        fds.flatten().any(|fd| {
            let Ok(target) = fs::read_link(fd.path()) else { return false };
            let info = format!("/proc/{}/fdinfo/{}", self.pid(), fd.file_name().to_string_lossy());
            let Ok(flags) = fs::read_to_string(info) else { return false };
            // O_PATH is how a FIFO is held before it is opened.
            const O_PATH: u32 = 0o10_000_000;
            let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
            // It is empty if the descriptor was closed in between.
            let Some(flags) = flags else { return false };
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            target == path && flags & O_PATH == 0
        })
    }

    /// Returns whether the process has given up its own powers.
    pub fn is_confined(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        status.lines().any(|line| line == "Seccomp:\t2")
    }

    /// Returns whether the process waits: all of its threads sleep.
    pub fn sleeps(&self) -> bool {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid())) else { return false };
        tasks.flatten().all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
        })
    }

    /// Returns how much processor time all of its threads have used.
    pub fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let nanos = tasks.flatten().map(|task| {
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            stat.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        });
        Duration::from_nanos(nanos.sum())
    }
}

/// Returns the path of 100 MB in which no two places are alike. They are made once.
pub fn big_file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join("100MB");
        if fs::metadata(&path).map(|file| file.len()).unwrap_or(0) != 100_000_000 {
            let mut bytes = Vec::with_capacity(100_000_000);
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            while bytes.len() < 100_000_000 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.extend_from_slice(&state.to_le_bytes());
            }
            // Under a name of its own first: several test processes may do this at once.
            let scratch = folder.join(format!("100MB.{}", std::process::id()));
            File::create(&scratch).unwrap().write_all(&bytes).unwrap();
            fs::rename(&scratch, &path).unwrap();
        }
        path
    })
}

/// Returns the SHA-256 of [`big_file`], by sha256sum(1).
pub fn big_sum() -> &'static str {
    static SUM: OnceLock<String> = OnceLock::new();
    SUM.get_or_init(|| {
        let sum = sh(&format!("sha256sum < {}", big_file().display())).end().expect(0);
        sum.stdout
    })
}

/// Starts a writer: `cat FROM > FIFO`.
pub fn cat_into(from: &Path, fifo: &Path) -> Running {
    sh(&format!("exec cat {} > {}", from.display(), fifo.display())).start()
}

/// Starts a reader, which prints the sum of what it read.
pub fn sum_of(fifo: &Path) -> Running {
    sh(&format!("exec sha256sum < {}", fifo.display())).start()
}

/// Returns `--fifo` and its value.
pub fn fifo(name: &str, path: &Path, keys: &str) -> [String; 2] {
    ["--fifo".into(), format!("{name}={}{keys}", path.display())]
}

/// Copies a program by cp(1). If this process had the copy open for writing while another test
/// forks, the copy could not be executed: ETXTBSY.
pub fn copy_program(from: impl AsRef<Path>, to: &Path) {
    let copied = Command::new("cp").arg(from.as_ref()).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Runs a script as a user without rights, who may write to `dir`.
pub fn as_nobody(dir: &Dir, script: &str) -> Ended {
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o777)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return sh(script).end();
    }
    // The binary is where only root may look.
    let copy = dir.path("pipehost");
    if !copy.exists() {
        copy_program(program(), &copy);
    }
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", script])
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path(".").display()))
        .stdin(Stdio::null());
    command.end()
}

/// Returns the processes that a process has started.
pub fn children_of(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
    lists
        .flatten()
        .flat_map(|list| list.split_whitespace().map(|n| n.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}
