//! Programs that tests run, on any system: how they end, and a watchdog for those that do not.

use std::io::Read;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a step of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an end at a limit or by a signal may take. On a machine that does nothing else
/// (`PIPEHOST_QUIET=1 cargo test`), the promised time; otherwise long enough to tell an end from
/// none.
pub const SOON: Duration = match option_env!("PIPEHOST_QUIET") {
    Some(_) => Duration::from_millis(250),
    None => Duration::from_secs(15),
};

/// Ends the whole test process if a test hangs. The last line then names that test.
pub struct Watchdog {
    _alive: mpsc::Sender<()>,
}

pub fn watchdog_after(limit: Duration) -> Watchdog {
    let (alive, dropped) = mpsc::channel();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("watchdog: {test} hangs");
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}

/// Waits until `condition` is true, for as long as a step may take.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Tries again until there is a result, for as long as a step may take.
#[track_caller]
pub fn until_some<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How a process ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    #[cfg(unix)]
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Expects this status, and one line of pipehost's on stderr that contains all of `parts`.
    #[track_caller]
    pub fn expect_line(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let ours: Vec<_> =
            self.stderr.lines().filter(|line| line.starts_with("pipehost: ")).collect();
        assert_eq!(ours.len(), 1, "one line says why: {self:#?}");
        for part in parts {
            assert!(ours[0].contains(part), "{part:?} is in the line: {self:#?}");
        }
        self
    }
}

/// A process that is killed when the test is over, however the test ends.
pub struct Running {
    child: Child,
    collectors: Vec<(bool, JoinHandle<String>)>,
}

pub trait Start {
    /// Starts the command. A thread for each stream collects its output, unless it was redirected
    /// before.
    fn start(&mut self) -> Running;
    /// Runs the command to its end.
    fn end(&mut self) -> Ended;
}

impl Start for Command {
    fn start(&mut self) -> Running {
        Running::new(self.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    fn end(&mut self) -> Ended {
        self.start().end()
    }
}

impl Running {
    /// Starts the command with its streams as they are set.
    pub fn new(command: &mut Command) -> Self {
        Self::of(command.spawn().unwrap())
    }

    /// Takes what was started.
    pub fn of(mut child: Child) -> Self {
        let mut collectors = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            collectors.push((true, collect(stdout)));
        }
        if let Some(stderr) = child.stderr.take() {
            collectors.push((false, collect(stderr)));
        }
        Self { child, collectors }
    }

    /// Starts the command with a pipe as its input.
    pub fn fed(command: &mut Command) -> (Self, ChildStdin) {
        let mut running = command.stdin(Stdio::piped()).start();
        let stdin = running.stdin();
        (running, stdin)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn end(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        for (is_stdout, collector) in self.collectors.drain(..) {
            let text = collector.join().unwrap();
            if is_stdout { stdout = text } else { stderr = text }
        }
        Ended {
            code: status.code(),
            #[cfg(unix)]
            signal: std::os::unix::process::ExitStatusExt::signal(&status),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects text. Programs for Windows may end a line with two bytes.
fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        if cfg!(windows) { text.replace("\r\n", "\n") } else { text.into_owned() }
    })
}
