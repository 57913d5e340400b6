//! Row 42 of docs/reliability.md: as many runs as a host of an embedder's makes in its life, in one
//! process, through the library. Whatever a run had is there again.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipehost::children::{Children, Program};
use pipehost::{Engine, Fifo, FifoOptions, Grant, Guest, Outcome, Pipes, Setup, pipes};

use crate::support::*;
use crate::{alone, form, status_bytes};

/// Says to this very test, started anew, how many runs it is to make.
const COUNT: &str = "PIPEHOST_TEST_RUNS";

/// How much more may be resident after all of them.
const GROWTH: u64 = 2 << 20;

#[test]
fn row_42_a_hundred_thousand_runs_in_one_process() {
    if let Ok(count) = std::env::var(COUNT) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(make_runs(count.parse().unwrap()));
    }
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(2 * 3600)));
    // A process of its own: other tests have descriptors and threads, too.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "runs::row_42_a_hundred_thousand_runs_in_one_process"]);
    command.args(["--nocapture", "--test-threads", "1"]).stdin(Stdio::null());
    command.env(COUNT, form("2000", "100000"));
    let ended = command.end().expect(0);
    // The harness begins the line.
    let line = ended.stdout.lines().find_map(|line| line.split_once("row 42: "));
    let (_, line) = line.unwrap_or_else(|| panic!("{ended:?}"));
    println!("row 42: {line}");
}

/// What this process has.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    resident: u64,
}

impl Holdings {
    fn now() -> Self {
        let count = |folder: &str| fs::read_dir(folder).unwrap().count();
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            resident: status_bytes(std::process::id(), "VmRSS").unwrap(),
        }
    }
}

async fn make_runs(count: usize) {
    let runs = Runs::new();
    let warm_up = count / 10;
    let started = Instant::now();
    let mut before = None;
    for at in 0..count {
        if at == warm_up {
            before = Some(runs.at_rest().await);
        }
        runs.make(at).await;
    }
    let (before, after) = (before.unwrap(), runs.at_rest().await);
    println!(
        "row 42: {count} runs in one process, {:.1} s; {before:?} after {warm_up}, {after:?} after all",
        started.elapsed().as_secs_f64()
    );
    assert_eq!(before.descriptors, after.descriptors);
    assert_eq!(before.threads, after.threads);
    assert!(after.resident <= before.resident + GROWTH, "{before:?} {after:?}");
    assert!(runs.dir.is_empty(), "no FIFO is left");
}

/// What runs are made of.
struct Runs {
    engine: Engine,
    probe2: Guest,
    probe3: Guest,
    module: Guest,
    family: Guest,
    dir: Dir,
}

impl Runs {
    fn new() -> Self {
        let engine = Engine::new().unwrap();
        let load = |name| Guest::from_file(&engine, &guest(name)).unwrap();
        Self {
            probe2: load("probe2"),
            probe3: load("probe3"),
            module: Guest::from_bytes(&engine, COPY_MODULE.as_bytes()).unwrap(),
            family: load("family2"),
            dir: Dir::new(),
            engine,
        }
    }

    /// Once the threads that are on their way out have gone.
    async fn at_rest(&self) -> Holdings {
        let mut last = Holdings::now();
        let mut same = 0;
        while same < 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = Holdings::now();
            let still = now.threads == last.threads && now.descriptors == last.descriptors;
            same = if still { same + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// One run, of eight kinds in turn.
    async fn make(&self, at: usize) {
        let message = format!("message {at}");
        match at % 8 {
            0 => self.relay(&self.probe2, "copy", &message).await,
            1 => self.relay(&self.probe3, "forward", &message).await,
            2 => self.standard(&message).await,
            3 => {
                let setup = setup(vec![], &["trap"], None, None);
                let ended = setup.run(&self.engine, &self.probe2).await.unwrap();
                assert!(matches!(ended, Outcome::Trapped(_)), "{ended:?}");
            }
            4 => self.called_off(&self.probe3, "drain").await,
            5 => self.called_off(&self.probe2, "flood").await,
            6 => {
                let setup = setup(vec![], &["many", "50"], None, None);
                let ended = setup.run(&self.engine, &self.probe3).await.unwrap();
                assert!(matches!(ended, Outcome::Exited(0)), "{ended:?}");
            }
            _ => self.parent(at).await,
        }
    }

    fn fifo(&self, name: &str) -> (Grant, std::path::PathBuf) {
        let path = self.dir.path(name);
        let fifo = Fifo::prepare(&path, FifoOptions::default()).unwrap();
        (Grant::fifo(name.parse().unwrap(), Arc::new(fifo)), path)
    }

    /// From FIFO to FIFO.
    async fn relay(&self, guest: &Guest, way: &str, message: &str) {
        let ((from, a), (to, b)) = (self.fifo("in"), self.fifo("out"));
        let open = |path: &Path| fs::File::options().read(true).write(true).open(path).unwrap();
        let (mut feeder, mut drain) = (open(&a), open(&b));
        feeder.write_all(message.as_bytes()).unwrap();
        let setup = setup(vec![from, to], &[way, "in", "out"], None, None);
        let close = async {
            while rustix::io::ioctl_fionread(&feeder).unwrap() > 0 {
                tokio::task::yield_now().await;
            }
            drop(feeder);
        };
        let (ended, ()) = tokio::join!(setup.run(&self.engine, guest), close);
        assert!(matches!(ended, Ok(Outcome::Exited(0))), "{way}: {ended:?}");
        let mut seen = vec![0; message.len()];
        drain.read_exact(&mut seen).unwrap();
        assert_eq!(seen, message.as_bytes());
    }

    /// From stdin to stdout, by a module of WASI 0.1.
    async fn standard(&self, message: &str) {
        let (stdin, mut feeder) = os_pipe::pipe().unwrap();
        let (mut drain, stdout) = os_pipe::pipe().unwrap();
        feeder.write_all(message.as_bytes()).unwrap();
        drop(feeder);
        let setup = setup(vec![], &[], Some(stdin.into()), Some(stdout.into()));
        let ended = setup.run(&self.engine, &self.module).await.unwrap();
        assert!(matches!(ended, Outcome::Exited(0)), "{ended:?}");
        let mut seen = String::new();
        drain.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, message);
    }

    /// Dropped while it waits for a peer that never comes.
    async fn called_off(&self, guest: &Guest, what: &str) {
        let (grant, _) = self.fifo("x");
        let setup = setup(vec![grant], &[what, "x"], None, None);
        let turns = async {
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            ended = setup.run(&self.engine, guest) => panic!("it waits for ever: {ended:?}"),
            () = turns => {}
        }
    }

    /// With a child: a guest, and now and then a native command.
    async fn parent(&self, at: usize) {
        let program = match at % 64 {
            7 => Program::Native { program: "true".into(), args: vec![] },
            _ => Program::Guest {
                guest: self.probe2.clone(),
                program: "child".into(),
                spawn: false,
                max_memory: None,
                timeout: None,
            },
        };
        let mut setup = setup(vec![], &["run", "c", "list"], None, None);
        setup.children(Children::new(vec![("c".parse().unwrap(), program)]));
        let ended = setup.run(&self.engine, &self.family).await.unwrap();
        assert!(matches!(ended, Outcome::Exited(0)), "{ended:?}");
    }
}

/// A guest with these grants and arguments, and with /dev/null where no stream is given.
fn setup(
    grants: Vec<Grant>,
    args: &[&str],
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
) -> Setup {
    let mut builder = Pipes::builder();
    for grant in grants {
        builder = builder.grant(grant).unwrap();
    }
    let pipes = builder.build();
    let or_null = |fd: Option<OwnedFd>| fd.unwrap_or_else(|| pipes::null().unwrap());
    let setup = Setup::between(pipes, or_null(stdin), or_null(stdout), or_null(None));
    let mut setup = setup.unwrap();
    setup.wasi().arg("guest").args(args);
    setup
}
