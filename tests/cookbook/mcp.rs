//! docs/cookbook/mcp.md, with the protocol's official client for Python.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::recipe::{Kitchen, Recipe};
use crate::support::*;

#[test]
fn the_recipe_for_mcp() {
    let _dog = watchdog();
    let recipe = Recipe::read("mcp");
    recipe.cook(&recipe.kitchen(&["mcp-notes"]).with_python());
}

/// A folder with the recipe's configuration, and two notes.
fn kitchen() -> Kitchen {
    let kitchen = Recipe::read("mcp").kitchen(&["mcp-notes"]).with_python();
    fs::create_dir(kitchen.path("notes")).unwrap();
    for name in ["a.txt", "b.txt"] {
        fs::write(kitchen.path("notes").join(name), "text\n").unwrap();
    }
    kitchen
}

/// Returns the command that runs one of the clients beside this file.
fn client(kitchen: &Kitchen, name: &str) -> Command {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cookbook/clients");
    let mut command = kitchen.command("python3");
    command.arg(format!("{here}/{name}.py"));
    command
}

#[test]
fn a_cancelled_call_ends_and_the_next_is_served() {
    let _dog = watchdog();
    let kitchen = kitchen();
    // A search in it takes minutes.
    let huge = fs::File::create(kitchen.path("notes/huge.txt")).unwrap();
    huge.set_len(500 << 30).unwrap();
    let ended = client(&kitchen, "cancel").end().expect(0);
    assert_eq!(ended.stdout, "a.txt\nb.txt\nhuge.txt\n".repeat(2), "{ended:#?}");
    no_host_stays(&kitchen);
}

#[test]
fn lines_of_one_and_ten_megabytes() {
    let _dog = watchdog();
    let kitchen = kitchen();
    for size in [1_000_000, 10_000_000] {
        fs::write(kitchen.path(&format!("notes/{size}.txt")), "y".repeat(size)).unwrap();
    }
    let ended = client(&kitchen, "large").end().expect(0);
    let expected: String = [1_000_000, 10_000_000]
        .map(|size| format!("finds ''\nreads {size}\nerror True True\n"))
        .concat();
    assert_eq!(ended.stdout, expected + "end\n", "{ended:#?}");
}

/// The server alone, spoken to by hand.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts the command of the recipe's configuration, and introduces itself.
    fn start(kitchen: &Kitchen) -> Self {
        let config: String = kitchen.read("mcp.json").split_whitespace().collect();
        let args = config.split_once("\"args\":[").unwrap().1.split(']').next().unwrap();
        let mut command = kitchen.command("pipehost");
        command.args(args.split(',').enumerate().fold(Vec::new(), joined));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { stdin: child.stdin.take(), child, stdout };
        let info = r#"{"name":"test","version":"1"}"#;
        let version = r#""protocolVersion":"2025-06-18","capabilities":{}"#;
        server.send(&format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{{version},"clientInfo":{info}}}}}"#
        ));
        assert!(server.receive().contains("\"notes\""));
        server.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        server
    }

    fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    fn receive(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn call(&mut self, id: u32, name: &str, arguments: &str) {
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
        ));
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}")).arg(self.child.id().to_string());
        assert!(kill.status().unwrap().success());
    }

    /// Waits for the end, which is to come within the promised time, and returns how it was.
    fn ends_soon(mut self) -> Option<i32> {
        let asked = Instant::now();
        let status = self.child.wait().unwrap();
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
        status.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes a JSON string from a list that was cut at its commas: one of them is a part of the last.
fn joined(mut all: Vec<String>, (_, part): (usize, &str)) -> Vec<String> {
    match all.last_mut() {
        Some(last) if !part.starts_with('"') => {
            *last = format!("{last},{}", part.trim_matches('"'))
        }
        _ => all.push(part.trim_matches('"').to_owned()),
    }
    all
}

#[test]
fn the_server_ends_with_its_input_and_on_a_signal_idle_or_busy() {
    let _dog = watchdog();
    let kitchen = kitchen();
    let huge = fs::File::create(kitchen.path("notes/huge.txt")).unwrap();
    huge.set_len(500 << 30).unwrap();
    for is_busy in [false, true] {
        let start = || {
            let mut server = Server::start(&kitchen);
            if is_busy {
                let token = r#"{"text":"x"},"_meta":{"progressToken":1}"#;
                server.call(1, "search_notes", token);
                assert!(server.receive().contains("notifications/progress"));
            }
            server
        };
        let server = start();
        server.signal("TERM");
        assert_eq!(server.ends_soon(), Some(143));
        let mut server = start();
        server.stdin = None;
        if is_busy {
            // Between two stretches the tool hears that nobody waits any more.
            while server.receive().contains("progress") {}
        }
        assert_eq!(server.ends_soon(), Some(0));
    }
    no_host_stays(&kitchen);
}

#[test]
fn a_line_beyond_the_bound_is_refused_and_the_next_is_served() {
    let _dog = watchdog();
    let kitchen = kitchen();
    let mut server = Server::start(&kitchen);
    server.call(1, "search_notes", &format!("{{\"text\":\"{}\"}}", "x".repeat(40_000_000)));
    let refused = server.receive();
    assert!(refused.contains("\"error\"") && refused.len() < 1000, "{refused}");
    server.send("this is no JSON");
    assert!(server.receive().contains("-32700"));
    server.call(2, "list_notes", "{}");
    assert!(server.receive().contains("a.txt\\nb.txt"));
}

/// Waiting for the client costs no processor time: the kernel does not run any thread of the host's.
#[test]
fn an_idle_server_does_not_run() {
    let _dog = watchdog();
    let kitchen = kitchen();
    let mut server = Server::start(&kitchen);
    server.call(1, "list_notes", "{}");
    server.receive();
    let pids = || [vec![server.child.id()], children_of(server.child.id())].concat();
    until("it settles", || {
        let before = switches(&pids());
        thread::sleep(Duration::from_millis(500));
        before == switches(&pids())
    });
    let (before, ticks) = (switches(&pids()), cpu_ticks(&pids()));
    thread::sleep(Duration::from_secs(5));
    let (after, later) = (switches(&pids()), cpu_ticks(&pids()));
    assert_eq!((after - before, later - ticks), (0, 0), "switches and ticks in 5 s");
}

/// Returns how often the kernel has switched away from the threads of these processes.
fn switches(pids: &[u32]) -> u64 {
    let tasks = pids.iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).unwrap());
    tasks
        .flatten()
        .map(|task| {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
            counts.map(|line| line.split('\t').nth(1).unwrap().parse::<u64>().unwrap()).sum::<u64>()
        })
        .sum()
}

/// Returns the processor time of these processes, in clock ticks.
fn cpu_ticks(pids: &[u32]) -> u64 {
    let ticks = pids.iter().map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    });
    ticks.sum()
}

/// Waits until no pipehost works in the kitchen's folder.
fn no_host_stays(kitchen: &Kitchen) {
    let folder = fs::canonicalize(kitchen.path(".")).unwrap();
    let hosts = || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            name.trim() == "pipehost"
                && fs::read_link(entry.path().join("cwd")).is_ok_and(|it| it == folder)
        })
        .count()
    };
    until("no host stays", || hosts() == 0);
}

/// Starts a client that is connected and waits.
fn waiting(kitchen: &Kitchen) -> (Child, BufReader<ChildStdout>, u32) {
    let mut command = client(kitchen, "wait");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "connected\n");
    let hosts = children_of(child.id());
    assert_eq!(hosts.len(), 1);
    (child, stdout, hosts[0])
}

#[test]
fn a_client_that_is_killed_leaves_no_host_behind() {
    let _dog = watchdog();
    let kitchen = kitchen();
    let (mut client, ..) = waiting(&kitchen);
    client.kill().unwrap();
    client.wait().unwrap();
    let killed = Instant::now();
    no_host_stays(&kitchen);
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
}

#[test]
fn a_client_learns_that_the_server_was_ended() {
    let _dog = watchdog();
    let kitchen = kitchen();
    for signal in ["TERM", "KILL"] {
        let (mut client, mut stdout, host) = waiting(&kitchen);
        let mut kill = Command::new("kill");
        assert!(kill.arg(format!("-{signal}")).arg(host.to_string()).status().unwrap().success());
        until("the host is gone", || !is_alive(host));
        client.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("no server"), "{line}");
        client.wait().unwrap();
    }
    no_host_stays(&kitchen);
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
