//! A file of grants: `pipehost.toml` beside a guest, or `--grants FILE`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::*;

/// Returns a folder with the guest `up.wasm`, and a pipehost.toml beside it that names it.
fn folder(grants: &str) -> Dir {
    let dir = Dir::new();
    fs::copy(guest("upper"), dir.path("up.wasm")).unwrap();
    mode(&dir.path("."), 0o755);
    write(&dir, &format!("guest = \"up.wasm\"\n{grants}"));
    dir
}

fn write(dir: &Dir, text: &str) {
    let path = dir.file("pipehost.toml", text);
    mode(&path, 0o644);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns a script that runs in the folder.
fn within(dir: &Dir, script: &str) -> Command {
    sh(&format!("cd '{}' && {{ {script}; }}", dir.path("").display()))
}

fn text_of(dir: &Dir, name: &str) -> String {
    fs::read_to_string(dir.path(name)).unwrap()
}

#[test]
fn a_file_beside_the_guest_is_all_that_it_takes() {
    let _dog = watchdog();
    let dir = folder("fifo = [\"in=in,r\"]\nstdout = \"out\"");
    dir.fifo("in");
    let ended = within(&dir, "echo hi > in & pipehost run up.wasm; wait").end().expect(0);
    assert_eq!((&*text_of(&dir, "out"), &*ended.stdout), ("HI\n", ""));
    let notice =
        "pipehost: the grants of pipehost.toml are used; --grants none runs without them\n";
    assert_eq!(ended.stderr, notice);
    // By any path of the guest's, and from elsewhere.
    symlink(dir.path("."), dir.path("link")).unwrap();
    for path in ["./up.wasm", "link/up.wasm", "\"$PWD\"/up.wasm"] {
        fs::remove_file(dir.path("out")).unwrap();
        let script = format!("echo by > in & pipehost run {path}; wait");
        within(&dir, &script).end().expect(0);
        assert_eq!(text_of(&dir, "out"), "BY\n", "{path}");
    }
    let ended = within(&dir, "echo hi | pipehost run up.wasm --grants none").end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("HI\n", ""));
}

#[test]
fn a_file_that_names_another_guest_is_not_used() {
    let _dog = watchdog();
    let dir = folder("timeout = \"1h\"");
    for text in ["guest = \"other.wasm\"\nstdout = \"out\"", "stdout = \"out\"", "guest = \"@cat\""]
    {
        write(&dir, text);
        let ended = within(&dir, "echo hi | pipehost run up.wasm").end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("HI\n", ""), "{text}");
        let ended = within(&dir, "echo hi | pipehost -v run up.wasm").end().expect(0);
        assert!(ended.stderr.contains("pipehost.toml is for another guest"), "{ended:?}");
    }
    // A guest that comes with pipehost has nothing beside it.
    write(&dir, "guest = \"@upper\"\nstdout = \"out\"");
    assert_eq!(within(&dir, "echo hi | pipehost run @upper").end().expect(0).stdout, "HI\n");
    write(&dir, "nonsense");
    within(&dir, "pipehost run up.wasm").end().expect_line(2, &["pipehost.toml: line 1: "]);
    let ended = within(&dir, "pipehost run pipehost.toml").end();
    ended.expect_line(2, &["type: pipehost run --grants pipehost.toml"]);
}

#[test]
fn a_file_that_others_can_have_written_is_not_used() {
    let _dog = watchdog();
    let dir = folder("stdout = \"out\"");
    let (file, here) = (dir.path("pipehost.toml"), dir.path("."));
    let refused = |why: &str| {
        let ended = within(&dir, "echo hi | pipehost run up.wasm").end();
        let typed = "type `--grants pipehost.toml` if you trust it, or `--grants none`";
        ended.expect_line(77, &["pipehost.toml is beside the guest and is not used", why, typed]);
        assert!(!dir.path("out").exists());
        let ended = within(&dir, "echo hi | pipehost run up.wasm --grants none").end().expect(0);
        assert_eq!(ended.stdout, "HI\n");
        within(&dir, "echo hi | pipehost run up.wasm --grants pipehost.toml").end().expect(0);
        fs::remove_file(dir.path("out")).unwrap();
    };
    mode(&file, 0o646);
    refused("other users may write to it");
    mode(&file, 0o644);
    mode(&here, 0o777);
    refused("other users may write to its folder");
    mode(&here, 0o755);
    fs::rename(&file, dir.path("real.toml")).unwrap();
    symlink("real.toml", &file).unwrap();
    refused("it is a symbolic link");
    // It is looked at before it is read: a FIFO keeps nobody waiting.
    fs::remove_file(&file).unwrap();
    dir.fifo("pipehost.toml");
    let ended = within(&dir, "pipehost run up.wasm").end();
    ended.expect_line(77, &["it is no regular file"]);
}

#[test]
fn a_file_that_nobody_has_named_grants_nothing_elsewhere() {
    let _dog = watchdog();
    for (grant, key, why) in [
        ("dir = [\"/etc\"]", "dir", "/etc is not in its folder"),
        ("dir = [\"..::/d,ro\"]", "dir", "is not in its folder"),
        ("dir = [\"away\"]", "dir", "away is not in its folder"),
        ("dir = [\"own\"]", "dir", "a folder to write to"),
        ("stdin = \"/etc/passwd\"", "stdin", "/etc/passwd is not in its folder"),
        ("stdout = \"../out\"", "stdout", "../out is not in its folder"),
        ("stdout = \"gone\"", "stdout", "gone is not in its folder"),
        ("stderr = \"append:away/log\"", "stderr", "away/log is not in its folder"),
        ("stdin = \"fifo:/tmp/nope\"", "stdin", "/tmp/nope is not in its folder"),
        ("fifo = [\"in=own/../../x\"]", "fifo", "is not in its folder"),
        ("fifo = [\"in=nope/x\"]", "fifo", "nope/x is not in its folder"),
        ("child = [\"a=/bin/x.wasm\"]", "child", "/bin/x.wasm is not in its folder"),
        ("fd = [\"in=3\"]", "fd", "descriptor 3 is not in its folder"),
        ("grant-exec = [\"sh=sh\"]", "grant-exec", "a native command has all of your rights"),
        ("raw-terminal = true", "raw-terminal", "the guest could do anything to the terminal"),
        ("max-memory = \"257M\"", "max-memory", "more than a guest has by default"),
        ("max-pipes = 65", "max-pipes", "more than a guest has by default"),
        ("max-children = 17", "max-children", "more than a guest has by default"),
    ] {
        let dir = folder(&format!("\n{grant}\n"));
        fs::create_dir(dir.path("own")).unwrap();
        symlink("/var", dir.path("away")).unwrap();
        symlink("/tmp/pipehost-leads-nowhere", dir.path("gone")).unwrap();
        let ended = within(&dir, "pipehost run up.wasm").end();
        let line = format!("pipehost.toml: line 3: {key}: ");
        let typed = "type: pipehost run --grants pipehost.toml";
        ended.expect_line(77, &[&line, why, typed]);
        // Who names the file says so. Nothing is opened to show it.
        let ended = within(&dir, "pipehost run --grants pipehost.toml --explain").end().expect(0);
        assert!(ended.stdout.contains("pipehost.toml, line 3"), "{ended:?}");
    }
    let dir =
        folder("dir = [\"own,ro\"]\nchild = [\"a=@cat\"]\nmax-memory = \"256M\"\nfifo = [\"x=\"]");
    fs::create_dir(dir.path("own")).unwrap();
    let ended = within(&dir, "pipehost run up.wasm --explain").end().expect(0);
    let own = dir.path("own").canonicalize().unwrap();
    assert!(ended.stdout.contains(&format!("{}::own", own.display())), "{ended:?}");
}

#[test]
fn a_file_that_is_named_says_what_is_run() {
    let _dog = watchdog();
    let dir = folder("args = []\nstdout = \"out\"");
    let elsewhere =
        format!("echo hi | pipehost run --grants {}", dir.path("pipehost.toml").display());
    let ended = sh(&elsewhere).end().expect(0);
    assert_eq!((&*text_of(&dir, "out"), &*ended.stderr), ("HI\n", ""));
    let ended = within(&dir, "pipehost run @cat --grants pipehost.toml").end();
    ended.expect_line(2, &["pipehost.toml: it is for up.wasm, not for @cat"]);
    write(&dir, "stdin = \"null\"");
    let ended = within(&dir, "pipehost run --grants pipehost.toml").end();
    ended.expect_line(2, &["it names no guest; write guest = \"FILE\""]);
    within(&dir, "echo hi | pipehost run up.wasm --grants pipehost.toml").end().expect(0);
    let ended = within(&dir, "pipehost run --grants none").end();
    ended.expect_line(2, &["GUEST is missing"]);
    let ended = within(&dir, "pipehost run up.wasm --grants nope.toml").end();
    ended.expect_line(66, &["--grants nope.toml: No such file"]);
    let ended = within(&dir, "pipehost run up.wasm --grants /dev/zero").end();
    ended.expect_line(2, &["larger than 1 MiB"]);
    let ended = within(&dir, "printf '\\xff' > bad; pipehost run up.wasm --grants bad").end();
    ended.expect_line(2, &["bad: is no text"]);
    // Of a pipe, too.
    let script = "echo hi | pipehost run --grants <(echo 'guest = \"@upper\"')";
    assert_eq!(within(&dir, script).end().expect(0).stdout, "HI\n");
    dir.fifo("late");
    let ended = within(&dir, "exec 9<>late; pipehost run --grants late --timeout 300ms").end();
    ended.expect_line(124, &["--timeout"]);
}

#[test]
fn a_guest_that_has_changed_is_not_run() {
    let _dog = watchdog();
    let dir = folder("");
    let sum = |name: &str| {
        let ended = within(&dir, &format!("sha256sum {name}")).end().expect(0);
        ended.stdout.split_whitespace().next().unwrap().to_owned()
    };
    let right = sum("up.wasm");
    let pinned = |sum: &str| {
        write(&dir, &format!("guest = \"up.wasm\"\nsha256 = \"{sum}\"\nstdout = \"out\""))
    };
    for sum in [right.clone(), right.to_uppercase()] {
        pinned(&sum);
        within(&dir, "echo hi | pipehost run up.wasm").end().expect(0);
        assert_eq!(text_of(&dir, "out"), "HI\n");
    }
    // With a time limit, and on a cold cache.
    within(&dir, "pipehost run up.wasm --no-cache --timeout 1m").end().expect(0);
    let ended = within(&dir, "pipehost run up.wasm --explain").end().expect(0);
    assert!(ended.stdout.contains(&format!("its SHA-256 is {right}")), "{ended:?}");
    dir.file("out", "kept");
    fs::copy(guest("cat"), dir.path("up.wasm")).unwrap();
    let wrong = sum("up.wasm");
    for options in ["", "--explain", "--grants pipehost.toml", "--fifo in=made,r"] {
        let script = format!("pipehost run up.wasm {options} 2> said; cat said >&2; exit 3");
        let ended = within(&dir, &script).end().expect(3);
        let line = format!(
            "up.wasm: its SHA-256 is {wrong}, and line 2 of pipehost.toml has {right}: it is another guest; \
             if you trust it, write sha256 = \"{wrong}\" there"
        );
        assert!(ended.stderr.contains(&line), "{options}: {ended:?}");
        assert_eq!((text_of(&dir, "out"), dir.path("made").exists()), ("kept".into(), false));
    }
    within(&dir, "pipehost run up.wasm --grants pipehost.toml < /dev/null").end().expect(77);
    // What it says to write works.
    pinned(&wrong);
    within(&dir, "echo hi | pipehost run up.wasm").end().expect(0);
    assert_eq!(text_of(&dir, "out"), "hi\n");
}

/// A WASI 0.1 module that writes its arguments and its environment to stdout, a NUL behind each.
const SAYS: &str = r#"(module
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_size (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_size (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (func $say (param $length i32)
    (i32.store (i32.const 16) (i32.const 65536))
    (i32.store (i32.const 20) (local.get $length))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
  (func (export "_start")
    (drop (call $args_size (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 1024) (i32.const 65536)))
    (call $say (i32.load (i32.const 4)))
    (drop (call $env_size (i32.const 0) (i32.const 4)))
    (drop (call $env (i32.const 1024) (i32.const 65536)))
    (call $say (i32.load (i32.const 4)))))"#;

#[test]
fn the_command_line_narrows_and_adds() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.file("says.wat", SAYS);
    let grants = "guest = \"says.wat\"\nargs = [\"a\", \"b c\"]\nenv = { LANG = \"C\", A = \"1\" }\n\
                  stdout = \"out\"\nmax-memory = \"1M\"\n";
    let file = dir.file("grants.toml", grants);
    let says = |options: &str| {
        let script = format!("pipehost run --grants {} {options} | tr '\\0' '|'", file.display());
        sh(&script).end().expect(0).stdout
    };
    assert_eq!(says(""), "");
    assert_eq!(text_of(&dir, "out").replace('\0', "|"), "says.wat|a|b c|A=1|LANG=C|");
    // A value takes the file's place, a variable that of its name; the rest is added.
    let said = says("--stdout inherit --env LANG=de --env B=2 -- d");
    assert_eq!(said, "says.wat|a|b c|d|A=1|LANG=de|B=2|");
    // A limit, too, whichever way.
    let script = format!("pipehost run --grants {} --max-memory 64K", file.display());
    sh(&script).end().expect_line(65, &["--max-memory"]);
    let explained = |options: &str| {
        let script = format!("pipehost run --grants {} --explain=json {options}", file.display());
        serde_json::from_str::<Value>(&sh(&script).end().expect(0).stdout).unwrap()
    };
    let limit = |report: &Value, option: &str| {
        let rows = report["limits"].as_array().unwrap();
        rows.iter().find(|row| row["option"] == option).unwrap().clone()
    };
    let from_file = limit(&explained(""), "max-memory");
    assert_eq!(from_file["value"], "1M");
    assert_eq!(from_file["origin"]["from"], "file");
    assert_eq!(from_file["origin"]["line"], 5);
    let typed = limit(&explained("--max-memory 2G"), "max-memory");
    assert_eq!((&typed["value"], &typed["origin"]["from"]), (&"2G".into(), &"command-line".into()));
}

#[test]
fn a_grant_takes_the_place_of_the_files_of_its_name() {
    let _dog = watchdog();
    let dir =
        folder("fifo = [\"a=x,r\", \"in=y,r\", \"c=z,r\"]\nfd = [\"d=7\"]\ndir = [\"sub::/d\"]");
    fs::create_dir(dir.path("sub")).unwrap();
    let script =
        "pipehost run --grants pipehost.toml --explain=json --fifo in=w,r --dir sub::/d,ro";
    let report: Value = serde_json::from_str(&within(&dir, script).end().expect(0).stdout).unwrap();
    let grants = report["grants"].as_array().unwrap();
    let of = |option: &str| -> Vec<(&str, &str)> {
        let rows = grants.iter().filter(|row| row["option"] == option);
        rows.map(|row| (row["value"].as_str().unwrap(), row["origin"]["from"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(of("fifo"), [("a=x,r", "file"), ("c=z,r", "file"), ("in=w,r", "command-line")]);
    assert_eq!(
        (of("fd"), of("dir")),
        (vec![("d=7", "file")], vec![("sub::/d,ro", "command-line")])
    );
    // The guest is given what was shown: it reads the other FIFO.
    write(&dir, "guest = \"up.wasm\"\nfifo = [\"other=x,r\", \"in=y,r\"]\n");
    dir.fifo("w");
    let script = "echo hi > w & pipehost run up.wasm --fifo in=w,r; wait";
    assert_eq!(within(&dir, script).end().expect(0).stdout, "HI\n");
    assert!(!dir.path("x").exists() && !dir.path("y").exists());
}

#[test]
fn what_would_be_granted_is_explained() {
    let _dog = watchdog();
    let dir = folder("fifo = [\"in=in,r\"]\nmax-pipes = 3\nstderr = \"file:log\"");
    let here = dir.path(".").canonicalize().unwrap();
    let script =
        "PIPEHOST_SANDBOX=auto pipehost run up.wasm --timeout 90s --env A='b\x1b[2J' --explain";
    let ended = within(&dir, script).end().expect(0);
    let line = |start: &str| {
        let mut lines =
            ended.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.find(|line| line.starts_with(start)).unwrap_or_default()
    };
    assert_eq!(line("with"), "with the file pipehost.toml, found beside the guest");
    assert_eq!(line("fifo"), format!("fifo in={}/in,r pipehost.toml, line 2", here.display()));
    assert_eq!(line("max-pipes"), "max-pipes 3 pipehost.toml, line 3");
    assert_eq!(line("stderr"), format!("stderr file:{}/log pipehost.toml, line 4", here.display()));
    assert_eq!(line("stdin"), "stdin inherit default");
    assert_eq!(line("timeout"), "timeout 1m 30s command line");
    assert_eq!(line("max-memory"), "max-memory 256M default");
    assert_eq!(line("fuel"), "fuel none default");
    assert_eq!(line("sandbox"), "sandbox auto environment, PIPEHOST_SANDBOX");
    assert_eq!(line("env"), "env A=b\\x1b[2J command line");
    assert_eq!(
        line("not granted"),
        "not granted: fd, restart, watch, dir, child, exec, raw-terminal"
    );
    // Nothing was made, nothing runs.
    assert_eq!(ended.stderr, "");
    assert!(!dir.path("in").exists() && !dir.path("log").exists());
    // Without a file, and for a guest that is not there: it is not looked at.
    let ended = within(&dir, "pipehost run nope/x.wasm --explain").end().expect(0);
    assert!(ended.stdout.contains("without a file of grants"), "{ended:?}");
    // A contradiction is told as the run would tell it.
    let ended = within(&dir, "pipehost run up.wasm --fifo a=x --fifo a=y --explain").end();
    ended.expect_line(2, &["granted twice"]);
}

#[test]
fn a_guest_cannot_write_its_own_grants() {
    let _dog = watchdog();
    let dir = folder("dir = [\".\"]");
    let script = "pipehost run --grants pipehost.toml < /dev/null";
    within(&dir, script)
        .end()
        .expect_line(77, &["pipehost.toml: the guest could write to it", ",ro"]);
    write(&dir, "guest = \"up.wasm\"\ndir = [\".::/d,ro\"]");
    within(&dir, script).end().expect(0);
    let script = "pipehost run --grants pipehost.toml --dir .. < /dev/null";
    within(&dir, script).end().expect_line(77, &["the guest could write to it"]);
    write(&dir, "guest = \"up.wasm\"\nstdout = \"pipehost.toml\"");
    within(&dir, script).end().expect_line(77, &["the guest would write to it, by stdout"]);
    assert!(fs::read_to_string(dir.path("pipehost.toml")).unwrap().contains("up.wasm"));
    // Nor by a file that nobody names.
    let script = "pipehost run up.wasm < /dev/null";
    within(&dir, script).end().expect_line(77, &["the guest would write to it, by stdout"]);
    write(&dir, "guest = \"up.wasm\"\nstdin = \"null\"");
    let script = "pipehost run up.wasm --dir ..";
    within(&dir, script).end().expect_line(77, &["the guest could write to it"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_schema_is_what_the_options_give() {
    let path = root().join("docs/grants.schema.json");
    let schema = pipehost::cli::grants_schema();
    if std::env::var_os("PIPEHOST_RENEW").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    // In whichever order: that depends on how serde_json was built.
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let equal = read(&fs::read_to_string(&path).unwrap()) == read(&schema);
    assert!(
        equal,
        "docs/grants.schema.json is out of date; type: PIPEHOST_RENEW=1 cargo test -p pipehost --test grants"
    );
}

/// Returns whether `value` fits `schema`. Knows the words that ours has, and no others.
fn fits(schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(word, rule)| match &**word {
        "$schema" | "title" | "description" => true,
        "type" => match rule.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("the type {other}"),
        },
        "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
        "pattern" => value.as_str().is_none_or(|text| match rule.as_str().unwrap() {
            "^[0-9a-fA-F]{64}$" => {
                text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit())
            }
            "^[^=]+$" => !text.is_empty() && !text.contains('='),
            other => panic!("the pattern {other}"),
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(rule, item))),
        "anyOf" => rule.as_array().unwrap().iter().any(|one| fits(one, value)),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(key, value)| rule.get(key).is_none_or(|rule| fits(rule, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = &schema["properties"];
            let mut others = object.iter().filter(|(key, _)| known.get(key).is_none());
            match rule {
                Value::Bool(may) => *may || others.next().is_none(),
                rule => others.all(|(_, value)| fits(rule, value)),
            }
        }),
        "propertyNames" => value
            .as_object()
            .is_none_or(|object| object.keys().all(|key| fits(rule, &Value::from(key.as_str())))),
        "dependentRequired" => value.as_object().is_none_or(|object| {
            let present = |key: &Value| object.contains_key(key.as_str().unwrap());
            let mut rules = rule.as_object().unwrap().iter();
            rules.all(|(key, wanted)| {
                !object.contains_key(key) || wanted.as_array().unwrap().iter().all(present)
            })
        }),
        other => panic!("the word {other}"),
    })
}

/// The schema and the program take and refuse the same files, as far as a schema can say.
#[test]
fn the_schema_and_the_program_agree() {
    let _dog = watchdog();
    let schema: Value = serde_json::from_str(&pipehost::cli::grants_schema()).unwrap();
    let known: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    for key in
        ["guest", "sha256", "args", "fifo", "grant-exec", "max-memory", "raw-terminal", "env"]
    {
        assert!(known.iter().any(|it| *it == key), "{key}");
    }
    assert!(!known.iter().any(|it| *it == "exec"));
    let example = fs::read_to_string(root().join("examples/pipehost.toml")).unwrap();
    let sum = "0".repeat(64);
    let pinned = format!("guest = \"@cat\"\nsha256 = \"{sum}\"");
    let unpinned = format!("sha256 = \"{sum}\"");
    let dir = Dir::new();
    for (text, is_good) in [
        (&*example, true),
        ("guest = \"@cat\"\nfifo = \"in=x\"\nfd = [\"3\"]\nmax-bytes = 5\nrate = \"1K\"", true),
        ("guest = \"@cat\"\nraw-terminal = true\nenv = [\"A=1\"]\ngrant-exec = [\"a=b\"]", true),
        ("guest = \"@cat\"\n[env]\nA = \"1\"", true),
        ("guest = 1", false),
        ("guest = \"\"", false),
        ("guest = \"@cat\"\nexec = [\"a=b\"]", false),
        ("guest = \"@cat\"\nargs = [1]", false),
        ("guest = \"@cat\"\nargs = \"x\"", false),
        ("guest = \"@cat\"\nsha256 = \"x\"", false),
        (&unpinned, false),
        ("guest = \"@cat\"\nraw-terminal = 1", false),
        ("guest = \"@cat\"\nmax-pipes = -1", false),
        ("guest = \"@cat\"\nmax-pipes = 1.5", false),
        ("guest = \"@cat\"\nfifo = [1]", false),
        ("guest = \"@cat\"\nstdin = []", false),
        ("guest = \"@cat\"\nenv = { \"A=\" = \"1\" }", false),
        ("guest = \"@cat\"\nenv = { A = 1 }", false),
        ("guest = \"@cat\"\nnope = 1", false),
    ] {
        let value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        assert_eq!(fits(&schema, &value), is_good, "the schema: {text}");
        let file = dir.file("grants.toml", text);
        let ended = pipehost(["run", "--explain", "--grants", file.to_str().unwrap()]).end();
        assert_eq!(ended.code, Some(if is_good { 0 } else { 2 }), "{text}: {ended:?}");
    }
    let value = serde_json::to_value(pinned.parse::<toml::Table>().unwrap()).unwrap();
    assert!(fits(&schema, &value));
}

#[test]
fn the_example_runs() {
    let _dog = watchdog();
    let example = root().join("examples/pipehost.toml");
    let script = format!("printf 'one\\ntwo\\n' | pipehost run --grants {}", example.display());
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stdout, "     1\tone\n     2\ttwo\n");
}
