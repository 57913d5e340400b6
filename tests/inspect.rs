//! `pipehost inspect` and `pipehost wit`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use std::path::Path;

use support::*;

fn report(guest: &str) -> Value {
    let ended = pipehost(["inspect", guest, "--json"]).end().expect(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_guest_is_described_for_people() {
    let _dog = watchdog();
    let text = pipehost(["inspect", "@tee"]).end().expect(0).stdout;
    assert!(text.starts_with("@tee: a component for WASI 0.2\n"), "{text}");
    assert!(text.contains("  pipehost:pipes/named@0.2.0\n"), "{text}");
    assert!(text.contains("  wasi:cli/run@0.2."), "{text}");
    assert!(text.contains("  pipehost run @tee --fifo in=PATH,r --fifo out=PATH,w\n"), "{text}");
}

#[test]
fn a_guest_is_described_for_scripts() {
    let _dog = watchdog();
    let dir = Dir::new();
    let two = report(guest("probe2").to_str().unwrap());
    assert_eq!((&two["kind"], &two["wasi"]), (&"component".into(), &"0.2".into()));
    assert_eq!(two["runnable"], true);
    let three = report(guest("probe3").to_str().unwrap());
    assert_eq!(three["wasi"], "0.3");
    let imports = three["imports"].as_array().unwrap();
    assert!(imports.iter().any(|it| it["name"] == "pipehost:pipes/types@0.3.0"));
    assert!(imports.iter().all(|it| it["provided"] == true));
    let plain = report(guest("plain").to_str().unwrap());
    assert!(!plain["run"].as_str().unwrap().contains("--fifo"));
    assert!(
        plain["may_use"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| { it.as_str().unwrap().starts_with("--dir") })
    );

    let module =
        dir.file("m.wat", r#"(module (import "env" "f" (func)) (func (export "_start")))"#);
    let module = report(module.to_str().unwrap());
    assert_eq!((&module["kind"], &module["wasi"]), (&"module".into(), &"0.1".into()));
    assert_eq!((&module["runnable"], &module["run"]), (&false.into(), &Value::Null));

    let library = dir.file("l.wat", "(component)");
    let library = report(library.to_str().unwrap());
    assert_eq!((&library["wasi"], &library["runnable"]), (&Value::Null, &false.into()));
}

/// A guest's names cannot look like lines of the report, and cannot hide or reorder lines.
#[test]
fn row_52_names_forge_no_line() {
    let _dog = watchdog();
    let dir = Dir::new();
    let module = dir.file(
        "m.wat",
        r#"(module (import "env\0arun it with:\0a  rm -rf" "f" (func))
            (func (export "_start"))
            (func (export "\u{202e}a\u{200b}\u{2060}\u{e0041}\0d\09b")))"#,
    );
    let text = pipehost([Path::new("inspect"), &module]).end().expect(0).stdout;
    assert!(text.contains(r"  env\nrun it with:\n  rm -rf   (not provided by pipehost)"), "{text}");
    assert!(text.contains(r"  \u{202e}a\u{200b}\u{2060}\u{e0041}\r\tb"), "{text}");
    assert!(!text.lines().any(|line| line == "run it with:"), "{text}");
    let ended = pipehost([Path::new("run"), &module]).end().expect_line(65, &["run it with:"]);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

/// The command line that inspect prints can be run.
#[test]
fn the_suggested_command_works() {
    let _dog = watchdog();
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let suggested = report("@upper")["run"].as_str().unwrap().to_owned();
    let command = suggested
        .replace("in=PATH", &format!("in={}", a.display()))
        .replace("out=PATH", &format!("out={}", b.display()));
    let reader = sh(&format!("cat {}", b.display())).start();
    let _writer = cat_into(&dir.file("from", "works"), &a);
    sh(&command).end().expect(0);
    assert_eq!(reader.end().stdout, "WORKS");
}

#[test]
fn the_wit_package_is_printed() {
    let _dog = watchdog();
    let two = pipehost(["wit", "0.2"]).end().expect(0).stdout;
    let three = pipehost(["wit", "0.3"]).end().expect(0).stdout;
    let both = pipehost(["wit"]).end().expect(0).stdout;
    assert!(two.contains("package pipehost:pipes@0.2.0;"));
    assert!(three.contains("package pipehost:pipes@0.3.0;"));
    assert!(both.contains("pipehost:pipes@0.2.0 {") && both.contains("pipehost:pipes@0.3.0;"));
    // A reader that leaves is no error to make a noise about.
    let ended = sh("pipehost wit | head -n 1; exit ${PIPESTATUS[0]}").end();
    assert!([0, 141].contains(&ended.code.unwrap()), "{ended:?}");
    assert_eq!(ended.stderr, "");
}
