//! Twelve states in which a guest can be blocked or busy, and three ways to end it: each must have been
//! ended within 250 ms.
//!
//! The parent of a child is the guest that started it. It ends its child by `kill`, and by ending
//! itself; both are one round here: the parent kills the child that is in the state, hears of its end,
//! and ends, and the whole of pipehost with it. What a parent outside of pipehost can do is to kill
//! pipehost itself; native commands must not outlive that either.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::termios::Action;

use crate::support::*;
use crate::{alone, form};

/// The time limit that states are ended by. It must be longer than it takes to get there.
const LIMIT: Duration = Duration::from_millis(700);

/// How often each is done.
fn rounds() -> usize {
    form(2, 100)
}

struct State {
    what: &'static str,
    /// One of each version, or the same twice; rounds alternate. A path of a text, or a name.
    guests: [&'static str; 2],
    args: &'static [&'static str],
    /// What it has, as `r:NAME` and `w:NAME`.
    pipes: &'static str,
    options: &'static [&'static str],
    reach: fn(&mut Place),
}

/// Where a state is reached: what runs, its pipes, and what holds it in its state.
struct Place {
    running: Running,
    dir: Dir,
    held: Vec<File>,
    /// Of the terminal that its stdout is, if that is one.
    terminal: Option<(File, OwnedFd)>,
}

const STATES: [State; 12] = [
    State {
        what: "waits for a writer",
        guests: PROBES,
        args: &["drain", "x"],
        pipes: "r:x",
        options: &[],
        reach: |at| at.until_it_waits(&["x"]),
    },
    State {
        what: "waits for a reader",
        guests: PROBES,
        args: &["flood", "x"],
        pipes: "w:x",
        options: &[],
        reach: |at| until("it waits", || at.running.has_thread("fifo-writer")),
    },
    State {
        what: "reads",
        guests: PROBES,
        args: &["drain", "x"],
        pipes: "r:x",
        options: &[],
        reach: |at| {
            at.hold("x", OpenOptions::new().write(true));
            at.until_it_waits(&["x"]);
        },
    },
    State {
        what: "writes",
        guests: PROBES,
        args: &["flood", "x"],
        pipes: "w:x",
        options: &[],
        reach: |at| {
            at.hold("x", OpenOptions::new().read(true));
            at.until_full(0);
        },
    },
    State {
        what: "splices",
        guests: PROBES,
        args: &["forward", "a", "b"],
        pipes: "r:a,w:b",
        options: &[],
        reach: |at| {
            at.hold("b", OpenOptions::new().read(true));
            at.feed("a");
            at.until_full(0);
        },
    },
    State {
        what: "waits for a child",
        guests: ["family2", "family3"],
        args: &["run", "sleep"],
        pipes: "-",
        options: &["--exec", "sleep=sleep 1000"],
        reach: |at| until("the command runs", || !natives_of(at.running.pid(), "sleep").is_empty()),
    },
    State {
        what: "polls sixteen pipes",
        guests: PROBES,
        args: &[
            "wait", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
        ],
        pipes: "r:a,r:b,r:c,r:d,r:e,r:f,r:g,r:h,r:i,r:j,r:k,r:l,r:m,r:n,r:o,r:p",
        options: &[],
        reach: |at| {
            at.hold("c", OpenOptions::new().write(true));
            at.until_it_waits(&["a", "p"]);
        },
    },
    State {
        what: "computes",
        guests: PROBES,
        args: &["spin"],
        pipes: "-",
        options: &[],
        reach: Place::until_busy,
    },
    State {
        what: "is in its start function",
        guests: ["start.wat", "start.wat"],
        args: &[],
        pipes: "-",
        options: &[],
        reach: Place::until_busy,
    },
    State {
        what: "is in a host call",
        guests: ["random.wat", "random.wat"],
        args: &[],
        pipes: "-",
        options: &[],
        reach: Place::until_busy,
    },
    State {
        what: "is compiled",
        guests: ["slow.wat", "slow.wat"],
        args: &[],
        pipes: "-",
        options: &["--no-cache"],
        reach: Place::until_busy,
    },
    State {
        what: "flushes to a stopped terminal",
        guests: ["plain", "plain"],
        args: &["lines", "1000000000"],
        pipes: "-",
        options: &[],
        reach: Place::stop_terminal,
    },
];

const COMPILED: usize = 10;
const FLUSHES: usize = 11;

/// The texts of the guests that no language makes.
fn text(name: &str) -> Option<&'static Path> {
    static TEXTS: OnceLock<Vec<(&'static str, PathBuf)>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| {
        let body = "(local.set 0 (i64.mul (local.get 0) (i64.add (local.get 0) (i64.const 3))))"
            .repeat(2000);
        let functions = format!("(func (param i64) (result i64) {body} local.get 0)").repeat(150);
        let start = "(module (func $loop (loop br 0)) (start $loop) (func (export \"_start\")))";
        // As much as is given at once, again and again: it is hardly ever outside of a call.
        let random = "(module
            (import \"wasi_snapshot_preview1\" \"random_get\"
                (func $random (param i32 i32) (result i32)))
            (memory (export \"memory\") 65)
            (func (export \"_start\")
                (loop (drop (call $random (i32.const 0) (i32.const 4194304))) (br 0))))";
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        [
            ("start.wat", start.to_owned()),
            ("random.wat", random.to_owned()),
            ("slow.wat", format!("(module {functions} (func (export \"_start\")))")),
        ]
        .map(|(name, text)| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            (name, path)
        })
        .into()
    });
    texts.iter().find(|(known, _)| *known == name).map(|(_, path)| path.as_path())
}

/// What stands for a guest on a command line.
fn file(name: &str) -> PathBuf {
    text(name).map_or_else(|| guest(name), Path::to_path_buf)
}

impl State {
    /// `pipehost run`, with the guest itself or with a parent that has it as its child.
    fn command(&self, round: usize, dir: &Dir, child: bool) -> Command {
        let name = self.guests[round % 2];
        let mut command = pipehost(["run"]);
        for pipe in self.pipes.split(',').filter_map(|pipe| pipe.split_once(':')) {
            let (direction, name) = pipe;
            command.args(fifo(name, &dir.path(name), &format!(",{direction}")));
        }
        command.args(self.options);
        match child {
            false => command.arg(file(name)).arg("--"),
            true => {
                let grant = format!("c={},spawn", file(name).display());
                command.args(["--child", &grant]).arg(guest("family2"));
                command.args(["--", "kill-when-told", "c", self.pipes])
            }
        };
        command.args(self.args);
        command
    }

    fn is_flushing(&self) -> bool {
        self.what == STATES[FLUSHES].what
    }

    /// Starts it, and gives it back once it is in its state.
    fn reached(&self, command: Command, dir: Dir) -> Place {
        self.reached_telling(command, dir, Stdio::piped())
    }

    fn reached_telling(&self, mut command: Command, dir: Dir, stderr: Stdio) -> Place {
        let mut terminal = None;
        command.stderr(stderr).stdout(Stdio::piped());
        if self.is_flushing() {
            let (master, slave) = pseudo_terminal();
            command.stdout(slave.try_clone().unwrap());
            terminal = Some((master, slave));
        }
        let running = Running::new(&mut command);
        let mut place = Place { running, dir, held: Vec::new(), terminal };
        (self.reach)(&mut place);
        place
    }
}

fn pseudo_terminal() -> (File, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap();
    (master.into(), slave)
}

impl Place {
    fn hold(&mut self, name: &str, how: &OpenOptions) {
        let path = self.dir.path(name);
        until("the FIFO is there", || path.exists());
        self.held.push(how.open(path).unwrap());
    }

    /// It has these open, and sleeps.
    fn until_it_waits(&mut self, names: &[&str]) {
        let paths: Vec<_> = names.iter().map(|name| self.dir.path(name)).collect();
        until("it waits", || paths.iter().all(|path| self.running.has_open(path)) && self.rests());
    }

    /// All of its threads sleep, at several looks.
    fn rests(&self) -> bool {
        (0..3).all(|_| {
            thread::sleep(Duration::from_millis(1));
            self.running.sleeps()
        })
    }

    /// The pipe that the test holds has no room, and whoever writes to it sleeps.
    fn until_full(&mut self, held: usize) {
        let pipe = &self.held[held];
        until("the pipe is full", || {
            rustix::io::ioctl_fionread(pipe).unwrap() >= 65536 && self.rests()
        });
    }

    /// Has the pipe `name` be full at all times, on a thread that ends with its reader.
    fn feed(&mut self, name: &str) {
        let path = self.dir.path(name);
        until("the FIFO is there", || path.exists());
        thread::spawn(move || {
            let Ok(mut pipe) = OpenOptions::new().write(true).open(path) else { return };
            while pipe.write_all(&[b'x'; 65536]).is_ok() {}
        });
    }

    /// It has had a processor for longer than a start takes, and still has.
    fn until_busy(&mut self) {
        until("it is busy", || {
            self.running.cpu_time() > Duration::from_millis(150) && !self.running.sleeps()
        });
    }

    /// Once something has come out, nothing more may.
    fn stop_terminal(&mut self) {
        let (master, slave) = self.terminal.as_mut().unwrap();
        master.read_exact(&mut [0]).unwrap();
        rustix::termios::tcflow(slave, Action::OOff).unwrap();
        // The terminal's own buffer is not large, and whoever is not in a write goes on computing.
        until("it waits", || self.rests());
    }
}

/// The processes called `name` that `pid` has started.
fn natives_of(pid: u32, name: &str) -> Vec<u32> {
    // Its own, and those of its monitor.
    let own = children_of(pid);
    let all = own.iter().flat_map(|pid| children_of(*pid)).chain(own.iter().copied());
    let is_called = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    all.filter(is_called).collect()
}

/// Whether a process has ended, though nobody may have reaped it.
fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

/// How long the rounds of one state took.
struct Times {
    what: &'static str,
    times: Vec<Duration>,
}

/// Prints the figures, and says which states were not ended in time.
fn judge(way: &str, all: Vec<Times>) {
    println!("| {way} | rounds | median ms | worst ms |\n|---|---|---|---|");
    let mut late = Vec::new();
    for Times { what, mut times } in all {
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("| {what} | {} | {:.1} | {:.1} |", times.len(), ms(median), ms(worst));
        if worst >= SOON {
            late.push(format!("{what}: {worst:?}"));
        }
    }
    assert!(late.is_empty(), "{way}: too late: {late:?}");
}

/// Does all rounds of all states that `which` picks.
fn measure(
    way: &str,
    which: impl Fn(usize) -> bool,
    mut round: impl FnMut(&State, usize) -> Duration,
) {
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(3 * 3600)));
    // What is compiled is in the cache from here on.
    for state in STATES.iter().filter(|state| state.what != STATES[COMPILED].what) {
        for name in state.guests {
            pipehost(["compile"]).arg(file(name)).end().expect(0);
        }
    }
    let states = STATES.iter().enumerate().filter(|(at, _)| which(*at));
    let times = states
        .map(|(_, state)| Times {
            what: state.what,
            times: (0..rounds()).map(|at| round(state, at)).collect(),
        })
        .collect();
    judge(way, times);
}

#[test]
fn blocked_states_end_at_the_time_limit() {
    measure(
        "by `--timeout`",
        |_| true,
        |state, round| {
            let mut limit = LIMIT;
            loop {
                let dir = Dir::new();
                let mut command = state.command(round, &dir, false);
                // Before the guest's own arguments.
                let mut args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
                let place = args.iter().position(|arg| arg == "run").unwrap() + 1;
                args.insert(place, format!("--timeout={}ms", limit.as_millis()).into());
                let envs: Vec<_> = command
                    .get_envs()
                    .filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned())))
                    .collect();
                command = Command::new("env");
                command.args(args).envs(envs).stdin(Stdio::null());
                let started = Instant::now();
                let place = state.reached(command, dir);
                let in_time = started.elapsed() < limit;
                let ended = place.running.end();
                let took = started.elapsed();
                // On a machine that is busy otherwise: that round says nothing.
                if !in_time && limit < Duration::from_secs(10) {
                    limit *= 2;
                    continue;
                }
                assert!(took >= limit, "{}: {took:?}", state.what);
                ended.expect_line(124, &["--timeout"]);
                return took - limit;
            }
        },
    );
}

#[test]
fn blocked_states_end_at_a_signal() {
    measure(
        "by SIGTERM",
        |_| true,
        |state, round| {
            let dir = Dir::new();
            let command = state.command(round, &dir, false);
            let place = state.reached(command, dir);
            let natives = natives_of(place.running.pid(), "sleep");
            let sent = Instant::now();
            place.running.signal("TERM");
            let ended = place.running.end();
            until("no command is left", || natives.iter().all(|pid| is_gone(*pid)));
            let took = sent.elapsed();
            ended.expect_line(143, &["signal 15"]);
            took
        },
    );
}

/// A child is compiled before its parent runs, so that one state has no parent.
#[test]
fn blocked_states_end_with_their_parents() {
    measure(
        "by the parent's `kill`, and its end",
        |at| at != COMPILED,
        |state, round| {
            let dir = Dir::new();
            let mut command = state.command(round, &dir, true);
            command.stdin(Stdio::piped());
            let says = dir.path("says");
            let stderr = File::create(&says).unwrap();
            let mut place = state.reached_telling(command, dir, stderr.into());
            let natives = natives_of(place.running.pid(), "sleep");
            let mut stdin = place.running.stdin();
            let told = Instant::now();
            stdin.write_all(b"k").unwrap();
            let killed = || fs::read_to_string(&says).unwrap().lines().any(|line| line == "killed");
            if state.is_flushing() {
                // The parent has heard of its child's end, and has come to its own. What both had handed
                // over stays until the terminal takes it, or is gone.
                until("the parent hears of it", killed);
                let took = told.elapsed();
                place.terminal = None;
                let ended = place.running.end();
                assert!(matches!(ended.code, Some(0 | 74)), "{ended:?}");
                return took;
            }
            let ended = place.running.end();
            until("no command is left", || natives.iter().all(|pid| is_gone(*pid)));
            let took = told.elapsed();
            assert!(killed(), "{ended:?}");
            ended.expect(0);
            took
        },
    );
}

/// Nothing can be tidied up then; native commands end all the same.
#[test]
fn no_native_command_outlives_a_killed_host() {
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(1200)));
    let child = ["--exec", "sleep=sleep 1000", "--", "run", "sleep"];
    let stages = ["pipe", "exec", "sleep", "1000", "!", "@cat", "!", "exec", "sleep", "2000"];
    type Make = Box<dyn Fn() -> Command>;
    let ways: [(&str, usize, Make); 3] = [
        ("a child of a 0.2 guest", 1, Box::new(move || run("family2", child))),
        ("a child of a 0.3 guest", 1, Box::new(move || run("family3", child))),
        ("stages", 2, Box::new(move || pipehost(stages))),
    ];
    let all = ways.map(|(what, count, make)| {
        let time = || {
            let running = make().start();
            let mut natives = Vec::new();
            until("they run", || {
                natives = natives_of(running.pid(), "sleep");
                natives.len() == count
            });
            let killed = Instant::now();
            running.signal("KILL");
            until("they are gone", || natives.iter().all(|pid| is_gone(*pid)));
            killed.elapsed()
        };
        Times { what, times: (0..rounds()).map(|_| time()).collect() }
    });
    judge("by SIGKILL to pipehost", all.into());
}
