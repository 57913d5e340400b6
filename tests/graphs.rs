//! Pipelines that are not lines, from files, with real programs at their ends.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::*;

/// Makes a file in `dir` that holds a pipeline. `@@NAME` in it is a test's guest.
fn file(dir: &Dir, text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(at) = text.find("@@") {
        let name: String = text[at + 2..].chars().take_while(char::is_ascii_alphanumeric).collect();
        text = text.replace(&format!("@@{name}"), &guest(&name).display().to_string());
    }
    dir.file("pipeline.toml", text).display().to_string()
}

/// A guest that writes to three pipes at once: to a file through gzip, to sort, and to jq.
const FAN_OUT: &str = r#"
    [[stage]]
    name = "split"
    guest = "@tee"

    [[stage]]
    name = "values"
    exec = ["jq", "-r", ".v"]

    [[stage]]
    name = "keep"
    exec = ["gzip", "-c"]
    stdout = "all.gz"

    [[stage]]
    name = "sorted"
    exec = ["sort", "-r"]
    stdout = "sorted"

    [pipes]
    one = "split.kept -> keep.stdin"
    two = "split.sorted -> sorted.stdin"
"#;

#[test]
fn one_writes_to_many() {
    let _dog = watchdog();
    let dir = Dir::new();
    let lines: Vec<_> = (1000..3000).map(|n| format!("{{\"v\":{n}}}\n")).collect();
    let input = dir.file("input", lines.concat());
    let file = file(&dir, FAN_OUT);
    let ended = sh(&format!("pipehost pipe -f {file} < {}", input.display())).end().expect(0);
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.stdout, (1000..3000).map(|n| format!("{n}\n")).collect::<String>());
    let kept = sh(&format!("gzip -dc {}", dir.path("all.gz").display())).end().expect(0);
    assert_eq!(kept.stdout, lines.concat());
    let sorted: String = lines.iter().rev().map(String::as_str).collect();
    assert_eq!(fs::read_to_string(dir.path("sorted")).unwrap(), sorted);
}

#[test]
fn many_write_to_one() {
    let _dog = watchdog();
    let dir = Dir::new();
    // By pipes of their own, into a guest that merges them.
    let merged = file(
        &dir,
        r#"
        [[stage]]
        name = "left"
        exec = ["jq", "-rn", "range(0; 2000; 2)"]

        [[stage]]
        name = "right"
        exec = ["jq", "-rn", "range(1; 2000; 2)"]

        [[stage]]
        guest = "@@merge"
        stdin = "null"

        [[stage]]
        exec = ["sort", "-n"]

        [pipes]
        a = "left.stdout -> merge.a"
        b = "right.stdout -> merge.b"
        "#,
    );
    let expected: String = (0..2000).map(|n| format!("{n}\n")).collect();
    let ended = pipehost(["pipe", "-f", &merged]).end().expect(0);
    assert_eq!(ended.stdout, expected);
    // Into one pipe, which ends when the last of its writers is gone: two guests and a command.
    let shared = file(
        &dir,
        r#"
        [[stage]]
        name = "a"
        exec = ["seq", "0", "999"]

        [[stage]]
        name = "b"
        guest = "@cat"
        fifo = ["in=x,r"]

        [[stage]]
        name = "c"
        guest = "@@plain"
        args = ["lines", "500"]

        [[stage]]
        exec = ["sort", "-n"]

        [pipes]
        a = "a.stdout -> sort.stdin"
        b = "b.stdout -> sort.stdin"
        c = { from = "c.stdout", to = "sort.stdin" }
        "#,
    );
    let x = dir.fifo("x");
    let _writer = cat_into(&dir.file("text", "1000\n1001\n"), &x);
    let ended = pipehost(["pipe", "-f", &shared]).end().expect(0);
    let mut expected: Vec<u32> = (0..1002).chain(0..500).collect();
    expected.sort_unstable();
    let expected: String = expected.iter().map(|n| format!("{n}\n")).collect();
    assert_eq!(ended.stdout, expected);
}

/// Two guests that talk to each other, over two pipes.
const CYCLE: &str = r#"
    [[stage]]
    name = "ask"
    guest = "@@ping-pong"
    args = ["500"]

    [[stage]]
    name = "answer"
    guest = "@@ping-pong"

    [pipes]
    there = "ask.out -> answer.in"
    back = "answer.out -> ask.in"
"#;

#[test]
fn a_cycle_works_and_is_warned_about() {
    let _dog = watchdog();
    let dir = Dir::new();
    let text = CYCLE.replace("@@ping-pong", &guest("ping-pong").display().to_string());
    // What one prints is not for the other.
    let text = text.replace("name = \"answer\"", "name = \"answer\"\n    stdin = \"null\"");
    let ended = pipehost(["pipe", "-f", &file(&dir, &text)]).end().expect(0);
    assert!(ended.stdout.starts_with("500 round trips"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(
        ended.stderr.contains("warning") && ended.stderr.contains("ask → answer → ask"),
        "{ended:?}"
    );
}

#[test]
fn native_ends_by_number_and_messages_as_pipes() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = file(
        &dir,
        r#"
        [[stage]]
        name = "talk"
        exec = ["sh", "-c", "echo to stdout; echo to stderr >&2; echo to five >&5"]

        [[stage]]
        name = "out"
        guest = "@upper"

        [[stage]]
        name = "gather"
        exec = ["sh", "-c", "cat; cat <&3; cat <&4"]

        [pipes]
        messages = "talk.stderr -> gather.fd3"
        more = "talk.fd5 -> gather.fd4"
        "#,
    );
    let ended = pipehost(["pipe", "-f", &file]).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("TO STDOUT\nto stderr\nto five\n", ""));
}

#[test]
fn grants_and_limits_of_a_file() {
    let _dog = watchdog();
    let dir = Dir::new();
    let secret = dir.file("secret", "in a folder\n");
    let file = file(
        &dir,
        r#"
        [[stage]]
        guest = "@@plain"
        args = ["env"]
        env = { B = "2", A = "1" }

        [[stage]]
        name = "reads"
        guest = "@@plain"
        args = ["read", "/folder/secret"]
        dir = [".::/folder,ro"]
        stdin = "null"

        [[stage]]
        name = "slow"
        guest = "@@probe2"
        args = ["spin"]
        timeout = "300ms"
        max-memory = "16M"
        max-pipes = 3
        stdin = "null"

        [[stage]]
        name = "starts"
        guest = "@@family2"
        args = ["list"]
        child = ["me=@cat"]
        grant-exec = ["you=sort -u"]
        stdin = "null"
        "#,
    );
    let ended = pipehost(["pipe", "-f", &file]).end();
    let ended = ended.expect_line(124, &["stage slow", "--timeout 300ms"]);
    let mut lines: Vec<_> = ended.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1", "B=2", "in a folder", "me you"]);
    assert!(secret.exists());
    // Options of the command line hold for the guests of the file, too.
    let ended = pipehost(["pipe", "--env", "C=3", "--timeout", "10s", "-f", &file]).end();
    assert!(ended.stdout.contains("C=3"), "{ended:?}");
}

#[test]
fn a_file_is_checked_and_drawn_without_running() {
    let _dog = watchdog();
    let dir = Dir::new();
    let fan_out = file(&dir, FAN_OUT);
    let ended = pipehost(["pipe", "-f", &fan_out, "--check"]).end().expect(0);
    assert_eq!(ended.stdout, "4 stages, 3 pipes between them: can run\n");
    assert!(!dir.path("sorted").exists() && !dir.path("all.gz").exists());

    let ended = pipehost(["pipe", "-f", &fan_out, "--graph"]).end().expect(0);
    for part in ["split", "exec sort -r", "keep.stdin", "(one)", "all.gz"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let dot = dir.path("graph.dot");
    let ended = pipehost(["pipe", "-f", &fan_out]).arg(format!("--graph={}", dot.display())).end();
    assert_eq!(ended.expect(0).stdout, "");
    let dot = fs::read_to_string(dot).unwrap();
    assert!(dot.starts_with("digraph") && dot.contains("split"), "{dot}");
    let svg = dir.path("graph.svg");
    pipehost(["pipe", "-f", &fan_out]).arg(format!("--graph={}", svg.display())).end().expect(0);
    let svg = fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("split"), "{svg}");
    let ended = pipehost(["pipe", "-f", &fan_out, "--graph=x.png"]).end();
    ended.expect_line(2, &[".dot or .svg"]);
    // A line, as well.
    let ended = pipehost(["pipe", "--graph", "@cat", "!", "exec", "wc"]).end().expect(0);
    assert!(ended.stdout.contains("cat ─▶ wc"), "{}", ended.stdout);
}

#[test]
fn mistakes_in_a_file_are_named() {
    let _dog = watchdog();
    let dir = Dir::new();
    let head = "[[stage]]\nguest = \"@cat\"\n[[stage]]\nexec = [\"wc\"]\n[pipes]\n";
    let cases = [
        ("x".to_owned(), 2, "line 1"),
        (head.to_owned() + "x = \"cat.stdout -> nobody.stdin\"", 2, "no stage `nobody`"),
        (head.to_owned() + "x = \"cat.stdin -> wc.stdin\"", 2, "cat.stdin"),
        (head.to_owned() + "x = \"cat.a -> wc.b\"", 2, "fd3 to fd1023"),
        (head.to_owned() + "x = \"cat.a -> wc.fd03\"", 2, "fd3 to fd1023"),
        (head.to_owned() + "x = \"cat.a -> wc.fd3\"\ny = \"wc.fd3 -> cat.b\"", 2, "another number"),
        (format!("{head}# {}", "x".repeat(1 << 20)), 2, "1 MiB"),
        (
            head.to_owned() + "x = \"cat.stdout -> wc.stdin\"\ny = \"cat.stdout -> wc.fd3\"",
            2,
            "@tee",
        ),
        ("[[stage]]\nguest = \"nothing.wasm\"".to_owned(), 66, "nothing.wasm"),
        ("[[stage]]\nexec = [\"wc\"]\nstdin = \"fifo:x\"".to_owned(), 2, "opens FIFOs by itself"),
    ];
    for (text, status, part) in cases {
        let ended = pipehost(["pipe", "-f", &file(&dir, &text)]).end();
        let ended = ended.expect_line(status, &[part]);
        assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
    }
    pipehost(["pipe", "-f", "/nonexistent"]).end().expect_line(66, &["/nonexistent"]);
    assert!(!Path::new("x").exists());
}

#[test]
fn a_pipe_has_the_capacity_that_was_asked_for() {
    let _dog = watchdog();
    let dir = Dir::new();
    for (asked, capacity) in [("64K", 65536), ("8K", 8192)] {
        let text = format!(
            "[[stage]]\nname = \"a\"\nexec = [\"echo\", \"hello\"]\n\
             [[stage]]\nname = \"b\"\nguest = \"@@probe2\"\nargs = [\"info\", \"in\"]\n\
             [pipes]\nx = {{ from = \"a.stdout\", to = \"b.in\", capacity = \"{asked}\" }}"
        );
        let ended = pipehost(["pipe", "-f", &file(&dir, &text)]).end().expect(0);
        assert_eq!(ended.stdout.lines().next(), Some(&*format!("capacity {capacity}")));
    }
}

#[test]
fn paths_start_from_the_files_folder() {
    let _dog = watchdog();
    let dir = Dir::new();
    let tool = dir.file("tool.sh", "#!/bin/sh\ntr a-z A-Z");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    dir.file("input", "from a file\n");
    let text = "[[stage]]\nguest = \"@cat\"\nstdin = \"input\"\n[[stage]]\nexec = [\"./tool.sh\"]";
    let ended = pipehost(["pipe", "-f", &file(&dir, text)]).end().expect(0);
    assert_eq!(ended.stdout, "FROM A FILE\n");
}

#[test]
fn the_example_runs() {
    let _dog = watchdog();
    let dir = Dir::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("examples/pipeline.toml")).unwrap();
    let kept = dir.path("app.log.gz");
    let text = text.replace("/tmp/app.log.gz", &kept.display().to_string());
    let log = dir.file("app.log", "one\nERROR two\nthree\nERROR four\n");
    let script = format!("pipehost pipe -f {} < {}", file(&dir, &text), log.display());
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stdout, "     1\tone\n     2\tERROR two\n     3\tthree\n     4\tERROR four\n");
    assert_eq!(ended.stderr, "2 errors\n");
    let kept = sh(&format!("gzip -dc {}", kept.display())).end().expect(0);
    assert_eq!(kept.stdout, fs::read_to_string(log).unwrap());
}
