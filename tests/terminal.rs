//! Row 17 of docs/reliability.md: a terminal shows what a guest writes, and does not act on it.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use support::terminal::pseudo_terminal;
use support::*;

/// Colours and text; then sequences that set a title, go back, clear and reorder, as ESC and as C1
/// in UTF-8 and raw; and half a character.
const NASTY: &[u8] =
    b"plain \x1b[1;31mred\x1b[0m\ttab\n\x1b]0;owned\x07\r\x7f\x1b[2J\xc2\x9b2J\x9b\
    \xe2\x80\xae\xe2\x80";

/// What the terminal shows of [`NASTY`].
const SEEN: &str = "plain \x1b[1;31mred\x1b[0m\ttab\n\\x1b]0;owned\\x07\\r\\x7f\\x1b[2J\\u{9b}2J\\x9b\
    \\u{202e}\\xe2\\x80";

/// A pseudo-terminal that changes nothing itself, and a collector of its output.
struct Screen {
    slave: OwnedFd,
    reader: JoinHandle<Vec<u8>>,
}

impl Screen {
    fn new() -> Self {
        let (mut master, slave) = pseudo_terminal();
        let mut attributes = tcgetattr(&slave).unwrap();
        attributes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &attributes).unwrap();
        let reader = std::thread::spawn(move || {
            let (mut all, mut buf) = (Vec::new(), [0; 4096]);
            // EIO is how a terminal ends that nobody has open any more.
            while let Ok(n @ 1..) = master.read(&mut buf) {
                all.extend_from_slice(&buf[..n]);
            }
            all
        });
        Self { slave, reader }
    }

    fn stdio(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    /// Returns everything that was shown. All writers to the terminal must have ended.
    fn shown(self) -> Vec<u8> {
        drop(self.slave);
        self.reader.join().unwrap()
    }
}

/// Runs `command` with descriptor 1 or 2 on a terminal. Returns its status and what was shown.
fn on_terminal(mut command: Command, number: i32) -> (Option<i32>, String) {
    let screen = Screen::new();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match number {
        1 => command.stdout(screen.stdio()),
        _ => command.stderr(screen.stdio()),
    };
    let running = Running::new(&mut command);
    drop(command);
    let ended = running.end();
    (ended.code, String::from_utf8_lossy(&screen.shown()).into_owned())
}

/// Returns every way in which a guest can copy its stdin to its stdout.
fn copies(dir: &Dir) -> Vec<(&'static str, Command)> {
    let module = dir.file("copy.wat", COPY_MODULE);
    vec![
        ("0.1", pipehost(["run".as_ref(), module.as_os_str()])),
        ("0.2", run("plain", ["--", "copy"])),
        ("0.2, by system calls", run("plain", ["--", "copy-by", "1000"])),
        ("handed on", run("@cat", [] as [&str; 0])),
        ("a pipeline", pipehost(["pipe", "@cat", "!", "@cat"])),
    ]
}

fn from(mut command: Command, file: &Path) -> Command {
    command.stdin(File::open(file).unwrap());
    command
}

#[test]
fn row_17_a_terminal_shows_what_would_act_on_it() {
    let _dog = watchdog();
    let dir = Dir::new();
    let nasty = dir.file("nasty", NASTY);
    for (way, command) in copies(&dir) {
        let (code, shown) = on_terminal(from(command, &nasty), 1);
        assert_eq!((code, &*shown), (Some(0), SEEN), "{way}");
    }
    // On stderr.
    let module = COPY_MODULE.replace("(call $write (i32.const 1)", "(call $write (i32.const 2)");
    let module = dir.file("to-stderr.wat", module);
    let command = pipehost(["run".as_ref(), module.as_os_str()]);
    let (code, shown) = on_terminal(from(command, &nasty), 2);
    assert_eq!((code, &*shown), (Some(0), SEEN));
}

/// Writes more than a terminal takes at once: nothing is lost, doubled or torn.
#[test]
fn row_17_much_of_it() {
    let _dog = watchdog();
    let dir = Dir::new();
    let nasty = dir.file("nasty", NASTY.repeat(5000));
    let seen = SEEN.repeat(5000);
    for (way, command) in copies(&dir) {
        let (code, shown) = on_terminal(from(command, &nasty), 1);
        assert_eq!(code, Some(0), "{way}");
        assert!(shown == seen, "{way}: {} of {} bytes", shown.len(), seen.len());
    }
}

#[test]
fn row_17_raw_terminals_files_and_pipes_get_every_byte() {
    let _dog = watchdog();
    let dir = Dir::new();
    let nasty = dir.file("nasty", NASTY);
    for (way, mut command) in copies(&dir) {
        let out = File::create(dir.path("out")).unwrap();
        Running::new(from(command, &nasty).stdout(out)).end().expect(0);
        assert!(fs::read(dir.path("out")).unwrap() == NASTY, "{way}: a file");
        command = copies(&dir).into_iter().find(|(name, _)| *name == way).unwrap().1;
        let mut child = from(command, &nasty).stdout(Stdio::piped()).spawn().unwrap();
        let mut piped = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut piped).unwrap();
        assert!(child.wait().unwrap().success() && piped == NASTY, "{way}: a pipe");
    }
    let screen = Screen::new();
    let mut command = from(run("@cat", ["--raw-terminal"]), &nasty);
    Running::new(command.stdout(screen.stdio())).end().expect(0);
    drop(command);
    assert!(screen.shown() == NASTY);
}

#[test]
fn row_17_colours_are_set_back_also_at_a_timeout() {
    let _dog = watchdog();
    for (limit, code) in [("5s", 124), ("60s", 0)] {
        let screen = Screen::new();
        let mut command = run("@cat", ["--timeout", limit]);
        command.stdin(Stdio::piped()).stdout(screen.stdio()).stderr(Stdio::null());
        let mut running = Running::new(&mut command);
        drop(command);
        let mut stdin = running.stdin();
        stdin.write_all(b"\x1b[31mred").unwrap();
        // It waits for more until its time is over.
        if code == 0 {
            drop(stdin);
            running.end().expect(code);
        } else {
            running.end().expect(code);
            drop(stdin);
        }
        assert_eq!(String::from_utf8(screen.shown()).unwrap(), "\x1b[31mred\x1b[0m");
    }
}

#[test]
fn row_17_messages_that_quote_a_guest() {
    let _dog = watchdog();
    let dir = Dir::new();
    let exports = r#"(module (func (export "\1b]0;owned\07\e2\80\ae")))"#;
    let module = dir.file("exports.wat", exports);
    let missing = dir.path("\u{1b}[2J\u{202e}.wasm");
    for (command, says) in [
        (pipehost(["run".as_ref(), module.as_os_str()]), "\\x1b]0;owned\\x07\\u{202e}"),
        (pipehost(["run".as_ref(), missing.as_os_str()]), "\\x1b[2J\\u{202e}.wasm"),
        // clap leaves out what it takes for a colour.
        (run("@cat", [missing.as_os_str()]), "\\u{202e}.wasm"),
    ] {
        let (code, shown) = on_terminal(command, 2);
        assert!(code != Some(0) && shown.contains(says), "{shown:?}");
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{shown:?}");
    }
    let inspect = pipehost(["inspect".as_ref(), module.as_os_str()]);
    let (_, shown) = on_terminal(inspect, 1);
    assert!(shown.contains("\\x1b]0;owned") && !shown.contains('\u{1b}'), "{shown:?}");
}

/// The limit also holds for bytes that are escaped before they are written.
#[test]
fn a_limit_of_bytes_holds_on_a_terminal() {
    let _dog = watchdog();
    for args in [&["--", "leave-behind", "-"][..], &["--", "list", "more"]] {
        let screen = Screen::new();
        let mut command = run("probe2", ["--max-bytes", "10"]);
        command.args(args).stdout(screen.stdio()).stderr(Stdio::piped());
        let ended = Running::new(&mut command).end();
        drop(command);
        assert!(ended.code != Some(0), "{ended:?}");
        assert!(ended.stderr.contains("--max-bytes 10 of `std"), "{ended:?}");
        assert!(screen.shown().len() <= 10);
    }
}
