//! What is measured, as commands, and what there is to compare it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pipehost_test_guests::guest;

use crate::wat;

/// What else could do the job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Bwrap,
    Cat,
    Pv,
    Wasmtime,
    /// Programs that are part of this benchmark.
    Native,
}

const INSTALLED: [(Peer, &str); 4] =
    [(Peer::Cat, "cat"), (Peer::Pv, "pv"), (Peer::Bwrap, "bwrap"), (Peer::Wasmtime, "wasmtime")];

/// The programs found on this machine.
pub(crate) struct Programs {
    found: Vec<(Peer, PathBuf)>,
    scratch: tempfile::TempDir,
}

impl Programs {
    pub(crate) fn find() -> Self {
        let found = INSTALLED.iter().filter_map(|(peer, name)| Some((*peer, on_path(name)?)));
        let mut programs = Self { found: found.collect(), scratch: tempfile::tempdir().unwrap() };
        // Many systems do not let everyone make namespaces.
        if programs.has(Peer::Bwrap) {
            let mut try_it = programs.bwrap("true");
            let status = try_it.stdin(Stdio::null()).stderr(Stdio::null()).status();
            if !status.is_ok_and(|status| status.success()) {
                programs.found.retain(|(peer, _)| *peer != Peer::Bwrap);
            }
        }
        programs
    }

    /// The peers that are not installed, or do not work here.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        INSTALLED.iter().filter(|(peer, _)| !self.has(*peer)).map(|(_, name)| *name).collect()
    }

    pub(crate) fn has(&self, peer: Peer) -> bool {
        peer == Peer::Native || self.path(peer).is_some()
    }

    fn path(&self, peer: Peer) -> Option<&Path> {
        self.found.iter().find(|(found, _)| *found == peer).map(|(_, path)| &**path)
    }

    fn peer(&self, peer: Peer) -> Command {
        Command::new(self.path(peer).unwrap())
    }

    pub(crate) fn cat(&self) -> Command {
        self.peer(Peer::Cat)
    }

    pub(crate) fn pv(&self) -> Command {
        let mut command = self.peer(Peer::Pv);
        command.arg("-q");
        command
    }

    /// A program in namespaces of its own, with all files to read.
    pub(crate) fn bwrap(&self, program: &str) -> Command {
        let mut command = self.peer(Peer::Bwrap);
        command.args(["--ro-bind", "/", "/", "--unshare-all", program]);
        command
    }

    /// `wasmtime run FILE ARGS...`, with its cache.
    pub(crate) fn wasmtime(&self, file: &Path, args: &[&str]) -> Command {
        let mut command = self.peer(Peer::Wasmtime);
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
        command.env_remove("PIPEHOST_SANDBOX");
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
            .env("XDG_CACHE_HOME", self.folder("caches"))
            .env_remove("PIPEHOST_SANDBOX");
        command
    }

    /// This program's own `--native` command.
    pub(crate) fn native(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--native").args(args);
        command
    }

    /// A module of WASI 0.1 that reads and writes `size` bytes at once.
    pub(crate) fn relay(&self, size: usize) -> PathBuf {
        self.made(&format!("relay-{size}.wasm"), || wat::relay(size))
    }

    /// A component of WASI 0.2 with so many functions.
    pub(crate) fn large(&self, functions: usize) -> PathBuf {
        self.made(&format!("large-{functions}.wasm"), || wat::large(functions))
    }

    fn made(&self, name: &str, text: impl Fn() -> String) -> PathBuf {
        let path = self.scratch.path().join(name);
        if !path.exists() {
            fs::write(&path, ::wat::parse_str(text()).unwrap()).unwrap();
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
        let peers = INSTALLED.iter().filter_map(|(peer, name)| Some((*name, self.path(*peer)?)));
        [("pipehost", Path::new(env!("CARGO_BIN_EXE_pipehost")))]
            .into_iter()
            .chain(peers)
            .map(|(name, path)| version(path, name))
            .collect()
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
