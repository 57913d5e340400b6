//! What the tests share: the built program, the built guests, and peers.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use tokio::runtime::{Builder, Runtime};

pub(crate) use super::running::*;
pub(crate) use pipehost_test_guests::guest;

/// The probes, one for each version of the package.
pub(crate) const PROBES: [&str; 2] = ["probe2", "probe3"];

/// The guests that start others, one for each version of the package.
pub(crate) const FAMILIES: [&str; 2] = ["family2", "family3"];

/// How many bytes the large transfers have.
pub(crate) const LARGE: u64 = 100 << 20;

pub(crate) fn watchdog() -> Watchdog {
    watchdog_after(Duration::from_secs(240))
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

/// Returns the command `pipehost`, without input.
pub(crate) fn pipehost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipehost"));
    command.env("XDG_CACHE_HOME", cache()).env("PIPEHOST_SANDBOX", "off").stdin(Stdio::null());
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

/// Opens a pipe as a client that writes, once there is a server.
#[track_caller]
pub(crate) fn writer_of(name: &str) -> File {
    until_some(name, || File::options().write(true).open(path(name)).ok())
}

/// Opens a pipe as a client that reads, once there is a server.
#[track_caller]
pub(crate) fn reader_of(name: &str) -> File {
    until_some(name, || File::open(path(name)).ok())
}

pub(crate) fn read_all(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// The server of a pipe to which a peer says that it is there: `stay` in `peer.rs`.
pub(crate) struct Server {
    runtime: Runtime,
    pipe: NamedPipeServer,
}

impl Server {
    pub(crate) fn new(name: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let pipe = runtime.block_on(async { ServerOptions::new().create(path(name)).unwrap() });
        Self { runtime, pipe }
    }

    pub(crate) fn wait_for_peer(self) -> Self {
        let Self { runtime, mut pipe } = self;
        runtime.block_on(async {
            pipe.connect().await.unwrap();
            let mut word = [0; 4];
            pipe.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"here");
        });
        Self { runtime, pipe }
    }

    pub(crate) fn wait_for_its_end(self) {
        let Self { runtime, mut pipe } = self;
        let read = runtime.block_on(pipe.read(&mut [0]));
        assert!(matches!(read, Ok(0) | Err(_)), "it said more");
    }
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
