//! `pipehost completions` and `pipehost man`, as shells and man(1) take them.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
#![cfg(unix)]

mod support;

use std::fs;
use std::process::Command;

use support::*;

const COMMANDS: [&str; 10] =
    ["run", "pipe", "inspect", "compile", "wit", "new", "ps", "trace", "completions", "man"];

fn completions(shell: &str) -> String {
    pipehost(["completions", shell]).end().expect(0).stdout
}

/// Runs a program of Debian's, and fails with its name if it is not there.
fn accepts(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {program}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap() + &stderr
}

#[test]
fn each_shell_can_read_its_completions() {
    let _dog = watchdog();
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = dir.file(shell, completions(shell));
        assert_eq!(accepts(shell, &["-n", script.to_str().unwrap()]), "", "{shell}");
    }
    for shell in ["powershell", "elvish"] {
        let script = completions(shell);
        assert!(COMMANDS.iter().all(|it| script.contains(it)), "{shell}: {script}");
    }
}

/// What bash offers for a line whose last word is begun.
fn offered(script: &str, line: &str) -> Vec<String> {
    let words: Vec<_> = line.split(' ').collect();
    let (last, at) = (words.last().unwrap(), words.len() - 1);
    let before = words[at - 1];
    let ask = format!(
        "source {script}; COMP_WORDS=({}); COMP_CWORD={at}; _pipehost pipehost '{last}' '{before}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
    );
    accepts("bash", &["-c", &ask]).lines().map(str::trim).map(String::from).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let _dog = watchdog();
    let dir = Dir::new();
    let script = dir.file("pipehost", completions("bash"));
    let script = script.to_str().unwrap();
    assert_eq!(offered(script, "pipehost ins"), ["inspect"]);
    assert_eq!(offered(script, "pipehost run --open-t"), ["--open-timeout"]);
    assert_eq!(offered(script, "pipehost run --sandbox re"), ["require"]);
    assert_eq!(offered(script, "pipehost pipe --isol"), ["--isolate"]);
    assert_eq!(offered(script, "pipehost wit 0.3"), ["0.3"]);
}

#[test]
fn an_unknown_shell_is_answered_with_one_that_there_is() {
    let _dog = watchdog();
    let ended = pipehost(["completions", "csh"]).end().expect(2);
    assert!(ended.stderr.contains("there is no `csh`; did you mean `zsh`?"), "{}", ended.stderr);
}

#[test]
fn every_command_has_a_page_that_man_can_show() {
    let _dog = watchdog();
    let dir = Dir::new();
    let folder = dir.path("share/man1");
    pipehost(["man", folder.to_str().unwrap()]).end().expect(0);
    let mut pages: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let mut expected: Vec<_> = COMMANDS.iter().map(|it| format!("pipehost-{it}.1")).collect();
    expected.push("pipehost.1".into());
    expected.sort();
    assert_eq!(pages, expected);

    let page = |name: &str| {
        let path = folder.join(name);
        // What it says of its own accord is about the page's date, which is none, so that builds can be repeated.
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&path).output();
        let lint = lint.unwrap_or_else(|error| panic!("mandoc: {error}; apt-get install mandoc"));
        assert!(lint.status.success(), "{name}: {}", String::from_utf8_lossy(&lint.stdout));
        accepts("mandoc", &["-T", "ascii", "-O", "width=100", path.to_str().unwrap()])
            .replace("_\u{8}", "")
    };
    let plain = |text: String| {
        let mut plain = String::new();
        for char in text.chars() {
            match char {
                '\u{8}' => _ = plain.pop(),
                char => plain.push(char),
            }
        }
        plain
    };
    let run = plain(page("pipehost-run.1"));
    for part in [
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "pipehost run",
        "--fifo",
        "--max-memory",
        "EXAMPLES",
        "EXIT STATUS",
    ] {
        assert!(run.contains(part), "{part}: {run}");
    }
    let program = plain(page("pipehost.1"));
    assert!(COMMANDS.iter().all(|it| program.contains(&format!("pipehost-{it}(1)"))), "{program}");
    for command in COMMANDS {
        plain(page(&format!("pipehost-{command}.1")));
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = dir.file("file", "");
    let ended = pipehost(["man", file.join("man1").to_str().unwrap()]).end().expect(74);
    assert!(ended.stderr.contains("the manual pages in "), "{}", ended.stderr);
}
