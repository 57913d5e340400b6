//! What a guest says that it wants: asked for on a terminal, and told elsewhere.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::Value;
use support::terminal::pseudo_terminal;
use support::*;

/// A WASI 0.1 module that does nothing, with a section that is `text`, and an import more for each of `imports`.
fn module(text: &str, imports: &[&str]) -> String {
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let import =
        |name: &&str| format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func (param i32)))");
    let imports: String = imports.iter().map(import).collect();
    format!(
        "(module {imports} (@custom \"pipehost:wants\" \"{escaped}\") (memory (export \"memory\") 1) (func (export \"_start\")))"
    )
}

fn declaring(wants: &str) -> String {
    module(&format!("{{\"version\":1,\"wants\":[{wants}]}}"), &[])
}

/// A folder with a guest in it, and one for what is remembered.
struct Place {
    dir: Dir,
}

impl Place {
    fn new(wants: &str) -> Self {
        let dir = Dir::new();
        dir.file("g.wat", declaring(wants));
        Self { dir }
    }

    fn state(&self) -> PathBuf {
        self.dir.path("state")
    }

    fn allowed(&self) -> PathBuf {
        self.state().join("pipehost/allowed.toml")
    }

    fn remembered(&self) -> String {
        fs::read_to_string(self.allowed()).unwrap_or_default()
    }

    /// Returns a script that runs in the folder.
    fn sh(&self, script: &str) -> Command {
        let mut command = sh(&format!("cd '{}' && {{ {script}; }}", self.dir.path("").display()));
        command.env("XDG_STATE_HOME", self.state()).env("GREETING", "it is");
        command
    }

    /// Starts a script in the folder with a terminal of its own, in the foreground of that.
    fn on_terminal(&self, script: &str) -> Talk {
        Talk::start(self.sh(script))
    }
}

/// A process at a pseudo-terminal, and what is shown there.
struct Talk {
    running: Running,
    master: File,
    /// Held, so that the terminal stays when the process ends.
    slave: OwnedFd,
    seen: Arc<Mutex<String>>,
    /// How much of that was waited for.
    at: usize,
}

impl Talk {
    fn start(command: Command) -> Self {
        let (master, slave) = pseudo_terminal();
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        // Makes its stdin the terminal of a session of its own.
        let mut session = undisturbed("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                session.env(name, value);
            }
        }
        session.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let running = Running::new(&mut session);
        let seen = Arc::new(Mutex::new(String::new()));
        let (into, mut reader) = (Arc::clone(&seen), master.try_clone().unwrap());
        thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buf) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&buf[..n]));
            }
        });
        Self { running, master, slave, seen, at: 0 }
    }

    /// Waits until `text` is shown, after what was waited for before, and returns what came until then.
    #[track_caller]
    fn shows(&mut self, text: &str) -> String {
        let (seen, at) = (Arc::clone(&self.seen), self.at);
        let mut found = String::new();
        until(&format!("{text:?} on the terminal: {:?}", self.seen.lock().unwrap()), || {
            let seen = seen.lock().unwrap();
            let Some(end) = seen[at..].find(text) else { return false };
            found = seen[at..at + end + text.len()].to_owned();
            true
        });
        self.at += found.len();
        found
    }

    fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end. Returns its status, and all that was shown.
    fn end(self) -> (Option<i32>, String) {
        let code = self.running.end().code;
        // Comes after all that was written.
        File::from(self.slave).write_all(b"<end>").unwrap();
        until("all that was written is seen", || self.seen.lock().unwrap().ends_with("<end>"));
        let all = self.seen.lock().unwrap().clone();
        (code, all)
    }
}

/// Returns whether nothing was asked or told, but that the guest, which does nothing, has opened no pipe.
fn is_quiet(text: &str) -> bool {
    let text = text.trim_end_matches("<end>");
    text.is_empty()
        || text.contains("none of the granted pipes was opened") && text.lines().count() == 1
}

const FINAL: &str = "Allow it once, always, or not? [o/a/N] ";

#[test]
fn once_is_for_this_run() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING","why":"what is said first"}"#);
    for answer in ["o\n", "once\n", " YES \n", "what\no\n"] {
        let mut talk = place.on_terminal("pipehost run g.wat");
        let text = talk.shows(FINAL);
        assert!(text.contains("g.wat says what it wants"), "{text}");
        assert!(text.contains("to see the variable GREETING: \"what is said first\""), "{text}");
        assert!(text.contains("--env GREETING=it is"), "{text}");
        for line in answer.split_inclusive('\n') {
            talk.types(line);
            if line == "what\n" {
                talk.shows(FINAL);
            }
        }
        let (code, all) = talk.end();
        assert_eq!(code, Some(0), "{all}");
        assert!(!place.allowed().exists());
    }
}

#[test]
fn always_is_asked_once() {
    let _dog = watchdog();
    let place = Place::new(r#"{"reader":"in"},{"dir":"/data"},{"env":"GREETING"}"#);
    fs::create_dir(place.dir.path("folder")).unwrap();
    symlink("folder", place.dir.path("link")).unwrap();
    let mut talk = place.on_terminal("pipehost run g.wat");
    let here = place.dir.path("").canonicalize().unwrap();
    let text = talk.shows("]: ");
    assert!(text.contains(&format!("The FIFO for in [{}", here.join("in").display())), "{text}");
    talk.types("\n");
    talk.shows("The folder that it is to see as \"/data\" [none]: ");
    talk.types("nope\n");
    talk.shows("there is no such folder");
    talk.shows("[none]: ");
    // Where it leads is shown, and remembered.
    talk.types("link\n");
    let text = talk.shows(FINAL);
    assert!(text.contains(&format!("--fifo in={},r", here.join("in").display())), "{text}");
    assert!(text.contains(&format!("--dir {}::/data,ro", here.join("folder").display())), "{text}");
    assert!(text.ends_with(&format!("\n3 grants. {FINAL}")), "{text}");
    talk.types("a\n");
    let (code, all) = talk.end();
    assert_eq!(code, Some(0), "{all}");
    assert!(all.contains("allowed.toml remembers that"), "{all}");
    assert!(!place.remembered().contains("link"), "{}", place.remembered());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place.allowed()), mode(place.allowed().parent().unwrap())), (0o600, 0o700));
    // Now it is there, in every folder, with a terminal and without.
    let (code, all) = place.on_terminal("pipehost run g.wat").end();
    assert!(code == Some(0) && is_quiet(&all), "{all}");
    let ended = place.sh("cd folder; pipehost run ../g.wat").end().expect(0);
    assert!(is_quiet(&ended.stderr), "{ended:?}");
    let explained = place.sh("pipehost run g.wat --explain").end().expect(0).stdout;
    let file = place.allowed().display().to_string();
    assert!(
        explained.contains(&format!("what you have allowed it before, in {file}")),
        "{explained}"
    );
    assert!(explained.contains(&format!("allowed before, {file}")), "{explained}");
    let json = place.sh("pipehost run g.wat --explain=json").end().expect(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["allowed"], Value::from(file));
    let env = json["grants"].as_array().unwrap().iter().find(|row| row["option"] == "env").unwrap();
    assert_eq!(
        (&env["value"], &env["origin"]["from"]),
        (&"GREETING=it is".into(), &"allowed".into())
    );
    // What is typed takes the place of that.
    let typed = place.sh("pipehost run g.wat --env GREETING=hello --explain=json").end().expect(0);
    let typed: Value = serde_json::from_str(&typed.stdout).unwrap();
    let is_env = |row: &&Value| row["option"] == "env";
    let values: Vec<_> = typed["grants"].as_array().unwrap().iter().filter(is_env).collect();
    assert_eq!(values.len(), 1);
    assert_eq!(values[0]["value"], "GREETING=hello");
    // Another path, the same bytes.
    fs::copy(place.dir.path("g.wat"), place.dir.path("other.wat")).unwrap();
    place.sh("pipehost run other.wat").end().expect(0);
    // Who removes it is asked again.
    fs::remove_file(place.allowed()).unwrap();
    place.sh("pipehost run g.wat").end().expect(77);
}

/// Who grants less than was allowed before has decided so.
#[test]
fn what_was_allowed_before_widens_nothing() {
    let _dog = watchdog();
    let place = Place::new(r#"{"dir":"/data","mode":"rw"},{"env":"GREETING"}"#);
    fs::create_dir(place.dir.path("real")).unwrap();
    fs::create_dir(place.dir.path("safe")).unwrap();
    let mut talk = place.on_terminal("pipehost run g.wat");
    talk.shows("[none]: ");
    talk.types("real\n");
    talk.shows(FINAL);
    talk.types("a\n");
    let (code, all) = talk.end();
    assert_eq!(code, Some(0), "{all}");
    // Another name of the same folder.
    let typed = "pipehost run g.wat --dir safe::data,ro --explain=json";
    let explained = place.sh(typed).end().expect(0).stdout;
    let explained: Value = serde_json::from_str(&explained).unwrap();
    let rows = explained["grants"].as_array().unwrap();
    let of = |option: &str| rows.iter().filter(|row| row["option"] == option).count();
    assert_eq!((of("dir"), of("env")), (1, 1), "{explained}");
    let dir = rows.iter().find(|row| row["option"] == "dir").unwrap();
    assert!(dir["value"].as_str().unwrap().contains("safe"), "{explained}");
}

/// What is refused with the answer is not remembered.
#[test]
fn what_contradicts_itself_is_not_remembered() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    place.dir.file("x", "");
    let mut talk = place.on_terminal("pipehost run g.wat --stdin x --stdout x");
    talk.shows(FINAL);
    talk.types("a\n");
    let (code, all) = talk.end();
    assert!(code == Some(2) && all.contains("is named twice"), "{code:?}: {all}");
    assert!(!place.state().exists() && !all.contains("remembers that"), "{all}");
}

#[test]
fn no_is_the_usual_answer() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    // The last one is the end of the input.
    for answer in ["n\n", "\n", "NO\n", "\x04", "?\n?\n?\n"] {
        let mut talk = place.on_terminal("pipehost run g.wat");
        for line in answer.split_inclusive('\n') {
            talk.shows(FINAL);
            talk.types(line);
        }
        let (code, all) = talk.end();
        assert_eq!(code, Some(77), "{answer:?}: {all}");
        assert!(all.contains("type: pipehost run g.wat --env GREETING=\"$GREETING\""), "{all}");
        assert!(!place.state().exists());
    }
    // No value: nothing else is asked.
    let place = Place::new(r#"{"env":"PIPEHOST_NO_SUCH"},{"env":"GREETING"}"#);
    let mut talk = place.on_terminal("pipehost run g.wat");
    talk.shows("The value of PIPEHOST_NO_SUCH, which is not set here [none]: ");
    talk.types("\n");
    let (code, all) = talk.end();
    assert!(code == Some(77) && !all.contains(FINAL), "{all}");
}

#[test]
fn what_was_typed_before_is_no_answer() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let mut talk = place.on_terminal("echo ready; read line; pipehost run g.wat");
    talk.shows("ready");
    talk.types("go\na\n");
    talk.shows(FINAL);
    talk.types("n\n");
    let (code, all) = talk.end();
    assert!(code == Some(77) && !place.state().exists(), "{all}");
}

#[test]
fn a_changed_guest_is_asked_about_again() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let always = |text: &str| {
        place.dir.file("g.wat", text);
        let mut talk = place.on_terminal("pipehost run g.wat");
        let said = talk.shows(FINAL);
        talk.types("a\n");
        (said, talk.end())
    };
    let (said, (code, all)) = always(&declaring(r#"{"env":"GREETING"}"#));
    assert!(code == Some(0) && !said.contains("another guest"), "{all}");
    let wants = r#"{"version":1,"wants":[{"env":"GREETING"},{"env":"HOME"}]}"#;
    let (said, (code, all)) = always(&module(wants, &["proc_exit"]));
    assert_eq!(code, Some(0), "{all}");
    assert!(said.contains("It is another guest than the one that you have allowed at"), "{said}");
    assert!(
        said.contains("What it imports has changed:\r\n  + wasi_snapshot_preview1.proc_exit\r\n"),
        "{said}"
    );
    assert!(said.contains("What it wants has changed:\r\n  + env HOME\r\n"), "{said}");
    // The old one is not known any more.
    assert_eq!(place.remembered().matches("sha256 = ").count(), 1);
    let wants = r#"{"version":1,"wants":[{"env":"GREETING"},{"env":"HOME"}]} "#;
    let (said, (code, all)) = always(&module(wants, &["proc_exit"]));
    assert_eq!(code, Some(0), "{all}");
    assert!(
        said.contains("It imports the same as before.") && !said.contains("it wants has"),
        "{said}"
    );
}

#[test]
fn ctrl_c_remembers_nothing() {
    let _dog = watchdog();
    let place = Place::new(r#"{"reader":"in"},{"env":"GREETING"}"#);
    for steps in [0, 1] {
        // The shell tells how it ended.
        let mut talk = place.on_terminal("trap : INT; pipehost run g.wat; echo status $?");
        let before = tcgetattr(&talk.slave).unwrap();
        talk.shows("]: ");
        if steps == 1 {
            talk.types("\n");
            talk.shows(FINAL);
        }
        talk.types("\x03");
        talk.shows("status 130");
        let after = tcgetattr(&talk.slave).unwrap();
        assert_eq!(
            (before.local_modes, before.input_modes, before.output_modes),
            (after.local_modes, after.input_modes, after.output_modes)
        );
        assert!(after.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
        talk.end();
        assert!(!place.state().exists() && !place.dir.path("in").exists());
    }
}

#[test]
fn nobody_is_asked_without_a_terminal() {
    let _dog = watchdog();
    let place = Place::new(r#"{"reader":"in","why":"lines"},{"writer":"out"},{"env":"GREETING"}"#);
    let ended = place.sh("pipehost run g.wat -- --own 'a b'").end();
    let line = "g.wat wants, and is not granted, to read the pipe in: \"lines\", to write the pipe out, to see the \
                variable GREETING; --grants none runs it all the same; or type: ";
    ended.expect_line(77, &[line]);
    let ended = place.sh("pipehost run g.wat -- --own 'a b'").end().expect(77);
    let typed = ended.stderr.trim_end().split_once("type: ").unwrap().1.to_owned();
    let expected = "pipehost run g.wat --fifo in=./in,r --fifo out=./out,w --env GREETING=\"$GREETING\" -- --own 'a b'";
    assert_eq!(typed, expected);
    assert!(!place.dir.path("in").exists());
    // What it says works.
    let ended = place.sh(&typed).end().expect(0);
    assert!(is_quiet(&ended.stderr), "{ended:?}");
    place.sh("pipehost run g.wat --grants none").end().expect(0);
    // A terminal for stdin or stdout alone is nobody's who sees the question.
    let mut talk = place.on_terminal("pipehost run g.wat 2> said; echo status $?");
    talk.shows("status 77");
    talk.end();
    // Nor is one that another process group has: reading from it would stop this process.
    let mut talk = place.on_terminal("set -m; pipehost run g.wat & wait $!; echo status $?");
    talk.shows("status 77");
    talk.end();
    // Some other thing is where a FIFO would be.
    place.dir.file("in", "");
    place.sh("pipehost run g.wat").end().expect_line(77, &["--fifo in=PATH,r --fifo out=./out,w"]);
}

#[test]
fn stdin_may_be_a_pipe() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let mut talk =
        place.on_terminal("yes | pipehost run g.wat > out; echo status ${PIPESTATUS[1]}");
    talk.shows(FINAL);
    talk.types("o\n");
    talk.shows("status 0");
    talk.end();
}

#[test]
fn what_is_granted_is_not_asked_for() {
    let _dog = watchdog();
    let place = Place::new(
        r#"{"reader":"in"},{"dir":"/data/a","mode":"rw"},{"env":"GREETING"},{"child":"sort"}"#,
    );
    fs::create_dir(place.dir.path("folder")).unwrap();
    let typed = "--fifo in=made,w --dir folder::/data,ro --env GREETING= --exec sort=sort";
    let (code, all) = place.on_terminal(&format!("pipehost run g.wat {typed}")).end();
    assert!(code == Some(0) && is_quiet(&all), "{all}");
    // By a file of grants, too.
    place.dir.file(
        "grants.toml",
        "guest = \"g.wat\"\nfifo = \"in=made\"\ndir = \"folder::/data\"\nenv = \"GREETING=x\"\nchild = \"sort=@cat\"\n",
    );
    place.sh("pipehost run --grants grants.toml").end().expect(0);
    // Of what is missing, only that is asked for.
    let ended = place.sh("pipehost run g.wat --fifo in=made --env GREETING=").end();
    ended.expect_line(
        77,
        &["is not granted, to read and to write a folder that it sees as \"/data/a\", to start a guest under the name sort;",
          "type: pipehost run g.wat --fifo in=made --env GREETING= --dir HOST::/data/a --child sort=GUEST"],
    );
    let explained = place.sh("pipehost run g.wat --env GREETING= --explain").end().expect(0).stdout;
    assert!(
        explained.contains("it says that it wants, and is not granted:\n  to read the pipe in\n"),
        "{explained}"
    );
}

#[test]
fn the_sdk_writes_it() {
    let _dog = watchdog();
    let place = Place::new("");
    fs::copy(guest("wants2"), place.dir.path("sum.wasm")).unwrap();
    let inspected = place.sh("pipehost inspect sum.wasm").end().expect(0).stdout;
    let wants = "it says that it wants (which grants nothing):\n  reader numbers: \"one \\\"number\\\" in each line\"\n  \
                 writer sums\n  env GREETING: \"what is put before the sum\"\n";
    assert!(inspected.contains(wants), "{inspected}");
    let run = "pipehost run sum.wasm --fifo numbers=./numbers,r --fifo sums=./sums,w --env GREETING=\"$GREETING\"";
    assert!(inspected.contains(run), "{inspected}");
    let json = place.sh("pipehost inspect sum.wasm --json").end().expect(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["wants"].as_array().unwrap().len(), &json["run"]), (3, &run.into()));
    place.sh("pipehost run sum.wasm").end().expect_line(77, &[&format!("type: {run}")]);
    let mut talk = place.on_terminal("pipehost run sum.wasm");
    talk.shows("The FIFO for numbers");
    talk.types("\n");
    talk.shows("The FIFO for sums");
    talk.types("total\n");
    talk.shows(FINAL);
    talk.types("a\n");
    talk.shows("remembers that");
    until("the pipes are there", || {
        place.dir.path("numbers").exists() && place.dir.path("total").exists()
    });
    let sum = place.sh("printf '1\\n2\\n39\\n' > numbers & cat total; wait").end().expect(0).stdout;
    assert_eq!(sum, "it is 42\n");
    assert_eq!(talk.end().0, Some(0));
    let script = "pipehost run sum.wasm & until [ -p numbers ] && [ -p total ]; do :; done; echo 7 > numbers & cat total; wait";
    assert_eq!(place.sh(script).end().expect(0).stdout, "it is 7\n");
    let first = serde_json::json!({"reader": "numbers", "why": "one \"number\" in each line"});
    assert_eq!(json["wants"][0], first);
    // A guest without it has none.
    let json = pipehost(["inspect", "@tee", "--json"]).end().expect(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["wants"], Value::Array(Vec::new()));
}

#[test]
fn a_hostile_declaration_counts_for_nothing() {
    let _dog = watchdog();
    let place = Place::new("");
    let many = vec![r#"{"env":"A"}"#; 10_000].join(",");
    for (text, part) in [
        ("{".to_owned(), "it is no JSON"),
        (format!("{{\"version\":1,\"wants\":[{many}]}}"), "more than 16384 bytes"),
        (
            format!("{{\"version\":1,\"wants\":[{}]}}", vec!["{\"env\":\"A\"}"; 65].join(",")),
            "more than 64 things",
        ),
        ("[".repeat(16_000), "it is no JSON"),
        ("\u{1b}]0;owned\u{7}".to_owned(), "it is no JSON"),
        (r#"{"version":1,"wants":[{"reader":"--isolate"}]}"#.to_owned(), "`--isolate`"),
        (r#"{"version":1,"wants":[{"reader":"a\nb"}]}"#.to_owned(), "a pipe's name has"),
        (r#"{"version":1,"wants":[{"\u001b[2J":1}]}"#.to_owned(), "unknown field"),
        (r#"{"version":1,"wants":[{"dir":"/\u001b[2J"}]}"#.to_owned(), "no folder"),
        (
            format!(r#"{{"version":1,"wants":[{{"env":"A","why":"{}"}}]}}"#, "x".repeat(201)),
            "200 characters",
        ),
        (r#"{"version":2,"wants":[]}"#.to_owned(), "of version 2"),
    ] {
        place.dir.file("g.wat", module(&text, &[]));
        // It runs as one that declares nothing, and one line says so.
        let ended = place.sh("pipehost run g.wat").end().expect(0);
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{part}: {ended:?}");
        assert!(
            lines[0].starts_with("pipehost: warning: g.wat: what it wants is not read: "),
            "{ended:?}"
        );
        assert!(lines[0].contains(part) && lines[0].len() < 600, "{part}: {ended:?}");
        assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
        let inspected = place.sh("pipehost inspect g.wat").end().expect(0);
        assert!(!inspected.stdout.contains("says that it wants"), "{inspected:?}");
    }
    // What can be shown is shown, and not obeyed.
    let why = r"\u001b[2J\r\nIt would get:\n\u202e nothing";
    place
        .dir
        .file("g.wat", declaring(&format!(r#"{{"env":"GREETING","why":"{why}"}},{{"dir":"/"}}"#)));
    let ended = place.sh("pipehost run g.wat").end();
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(!ended.stderr.contains(['\u{1b}', '\u{202e}', '\r']), "{ended:?}");
    ended.expect_line(77, &["--dir HOST::/,ro"]);
    let mut talk = place.on_terminal("pipehost run g.wat");
    // The root that it sees is not this system's, unless somebody says so.
    let text = talk.shows("The folder that it is to see as \"/\" [none]: ");
    assert!(text.contains(r"\x1b[2J It would get: \u{202e} nothing"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    talk.types("\n");
    assert_eq!(talk.end().0, Some(77));
    // Nor does a folder's name forge what to type, or what is usual.
    place.dir.file("g.wat", declaring(r#"{"dir":"/a; or type: \"pipehost\" x [/]"}"#));
    let ended = place.sh("pipehost run g.wat").end().expect(77);
    let (mut unquoted, mut in_quotes, mut escaped) = (String::new(), None, false);
    for c in ended.stderr.chars() {
        match (in_quotes, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (None, '"' | '\'') => in_quotes = Some(c),
            (Some(quote), c) if quote == c => in_quotes = None,
            (Some(_), _) => {}
            (None, c) => unquoted.push(c),
        }
    }
    assert_eq!(unquoted.matches("type:").count(), 1, "{ended:?}");
    assert!(unquoted.contains("type: pipehost run g.wat --dir "), "{ended:?}");
    let mut talk = place.on_terminal("pipehost run g.wat");
    talk.shows(r#"to see as "/a; or type: \"pipehost\" x [/]" [none]: "#);
    talk.types("\n");
    assert_eq!(talk.end().0, Some(77));
}

#[test]
fn what_is_remembered_is_the_users_own() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let mut talk = place.on_terminal("pipehost run g.wat");
    talk.shows(FINAL);
    talk.types("a\n");
    assert_eq!(talk.end().0, Some(0));
    let good = place.remembered();
    let (file, folder) = (place.allowed(), place.allowed().parent().unwrap().to_owned());
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let refused = |why: &str| {
        let ended = place.sh("pipehost run g.wat").end().expect(77);
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{why}: {ended:?}");
        assert!(
            lines[0].starts_with("pipehost: warning: ") && lines[0].contains(why),
            "{why}: {ended:?}"
        );
        assert!(lines[1].contains("type: pipehost run g.wat --env"), "{ended:?}");
        // A run that has all looks for nothing.
        let ended = place.sh("pipehost run g.wat --env GREETING=x").end().expect(0);
        assert_eq!(ended.stderr, "");
    };
    for text in [
        "nonsense",
        "\u{0}",
        "[[guest]]\nsha256 = 1",
        &format!("{good}fifoo = 1\n"),
        "[[guest]]\npath = \"x\"",
    ] {
        fs::write(&file, text).unwrap();
        refused("allowed.toml: line ");
    }
    fs::write(&file, b"\xff").unwrap();
    refused("is no text");
    fs::write(&file, "#".repeat(1024 * 1024 + 1)).unwrap();
    refused("is larger than 1 MiB");
    fs::write(&file, &good).unwrap();
    mode(&file, 0o620);
    refused("a regular file of yours that others cannot use");
    mode(&file, 0o600);
    mode(&folder, 0o755);
    refused("others may use it; type `chmod 700");
    mode(&folder, 0o700);
    place.sh("pipehost run g.wat").end().expect(0);
    fs::rename(&file, place.dir.path("real.toml")).unwrap();
    symlink(place.dir.path("real.toml"), &file).unwrap();
    refused("a regular file of yours");
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused("a regular file of yours");
    // The answer counts, and is not written there.
    let mut talk = place.on_terminal("pipehost run g.wat");
    talk.shows(FINAL);
    talk.types("a\n");
    let (code, all) = talk.end();
    assert_eq!(code, Some(0), "{all}");
    assert!(all.contains("allowed once, and not remembered: "), "{all}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused("a regular file of yours");
    if rustix::process::geteuid().is_root() {
        fs::remove_dir(&file).unwrap();
        fs::write(&file, &good).unwrap();
        mode(&file, 0o600);
        std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
        refused("a regular file of yours");
    }
}

/// A guest that could write to what is remembered could grant itself anything for the next time.
#[test]
fn a_guest_cannot_write_to_what_is_remembered() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    // There is nothing yet that it could change.
    let state = "mkdir -p state; pipehost run g.wat --dir state --env GREETING=";
    place.sh(state).end().expect(0);
    // Nor is anything remembered of a guest that could change it then.
    let mut talk = place.on_terminal("pipehost run g.wat --dir state");
    talk.shows(FINAL);
    talk.types("a\n");
    let (code, all) = talk.end();
    assert_eq!(code, Some(0), "{all}");
    assert!(all.contains("not remembered: ") && !place.allowed().exists(), "{all}");
    let mut talk = place.on_terminal("pipehost run g.wat");
    talk.shows(FINAL);
    talk.types("a\n");
    assert_eq!(talk.end().0, Some(0));
    let good = place.remembered();
    symlink(place.dir.path("."), place.dir.path("link")).unwrap();
    let file = "state/pipehost/allowed.toml";
    for options in [
        "--dir state",
        "--dir .",
        "--dir link/state::/s",
        "--dir state/pipehost",
        &format!("--stdout {file}"),
        &format!("--stderr append:link/{file}"),
    ] {
        for guest in ["g.wat", "@cat", "g.wat --env GREETING="] {
            let ended = place.sh(&format!("pipehost run {guest} {options}")).end();
            ended.expect_line(77, &["allowed.toml: the guest "]);
        }
        let ended = place.sh(&format!("pipehost pipe @cat ! {options} @cat")).end();
        ended.expect_line(77, &["allowed.toml: the guest "]);
    }
    assert_eq!(place.remembered(), good);
    place.sh("pipehost run g.wat --dir state,ro").end().expect(0);
    // Where a link leads there, the guest could put another in its place.
    fs::create_dir(place.dir.path("links")).unwrap();
    symlink(place.state(), place.dir.path("links/state")).unwrap();
    let linked = "XDG_STATE_HOME=$PWD/links/state pipehost run g.wat";
    place.sh(linked).end().expect(0);
    place.sh(&format!("{linked} --dir links,ro")).end().expect(0);
    let ended = place.sh(&format!("{linked} --dir links")).end();
    ended.expect_line(77, &["allowed.toml: the guest could write to it, by dir "]);
}

#[test]
fn two_that_answer_at_once_are_both_remembered() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let mut talks: Vec<_> = (0..6)
        .map(|n| {
            let name = format!("g{n}.wat");
            let wants = format!(r#"{{"env":"GREETING","why":"{n}"}}"#);
            place.dir.file(&name, declaring(&wants));
            place.on_terminal(&format!("pipehost run {name}"))
        })
        .collect();
    for talk in &mut talks {
        talk.shows(FINAL);
    }
    for talk in &mut talks {
        talk.types("a\n");
    }
    for talk in talks {
        let (code, all) = talk.end();
        assert_eq!(code, Some(0), "{all}");
    }
    assert_eq!(place.remembered().matches("sha256 = ").count(), 6);
    for n in 0..6 {
        place.sh(&format!("pipehost run g{n}.wat")).end().expect(0);
    }
}

#[test]
fn two_that_ask_at_one_terminal_take_turns() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let mut talk = place.on_terminal("pipehost run g.wat | pipehost run g.wat; echo status $?");
    let first = talk.shows(FINAL);
    talk.types("o\n");
    let second = talk.shows(FINAL);
    talk.types("n\n");
    let (code, all) = (talk.shows("status "), talk.end().1);
    for question in [&first, &second] {
        assert_eq!(question.matches("says what it wants").count(), 1, "{code}: {all}");
    }
    assert_eq!(all.matches("or type: ").count(), 1, "{all}");
    // What was answered for one need not be asked for the other.
    let mut talk =
        place.on_terminal("pipehost run g.wat | pipehost run g.wat; echo ${PIPESTATUS[@]}");
    talk.shows(FINAL);
    talk.types("a\n");
    talk.shows("0 0");
    assert_eq!(talk.end().1.matches("says what it wants").count(), 1);
    // One that has waited long enough ends, and says what to type.
    fs::remove_file(place.allowed()).unwrap();
    let mut talk = place.on_terminal("pipehost run g.wat | pipehost run g.wat; echo status $?");
    talk.shows("another pipehost asks here; this one waits for 10 s at most");
    talk.shows("or type: ");
    talk.types("n\n");
    talk.shows("status ");
    assert_eq!(talk.end().1.matches("says what it wants").count(), 1);
}

#[test]
fn a_pipeline_asks_nobody() {
    let _dog = watchdog();
    let place = Place::new(r#"{"reader":"in","why":"lines"},{"env":"GREETING"}"#);
    for isolate in ["", "--isolate"] {
        let mut talk = place.on_terminal(&format!(
            "pipehost pipe {isolate} @cat ! g.wat < /dev/null; echo status $?"
        ));
        let text = talk.shows("status 77");
        assert!(text.contains("stage g: "), "{text}");
        assert!(
            text.contains("write --fifo in=./in,r --env GREETING=\"$GREETING\" in front of it"),
            "{text}"
        );
        talk.end();
        let granted = "--fifo in=./in,r --env GREETING=\"$GREETING\" g.wat";
        place.sh(&format!("pipehost pipe {isolate} @cat ! {granted}")).end().expect(0);
    }
    place.sh("pipehost pipe --check @cat ! g.wat").end().expect_line(77, &["stage g: "]);
    // Before anything is opened or started.
    for isolate in ["", "--isolate"] {
        let native = "exec touch started ! --fifo made=./made g.wat";
        let ended = place.sh(&format!("pipehost pipe {isolate} {native}")).end();
        ended.expect_line(77, &["stage g: "]);
        assert!(!place.dir.path("started").exists() && !place.dir.path("made").exists());
    }
    // A pipe to another stage is one that it has.
    let text = "[pipes]\na = \"cat.stdout -> g.in\"\n[[stage]]\nguest = \"@cat\"\n\
                [[stage]]\nname = \"g\"\nguest = \"g.wat\"\nenv = \"GREETING=x\"\n";
    place.dir.file("pipeline.toml", text);
    place.sh("pipehost pipe --check -f pipeline.toml").end().expect(0);
}

/// The bytes that were asked about are those that run.
#[test]
fn a_guest_that_changes_meanwhile_is_not_run() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let mut talk = place.on_terminal("pipehost run g.wat --stdout out");
    talk.shows(FINAL);
    fs::copy(guest("cat"), place.dir.path("g.wat")).unwrap();
    talk.types("o\n");
    let (code, all) = talk.end();
    assert_eq!(code, Some(0), "{all}");
    // @cat would have waited for the terminal's input.
    assert_eq!(fs::read_to_string(place.dir.path("out")).unwrap(), "");
}

/// A guest that comes through a pipe is read once, after its pipes are there, and is not looked at.
#[test]
fn a_guest_that_is_no_file_is_not_asked_for() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    place.sh("pipehost run <(cat g.wat)").end().expect(0);
    place.dir.fifo("guest");
    place.sh("cat g.wat > guest & pipehost run guest --timeout 1m; wait").end().expect(0);
    let ended = place.sh("exec 9<>guest; pipehost run guest --timeout 300ms").end();
    ended.expect_line(124, &["--timeout"]);
    place.sh("pipehost run g.wat --timeout 1m").end().expect_line(77, &["type: "]);
}

/// Nor is anybody asked about another guest than the file of grants is for.
#[test]
fn another_guest_than_the_pinned_one_is_not_asked_about() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let sum = "0".repeat(64);
    place.dir.file("grants.toml", format!("guest = \"g.wat\"\nsha256 = \"{sum}\"\n"));
    let (code, all) = place.on_terminal("pipehost run --grants grants.toml").end();
    assert_eq!(code, Some(77), "{all}");
    assert!(all.contains("it is another guest;") && !all.contains("says what it wants"), "{all}");
    assert!(!place.state().exists());
}

/// A terminal that was left without echo and without lines is usable, too.
#[test]
fn a_raw_terminal_is_enough() {
    let _dog = watchdog();
    let place = Place::new(r#"{"env":"GREETING"}"#);
    let mut talk = place.on_terminal("echo ready; read line; pipehost run g.wat");
    talk.shows("ready");
    let mut attributes = tcgetattr(&talk.slave).unwrap();
    attributes.make_raw();
    tcsetattr(&talk.slave, OptionalActions::Now, &attributes).unwrap();
    talk.types("\n");
    talk.shows(FINAL);
    talk.types("o\r");
    let (code, all) = talk.end();
    assert_eq!(code, Some(0), "{all}");
}
