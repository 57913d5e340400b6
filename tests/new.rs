//! `pipehost new`: each kind of plugin in each language is made, and does what the last lines of the output say.
//! `.ci/languages` installs what builds those in other languages; where that is not there, the test says so by name.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "support/languages.rs"]
mod tools;

use std::fs;
use std::path::Path;
use std::time::Duration;

use support::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Runs `pipehost new ARGS...` in `dir`.
fn new(dir: &Dir, args: &[&str]) -> Ended {
    let mut command = pipehost(["new"]);
    command.args(args).current_dir(dir.path("."));
    command.end()
}

/// Returns the commands at the end of the output.
fn steps(told: &str) -> String {
    let (_, steps) = told.split_once("build it, run it, test it:\n").unwrap();
    steps.lines().map(|line| line.strip_prefix("  ").unwrap().to_owned() + "\n").collect()
}

/// Makes a plugin in a folder that is in no repository, does as it is told, and expects `printed` of the run and the
/// test.
fn works(lang: &str, kind: &str, prepare: impl FnOnce(&Path), printed: &[&str]) {
    let dir = Dir::new();
    let name = format!("my-{lang}-{kind}");
    let mut args = vec![&*name, "--lang", lang, "--kind", kind];
    if lang == "rust" {
        args.extend(["--sdk-path", root().to_str().unwrap()]);
    }
    let made = new(&dir, &args).expect(0);
    assert_eq!(made.stderr, "");
    prepare(&dir.path(&name));
    let mut shell = sh(&format!("set -e\n{}wait", steps(&made.stdout)));
    shell.current_dir(dir.path(".")).env("PATH", tools::path());
    // What there is must do: no network.
    shell.env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR");
    let ended = shell.end().expect(0);
    for line in printed {
        assert!(ended.stdout.lines().any(|it| it.contains(line)), "{line}: {ended:#?}");
    }
}

/// What a plugin prints when it runs, and its test.
fn printed(kind: &str) -> [&'static [&'static str]; 2] {
    match kind {
        "filter" => [&["HELLO, PIPE"], &["ok"]],
        "command" => [&["hello, pipe"], &["ok"]],
        "async" => [&["hello", "pipe"], &["ok"]],
        "mcp" => [&["count_words"], &["ok"]],
        _ => unreachable!("{kind}"),
    }
}

fn all_work(lang: &str, kinds: &[&str]) {
    for kind in kinds {
        works(lang, kind, |_| {}, &printed(kind).concat());
    }
}

#[test]
fn plugins_in_rust_build_run_and_pass_their_tests() {
    let _dog = watchdog_after(Duration::from_secs(900));
    // One after the other, as they share what cargo builds.
    for kind in ["filter", "command", "async", "mcp"] {
        let prepare = |folder: &Path| {
            // The versions that this repository locks are here without a network.
            fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
            let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
            fs::create_dir_all(&shared).unwrap();
            std::os::unix::fs::symlink(shared, folder.join("target")).unwrap();
        };
        works("rust", kind, prepare, &[printed(kind)[0], &["test result: ok"]].concat());
    }
}

#[test]
fn plugins_in_c_build_run_and_pass_their_tests() {
    let _dog = watchdog_after(Duration::from_secs(300));
    if tools::has("zig") {
        all_work("c", &["filter", "command"]);
    }
}

#[test]
fn plugins_in_python_build_run_and_pass_their_tests() {
    let _dog = watchdog_after(Duration::from_secs(600));
    if tools::has("componentize-py") {
        all_work("python", &["filter", "command"]);
    }
}

#[test]
fn plugins_in_javascript_build_run_and_pass_their_tests() {
    let _dog = watchdog_after(Duration::from_secs(300));
    if tools::has("componentize-qjs") {
        all_work("js", &["filter", "command", "async"]);
    }
}

#[test]
fn nothing_is_written_over() {
    let dir = Dir::new();
    for lang in ["rust", "c", "python", "js"] {
        fs::create_dir(dir.path(lang)).unwrap();
        fs::write(dir.path(lang).join("README.md"), "mine").unwrap();
        dir.file("file", "mine");
        let made = |name: &str| {
            let mut args = vec![name, "--lang", lang];
            if lang == "rust" {
                args.extend(["--sdk-path", root().to_str().unwrap()]);
            }
            new(&dir, &args)
        };
        for name in [lang, "file"] {
            let line = [name, "is there already", "choose another name"];
            made(name).expect_line(74, &line);
        }
        std::os::unix::fs::symlink("nowhere", dir.path("link")).unwrap();
        made("link").expect_line(74, &["link is there already"]);
        fs::remove_file(dir.path("link")).unwrap();
        assert_eq!(fs::read_to_string(dir.path(lang).join("README.md")).unwrap(), "mine");
        assert_eq!(fs::read_dir(dir.path(lang)).unwrap().count(), 1);
    }
    assert!(!dir.path("nowhere").exists());
}

#[test]
fn what_cannot_be_made_is_refused_with_one_line() {
    let dir = Dir::new();
    let cases: [(&[&str], u8, &[&str]); 11] = [
        (&["../x"], 2, &["`../x` is a path"]),
        (&["/tmp/x"], 2, &["is a path"]),
        (&["My Plugin"], 2, &["how about `my-plugin`?"]),
        (&["fn"], 2, &["how about `fn-plugin`?"]),
        (&[], 2, &["NAME is missing"]),
        (&["x", "--lang", "go"], 2, &["rust, c, python, js"]),
        (&["x", "--kind", "daemon"], 2, &["filter, command, async, mcp"]),
        (
            &["x", "--lang", "c", "--kind", "mcp"],
            2,
            &["no `--kind mcp` for C", "it has filter, command", "for rust"],
        ),
        (
            &["x", "--lang", "python", "--kind", "async"],
            2,
            &["it has filter, command", "for rust, js"],
        ),
        (&["x", "--sdk-path", "/nowhere"], 66, &["no crate pipehost-guest", "clone of pipehost"]),
        (&["x", "--lang", "js", "--sdk-path", "."], 2, &["--sdk-path is for Rust"]),
    ];
    for (args, status, told) in cases {
        new(&dir, args).expect_line(status.into(), told);
        assert!(dir.is_empty(), "{args:?}");
    }
}

/// Until the SDK is published, a plugin in Rust that names no clone could not be built.
#[test]
fn a_plugin_in_rust_needs_a_path_to_the_sdk() {
    let dir = Dir::new();
    for kind in ["filter", "command", "async", "mcp"] {
        let told = ["needs --sdk-path CLONE", "not published yet"];
        new(&dir, &["later", "--kind", kind]).expect_line(2, &told);
        assert!(dir.is_empty(), "{kind}");
    }
}

/// A plugin's test that fails leaves no process that waits at a pipe, and no file. Its shell is the one that has no
/// `jobs` in `$(...)`, if this system has one.
#[test]
fn a_test_that_fails_leaves_nothing() {
    let _dog = watchdog_after(Duration::from_secs(60));
    for kind in ["filter", "command", "async"] {
        let dir = Dir::new();
        new(&dir, &["it", "--lang", "js", "--kind", kind]).expect(0);
        let folder = dir.path("it");
        // The plugin itself is of no interest here.
        fs::write(folder.join("build"), "").unwrap();
        fs::create_dir(dir.path("temporary")).unwrap();
        let mut test = sh("exec sh test");
        test.current_dir(&folder).env("PIPEHOST", "/nowhere").env("TMPDIR", dir.path("temporary"));
        // A process that was left would hold the output, whose end this waits for.
        let ended = test.end();
        assert_eq!(ended.code, Some(127), "{ended:?}");
        assert_eq!(fs::read_dir(dir.path("temporary")).unwrap().count(), 0, "{kind}");
    }
}
