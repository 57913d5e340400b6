//! docs/cookbook/apache.md, with apache2 on a port and with a configuration of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::recipe::{Kitchen, Recipe, demand};
use crate::support::*;

const PROGRAMS: [(&str, &str); 2] = [("apache2", "apache2-bin"), ("curl", "curl")];

#[test]
fn the_recipe_for_apache() {
    let _dog = watchdog();
    demand(&PROGRAMS);
    let mut recipe = Recipe::read("apache");
    // Another program may have the recipe's port.
    recipe.replace("PORT=8099", &format!("PORT={}", free_port()));
    let kitchen = recipe.kitchen(&["redact"]);
    recipe.cook(&kitchen);
    no_process_stays(&kitchen);
}

/// Returns a port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until no process works in the kitchen's folder.
fn no_process_stays(kitchen: &Kitchen) {
    let folder = fs::canonicalize(kitchen.path(".")).unwrap();
    until("no process stays", || processes_in(&folder).is_empty());
}

fn processes_in(folder: &Path) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|it| it == folder))
        .collect()
}

/// The request that shows that a server serves.
const FIRST: usize = 1_000_000;

/// A server with the recipe's configuration, and `more` options for pipehost.
struct Server {
    kitchen: Kitchen,
    port: u16,
}

impl Server {
    fn start(more: &str) -> Self {
        demand(&PROGRAMS);
        let recipe = Recipe::read("apache");
        let kitchen = recipe.kitchen(&["redact"]);
        let config = recipe.file("apache2.conf").replace(" --stdout", &format!(" {more} --stdout"));
        fs::write(kitchen.path("apache2.conf"), config).unwrap();
        let port = free_port();
        let server = Self { kitchen, port };
        server.control("start");
        // Connections are taken before there is a process to signal, and a plugin that ignores SIGTERM.
        until("the server answers", || server.get(FIRST));
        until("its plugin writes", || server.logged().contains(&FIRST));
        server
    }

    fn control(&self, what: &str) {
        let script = format!("PORT={} apache2 -f \"$PWD/apache2.conf\" -k {what}", self.port);
        let ended = self.kitchen.sh(&script).end();
        assert_eq!(ended.code, Some(0), "{ended:#?} {}", self.kitchen.read("error.log"));
    }

    /// Asks for /N?email=.., and returns whether there was an answer.
    fn get(&self, n: usize) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let request = format!("GET /{n}?email=bob@example.com HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.contains("404")
    }

    /// Returns which requests are in the log, and masked.
    fn logged(&self) -> BTreeSet<usize> {
        let log = self.kitchen.read("access.log");
        let number = |line: &str| {
            let rest = line.strip_prefix("\"GET /")?;
            rest.strip_suffix("?email=[email] HTTP/1.0\" 404")?.parse().ok()
        };
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().map(|line| number(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
    }

    /// Returns the processes that are pipehost by now.
    fn plugins(&self) -> BTreeSet<u32> {
        let folder = fs::canonicalize(self.kitchen.path(".")).unwrap();
        let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm"));
        let all = processes_in(&folder).into_iter();
        all.filter(|pid| name(pid).is_ok_and(|it| it == "pipehost\n")).collect()
    }

    fn stop(&self) {
        let folder = fs::canonicalize(self.kitchen.path(".")).unwrap();
        // A signal that comes while the server reads its configuration is lost. Where there is none any
        // more, apache2 says so, and succeeds.
        until("no process stays", || {
            self.control("graceful-stop");
            processes_in(&folder).is_empty()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Ok(folder) = fs::canonicalize(self.kitchen.path(".")) else { return };
        for pid in processes_in(&folder) {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// Each request that was answered is in the log, though the server and its plugin are restarted all the
/// while.
#[test]
fn a_server_that_is_restarted_loses_no_line() {
    let _dog = watchdog();
    let server = Server::start("");
    let answered: Vec<_> = thread::scope(|scope| {
        let asking = |part: usize| {
            let server = &server;
            scope.spawn(move || {
                (part..2000).step_by(4).filter(|n| server.get(*n)).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..4).map(asking).collect();
        for _ in 0..3 {
            let before = server.plugins();
            server.control("graceful");
            // No longer env(1), which SIGTERM would end.
            until("there is another plugin", || {
                !server.plugins().is_subset(&before) || threads.iter().all(|it| it.is_finished())
            });
        }
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    assert!(answered.len() > 1000, "{} answers", answered.len());
    server.stop();
    let logged = server.logged();
    let lost: Vec<_> = answered.into_iter().filter(|n| !logged.contains(n)).collect();
    assert!(lost.is_empty(), "lost: {lost:?} {}", server.kitchen.read("error.log"));
}

/// A plugin that traps is started again on the same pipe, and loses what it had read.
#[test]
fn a_plugin_that_traps_is_started_again() {
    let _dog = watchdog_after(Duration::from_secs(200));
    // Enough for some hundred requests.
    let server = Server::start("--fuel 1000000");
    let traps = || {
        let log = server.kitchen.read("error.log");
        log.lines().filter(|line| line.starts_with("pipehost: ") && line.contains("fuel")).count()
    };
    let mut asked = 0;
    while traps() < 3 {
        let before = traps();
        assert!(asked < 20_000 && server.get(asked), "{}", server.kitchen.read("error.log"));
        // One line is under way at a time.
        until("it is logged, or lost", || server.logged().contains(&asked) || traps() > before);
        asked += 1;
    }
    let last = asked;
    assert!(server.get(last));
    until("a later request is logged", || server.logged().contains(&last));
    server.stop();
    let logged = server.logged();
    let lost = (0..asked).filter(|n| !logged.contains(n)).count();
    assert!(asked > 50 && lost <= 3, "{lost} of {asked}");
}
