//! Granted folders: only files are opened through them, what the host holds for their files is
//! bounded, and the fences of the sandbox change nothing else.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use support::*;

/// Returns a WASI 0.1 module that makes these calls on paths, and prints the errno of each as a
/// letter, `A` for 0. A call has a function's name, and the types and values of its parameters.
fn module(calls: &[(&str, Vec<Arg<'_>>)]) -> String {
    module_of("wasi_snapshot_preview1", calls)
}

/// Returns the same as [`module`], for a draft of 0.1.
fn module_of(wasi: &str, calls: &[(&str, Vec<Arg<'_>>)]) -> String {
    let (mut imports, mut data, mut body) = (String::new(), String::new(), String::new());
    let (mut at, mut known) = (4096, Vec::new());
    for (number, (name, args)) in calls.iter().enumerate() {
        let (mut types, mut values) = (String::new(), String::new());
        for arg in args {
            match arg {
                Arg::Int(value) => {
                    types += " i32";
                    values += &format!(" (i32.const {value})");
                }
                Arg::Long(value) => {
                    types += " i64";
                    values += &format!(" (i64.const {value})");
                }
                Arg::Path(path) => {
                    types += " i32 i32";
                    values += &format!(" (i32.const {at}) (i32.const {})", path.len());
                    data += &format!("(data (i32.const {at}) \"{path}\")\n");
                    at += path.len();
                }
            }
        }
        if !known.contains(name) {
            imports += &format!(
                "(import \"{wasi}\" \"{name}\" (func ${name} (param{types}) (result i32)))\n"
            );
            known.push(name);
        }
        body += &format!(
            "(i32.store8 (i32.const {}) (i32.add (i32.const 65) (call ${name}{values})))\n",
            65536 + number
        );
    }
    format!(
        "(module {imports}
            (import \"{wasi}\" \"fd_write\"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export \"memory\") 2) {data}
            (func (export \"_start\") {body}
                (i32.store (i32.const 0) (i32.const 65536))
                (i32.store (i32.const 4) (i32.const {}))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))",
        calls.len()
    )
}

enum Arg<'a> {
    Int(i32),
    Long(i64),
    Path(&'a str),
}

/// The descriptor of the first granted folder, in 0.1.
const FOLDER: i32 = 3;

const RIGHT_TO_READ: i64 = 1 << 1;
const RIGHT_TO_WRITE: i64 = 1 << 6;

/// Returns a call of `path_open` that follows links.
fn open<'a>(path: &'a str, rights: i64, flags: i32) -> (&'static str, Vec<Arg<'a>>) {
    use Arg::{Int, Long, Path};
    let (folder, follow) = (Int(FOLDER), Int(1));
    let args =
        vec![folder, follow, Path(path), Int(flags), Long(rights), Long(rights), Int(0), Int(16)];
    ("path_open", args)
}

/// Returns the letter that [`module`] prints for an errno of 0.1.
fn said(errno: u8) -> char {
    char::from(b'A' + errno)
}

const MODES: [&str; 2] = ["auto", "off"];

#[test]
fn row_55_what_is_no_file_is_not_opened_through_a_folder() {
    let _dog = watchdog();
    let dir = Dir::new();
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    let _socket = UnixListener::bind(folder.join("socket")).unwrap();
    let fifo = dir.fifo("folder/fifo");
    symlink("fifo", folder.join("link")).unwrap();
    let grant = format!("{}::/f", folder.display());
    // As it was: the writer has not been let go.
    let written = |what: &str| {
        let reader = sh(&format!("timeout 10 cat {}", fifo.display())).start();
        assert_eq!(reader.end().expect(0).stdout, "payload", "{what}");
    };
    for mode in MODES {
        let mut grants = vec!["--sandbox", mode, "--dir", &grant];
        grants.push("--");
        for guest in ["files2", "files3"] {
            for name in ["fifo", "link"] {
                let writer = sh(&format!("printf payload > {}", fifo.display())).start();
                until("the writer waits", || writer.sleeps());
                let mut command = run(guest, &grants);
                let ended = command.args(["opens", name, "1"]).end().expect(0);
                assert!(ended.stdout.starts_with("0 Some"), "{guest} {name} {ended:?}");
                assert!(ended.stdout.to_lowercase().contains("unsupported"), "{ended:?}");
                for part in [name, "a FIFO", "--fifo NAME=PATH"] {
                    assert!(ended.stderr.contains(part), "{ended:?}");
                }
                written(&format!("{guest} {name} {mode}"));
                writer.end().expect(0);
            }
            let ended = run(guest, &grants).args(["opens", "socket", "1"]).end().expect(0);
            assert!(ended.stdout.starts_with("0 Some"), "{guest} {ended:?}");
        }
        let writer = sh(&format!("printf payload > {}", fifo.display())).start();
        until("the writer waits", || writer.sleeps());
        use Arg::{Int, Long, Path};
        let times = vec![Int(FOLDER), Int(1), Path("fifo"), Long(0), Long(0), Int(8)];
        let calls = [
            open("fifo", RIGHT_TO_READ, 0),
            open("link", RIGHT_TO_READ, 0),
            open("fifo", RIGHT_TO_WRITE, 0),
            open("socket", RIGHT_TO_READ, 0),
            ("path_filestat_set_times", times),
            // As a folder, and as a new one: open(2) fails before it opens anything.
            open("fifo", RIGHT_TO_READ, 2),
            open("fifo", RIGHT_TO_WRITE, 5),
        ];
        let expected: String = [58, 58, 58, 58, 58, 54, 20].map(said).iter().collect();
        for wasi in ["wasi_snapshot_preview1", "wasi_unstable"] {
            let module = dir.file("open.wat", module_of(wasi, &calls));
            let mut command = pipehost(["run", module.to_str().unwrap()]);
            let ended = command.args(&grants[..4]).end().expect(0);
            assert_eq!(ended.stdout, expected, "{wasi} {ended:?}");
            assert!(ended.stderr.contains("--fifo NAME=PATH"), "{ended:?}");
            assert_eq!(ended.stderr.lines().count(), 5, "{ended:?}");
        }
        written(&format!("module {mode}"));
        writer.end().expect(0);
    }
}

/// Makes a tree with a file of each kind, in two folders, `w` and `r`.
fn tree(dir: &Dir) {
    for folder in ["w", "r"] {
        fs::create_dir_all(dir.path(folder).join("folder")).unwrap();
        let at = |name: &str| dir.path(folder).join(name);
        fs::write(at("file"), "file\n").unwrap();
        fs::write(at("folder/inside"), "inside\n").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("../outside", at("out")).unwrap();
        symlink("loop", at("loop")).unwrap();
        dir.fifo(&format!("{folder}/fifo"));
    }
    dir.file("outside", "outside\n");
}

/// The fences refuse what was not granted. A guest gets the same answers as without them.
#[test]
fn the_fences_change_no_answer() {
    let _dog = watchdog();
    sandboxed();
    for guest in ["files2", "files3"] {
        let answers = MODES.map(|mode| {
            let dir = Dir::new();
            tree(&dir);
            let grants = ["w::/w", "r::/r,ro"].map(|it| format!("{}/{it}", dir.path("").display()));
            let args = ["--sandbox", mode, "--dir", &grants[0], "--dir", &grants[1]];
            let ended = run(guest, args).args(["--", "calls"]).end().expect(0);
            ended.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        let [auto, off] = &answers;
        assert!(off.len() > 2000, "{guest}: {} calls", off.len());
        let flags = [
            ("EXCLUSIVE", "exist"),
            ("(DIRECTORY)", "notdirectory"),
            ("OpenFlags(0x0)", "unsupported"),
        ];
        for (how, answer) in flags {
            let on_fifo = off.iter().filter(|line| line.starts_with("/w open "));
            let on_fifo = on_fifo.filter(|line| line.contains(" fifo ") && line.contains(how));
            let answers: Vec<_> =
                on_fifo.map(|line| line.to_lowercase().replace('-', "")).collect();
            assert!(
                !answers.is_empty() && answers.iter().all(|it| it.contains(answer)),
                "{answers:?}"
            );
        }
        for (auto, off) in auto.iter().zip(off) {
            assert_eq!(auto, off, "{guest}");
        }
        assert_eq!(auto.len(), off.len(), "{guest}");
    }
}

/// The same in 0.1.
#[test]
fn the_fences_change_no_errno() {
    use Arg::{Int, Path};
    let _dog = watchdog();
    sandboxed();
    let paths =
        ["file", "folder", "link", "out", "loop", "none", "folder/", ".", "..", "/etc", "fifo", ""];
    let mut calls = Vec::new();
    for path in paths {
        for rights in [RIGHT_TO_READ, RIGHT_TO_WRITE] {
            // Nothing; as a folder; emptied; made.
            calls.extend([0, 2, 8, 5].map(|flags| open(path, rights, flags)));
        }
        for follow in [0, 1] {
            let stat = vec![Int(FOLDER), Int(follow), Path(path), Int(64)];
            calls.push(("path_filestat_get", stat));
            for new in ["file", "new", "folder", "../outside"] {
                let link = vec![Int(FOLDER), Int(follow), Path(path), Int(FOLDER), Path(new)];
                calls.push(("path_link", link));
                calls.push(("path_unlink_file", vec![Int(FOLDER), Path("new")]));
            }
        }
        calls.push(("path_readlink", vec![Int(FOLDER), Path(path), Int(64), Int(64), Int(16)]));
    }
    for path in paths {
        for new in ["new", "folder", "/new", "../outside"] {
            calls.push(("path_rename", vec![Int(FOLDER), Path(path), Int(FOLDER), Path(new)]));
            calls.push(("path_rename", vec![Int(FOLDER), Path("new"), Int(FOLDER), Path(path)]));
        }
        calls.push(("path_create_directory", vec![Int(FOLDER), Path(path)]));
        calls.push(("path_remove_directory", vec![Int(FOLDER), Path(path)]));
        calls.push(("path_unlink_file", vec![Int(FOLDER), Path(path)]));
        calls.push(("path_symlink", vec![Path("file"), Int(FOLDER), Path(path)]));
    }
    let answers = MODES.map(|mode| {
        let dir = Dir::new();
        tree(&dir);
        let module = dir.file("calls.wat", module(&calls));
        let grant = format!("{}::/w", dir.path("w").display());
        let module = module.to_str().unwrap();
        let ended = pipehost(["run", module, "--sandbox", mode, "--dir", &grant]).end().expect(0);
        ended.stdout
    });
    let [auto, off] = answers.each_ref().map(|it| it.chars().collect::<Vec<_>>());
    assert_eq!((auto.len(), off.len()), (calls.len(), calls.len()));
    for (at, (auto, off)) in auto.iter().zip(&off).enumerate() {
        let args = calls[at].1.iter().filter_map(|arg| match arg {
            Path(path) => Some(*path),
            _ => None,
        });
        assert_eq!(auto, off, "{at}: {} {:?}", calls[at].0, args.collect::<Vec<_>>());
    }
}

/// Starts a guest with a granted folder, and returns its first line.
fn first_line(guest: &str, folder: &Path, args: &[&str]) -> (Running, BufReader<fs::File>, String) {
    let grant = format!("{}::/f", folder.display());
    let mut command = run(guest, ["--dir", &grant, "--max-memory", "32M", "--"]);
    let (reader, writer) = os_pipe();
    command.args(args).stdin(Stdio::piped()).stdout(writer).stderr(Stdio::inherit());
    let running = Running::new(&mut command);
    drop(command);
    let mut lines = BufReader::new(reader);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    (running, lines, line)
}

fn os_pipe() -> (File, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (File::from(std::os::fd::OwnedFd::from(reader)), File::from(std::os::fd::OwnedFd::from(writer)))
}

/// Returns the process's resident memory, without that of files.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// The guest's own 32 MiB, 16 MiB for everything that the host holds for it, and a host without
/// guests.
const MOST: u64 = (32 + 16 + 16) << 20;

#[test]
fn row_49_what_is_read_and_written_of_files_is_bounded() {
    let _dog = watchdog();
    let dir = Dir::new();
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    File::create(folder.join("big")).unwrap().set_len(1 << 30).unwrap();
    File::create(folder.join("to")).unwrap();
    for (what, left) in [("reads", "Ok(65536)\n"), ("writes", "Ok(())\n")] {
        let file = if what == "reads" { "big" } else { "to" };
        let (mut running, mut lines, line) = first_line("files2", &folder, &[what, file, "4000"]);
        let (count, refused) = line.trim().split_once(' ').unwrap();
        let count: u64 = count.parse().unwrap();
        assert!(refused == "true" && (200..300).contains(&count), "{what}: {line}");
        assert!(resident(running.pid()) < MOST, "{what}: {}", resident(running.pid()));
        drop(running.stdin());
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, left, "{what}");
        running.end().expect(0);
    }
    // What was read exactly is nothing that is kept; of what a guest waits for, 4 KiB are.
    let (mut running, _lines, line) = first_line("files2", &folder, &["waits", "big", "6000"]);
    assert_eq!(line, "6000 4096 0 0\n");
    assert!(resident(running.pid()) < MOST, "{}", resident(running.pid()));
    drop(running.stdin());
    running.end().expect(0);
    // Handed on, without a handle that is left to the guest.
    let rounds = ["handed-on", "big", "to", "20000"];
    let (mut running, mut lines, line) = first_line("files3", &folder, &rounds);
    assert_eq!(line, "10000\n");
    let half = resident(running.pid());
    lines.read_line(&mut String::new()).unwrap();
    let whole = resident(running.pid());
    assert!(whole < MOST && whole < half + (4 << 20), "{half} grew to {whole}");
    drop(running.stdin());
    running.end().expect(0);
}

#[test]
fn files_of_0_3_are_copied_whole() {
    let _dog = watchdog();
    let dir = Dir::new();
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    let bytes: Vec<u8> = (0..200_000_u64).map(|n| ((n * n) >> 7) as u8).collect();
    fs::write(folder.join("from"), &bytes).unwrap();
    let grant = format!("{}::/f", folder.display());
    let ended = run("files3", ["--dir", &grant, "--", "copy", "from", "to"]).end().expect(0);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines[..3], ["Ok(())"; 3], "{ended:?}");
    assert!(lines[3].contains("IsDirectory"), "{ended:?}");
    let expected = [&bytes[..], &bytes[70_000..]].concat();
    assert!(fs::read(folder.join("to")).unwrap() == expected);
    let read_only = format!("{grant},ro");
    let ended = run("files3", ["--dir", &read_only, "--", "copy", "from", "to"]).end();
    assert_ne!(ended.code, Some(0), "what is granted for reading is not written to");
    assert!(fs::read(folder.join("to")).unwrap() == expected);
}

/// Two stages open as many files as they can. Each has its share, and gets back what it drops.
#[test]
fn descriptors_of_one_stage_are_not_taken_from_another() {
    let _dog = watchdog();
    let dir = Dir::new();
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "x").unwrap();
    let (one, two) = (dir.fifo("one.in"), dir.fifo("two.in"));
    let stage = |guest_name: &str, name: &str| {
        format!(
            "[[stage]]\nname = \"{name}\"\nguest = \"{}\"\ndir = [\"folder::/f\"]\nargs = [\"opens\", \"file\", \
             \"100000\"]\nstdin = \"fifo:{name}.in\"\nstdout = \"{name}.out\"\n",
            guest(guest_name).display()
        )
    };
    for (first, second) in [("files2", "files3"), ("files3", "files2")] {
        let file = stage(first, "one") + &stage(second, "two");
        let file = dir.file("pipeline.toml", file);
        let script = format!("ulimit -n 200; exec pipehost pipe -f {}", file.display());
        let running = sh(&script).start();
        let mut writers = [&one, &two].map(|path| File::options().write(true).open(path).unwrap());
        let out = |name: &str| fs::read_to_string(dir.path(name)).unwrap_or_default();
        until("both have opened all they can", || {
            out("one.out").ends_with('\n') && out("two.out").ends_with('\n')
        });
        for writer in &mut writers {
            writer.write_all(b"go on\n").unwrap();
        }
        drop(writers);
        let ended = running.end().expect(0);
        for name in ["one.out", "two.out"] {
            let text = out(name);
            let count: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert!((30..100).contains(&count), "{text} {ended:?}");
            assert!(text.ends_with("Ok(())\n"), "{text}");
        }
        assert!(ended.stderr.contains("ulimit -n"), "{ended:?}");
    }
}

/// In 0.1 and its draft, what a module opens is counted, and its share stays its own.
#[test]
fn descriptors_of_modules_are_counted() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.file("file", "x");
    let calls: Vec<_> = (0..200).map(|_| open("file", RIGHT_TO_READ, 0)).collect();
    for wasi in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let module = dir.file("open.wat", module_of(wasi, &calls));
        let grant = format!("{}::/f", dir.path("").display());
        let script = format!("ulimit -n 100; pipehost run {} --dir {grant}", module.display());
        let ended = sh(&script).end().expect(0);
        let opened = ended.stdout.chars().take_while(|errno| *errno == said(0)).count();
        assert!((20..100).contains(&opened), "{wasi} {opened} {ended:?}");
        // Its limit, not the process's.
        assert_eq!(ended.stdout[opened..], said(33).to_string().repeat(200 - opened), "{wasi}");
        assert!(ended.stderr.contains("ulimit -n"), "{ended:?}");
    }
}

/// The host does not copy a path that is as long as the module's memory.
#[test]
fn a_path_without_end_costs_nothing() {
    let _dog = watchdog();
    let dir = Dir::new();
    let call = |function: &str, tail: &str| {
        format!(
            "(drop (call ${function} (i32.const 3) (i32.const 1) (i32.const 4096) (i32.const 250000000) {tail}))\n"
        )
    };
    let open =
        call("path_open", "(i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 16)");
    let times = call("path_filestat_set_times", "(i64.const 0) (i64.const 0) (i32.const 8)");
    let module = format!(
        "(module
            (import \"wasi_snapshot_preview1\" \"path_open\"
                (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import \"wasi_snapshot_preview1\" \"path_filestat_set_times\"
                (func $path_filestat_set_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
            (import \"wasi_snapshot_preview1\" \"fd_read\"
                (func $read (param i32 i32 i32 i32) (result i32)))
            (import \"wasi_snapshot_preview1\" \"fd_write\"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export \"memory\") 4000)
            (func (export \"_start\") {}
                (i32.store (i32.const 4) (i32.const 1))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))",
        format!("{open}{times}").repeat(3)
    );
    let module = dir.file("long.wat", module);
    let grant = format!("{}::/f", dir.path("").display());
    let mut command = pipehost(["run", module.to_str().unwrap(), "--dir", &grant]);
    let (mut reader, writer) = os_pipe();
    let mut running = Running::new(command.stdin(Stdio::piped()).stdout(writer));
    drop(command);
    reader.read_exact(&mut [0]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    assert!(most < 300 * 1024, "{most} KiB");
    drop(running.stdin());
    running.end().expect(0);
}
