//! What is measured, as commands, and what there is to compare it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pipehost_test_guests::guest;

/// The programs found on this machine.
pub(crate) struct Programs {
    cat: Option<PathBuf>,
    pv: Option<PathBuf>,
    wasmtime: Option<PathBuf>,
    scratch: tempfile::TempDir,
}

/// What else could do the job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Cat,
    Pv,
    Wasmtime,
    /// Programs that are part of this benchmark.
    Native,
}

impl Programs {
    pub(crate) fn find() -> Self {
        Self {
            cat: on_path("cat"),
            pv: on_path("pv"),
            wasmtime: on_path("wasmtime"),
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let all = [("cat", &self.cat), ("pv", &self.pv), ("wasmtime", &self.wasmtime)];
        all.iter().filter(|(_, path)| path.is_none()).map(|(name, _)| *name).collect()
    }

    pub(crate) fn has(&self, peer: Peer) -> bool {
        match peer {
            Peer::Cat => self.cat.is_some(),
            Peer::Pv => self.pv.is_some(),
            Peer::Wasmtime => self.wasmtime.is_some(),
            Peer::Native => true,
        }
    }

    pub(crate) fn cat(&self) -> Command {
        Command::new(self.cat.as_ref().unwrap())
    }

    pub(crate) fn pv(&self) -> Command {
        let mut command = Command::new(self.pv.as_ref().unwrap());
        command.arg("-q");
        command
    }

    /// `wasmtime run FILE ARGS...`, with its cache.
    pub(crate) fn wasmtime(&self, file: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(self.wasmtime.as_ref().unwrap());
        command.args(["run", "-C", "cache=y"]);
        if file == guest("plain3") {
            command.args(["-S", "p3=y", "-W", "component-model-async=y"]);
        }
        command.arg(file).args(args).env("XDG_CACHE_HOME", self.folder("caches"));
        command
    }

    /// `pipehost run FILE OPTIONS... -- ARGS...`, with its cache.
    pub(crate) fn pipehost(&self, file: &Path, options: &[&str], args: &[&str]) -> Command {
        let mut command = self.ours("run");
        command.args(options).arg(file).arg("--").args(args);
        command
    }

    /// A command of pipehost's, with its cache.
    pub(crate) fn ours(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipehost"));
        command.arg(name).env("XDG_CACHE_HOME", self.folder("caches"));
        command
    }

    /// A guest that takes its stdin as the granted pipe `in`, and its stdout as `out`.
    pub(crate) fn on_pipes(&self, name: &str, args: &[&str]) -> Command {
        let fds = ["--fd", "in=3,r", "--fd", "out=4,w", "--max-pipes", "1024"];
        let run = self.pipehost(&guest(name), &fds, args);
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(run.get_program())
            .args(run.get_args())
            .env("XDG_CACHE_HOME", self.folder("caches"));
        command
    }

    /// This program's own `--native` command.
    pub(crate) fn native(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--native").args(args);
        command
    }

    /// A module of WASI 0.1 that reads and writes `size` bytes at once.
    pub(crate) fn module(&self, size: usize) -> PathBuf {
        let path = self.scratch.path().join(format!("copy-{size}.wasm"));
        if !path.exists() {
            let pages = 1 + size.div_ceil(65_536);
            fs::write(&path, wat::parse_str(module(size, pages)).unwrap()).unwrap();
        }
        path
    }

    /// A folder for this run.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.scratch.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A name and a version for each program.
    pub(crate) fn versions(&self) -> Vec<String> {
        let version = |path: &Path, fallback: &str| {
            let output = Command::new(path).arg("--version").stderr(Stdio::null()).output();
            let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
            text.ok()
                .and_then(|text| text.lines().next().map(str::to_owned))
                .unwrap_or(fallback.into())
        };
        let peers = [("cat", &self.cat), ("pv", &self.pv), ("wasmtime", &self.wasmtime)];
        let ours = Path::new(env!("CARGO_BIN_EXE_pipehost"));
        [("pipehost", &Some(ours.to_owned()))]
            .into_iter()
            .chain(peers)
            .map(|(name, path)| match path {
                Some(path) => version(path, name),
                None => format!("{name}: not installed"),
            })
            .collect()
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn module(size: usize, pages: usize) -> String {
    format!(
        r#"
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") {pages})
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func (export "_start") (local $at i32) (local $end i32)
    (loop $more
      ;; The vector is at 0, what it came to at 8, the buffer at 64.
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const {size}))
      (call $check (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.eqz (i32.load (i32.const 8))) (then (return)))
      (local.set $at (i32.const 64))
      (local.set $end (i32.add (i32.const 64) (i32.load (i32.const 8))))
      (loop $rest
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (i32.sub (local.get $end) (local.get $at)))
        (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
        (br_if $rest (i32.lt_u (local.get $at) (local.get $end))))
      (br $more))))
"#
    )
}
