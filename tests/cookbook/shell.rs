//! docs/cookbook/shell.md, with bash, find and GNU parallel.

use std::fs;

use crate::recipe::{Kitchen, Recipe, demand};
use crate::support::*;

const PROGRAMS: [(&str, &str); 4] =
    [("parallel", "parallel"), ("find", "findutils"), ("gzip", "gzip"), ("unshare", "util-linux")];

#[test]
fn the_recipe_for_a_shell() {
    let _dog = watchdog();
    demand(&PROGRAMS);
    let recipe = Recipe::read("shell");
    recipe.cook(&recipe.kitchen(&["redact", "tidy"]));
}

/// Names with each byte that a name may have.
#[test]
fn every_name_of_a_file_survives() {
    let _dog = watchdog();
    let kitchen = Kitchen::new(&["tidy"]);
    let script = r#"mkdir files; for n in $(seq 1 255); do
        [ $n = 47 ] || : > "files/$n-$(printf "\\$(printf %03o $n)x")"; done
        find files -type f -print0 | pipehost run tidy.wasm | xargs -0 -n 2 mv --
        ls files | wc -l; ls files | LC_ALL=C grep -c '[^A-Za-z0-9._+@%,=:-]'"#;
    let ended = kitchen.sh(script).end();
    // Those of 128 to 255 stay.
    assert_eq!(ended.stdout, "254\n128\n", "{ended:#?}");
}

/// The entry point of the Dockerfile, as process 1 of a namespace: there is no Docker here.
#[test]
fn an_entry_point_ends_as_process_1() {
    let _dog = watchdog();
    demand(&PROGRAMS);
    let dockerfile = Recipe::read("shell").shown("dockerfile").to_owned();
    let entry = dockerfile.lines().find_map(|line| line.strip_prefix("ENTRYPOINT ")).unwrap();
    let words: String =
        entry.replace(['[', ']', '"', ','], "").replace("/redact.wasm", "redact.wasm");
    let kitchen = Kitchen::new(&["redact"]);
    let user = if rustix::process::geteuid().is_root() { "" } else { "--user --map-root-user" };
    let unshare = format!("exec unshare {user} --pid --fork --kill-child {words}");
    // To the end of its input.
    let line = format!("echo 'to bob@example.com' | ({unshare})");
    assert_eq!(kitchen.sh(&line).end().expect(0).stdout, "to [email]\n");
    // Until it is stopped, as by docker stop.
    for (signal, status) in [("TERM", 143), ("INT", 130)] {
        // Without what the last round wrote, which would pass for this one's.
        kitchen.sh("rm -f in out; mkfifo in").end().expect(0);
        let running = kitchen.sh(&format!("{unshare} < in > out")).start();
        let mut writer = fs::File::options().write(true).open(kitchen.path("in")).unwrap();
        std::io::Write::write_all(&mut writer, b"to bob@example.com\n").unwrap();
        until("it is masked", || kitchen.read("out") == "to [email]\n");
        let inner = children_of(running.pid());
        assert_eq!(inner.len(), 1);
        let (signal, process) = (format!("-{signal}"), inner[0].to_string());
        let sent = std::process::Command::new("kill").args([signal, process]).status();
        assert!(sent.unwrap().success());
        running.end().expect(status);
    }
}
