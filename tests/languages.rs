//! The examples in other languages, built by their own scripts and run on real pipes. `.ci/languages` installs what
//! builds them; where that is not there, the test says so by name.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;
#[path = "support/languages.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::*;

/// An example that is built.
struct Example {
    component: PathBuf,
    args: &'static [&'static str],
}

impl Example {
    /// Builds an example, if `tool` is there.
    fn build(name: &str, tool: &str, args: &'static [&'static str]) -> Option<Self> {
        if !tools::has(tool) {
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let component = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.wasm"));
        let mut build = Command::new(root.join("examples").join(name).join("build"));
        build.arg(&component).env("PATH", tools::path()).stdin(Stdio::null());
        build.end().expect(0);
        Some(Self { component, args })
    }

    fn run(&self, options: &[String]) -> Command {
        let mut command = pipehost(["run"]);
        command.arg(&self.component).args(options).arg("--").args(self.args);
        command
    }

    /// Runs the example on stdin and stdout, and between two FIFOs. What comes out has the same SHA-256 as `wanted`.
    #[track_caller]
    fn makes(&self, from: &Path, wanted: &Path) {
        let sum = sh(&format!("sha256sum < {}", wanted.display())).end().expect(0).stdout;
        let dir = Dir::new();

        let written = fs::File::create(dir.path("stdout")).unwrap();
        let mut on_stdio = self.run(&[]);
        on_stdio.stdin(fs::File::open(from).unwrap()).stdout(written).stderr(Stdio::piped());
        let ended = Running::new(&mut on_stdio).end().expect(0);
        assert_eq!(ended.stderr, "", "stdin and stdout");
        let got = sh(&format!("sha256sum < {}", dir.path("stdout").display())).end().expect(0);
        assert_eq!(got.stdout, sum, "stdin and stdout");

        let (input, output) = (dir.fifo("in"), dir.fifo("out"));
        let reader = sum_of(&output);
        let writer = cat_into(from, &input);
        let fifos = [fifo("in", &input, ",r"), fifo("out", &output, ",w")].concat();
        let ended = self.run(&fifos).end().expect(0);
        assert_eq!(ended.stderr, "", "two FIFOs");
        writer.end().expect(0);
        assert_eq!(reader.end().expect(0).stdout, sum, "two FIFOs");
    }

    /// A reader that has enough ends the example, which says nothing of it: the reader of stdout, and that of `out`.
    #[track_caller]
    fn ends_when_its_reader_leaves(&self, from: &Path) {
        let run = self.run(&[]);
        let words = run.get_args().map(|word| word.to_str().unwrap().to_owned());
        let words: Vec<_> = words.collect();
        let line = quoted(&words);
        let script = format!(
            "env {line} < {} | head -c 10 > /dev/null; echo ${{PIPESTATUS[0]}}",
            from.display()
        );
        let mut shell = sh(&script);
        shell.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = shell.end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("141\n", ""), "stdout");

        let dir = Dir::new();
        let out = dir.fifo("out");
        let reader = sh(&format!("head -c 10 < {} > /dev/null", out.display())).start();
        let mut run = self.run(&fifo("out", &out, ",w"));
        let ended = run.stdin(fs::File::open(from).unwrap()).end().expect(141);
        assert_eq!(ended.stderr, "", "the pipe `out`");
        reader.end().expect(0);
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}' ")).collect()
}

/// Makes a file of so many lines.
fn lines(dir: &Dir, name: &str, count: usize, line: impl Fn(usize) -> String) -> PathBuf {
    dir.file(name, (0..count).map(line).collect::<String>())
}

#[test]
fn c_number_is_cat_n() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let Some(example) = Example::build("c-number", "zig", &[]) else { return };
    let dir = Dir::new();
    let wanted = dir.path("wanted");
    let number = |from: &Path| {
        let script = format!("cat -n {} > {}", from.display(), wanted.display());
        sh(&script).end().expect(0);
    };
    // Bytes of every kind, NUL among them; lines of every length.
    number(big_file());
    example.makes(big_file(), &wanted);
    for text in ["", "\n", "no end", "a\n\nb\n"] {
        let from = dir.file("from", text);
        number(&from);
        example.makes(&from, &wanted);
    }
    example.ends_when_its_reader_leaves(big_file());
}

#[test]
fn python_csv_makes_json() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let Some(example) = Example::build("python-csv", "componentize-py", &[]) else { return };
    let dir = Dir::new();
    const ROWS: usize = 100_000;
    let from = lines(&dir, "from", ROWS, |row| match row {
        0 => "number,name\n".into(),
        row => format!("{row},\"Größe, \"\"{row}\"\"\"\n"),
    });
    let wanted = lines(&dir, "wanted", ROWS, |row| match row {
        0 => String::new(),
        row => format!("{{\"number\":\"{row}\",\"name\":\"Größe, \\\"{row}\\\"\"}}\n"),
    });
    example.makes(&from, &wanted);
    example.ends_when_its_reader_leaves(&from);
}

#[test]
fn js_fields_is_jq() {
    let _dog = watchdog_after(Duration::from_secs(300));
    let Some(example) = Example::build("js-fields", "componentize-qjs", &["name", "none"]) else {
        return;
    };
    let dir = Dir::new();
    let from = lines(&dir, "from", 50_000, |row| {
        format!("{{\"number\": {row}, \"name\": \"Größe \\\"{row}\\\"\", \"rest\": [1, 2]}}\n")
    });
    let wanted = dir.path("wanted");
    let script = format!("jq -c '{{name, none}}' {} > {}", from.display(), wanted.display());
    sh(&script).end().expect(0);
    example.makes(&from, &wanted);
    example.ends_when_its_reader_leaves(&from);
}
