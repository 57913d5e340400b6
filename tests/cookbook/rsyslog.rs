//! docs/cookbook/rsyslog.md, with rsyslogd in the foreground.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

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

    fn counts(&self) -> BTreeMap<usize, usize> {
        counts(&self.kitchen.read("masked.log"))
    }

    fn has_all(&self, messages: usize) -> bool {
        (0..messages).eq(self.counts().into_keys())
    }

    /// Expects all messages but one for each time that the plugin ended, and few twice.
    #[track_caller]
    fn expect_most(&self, messages: usize, ends: usize) {
        let counts = self.counts();
        let missing: Vec<_> = (0..messages).filter(|n| !counts.contains_key(n)).collect();
        assert!(missing.len() <= ends, "missing: {missing:?}");
        let twice = counts.into_values().filter(|count| *count > 1).count();
        assert!(twice < 100, "{twice} messages came twice");
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

/// Returns how often each message stands in a masked log.
fn counts(log: &str) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
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
fn a_plugin_that_traps_is_started_again() {
    let _dog = watchdog();
    let daemon = Daemon::new(" --fuel 1000000");
    let running = daemon.start();
    daemon.log(0..1000);
    until("the last message", || daemon.counts().contains_key(&999));
    daemon.stop(running);
    daemon.expect_most(1000, 20);
}

#[test]
fn a_plugin_that_is_killed_is_started_again() {
    let _dog = watchdog_after(Duration::from_secs(200));
    let daemon = Daemon::new("");
    let running = daemon.start();
    for round in 0..5 {
        daemon.log(round * 300..(round + 1) * 300);
        let plugin = until_some("a plugin", || daemon.plugin(&running));
        let signal = ["KILL", "TERM"][round % 2];
        let _ = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &plugin.to_string()])
            .status();
    }
    // Some that follow all kills: rsyslog may forget the first.
    let mut last = 1500;
    until("a message after the kills", || {
        daemon.log(last..last + 1);
        last += 1;
        thread::sleep(Duration::from_millis(500));
        daemon.counts().keys().any(|n| *n >= 1500)
    });
    daemon.stop(running);
    daemon.expect_most(last, 6);
}

/// The plugin's part of the protocol, with a daemon that sends again what was not confirmed. rsyslogd
/// itself now and then forgets the message at which the program ended.
#[test]
fn what_is_confirmed_is_written_however_the_plugin_ends() {
    const ENDS: usize = 40;
    let _dog = watchdog_after(Duration::from_secs(200));
    let kitchen = Kitchen::new(&["redact"]);
    let mut next = 0;
    for ends in 0..ENDS {
        let limit = if ends % 4 == 3 { "--fuel 200000" } else { "" };
        let mut plugin = kitchen.sh(&format!(
            "exec pipehost run redact.wasm --stdout append:masked.log --fifo confirm=/dev/stdout,w \
             {limit} -- --confirm"
        ));
        plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut plugin = plugin.spawn().unwrap();
        let (mut lines, replies) = (plugin.stdin.take().unwrap(), plugin.stdout.take().unwrap());
        let mut replies = BufReader::new(replies).lines();
        let mut send = |text: &str| {
            // A plugin that has ended takes nothing, or does not reply.
            let sent = text.is_empty() || lines.write_all(text.as_bytes()).is_ok();
            sent && replies.next().is_some_and(|reply| reply.unwrap() == "OK")
        };
        assert!(send(""), "the plugin is ready");
        let process = rustix::process::Pid::from_child(&plugin);
        let signal = [Signal::KILL, Signal::TERM, Signal::INT][ends % 3];
        // At any moment of what it does with some message.
        let moment = Duration::from_micros((ends as u64 * 7919) % 5000);
        let killer = limit.is_empty().then(|| {
            thread::spawn(move || {
                thread::sleep(moment);
                rustix::process::kill_process(process, signal).unwrap();
            })
        });
        while send(&format!("app: message {next} of user{next}@example.com.\n")) {
            next += 1;
        }
        if let Some(killer) = killer {
            killer.join().unwrap();
        }
        plugin.wait().unwrap();
    }
    let counts = counts(&kitchen.read("masked.log"));
    let missing: Vec<_> = (0..next).filter(|n| !counts.contains_key(n)).collect();
    assert!(missing.is_empty(), "confirmed and not written: {missing:?}");
    let twice = counts.into_values().map(|count| count - 1).sum::<usize>();
    assert!(next > 100 && twice <= ENDS, "{next} messages, {twice} came twice");
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
