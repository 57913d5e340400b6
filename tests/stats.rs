//! `--stats=json`: what is printed has the form that docs/stats.schema.json describes.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "support/schema.rs"]
mod schema;
mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use support::*;

fn the_schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/stats.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the one line of JSON on stderr, if it has the form of the schema.
#[track_caller]
fn stats(ended: &Ended) -> Value {
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.len(), 1, "{ended:?}");
    let stats: Value = serde_json::from_str(lines[0]).unwrap();
    let faults = schema::faults(&the_schema(), &stats);
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(stats["status"], ended.code.unwrap(), "{ended:?}");
    stats
}

/// Returns `pipehost pipe --stats=json WORDS...`. `@@NAME` is a test's guest.
fn pipe(line: &str) -> Command {
    let mut command = pipehost(["pipe", "--stats=json"]);
    command.args(line.split(' ').map(|word| match word.strip_prefix("@@") {
        Some(name) => guest(name).display().to_string(),
        None => word.into(),
    }));
    command
}

#[test]
fn a_run_has_the_form_of_the_schema() {
    let _dog = watchdog();
    let ended = sh("printf abc | pipehost run @upper --stats=json").end().expect(0);
    let told = stats(&ended);
    assert_eq!(told["version"], 1);
    assert_eq!(told["stages"][0]["written_bytes"], 3, "{told}");
    // A FIFO, which is listed.
    let dir = Dir::new();
    let x = dir.fifo("x");
    let file = dir.file("bytes", "abc");
    let _writer = cat_into(&file, &x);
    let ended = run("@cat", [&["--stats=json".into()][..], &fifo("in", &x, ",r")].concat()).end();
    let told = stats(&ended.expect(0));
    assert_eq!(told["fifos"], json!([{ "stage": "cat", "name": "in", "path": x }]), "{told}");
    assert!(told["pipes"].as_array().unwrap().iter().any(|pipe| pipe["bytes"] == 3), "{told}");
}

#[test]
fn a_trap_has_the_form_of_the_schema() {
    let _dog = watchdog();
    for version in PROBES {
        let told = stats(&run(version, ["--stats=json", "--", "trap"]).end().expect(134));
        assert_eq!(told["stages"][0]["status"], 134, "{told}");
    }
}

/// Ends by the time limit, tidily: on a busy machine that may take too long, and nothing is printed then.
fn timed_out(command: &mut Command) -> Ended {
    until_some("a tidy end", || {
        let ended = command.end().expect(124);
        ended.stderr.contains('{').then_some(ended)
    })
}

#[test]
fn a_timeout_has_the_form_of_the_schema() {
    let _dog = watchdog();
    let args = ["--stats=json", "--timeout", "100ms", "--", "spin"];
    let told = stats(&timed_out(&mut run("probe2", args)));
    assert!(told["seconds"].as_f64().unwrap() > 0.0, "{told}");
    stats(&timed_out(&mut pipe("--timeout 100ms @@probe2 spin ! exec cat")));
}

#[test]
fn a_pipeline_has_the_form_of_the_schema() {
    let _dog = watchdog();
    for line in [
        "@cat ! @upper",
        "exec echo hello ! @upper ! exec cat",
        // Ends with a status, cannot be started, is ended by a signal.
        "exec sh -c exit ! @cat ! exec false",
        "exec no-such-command ! @cat",
        "@cat ! @@probe2 trap",
    ] {
        let told = stats(&pipe(line).end());
        assert_eq!(told["stages"].as_array().unwrap().len(), line.matches('!').count() + 1);
        assert_eq!(told["pipes"].as_array().unwrap().len(), line.matches('!').count(), "{told}");
    }
}

#[test]
fn isolated_guests_have_the_form_of_the_schema() {
    let _dog = watchdog();
    let told = stats(&pipe("--isolate exec echo hello ! @upper ! exec cat").end().expect(0));
    assert_eq!(told["stages"][1]["read_bytes"], 6, "{told}");
    stats(&pipe("--isolate @cat ! @@probe2 trap").end().expect(134));
}

/// The schema, and what checks it, refuse whatever is not as it was.
#[test]
fn a_changed_field_is_caught() {
    let _dog = watchdog();
    let told = stats(&pipe("exec echo hello ! @upper").end().expect(0));
    let schema = the_schema();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut changed = told.clone();
        change(&mut changed);
        assert_ne!(changed, told);
        assert!(!schema::faults(&schema, &changed).is_empty(), "{changed}");
    };
    refused(&|it| it["version"] = 2.into());
    refused(&|it| it["status"] = 256.into());
    refused(&|it| it["seconds"] = (-0.5).into());
    refused(&|it| it["more"] = 1.into());
    refused(&|it| it["pipes"] = Value::Null);
    refused(&|it| it["stages"][1]["memory_bytes"] = json!("1 MiB"));
    refused(&|it| it["stages"][1]["read_bytes"] = json!(1.5));
    refused(&|it| it["fifos"] = json!([{ "stage": "upper", "name": "in" }]));
    // Each field, wherever it is, without which the form is another: renamed, or left out.
    let mut count = 0;
    for place in ["", "/stages/0", "/pipes/0"] {
        for key in told.pointer(place).unwrap().as_object().unwrap().keys() {
            count += 1;
            refused(&|it| {
                it.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(key);
            });
        }
    }
    assert_eq!(count, 6 + 8 + 5);
}

#[test]
fn every_field_is_described_with_its_unit() {
    let schema = the_schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema::undescribed(&schema), [""; 0]);
    let text = schema.to_string();
    let described = text.split("\"description\":\"").skip(1);
    let units = ["in bytes", "in seconds", "No unit", "own description"];
    for description in described {
        let description = description.split('"').next().unwrap();
        let has_unit = units.iter().any(|unit| description.contains(unit));
        assert!(has_unit || description.starts_with("What `pipehost run`"), "{description}");
    }
}
