//! Pipelines of guests and native commands.

use std::io::Write as _;

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
    let ended = pipeline(&[], &stages).env("PIPEHOST_FD_77", "1").end().expect(0);
    assert!(ended.stderr.contains("variable false"), "{ended:?}");
}
