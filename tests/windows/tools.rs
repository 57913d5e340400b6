//! The other commands, the bundled guests, folders, which are refused, and the cache.

use std::io::Write as _;

use super::support::*;

#[test]
fn inspect() {
    let _dog = watchdog();
    let mut command = pipehost();
    let ended = command.arg("inspect").arg(guest("probe2")).end().expect(0);
    assert!(ended.stdout.contains("pipehost:pipes"), "{ended:?}");
}

#[test]
fn compile() {
    let _dog = watchdog();
    let folder = folder();
    let mut command = pipehost();
    command.arg("compile").arg(guest("plain")).env("XDG_CACHE_HOME", folder.path());
    command.end().expect(0);
    let entries = std::fs::read_dir(folder.path().join("pipehost")).unwrap();
    let codes = entries
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".code"));
    assert_eq!(codes.count(), 1);
}

#[test]
fn wit() {
    let _dog = watchdog();
    let ended = pipehost().arg("wit").end().expect(0);
    assert!(ended.stdout.contains("package pipehost:pipes"), "{ended:?}");
}

#[test]
fn the_bundled_guests() {
    let _dog = watchdog();
    for (name, said) in [("@cat", "one\ntwo\n"), ("@upper", "ONE\nTWO\n"), ("@lines", "")] {
        let (running, mut stdin) = Running::fed(&mut run(name, [""; 0]));
        stdin.write_all(b"one\ntwo\n").unwrap();
        drop(stdin);
        let ended = running.end().expect(0);
        assert!(said.is_empty() || ended.stdout == said, "{name}: {ended:?}");
        assert!(!ended.stdout.is_empty(), "{name}");
    }
}

#[test]
fn tee_writes_to_several() {
    let _dog = watchdog();
    let (a, b) = (name(), name());
    let mut command = run("@tee", ["--fifo", &format!("a={},w", path(&a))]);
    command.args(["--fifo", &format!("b={},w", path(&b)), "--", "a", "b"]);
    let (running, mut stdin) = Running::fed(&mut command);
    let read = [a, b].map(|name| std::thread::spawn(move || read_all(reader_of(&name))));
    stdin.write_all(b"to all").unwrap();
    drop(stdin);
    for reader in read {
        assert_eq!(reader.join().unwrap(), "to all");
    }
    running.end().expect(0);
}

/// What is compiled once is loaded later.
#[test]
fn the_cache_is_used() {
    let _dog = watchdog();
    let folder = folder();
    let said = |stdin: &str| {
        let mut command = run("@upper", ["-v", "--stdin", stdin]);
        command.env("XDG_CACHE_HOME", folder.path()).end().expect(0).stderr
    };
    let (first, second) = (said("null"), said("null"));
    assert!(!second.contains("cannot be used"), "{second}");
    assert_ne!(first.len(), 0);
    let entries = || std::fs::read_dir(folder.path().join("pipehost")).unwrap().count();
    assert!(entries() > 0, "{first}");
}

/// A damaged entry is compiled anew.
#[test]
fn a_damaged_cache_is_made_anew() {
    let _dog = watchdog();
    let folder = folder();
    let again = || {
        let mut command = run("@upper", ["-v", "--stdin", "null"]);
        command.env("XDG_CACHE_HOME", folder.path()).end().expect(0).stderr
    };
    again();
    for entry in std::fs::read_dir(folder.path().join("pipehost")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let said = again();
    assert!(said.contains("damaged"), "{said}");
}

/// Until the engine keeps guests in them: see SECURITY.md.
#[test]
fn folders_are_refused() {
    let _dog = watchdog();
    let folder = folder();
    let grant = format!("{}::/data", folder.path().display());
    for grant in [&grant, &format!("{grant},ro")] {
        let ended = run("plain", ["--dir", grant, "--", "write", "/data/to", "text"]).end();
        ended.expect_line(74, &["--dir", "no folder is granted on Windows"]);
    }
    // A path with a drive stands for itself.
    let whole = folder.path().display().to_string();
    assert!(whole.contains(':'), "{whole}");
    let ended = run("plain", ["--dir", &whole, "--", "exit", "0"]).end();
    ended.expect_line(74, &["no folder is granted on Windows"]);
}

#[test]
fn arguments_and_environment() {
    let _dog = watchdog();
    let ended = run("plain", ["--", "args", "a b", "\u{e4}"]).end().expect(0);
    assert!(ended.stdout.trim_end().ends_with("args|a b|\u{e4}"), "{ended:?}");
    let ended = run("plain", ["--env", "A=b", "--", "env"]).end().expect(0);
    assert_eq!(ended.stdout, "A=b\n");
}

#[test]
fn statistics() {
    let _dog = watchdog();
    let name = name();
    let running = run("@cat", ["--stats", "--fifo", &format!("in={},r", path(&name))]).start();
    writer_of(&name).write_all(b"hello").unwrap();
    let ended = running.end().expect(0);
    assert!(ended.stderr.contains("in"), "{ended:?}");
}
