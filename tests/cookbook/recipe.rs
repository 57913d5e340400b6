//! A recipe, and the folder in which it is tried.
//!
//! A recipe's blocks are
//! - a file, where a name follows the language: it is written first, executable if it begins with `#!`;
//! - `sh`: what a reader types. All of them are one session of bash, which ends at the first failure;
//! - `text` right behind `sh`: what that printed;
//! - any other: shown only.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::*;

pub(crate) struct Recipe {
    name: &'static str,
    blocks: Vec<Block>,
}

struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

impl Recipe {
    pub(crate) fn read(name: &'static str) -> Self {
        let path = folder().join(name).with_extension("md");
        let text = fs::read_to_string(&path).unwrap();
        let (mut blocks, mut lines) = (Vec::new(), text.lines());
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let (language, file) = match info.split_once(' ') {
                Some((language, file)) => (language.to_owned(), Some(file.to_owned())),
                None => (info.to_owned(), None),
            };
            let inside = lines.by_ref().take_while(|line| *line != "```");
            let text = inside.map(|line| format!("{line}\n")).collect();
            blocks.push(Block { language, file, text });
        }
        assert!(!blocks.is_empty(), "{name} has no blocks");
        Self { name, blocks }
    }

    /// Returns the text of the file of this name.
    pub(crate) fn file(&self, name: &str) -> &str {
        let block = self.blocks.iter().find(|block| block.file.as_deref() == Some(name));
        &block.unwrap_or_else(|| panic!("{} has no file {name}", self.name)).text
    }

    /// Returns the block, shown only, of this language.
    pub(crate) fn shown(&self, language: &str) -> &str {
        let is_it = |block: &&Block| block.language == language && block.file.is_none();
        &self.blocks.iter().find(is_it).unwrap().text
    }

    /// Puts `to` where what a reader types has `from`, as a reader does whose system has other needs.
    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        let typed = self.blocks.iter_mut().filter(|block| block.language == "sh");
        let found: Vec<_> = typed.filter(|block| block.text.contains(from)).collect();
        assert!(!found.is_empty(), "{} has no {from}", self.name);
        found.into_iter().for_each(|block| block.text = block.text.replace(from, to));
    }

    /// Makes a folder with the recipe's files, these guests, and `pipehost` on the PATH.
    pub(crate) fn kitchen(&self, guests: &[&str]) -> Kitchen {
        let kitchen = Kitchen::new(guests);
        for block in &self.blocks {
            let Some(name) = &block.file else { continue };
            let path = kitchen.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &block.text).unwrap();
            if block.text.starts_with("#!") {
                fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            }
        }
        kitchen
    }

    /// Runs all that a reader types, in this folder, and holds what it prints against what is shown.
    pub(crate) fn cook(&self, kitchen: &Kitchen) {
        const NEXT: &str = "--- the next block ---";
        let typed: Vec<_> =
            self.blocks.iter().enumerate().filter(|(_, block)| block.language == "sh").collect();
        let mut script = String::from("set -euo pipefail\n");
        for (_, block) in &typed {
            script += &format!("{}\necho '{NEXT}'\n", block.text);
        }
        let ended = kitchen.sh(&script).end();
        let printed: Vec<_> = ended.stdout.split(&format!("{NEXT}\n")).collect();
        for (number, (at, block)) in typed.iter().enumerate() {
            assert!(
                printed.len() > number + 1,
                "{} fails at\n{}\n{ended:#?}",
                self.name,
                block.text
            );
            let shown = self.blocks.get(at + 1).filter(|block| block.language == "text");
            if let Some(shown) = shown {
                assert_eq!(printed[number], shown.text, "{}, of\n{}", self.name, block.text);
            }
        }
        assert_eq!(ended.code, Some(0), "{}: {ended:#?}", self.name);
    }
}

/// Returns the folder of this repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn folder() -> PathBuf {
    root().join("docs/cookbook")
}

/// A folder in which a recipe is tried.
pub(crate) struct Kitchen {
    dir: Dir,
    /// Apart from the folder, which recipes list.
    bin: Dir,
}

impl Kitchen {
    pub(crate) fn new(guests: &[&str]) -> Self {
        let (dir, bin) = (Dir::new(), Dir::new());
        symlink(env!("CARGO_BIN_EXE_pipehost"), bin.path("pipehost")).unwrap();
        for name in guests {
            fs::copy(guest(name), dir.path(&format!("{name}.wasm"))).unwrap();
        }
        Self { dir, bin }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }

    /// Puts Python with the packages of tests/cookbook/requirements.txt on the PATH, as `python3`.
    pub(crate) fn with_python(self) -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/cookbook");
        let python = fs::canonicalize(&tools).unwrap_or(tools).join("bin/python");
        assert!(python.exists(), "{} is missing; .ci/cookbook makes it", python.display());
        self.put("python3", &format!("exec \"{}\" \"$@\"", python.display()));
        self
    }

    /// Puts a cargo on the PATH that takes the versions which this repository locks, which are here without a network,
    /// keeps what it builds beside the target folder for the next run, and knows nothing of this folder as HOME.
    pub(crate) fn with_cargo(self) -> Self {
        let home = |variable: &str, folder: &str| {
            let home = || Path::new(&std::env::var_os("HOME").unwrap()).join(folder);
            std::env::var_os(variable).map_or_else(home, PathBuf::from)
        };
        let lines = [
            format!("[ -e Cargo.lock ] || cp \"{}/Cargo.lock\" .", root().display()),
            format!("export CARGO_HOME=\"{}\"", home("CARGO_HOME", ".cargo").display()),
            format!("export RUSTUP_HOME=\"{}\"", home("RUSTUP_HOME", ".rustup").display()),
            format!("export CARGO_BUILD_BUILD_DIR=\"{}/typed\"", env!("CARGO_TARGET_TMPDIR")),
            "export CARGO_NET_OFFLINE=true".into(),
            "unset CARGO_TARGET_DIR".into(),
            format!("exec \"{}\" \"$@\"", env!("CARGO")),
        ];
        self.put("cargo", &lines.join("\n"));
        self
    }

    /// Puts a script on the PATH.
    fn put(&self, name: &str, lines: &str) {
        // By another process: had this one the script open while another test forks, it could not be
        // executed.
        let mut write = sh(r#"printf '#!/bin/sh\n%s\n' "$LINES_OF_IT" > "$AT" && chmod +x "$AT""#);
        write.env("LINES_OF_IT", lines).env("AT", self.bin.path(name)).end().expect(0);
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns a command that runs in the folder.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        // Debian has daemons where not every user looks.
        let path = format!("{}:{path}:/usr/sbin:/sbin", self.bin.path("").display());
        let mut command = undisturbed(program);
        command.current_dir(self.dir.path("")).env("PATH", path).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.dir.path("")).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Returns a command that bash runs in the folder.
    pub(crate) fn sh(&self, script: &str) -> Command {
        let mut command = self.command("bash");
        command.arg("-c").arg(script);
        command
    }
}

/// Fails, and says what to install, where a program is missing.
#[track_caller]
pub(crate) fn demand(programs: &[(&str, &str)]) {
    let folders = std::env::var("PATH").unwrap() + ":/usr/sbin:/sbin";
    for (program, package) in programs {
        let is_there = folders.split(':').any(|folder| Path::new(folder).join(program).exists());
        assert!(is_there, "{program} is missing: apt-get install {package}, or .ci/cookbook");
    }
}

/// Each recipe has a test, and each is named in the table of contents.
#[test]
fn every_recipe_is_tried() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cookbook");
    let sources = fs::read_dir(here).unwrap().flatten().map(|entry| entry.path());
    let sources: String = sources
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let contents = fs::read_to_string(folder().join("README.md")).unwrap();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let name = name.strip_suffix(".md").unwrap().to_owned();
        if name != "README" {
            assert!(sources.contains(&format!("Recipe::read(\"{name}\")")), "{name} is not tried");
            assert!(contents.contains(&format!("({name}.md)")), "README.md does not name {name}");
            names.insert(name);
        }
    }
    assert!(names.len() >= 4, "{names:?}");
}
