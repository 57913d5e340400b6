//! `--report`: the page about a run, however it ends.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use support::*;

/// Everything that a page may consist of. None of it runs anything, or asks for another file.
const ELEMENTS: &[&str] = &[
    "body",
    "caption",
    "desc",
    "details",
    "div",
    "figcaption",
    "figure",
    "footer",
    "g",
    "h1",
    "h2",
    "head",
    "header",
    "html",
    "li",
    "main",
    "meta",
    "p",
    "path",
    "pre",
    "rect",
    "section",
    "strong",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "text",
    "th",
    "thead",
    "title",
    "tr",
    "ul",
];
const ATTRIBUTES: &[&str] = &[
    "aria-label",
    "aria-labelledby",
    "charset",
    "class",
    "content",
    "d",
    "fill",
    "font-family",
    "font-size",
    "font-weight",
    "height",
    "http-equiv",
    "id",
    "lang",
    "name",
    "role",
    "rx",
    "scope",
    "stroke",
    "stroke-dasharray",
    "stroke-width",
    "text-anchor",
    "viewBox",
    "width",
    "x",
    "xml:space",
    "xmlns",
    "y",
];

/// A page that was read as XML: its elements' ends match, its attributes are quoted, its text has no bare `<` and `&`.
struct Page {
    html: String,
    /// All text, outside of elements that show none.
    text: String,
    elements: Vec<String>,
    ids: Vec<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let html = fs::read_to_string(path).unwrap();
        let (mut text, mut elements, mut ids) = (String::new(), Vec::new(), Vec::new());
        let mut open: Vec<&str> = Vec::new();
        let mut rest = html.strip_prefix("<!DOCTYPE html>\n").unwrap();
        while let Some(start) = rest.find('<') {
            let (before, tag) = rest.split_at(start);
            if open.last() != Some(&"style") {
                text += &unescaped(before);
            }
            let (tag, after) = tag[1..].split_once('>').unwrap();
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{tag:?} in {html}");
                text.push(' ');
                continue;
            }
            let (tag, is_empty) = match tag.strip_suffix('/') {
                Some(tag) => (tag, true),
                None => (tag, false),
            };
            let (name, mut attributes) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
            assert!(ELEMENTS.contains(&name), "an element that nobody wanted: {tag:?}");
            elements.push(name.to_owned());
            while let Some((key, value)) = attributes.trim().split_once("=\"") {
                let (value, after) = value.split_once('"').unwrap();
                assert!(ATTRIBUTES.contains(&key), "an attribute that nobody wanted: {tag:?}");
                let value = unescaped(value);
                if key == "id" {
                    ids.push(value);
                }
                attributes = after;
            }
            assert_eq!(attributes.trim(), "", "{tag:?}");
            if !is_empty {
                open.push(name);
            }
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest:?}");
        Self { html, text, elements, ids }
    }

    #[track_caller]
    fn expect(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.text.contains(part), "{part:?} is on the page: {}", self.text);
        }
        self
    }

    fn count(&self, element: &str) -> usize {
        self.elements.iter().filter(|it| *it == element).count()
    }
}

fn unescaped(text: &str) -> String {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#39;"];
        assert!(known.iter().any(|entity| text[at..].starts_with(entity)), "{text}");
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// Runs with a report and `input`, and returns how it ended, and the page.
fn reported(dir: &Dir, mut command: Command, input: &str) -> (Ended, Page) {
    let path = dir.path("report.html");
    let (running, mut stdin) = Running::fed(command.current_dir(dir.path(".")));
    // It may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let ended = running.end();
    let page = Page::read(&path);
    (ended, page)
}

const REPORT: &str = "--report=report.html";

#[test]
fn a_page_tells_of_a_run() {
    let _dog = watchdog();
    let dir = Dir::new();
    // What was there before is gone, and so is its length.
    dir.file("report.html", "x".repeat(200_000));
    fs::create_dir(dir.path("data")).unwrap();
    let data = dir.path("data").display().to_string();
    let args = [REPORT, "--max-bytes", "1M", "--env", "TOKEN=secret", "--dir", &data];
    let (ended, page) = reported(&dir, run("@cat", args), "hello");
    assert_eq!((ended.expect(0).stdout, page.html.len() < 100_000), ("hello".into(), true));
    page.expect(&[
        "pipehost run @cat",
        "Status 0",
        "success",
        "stdin",
        "stdout",
        "5 B",
        "of 1.00 MiB",
    ]);
    page.expect(&["reads from its writer", "writes to its reader", "--max-bytes", "1M", "TOKEN"]);
    page.expect(&[
        "--dir",
        &data,
        "wasmtime 48.",
        "pipehost:pipes@0.3.0",
        "Limits that were met",
        "None.",
    ]);
    assert!(!page.text.contains("secret"));

    // For readers of all kinds.
    assert!(page.html.contains("<html lang=\"en\""));
    for landmark in ["header", "main", "footer", "h1"] {
        assert_eq!(page.count(landmark), 1, "{landmark}");
    }
    assert_eq!(page.count("section"), page.count("h2"));
    assert_eq!(page.count("table"), page.count("caption"));
    // A chart for each end, with a title and a description; and the graph.
    let charts = page.html.matches("<svg class=\"chart\"").count();
    assert_eq!((charts, page.count("figure"), page.count("desc"), page.count("svg")), (2, 2, 2, 3));
    for piece in page.html.split("aria-labelledby=\"").skip(1) {
        for id in piece.split('"').next().unwrap().split(' ') {
            assert!(page.ids.iter().any(|known| known == id), "{id}");
        }
    }
    let unique: BTreeSet<_> = page.ids.iter().collect();
    assert_eq!(unique.len(), page.ids.len());
    for style in ["prefers-color-scheme: dark", "@media print"] {
        assert!(page.html.contains(style));
    }
    // Without a network: the only addresses are names of XML.
    let addresses = page.html.matches("://").count();
    assert_eq!(addresses, page.html.matches("xmlns=\"http://www.w3.org/").count());
    assert!(!page.html.contains("url(") && !page.html.contains("@import"));
}

#[test]
fn a_page_tells_of_a_pipeline() {
    let _dog = watchdog();
    let dir = Dir::new();
    let mut command = pipehost(["pipe", REPORT, "@cat", "!", "--max-memory", "16M", "@upper", "!"]);
    command.args(["exec", "sort"]);
    let (ended, page) = reported(&dir, command, "b\na\n");
    assert_eq!(ended.expect(0).stdout, "A\nB\n");
    page.expect(&["pipehost pipe cat ! upper ! sort", "cat.stdin", "cat.stdout", "upper.stdin"]);
    page.expect(&["reads from cat", "writes to sort", "exec sort", "16M", "4 B"]);
    assert_eq!(page.count("figure"), 4);
}

#[test]
fn a_page_tells_why_a_run_died() {
    let _dog = watchdog();
    let dir = Dir::new();
    let trap = dir.file("trap.wat", "(module (func (export \"_start\") unreachable))");
    let spin = dir.file("spin.wat", "(module (func (export \"_start\") (loop $on (br $on))))");
    let none = dir.file("none.wat", "no module");
    for (guest, args, code, says) in [
        (&trap, &[][..], 134, &["a trap", "the guest trapped", "trap.wat"][..]),
        (&spin, &["--timeout", "1s"], 124, &["a time limit", "took longer than --timeout 1s"]),
        (&spin, &["--fuel", "1000000"], 134, &["ran out of fuel", "--fuel"]),
        (&none, &[], 65, &["not a usable guest", "none.wat"]),
    ] {
        let mut command = pipehost(["run".as_ref(), guest.as_os_str()]);
        command.arg(REPORT).args(args);
        let (ended, page) = reported(&dir, command, "");
        ended.expect(code);
        page.expect(&[&format!("Status {code}")]).expect(says);
    }
    // A limit that was met.
    let (ended, page) = reported(&dir, run("@cat", [REPORT, "--max-bytes", "3"]), "hello");
    assert_ne!(ended.code, Some(0));
    page.expect(&["--max-bytes 3 of `stdin` (reading)", "3 B of 3 B"]);
    // In a pipeline.
    let mut command = pipehost(["pipe", REPORT, "@cat", "!"]);
    let (ended, page) = reported(
        &dir,
        {
            command.arg(&trap);
            command
        },
        "hello",
    );
    ended.expect(134);
    page.expect(&["stage trap: the guest trapped", "Status 134", "trap.wat"]);
}

#[test]
fn a_page_tells_of_a_signal_and_who_waited() {
    let _dog = watchdog();
    let dir = Dir::new();
    for words in [&["run", "@cat"][..], &["pipe", "@cat", "!", "@upper"]] {
        let mut command = pipehost([words[0], REPORT]);
        command.args(&words[1..]).current_dir(dir.path(".")).stdin(Stdio::piped());
        let mut running = command.start();
        let mut stdin = running.stdin();
        stdin.write_all(b"hello\n").unwrap();
        until("it waits", || running.sleeps() && running.has_thread("signals"));
        running.signal("INT");
        running.end().expect(130);
        drop(stdin);
        let page = Page::read(&dir.path("report.html"));
        page.expect(&["Status 130", "signal 2", "ended by signal 2", "@cat"]);
    }
}

#[test]
fn no_text_of_others_draws_or_runs_anything() {
    let _dog = watchdog();
    let dir = Dir::new();
    // `Page::read` takes any element and attribute but those of a page for a failure.
    let hostile =
        "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;\u{1b}[2J\u{202e}\u{ffff}";
    let name = "a<b onload='x'>\"&\u{1b}]0;x\u{7}\n.wat";
    let exports = format!(
        r#"(module (func $f (export "{}") unreachable) (func (export "_start") (call $f)))"#,
        "<script>alert(2)<\\\\/script>"
    );
    let guest = dir.file(name, exports);
    let mut command = pipehost(["run".as_ref(), guest.as_os_str()]);
    command.args([REPORT, "-v", "--dir"]).arg(format!("{}::/{hostile}", dir.path(".").display()));
    command.arg("--fifo").arg(format!("x={}", dir.path("f<i>").display()));
    command.args(["--exec", "c=true '<b>'", "--", hostile]);
    let (ended, page) = reported(&dir, command, "");
    ended.expect(134);
    page.expect(&[
        "<script>alert(1)</script>",
        "&lt;",
        "a<b onload='x'>",
        "\\x1b[2J\\u{202e}",
        "f<i>",
    ]);
    assert!(!page.html.contains(['\u{1b}', '\u{202e}', '\u{7}', '\u{ffff}']));
    let mut command = pipehost(["pipe", REPORT]);
    command.arg(&guest).arg(hostile).args(["!", "exec", "true", hostile]);
    let (_, page) = reported(&dir, command, "");
    page.expect(&["<script>alert(1)</script>"]);
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_runs() {
    let _dog = watchdog();
    let dir = Dir::new();
    let fifo = dir.fifo("fifo");
    let path = |name: &str| dir.path(name).display().to_string();
    for (file, code, says) in [
        (path("none/report.html"), 66, "--report"),
        (path("."), 74, "--report"),
        (fifo.display().to_string(), 74, "this is no regular file; name one"),
        ("/dev/null".into(), 74, "this is no regular file; name one"),
    ] {
        let mut command = run("@cat", ["--report", &file, "--stdin"]);
        command.arg(dir.file("in", "hello"));
        let ended = command.end().expect_line(code, &[says, &file]);
        assert_eq!(ended.stdout, "", "{file}");
        let mut command = pipehost(["pipe", "--report", &file, "exec", "echo", "hello"]);
        let ended = command.end().expect_line(code, &[says, &file]);
        assert_eq!(ended.stdout, "", "{file}");
    }
    dir.file("ours", "kept");
    let ended =
        as_nobody(&dir, &format!("pipehost run @cat --report {}/ours < /dev/null", path(".")));
    if rustix::process::geteuid().is_root() {
        ended.expect_line(77, &["--report"]);
        assert_eq!(fs::read_to_string(dir.path("ours")).unwrap(), "kept");
    }
}

#[test]
fn processes_of_their_own_are_told_of_without_lines() {
    let _dog = watchdog();
    let dir = Dir::new();
    let command = pipehost(["pipe", REPORT, "--isolate", "@cat", "!", "@upper"]);
    let (ended, page) = reported(&dir, command, "hello\n");
    assert_eq!(ended.expect(0).stdout, "HELLO\n");
    page.expect(&["their ends are not looked at over time", "upper", "6 B"]);
    // Nothing is written where nothing runs.
    let dir = Dir::new();
    let mut command = pipehost(["pipe", "--check", REPORT, "@cat", "!", "@upper"]);
    command.current_dir(dir.path(".")).end().expect(0);
    assert!(dir.is_empty());
}
