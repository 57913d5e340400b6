//! What the tests share: the built program, the built guests, peers, and a watchdog.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) use pipehost_test_guests::guest;

/// The probes, one for each version of the package.
pub(crate) const PROBES: [&str; 2] = ["probe2", "probe3"];

/// How many bytes the large transfers have.
pub(crate) const LARGE: u64 = 100 << 20;

/// How long a step of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the whole test process if a test hangs. The last line then names that test.
pub(crate) struct Watchdog {
    _alive: mpsc::Sender<()>,
}

pub(crate) fn watchdog() -> Watchdog {
    let (alive, dropped) = mpsc::channel();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if dropped.recv_timeout(Duration::from_secs(240)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("watchdog: {test} hangs");
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}

/// Returns a name that no other test has.
pub(crate) fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("pht-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn path(name: &str) -> String {
    format!(r"\\.\pipe\{name}")
}

/// A folder that is removed at the end.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn pipehost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipehost"));
    command.env("XDG_CACHE_HOME", cache()).env("PIPEHOST_SANDBOX", "off");
    command
}

/// The cache that all tests share, so that each guest is compiled once.
pub(crate) fn cache() -> PathBuf {
    std::path::absolute(Path::new(env!("CARGO_TARGET_TMPDIR")).join("windows-caches")).unwrap()
}

/// Returns the command that runs a guest: `@NAME`, or a crate's name.
pub(crate) fn run<I: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = I>) -> Command {
    let mut command = pipehost();
    command.arg("run");
    match name.starts_with('@') {
        true => command.arg(name),
        false => command.arg(guest(name)),
    };
    command.args(args);
    command
}

/// How a program has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Expects the status, and one line of pipehost's with these parts.
    #[track_caller]
    pub(crate) fn expect_line(self, code: i32, parts: &[&str]) -> Self {
        let ended = self.expect(code);
        let line = ended.stderr.lines().find(|line| line.starts_with("pipehost: "));
        let line = line.unwrap_or_else(|| panic!("no line: {ended:?}"));
        for part in parts {
            assert!(line.contains(part), "no {part:?} in {line:?}");
        }
        ended
    }
}

/// A program that runs, and what it says.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

pub(crate) trait CommandExt {
    fn start(&mut self) -> Running;
    fn end(&mut self) -> Ended;
}

impl CommandExt for Command {
    /// Starts it without input.
    fn start(&mut self) -> Running {
        self.stdin(Stdio::null());
        Running::new(self)
    }

    fn end(&mut self) -> Ended {
        self.start().end()
    }
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}

impl Running {
    /// Starts a command, and collects its output.
    pub(crate) fn new(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().map(drain), child.stderr.take().map(drain));
        Self { child, stdout, stderr }
    }

    /// Starts a command with a pipe as its input, and collects its output.
    pub(crate) fn fed(command: &mut Command) -> (Self, std::process::ChildStdin) {
        let mut running = Self::new(command.stdin(Stdio::piped()));
        let stdin = running.child.stdin.take().unwrap();
        (running, stdin)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn end(mut self) -> Ended {
        let text = |output: Option<JoinHandle<Vec<u8>>>| {
            let bytes = output.map(|it| it.join().unwrap()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
        };
        let code = self.child.wait().unwrap().code();
        Ended { code, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Tries again until there is a result.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Opens a pipe as a client that writes, once there is a server.
#[track_caller]
pub(crate) fn writer_of(name: &str) -> File {
    until(name, || File::options().write(true).open(path(name)).ok())
}

/// Opens a pipe as a client that reads, once there is a server.
#[track_caller]
pub(crate) fn reader_of(name: &str) -> File {
    until(name, || File::open(path(name)).ok())
}

pub(crate) fn read_all(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// Bytes of which no two places are alike.
pub(crate) struct Pattern {
    at: u64,
    left: u64,
}

impl Pattern {
    pub(crate) fn new(length: u64) -> Self {
        Self { at: 0, left: length }
    }
}

impl Read for Pattern {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for byte in &mut buf[..n] {
            *byte = (self.at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
            self.at += 1;
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Writes so many bytes of the pattern.
pub(crate) fn feed(mut to: impl Write, length: u64) -> io::Result<()> {
    let mut from = Pattern::new(length);
    let mut buf = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buf)? {
            0 => return to.flush(),
            n => to.write_all(&buf[..n])?,
        }
    }
}

/// Returns the number of bytes, and their hash.
pub(crate) fn sum(mut from: impl Read) -> (u64, String) {
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buf) {
            Ok(0) | Err(_) => return (hasher.count(), hasher.finalize().to_string()),
            Ok(n) => {
                hasher.update(&buf[..n]);
            }
        }
    }
}

/// Returns what [`sum`] returns for so many bytes of the pattern.
pub(crate) fn expected(length: u64) -> (u64, String) {
    sum(Pattern::new(length))
}

/// Runs a guest that is granted `in` and `out`, and checks that so many bytes come through it whole.
/// Returns how it has ended: well.
#[track_caller]
pub(crate) fn passes_whole(probe: &str, args: &[&str], length: u64) -> Ended {
    let (from, to) = (name(), name());
    let running = run(probe, ["--fifo", &format!("in={},r", path(&from))])
        .args(["--fifo", &format!("out={},w", path(&to)), "--"])
        .args(args)
        .start();
    let source = writer_of(&from);
    let fed = std::thread::spawn(move || feed(source, length));
    assert_eq!(sum(reader_of(&to)), expected(length), "{probe}");
    fed.join().unwrap().unwrap();
    running.end().expect(0)
}

/// Returns the command that runs this test program as a native command: see `peer.rs`.
pub(crate) fn peer(words: &[&str]) -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_string_lossy().replace('\\', "/");
    [program.as_str(), "peer"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}

/// Returns the command that runs stages as a pipeline.
pub(crate) fn pipeline(options: &[&str], stages: &[Vec<String>]) -> Command {
    let mut command = pipehost();
    command.arg("pipe").args(options).args(stages.join(&"!".to_owned()));
    command
}
