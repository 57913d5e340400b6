//! docs/cookbook/rsyslog.md, with rsyslogd in the foreground.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::recipe::{Kitchen, Recipe, demand};
use crate::support::*;

const PROGRAMS: [(&str, &str); 2] = [("rsyslogd", "rsyslog"), ("logger", "bsdutils")];

#[test]
fn the_recipe_for_rsyslog() {
    let _dog = watchdog();
    demand(&PROGRAMS);
    let recipe = Recipe::read("rsyslog");
    recipe.cook(&recipe.kitchen(&["redact"]));
}

/// A folder with the recipe's configuration, and `more` options for pipehost, each behind a blank: two
/// blanks are an empty argument to rsyslog.
struct Daemon {
    kitchen: Kitchen,
}

impl Daemon {
    fn new(more: &str) -> Self {
        demand(&PROGRAMS);
        let recipe = Recipe::read("rsyslog");
        let kitchen = recipe.kitchen(&["redact"]);
        let config =
            recipe.file("rsyslog.conf").replace(" -- --confirm", &format!("{more} -- --confirm"));
        fs::write(kitchen.path("rsyslog.conf"), config).unwrap();
        Self { kitchen }
    }

    fn start(&self) -> Running {
        let mut command = self.kitchen.command("rsyslogd");
        command.arg("-n").arg("-f").arg(self.kitchen.path("rsyslog.conf"));
        command.arg("-i").arg(self.kitchen.path("pid"));
        // `$PWD` of the configuration is the environment's.
        command.env("PWD", self.kitchen.path("."));
        let running = command.start();
        until("the daemon listens", || self.kitchen.path("log.sock").exists());
        running
    }

    /// Ends the daemon, and waits until it has handed over what it can.
    fn stop(&self, running: Running) {
        running.signal("TERM");
        running.end().expect(0);
    }

    /// Logs messages of these numbers, all at once.
    fn log(&self, numbers: std::ops::Range<usize>) {
        let lines: String =
            numbers.map(|n| format!("message {n} of user{n}@example.com.\n")).collect();
        fs::write(self.kitchen.path("burst"), lines).unwrap();
        let script = "logger -u \"$PWD/log.sock\" -t app -f burst";
        self.kitchen.sh(script).end().expect(0);
    }

    /// Returns how often each message stands in the masked log.
    fn counts(&self) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        let log = self.kitchen.read("masked.log");
        // Of the last line only a part may be there yet.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        for line in whole.lines() {
            let number =
                line.strip_prefix("app: message ").and_then(|it| it.strip_suffix(" of [email]."));
            let number = number.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
            *counts.entry(number).or_default() += 1;
        }
        counts
    }

    fn has_all(&self, messages: usize) -> bool {
        (0..messages).eq(self.counts().into_keys())
    }

    /// Returns the process of pipehost's that the daemon has started.
    fn plugin(&self, daemon: &Running) -> Option<u32> {
        let children = children_of(daemon.pid());
        children.into_iter().find(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "pipehost"
        })
    }
}

#[test]
fn a_burst_of_messages_comes_through_whole_and_once() {
    let _dog = watchdog();
    let daemon = Daemon::new("");
    let running = daemon.start();
    daemon.log(0..5000);
    until("all messages", || daemon.has_all(5000));
    daemon.stop(running);
    assert!(daemon.counts().into_values().all(|count| count == 1));
}

/// Fuel lasts for some hundred messages; then the guest traps.
#[test]
fn a_plugin_that_traps_loses_nothing() {
    let _dog = watchdog();
    let daemon = Daemon::new(" --fuel 1000000");
    let running = daemon.start();
    daemon.log(0..1000);
    until("all messages", || daemon.has_all(1000));
    daemon.stop(running);
    let twice = daemon.counts().into_values().filter(|count| *count > 1).count();
    assert!(twice < 100, "{twice} messages came twice");
}

#[test]
fn a_plugin_that_is_killed_loses_nothing() {
    let _dog = watchdog_after(Duration::from_secs(200));
    let daemon = Daemon::new("");
    let running = daemon.start();
    for round in 0..5 {
        daemon.log(round * 300..(round + 1) * 300);
        until("a plugin", || daemon.plugin(&running).is_some());
        let plugin = daemon.plugin(&running).unwrap();
        let signal = ["KILL", "TERM"][round % 2];
        let _ = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &plugin.to_string()])
            .status();
    }
    until("all messages", || daemon.has_all(1500));
    daemon.stop(running);
}

/// The plugin is slow, so that most messages are in the daemon's queue when it ends.
#[test]
fn a_daemon_that_is_restarted_loses_nothing() {
    let _dog = watchdog_after(Duration::from_secs(200));
    let daemon = Daemon::new(" --rate 2K");
    // Tells which messages have come, as what the kernel still holds for a daemon ends with it.
    let config = daemon.kitchen.read("rsyslog.conf");
    let seen = "action(type=\"omfile\" template=\"line\" file=`echo $PWD/seen.log`)\n\naction(";
    fs::write(daemon.kitchen.path("rsyslog.conf"), config.replace("action(", seen)).unwrap();
    for round in 1..4 {
        let running = daemon.start();
        daemon.log((round - 1) * 500..round * 500);
        until("all have come", || daemon.kitchen.read("seen.log").lines().count() == round * 500);
        daemon.stop(running);
    }
    let running = daemon.start();
    until("all messages", || daemon.has_all(1500));
    daemon.stop(running);
}
