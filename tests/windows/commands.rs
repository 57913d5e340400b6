//! Pipelines of guests and native commands.

use std::io::Write as _;
use std::os::windows::io::AsRawHandle as _;

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

use super::support::*;

fn stage(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A stage that is a native command.
fn exec(words: &[&str]) -> Vec<String> {
    [vec!["exec".into()], peer(words)].concat()
}

#[test]
fn guests_follow_each_other() {
    let _dog = watchdog();
    let stages = [stage(&["@upper"]), stage(&["@cat"])];
    let (running, mut stdin) = Running::fed(&mut pipeline(&[], &stages));
    stdin.write_all(b"hello\n").unwrap();
    drop(stdin);
    assert_eq!(running.end().expect(0).stdout, "HELLO\n");
}

#[test]
fn a_native_command_between_guests() {
    let _dog = watchdog();
    let stages = [stage(&["@upper"]), exec(&["copy"]), stage(&["@cat"])];
    let (running, mut stdin) = Running::fed(&mut pipeline(&[], &stages));
    stdin.write_all(b"hello\n").unwrap();
    drop(stdin);
    assert_eq!(running.end().expect(0).stdout, "HELLO\n");
}

#[test]
fn large_transfers_are_whole() {
    let _dog = watchdog();
    let length = LARGE.to_string();
    let plain = guest("plain").display().to_string();
    let stages =
        [exec(&["feed", &length]), stage(&[&plain, "copy-64k"]), exec(&["copy"]), exec(&["sum"])];
    let ended = pipeline(&[], &stages).end().expect(0);
    let (length, hash) = expected(LARGE);
    assert!(ended.stderr.contains(&format!("sum {length} {hash}")), "{ended:?}");
}

#[test]
fn isolated_guests() {
    let _dog = watchdog();
    let length = (4_u64 << 20).to_string();
    let plain = guest("plain").display().to_string();
    let stages = [
        exec(&["feed", &length]),
        stage(&[&plain, "copy"]),
        stage(&[&plain, "copy-64k"]),
        exec(&["sum"]),
    ];
    let ended = pipeline(&["--isolate"], &stages).end().expect(0);
    let (length, hash) = expected(4 << 20);
    assert!(ended.stderr.contains(&format!("sum {length} {hash}")), "{ended:?}");
}

#[test]
fn the_status_of_a_command() {
    let _dog = watchdog();
    let stages = [stage(&["@cat"]), exec(&["exit", "5"])];
    pipeline(&[], &stages).end().expect(5);
}

#[test]
fn arguments_come_whole() {
    let _dog = watchdog();
    let words = ["a b", "c\"d", r"e\", r"\\f", "", "%PATH%", "\u{e4}"];
    let mut all = exec(&["args"]);
    all.extend(words.map(String::from));
    let ended = pipeline(&[], &[stage(&["@cat"]), all]).end().expect(0);
    let whole = ended.stderr.contains(&format!("args {}\n", words.join("|")));
    assert!(whole, "{ended:?}");
}

#[test]
fn a_command_that_is_missing() {
    let _dog = watchdog();
    let stages = [stage(&["@cat"]), stage(&["exec", "no-such-program"])];
    pipeline(&[], &stages).end().expect(127);
}

/// No quoting makes the arguments of a batch file safe.
#[test]
fn a_batch_file_is_refused() {
    let _dog = watchdog();
    let folder = folder();
    for name in ["x.bat", "x.CMD"] {
        let batch = folder.path().join(name);
        std::fs::write(&batch, "@echo off\r\n").unwrap();
        let stages = [stage(&["@cat"]), stage(&["exec", batch.to_str().unwrap(), "a&b"])];
        pipeline(&[], &stages).end().expect_line(126, &["a batch file", "cmd.exe /d /c"]);
    }
}

/// A reader that leaves ends a guest before it, and that is no failure.
#[test]
fn a_reader_that_leaves() {
    let _dog = watchdog();
    let plain = guest("plain").display().to_string();
    let stages = [stage(&[&plain, "lines", "1000000000"]), exec(&["head"])];
    pipeline(&[], &stages).end().expect(0);
}

/// A pipeline from a file, with a pipe that the file names.
#[test]
fn a_pipeline_in_a_file() {
    let _dog = watchdog();
    let (folder, name) = (folder(), name());
    let file = folder.path().join("pipeline.toml");
    let text = format!(
        "[[stage]]\nname = \"read\"\nguest = \"@cat\"\nfifo = ['in={name},r']\nstdin = \"null\"\n\n\
         [[stage]]\nname = \"shout\"\nguest = \"@upper\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = pipehost();
    let running = command.args(["pipe", "-f"]).arg(&file).start();
    writer_of(&name).write_all(b"hello").unwrap();
    assert_eq!(running.end().expect(0).stdout, "HELLO");
}

/// Variables that stand for handles are not passed on.
#[test]
fn a_command_gets_no_handles_of_others() {
    let _dog = watchdog();
    let stages = [stage(&["@cat"]), exec(&["variable", "PIPEHOST_FD_77"])];
    for name in ["PIPEHOST_FD_77", "Pipehost_Fd_77"] {
        let ended = pipeline(&[], &stages).env(name, "1").end().expect(0);
        assert!(ended.stderr.contains("variable false"), "{name}: {ended:?}");
    }
}

/// What the host has inherited itself, its commands do not get.
#[test]
#[allow(unsafe_code, reason = "a call of the system's")]
fn a_command_inherits_only_what_it_is_given() {
    let _dog = watchdog();
    let folder = folder();
    let leaked = std::fs::File::create(folder.path().join("leaked")).unwrap();
    let raw = leaked.as_raw_handle();
    // SAFETY: the handle is open.
    unsafe { SetHandleInformation(raw, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) };
    let words = ["handle".to_owned(), raw.addr().to_string()];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // This test's children have it.
    let direct = peer(&words);
    let ended = std::process::Command::new(&direct[0]).args(&direct[1..]).end().expect(0);
    assert!(ended.stderr.contains("handle true"), "{ended:?}");
    let ended = pipeline(&[], &[stage(&["@cat"]), exec(&words)]).end().expect(0);
    assert!(ended.stderr.contains("handle false"), "{ended:?}");
    for family in FAMILIES {
        let look = format!("look={}", peer(&words).join(" "));
        let ended = run(family, ["--exec", &look, "--", "run", "look"]).end().expect(0);
        assert!(ended.stderr.contains("handle false"), "{family}: {ended:?}");
    }
}
