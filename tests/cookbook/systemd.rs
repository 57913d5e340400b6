//! docs/cookbook/systemd.md: its units, checked by `systemd-analyze`, and their commands, run as systemd
//! would.

use std::fs;
use std::process::Command;

use crate::recipe::{Kitchen, Recipe, demand};
use crate::support::*;

const UNITS: [&str; 3] = ["redact.service", "redact.socket", "redact-socket.service"];

#[test]
fn the_units_are_valid() {
    let _dog = watchdog();
    demand(&[("systemd-analyze", "systemd")]);
    let recipe = Recipe::read("systemd");
    // A root with the system's own units, where the program is.
    let root = recipe.kitchen(&[]);
    for folder in ["usr/lib/systemd", "usr/local/bin", "etc/systemd/system"] {
        fs::create_dir_all(root.path(folder)).unwrap();
    }
    root.sh("cp -r /usr/lib/systemd/system usr/lib/systemd/").end().expect(0);
    copy_program(env!("CARGO_BIN_EXE_pipehost"), &root.path("usr/local/bin/pipehost"));
    for unit in UNITS {
        fs::write(root.path("etc/systemd/system").join(unit), recipe.file(unit)).unwrap();
    }
    let verify = |unit: &str| {
        let mut analyze = Command::new("systemd-analyze");
        analyze.arg("verify").arg(format!("--root={}", root.path("").display()));
        analyze.arg(format!("/etc/systemd/system/{unit}")).end()
    };
    for unit in UNITS {
        let ended = verify(unit).expect(0);
        assert_eq!(ended.stdout + &ended.stderr, "", "{unit}");
    }
    // pipehost ends with 143 when it is stopped, which systemd takes for a failure unless it is told.
    for unit in [UNITS[0], UNITS[2]] {
        let (_, service) = recipe.file(unit).split_once("[Service]\n").unwrap();
        assert!(service.lines().any(|line| line == "SuccessExitStatus=143"), "{unit}");
    }
    // It would have said something.
    let wrong = recipe.file(UNITS[0]).replace("RestartSec=1", "RestartSoon=1");
    fs::write(root.path("etc/systemd/system/wrong.service"), wrong).unwrap();
    assert!(verify("wrong.service").stderr.contains("RestartSoon"));
}

/// Returns the unit's command, with paths in the kitchen.
fn command(unit: &str) -> String {
    let recipe = Recipe::read("systemd");
    let text = recipe.file(unit).replace("\\\n", " ");
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let line = line.replace("/usr/local/bin/pipehost", "exec pipehost");
    line.replace("/usr/local/lib/", "").replace("/run/", "").replace("/var/log/", "")
}

fn kitchen() -> Kitchen {
    Kitchen::new(&["redact"])
}

#[test]
fn the_service_reads_one_writer_after_the_other_until_it_is_stopped() {
    let _dog = watchdog();
    let kitchen = kitchen();
    for round in 1..3 {
        let running = kitchen.sh(&command("redact.service")).start();
        until("the FIFO is there", || kitchen.path("redact.fifo").exists());
        for _ in 0..3 {
            kitchen.sh("echo 'to bob@example.com' > redact.fifo").end().expect(0);
        }
        until("it is masked", || kitchen.read("masked.log") == "to [email]\n".repeat(3 * round));
        running.signal("TERM");
        running.end().expect(143);
        assert!(!kitchen.path("redact.fifo").exists());
    }
}

/// The FIFO is held open by systemd, here by a shell, for both ways.
#[test]
fn a_service_that_is_started_again_finds_what_came_meanwhile() {
    let _dog = watchdog();
    let kitchen = kitchen();
    kitchen.sh("mkfifo redact.fifo").end().expect(0);
    let mut systemd = kitchen
        .sh("exec 3<>redact.fifo; echo ready > ready; read -r line <&3; echo read > read; read -r line < never");
    kitchen.sh("mkfifo never").end().expect(0);
    let _systemd = systemd.start();
    until("it is open", || kitchen.path("ready").exists());
    kitchen.sh("echo first > redact.fifo").end().expect(0);
    until("it is read", || kitchen.path("read").exists());
    for round in 1..4 {
        kitchen.sh("echo 'to bob@example.com' > redact.fifo").end().expect(0);
        let service = format!("{} 0<>redact.fifo", command("redact-socket.service"));
        let running = kitchen.sh(&service).start();
        until("it is masked", || kitchen.read("masked.log") == "to [email]\n".repeat(round));
        running.signal("TERM");
        running.end().expect(143);
    }
}
