//! Tests the cache of compiled guests: its entries are used, and nothing else is.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::*;

const HIT: &str = "the compiled code is in the cache";
const MADE: &str = "compiled in ";

/// Returns `pipehost -v ARGS...` with its cache in `dir`.
fn cached(dir: &Dir, args: &[&str]) -> Command {
    let mut command = pipehost(["-v"]);
    command.args(args).env("XDG_CACHE_HOME", dir.path("caches"));
    command
}

fn folder(dir: &Dir) -> PathBuf {
    dir.path("caches/pipehost")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Runs a guest that writes `text` until its stdin ends, and checks that it does. Returns the
/// host's output.
#[track_caller]
fn cat(dir: &Dir, options: &[&str]) -> String {
    let input = dir.file("input", "Abc");
    let input = input.to_str().unwrap();
    let args = [&["run", "@cat", "--stdin", input], options].concat();
    let ended = cached(dir, &args).end().expect(0);
    assert_eq!(ended.stdout, "Abc");
    ended.stderr
}

#[test]
fn a_guest_is_compiled_once() {
    let _dog = watchdog();
    let dir = Dir::new();
    assert!(cat(&dir, &[]).contains(MADE));
    let said = cat(&dir, &[]);
    assert!(said.contains(HIT) && !said.contains(MADE), "{said}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder(&dir)), 0o700);
    let entries = entries(&folder(&dir));
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(mode(&entries[0]), 0o600);
}

#[test]
fn of_many_at_once_one_compiles() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut runs: Vec<_> = (0..8)
        .map(|_| Running::new(cached(&dir, &["run", "@cat"]).stderr(Stdio::piped())))
        .collect();
    let said: Vec<_> = runs.drain(..).map(|run| run.end().expect(0).stderr).collect();
    let made = said.iter().filter(|said| said.contains(MADE)).count();
    assert_eq!(made, 1, "{said:?}");
    assert_eq!(entries(&folder(&dir)).len(), 1);
}

#[test]
fn one_that_is_killed_while_it_compiles_keeps_nobody_waiting() {
    let _dog = watchdog();
    let dir = Dir::new();
    let first = Running::new(cached(&dir, &["run", "@cat"]).stderr(Stdio::piped()));
    until("it compiles", || folder(&dir).exists() && !entries(&folder(&dir)).is_empty());
    first.signal("KILL");
    first.end();
    assert!(cat(&dir, &[]).contains(MADE) || cat(&dir, &[]).contains(HIT));
    assert!(cat(&dir, &[]).contains(HIT));
    let mut left = entries(&folder(&dir));
    // If it was killed while it wrote its entry, that is removed an hour later.
    left.retain(|it| !it.file_name().unwrap().to_string_lossy().starts_with(".writing-"));
    assert_eq!(left.len(), 1, "no lock is left: {left:?}");
}

#[test]
fn no_cache_is_neither_read_nor_written() {
    let _dog = watchdog();
    let dir = Dir::new();
    assert!(cat(&dir, &["--no-cache"]).contains(MADE));
    assert!(!folder(&dir).exists());
    cat(&dir, &[]);
    assert!(cat(&dir, &["--no-cache"]).contains(MADE));
}

#[test]
fn compile_fills_it() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file("m.wat", r#"(module (func (export "_start")))"#);
    let guests = ["compile", "@cat", module.to_str().unwrap()];
    let line = |what: &str| format!("@cat: {what}\n{}: {what}\n", module.display());
    assert_eq!(cached(&dir, &guests).end().expect(0).stdout, line("compiled"));
    assert_eq!(cached(&dir, &guests).end().expect(0).stdout, line("is compiled already"));
    assert!(cat(&dir, &[]).contains(HIT));
    assert!(cached(&dir, &["run", guests[2]]).end().expect(0).stderr.contains(HIT));

    let broken = dir.file("broken.wat", "(module (func (export \"_start\") i32.const 1))");
    let mut broken = pipehost([Path::new("compile"), &broken]);
    broken.env("XDG_CACHE_HOME", dir.path("caches")).end().expect_line(65, &["broken.wat"]);
    let mut nowhere = pipehost(["compile", "@cat"]);
    nowhere.env_remove("XDG_CACHE_HOME").env_remove("HOME");
    nowhere.end().expect_line(74, &["set XDG_CACHE_HOME"]);
}

#[test]
fn row_07_a_damaged_entry_is_made_anew() {
    let _dog = watchdog();
    let dir = Dir::new();
    cat(&dir, &[]);
    let entry = entries(&folder(&dir)).remove(0);
    let whole = fs::read(&entry).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for damaged in [&whole[..whole.len() / 2], &flipped[..], b"", b"\x7fELF"] {
        fs::write(&entry, damaged).unwrap();
        let said = cat(&dir, &[]);
        assert!(said.contains("damaged") && said.contains(MADE), "{said}");
        assert!(fs::read(&entry).unwrap().len() == whole.len());
        assert!(cat(&dir, &[]).contains(HIT));
    }
}

/// None of these is run: code that pipehost made of another guest, a symbolic link, a FIFO, a file
/// that other users may write to, code without a seal.
#[test]
fn row_07_a_planted_entry_is_not_run() {
    let _dog = watchdog();
    let (dir, other) = (Dir::new(), Dir::new());
    cat(&dir, &[]);
    let entry = entries(&folder(&dir)).remove(0);
    cached(&other, &["compile", "@upper"]).end().expect(0);
    let foreign = entries(&folder(&other)).remove(0);
    let plant = |how: &dyn Fn()| {
        fs::remove_file(&entry).unwrap();
        how();
        let said = cat(&dir, &[]);
        assert!(said.contains(MADE), "{said}");
        assert!(cat(&dir, &[]).contains(HIT), "it was replaced");
    };
    let whole = fs::read(&entry).unwrap();
    plant(&|| assert!(fs::copy(&foreign, &entry).is_ok()));
    plant(&|| symlink(&foreign, &entry).unwrap());
    plant(&|| assert!(Command::new("mkfifo").arg(&entry).status().unwrap().success()));
    plant(&|| fs::write(&entry, &whole[..whole.len() - 32]).unwrap());
    plant(&|| {
        fs::write(&entry, &whole).unwrap();
        fs::set_permissions(&entry, Permissions::from_mode(0o666)).unwrap();
    });
}

/// A folder that other users could have written to is not used. The host says so, and the guest
/// runs.
#[test]
fn row_07_a_folder_open_to_others_is_not_used() {
    let _dog = watchdog();
    let dir = Dir::new();
    cat(&dir, &[]);
    for mode in [0o777, 0o750, 0o701] {
        fs::set_permissions(folder(&dir), Permissions::from_mode(mode)).unwrap();
        let said = cat(&dir, &[]);
        assert!(said.contains("warning: the cache is not used") && said.contains("chmod 700"));
        assert!(said.contains(MADE));
    }
    let mut compile = pipehost(["compile", "@cat"]);
    compile.env("XDG_CACHE_HOME", dir.path("caches")).end().expect_line(77, &["chmod 700"]);
    fs::set_permissions(folder(&dir), Permissions::from_mode(0o700)).unwrap();
    assert!(cat(&dir, &[]).contains(HIT));

    let elsewhere = dir.path("elsewhere");
    fs::rename(folder(&dir), &elsewhere).unwrap();
    symlink(&elsewhere, folder(&dir)).unwrap();
    assert!(cat(&dir, &[]).contains(MADE));
}

#[test]
fn a_folder_of_somebody_else_is_not_used() {
    let _dog = watchdog();
    let dir = Dir::new();
    let caches = dir.path("caches");
    fs::create_dir_all(folder(&dir)).unwrap();
    fs::set_permissions(&caches, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder(&dir), Permissions::from_mode(0o700)).unwrap();
    if !rustix::process::geteuid().is_root() {
        // Whose folder could it be then? /proc/1 is root's.
        let mut run = pipehost(["-v", "run", "@cat"]);
        let ended = run.env("XDG_CACHE_HOME", "/proc/1").end().expect(0);
        assert!(ended.stderr.contains("the cache is not used"));
        return;
    }
    let caches = caches.display();
    let script = format!("XDG_CACHE_HOME={caches} pipehost -v run @cat < /dev/null");
    let said = as_nobody(&dir, &script).expect(0).stderr;
    assert!(said.contains("the cache is not used") && said.contains(MADE), "{said}");
    std::os::unix::fs::chown(folder(&dir), Some(65534), None).unwrap();
    let said = cat(&dir, &[]);
    assert!(said.contains("belongs to user 65534") && said.contains(MADE), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_to_costs_only_time() {
    let _dog = watchdog();
    let dir = Dir::new();
    let script = |run: &str| format!("export XDG_CACHE_HOME={}; {run}", dir.path("own").display());
    let run = "printf Abc | pipehost -v run @cat";
    let read_only = script(&format!(
        "mkdir -p -m 700 $XDG_CACHE_HOME/pipehost && chmod 500 $XDG_CACHE_HOME/pipehost && {run}"
    ));
    for _ in 0..2 {
        let ended = as_nobody(&dir, &read_only).expect(0);
        assert_eq!(ended.stdout, "Abc");
        assert!(ended.stderr.contains(MADE) && ended.stderr.contains("cannot be kept"));
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    }
    let compile = script("pipehost compile @cat");
    as_nobody(&dir, &compile).expect_line(74, &["@cat", "could not take"]);
    // What is in it is still used.
    let filled = format!(
        "chmod 700 $XDG_CACHE_HOME/pipehost; {run}; chmod 500 $XDG_CACHE_HOME/pipehost; {run}"
    );
    assert!(as_nobody(&dir, &script(&filled)).expect(0).stderr.contains(HIT));
}

/// A process that can write to the cache can make a host run native code, so a guest must not be
/// able to.
#[test]
fn a_guest_that_could_write_to_it_runs_without_it() {
    let _dog = watchdog();
    let dir = Dir::new();
    cat(&dir, &[]);
    let (whole, caches) = (dir.path("."), dir.path("caches"));
    for exposing in [whole.as_path(), &caches, &folder(&dir)] {
        let said = cat(&dir, &["--dir", exposing.to_str().unwrap()]);
        assert!(said.contains("warning: the cache is not used") && said.contains(MADE), "{said}");
        let said = cat(&dir, &["--dir", &format!("{},ro", exposing.display())]);
        assert!(said.contains(HIT) && !said.contains("warning"), "{said}");
    }
    fs::create_dir(dir.path("other")).unwrap();
    assert!(cat(&dir, &["--dir", dir.path("other").to_str().unwrap()]).contains(HIT));
}

#[test]
fn any_number_may_fill_it_at_once() {
    let _dog = watchdog();
    let dir = Dir::new();
    let running: Vec<_> =
        (0..6).map(|_| cached(&dir, &["run", "@cat", "--stdin", "null"]).start()).collect();
    for one in running {
        one.end().expect(0);
    }
    let entries = entries(&folder(&dir));
    assert_eq!(entries.len(), 1, "nothing half written is left: {entries:?}");
    assert!(cat(&dir, &[]).contains(HIT));
}

/// A file of compiled code that a user names is never run, wherever it comes from.
#[test]
fn compiled_code_is_not_a_guest() {
    let _dog = watchdog();
    let dir = Dir::new();
    cat(&dir, &[]);
    let entry = entries(&folder(&dir)).remove(0);
    let copy = dir.path("cat.cwasm");
    fs::copy(&entry, &copy).unwrap();
    pipehost([Path::new("run"), &copy]).end().expect_line(65, &["cat.cwasm", "compiled"]);
}
