//! Runs the interpreting guests in this process, and compares their reports with the model. The
//! tests and the fuzz target `calls` share this.
#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "several test files use it, each a part; and a test fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipehost::pipes::{ErrorCode, Read, Reader, Writer};
use pipehost::{
    Engine, Fifo, FifoOptions, Grant, Guest, GuestLimits, Outcome, Pipes, Setup, Stdio,
};
use pipehost_test_calls::{Model, Version};
use tokio::runtime::Runtime;

/// The most pipes that a guest may have: few enough that a program reaches it.
const MAX_PIPES: usize = 7;

/// Longer than any program takes. A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// The two guests, compiled once.
pub struct Caller {
    engine: Engine,
    guests: [Guest; 2],
    fifo: Arc<Fifo>,
    runtime: Runtime,
    counts: bool,
}

/// The result of a run in which nothing was wrong.
#[derive(Debug)]
pub struct Told {
    /// What the guest reported.
    pub report: Vec<u8>,
    /// How many bytes came out of pipes.
    pub received: u64,
}

impl Caller {
    /// Compiles the two guests. `folder` is where the FIFO is made; `guest` returns the path of a
    /// guest.
    pub fn new(folder: &Path, guest: impl Fn(&str) -> std::path::PathBuf) -> Self {
        let engine = Engine::new().unwrap();
        let guests = ["calls2", "calls3"]
            .map(|name| Guest::from_file(&engine, &guest(name)).expect("the guest compiles"));
        let fifo = Fifo::prepare(&folder.join("fifo"), FifoOptions::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { engine, guests, fifo: Arc::new(fifo), runtime, counts: true }
    }

    /// Turns off the search for leaked descriptors: other threads of this process open and close
    /// some.
    pub fn without_counting(self) -> Self {
        Self { counts: false, ..self }
    }

    /// Runs the guest, which makes the calls, and checks its report against what pipes do.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn check(&self, version: Version, program: &[u8]) -> Result<Told, String> {
        if program.len() < 4 {
            // No call, and so no word of one.
            return Ok(Told { report: Vec::new(), received: 0 });
        }
        let before = descriptors();
        let report = self.runtime.block_on(async {
            let run = self.run(version, program);
            tokio::time::timeout(PATIENCE, run).await.unwrap_or(Err("it hangs".into()))
        })?;
        // What the host does after the run has ended is over, too, when this returns; but a thread that was
        // taken out of open(2) may have had no processor yet.
        let mut after = descriptors();
        let asked = Instant::now();
        while self.counts && before != after && asked.elapsed() < PATIENCE {
            std::thread::yield_now();
            after = descriptors();
        }
        if self.counts && before != after {
            return Err(format!("open before: {before:?}, and now: {after:?}"));
        }
        let mut model = Model::new(version, MAX_PIPES);
        model.check(program, &report)?;
        Ok(Told { report, received: model.received })
    }

    async fn run(&self, version: Version, program: &[u8]) -> Result<Vec<u8>, String> {
        let mut limits = GuestLimits::default();
        limits.max_pipes = Some(MAX_PIPES);
        let mut pipes = Pipes::builder().limits(limits);
        let mut leases = Vec::new();
        for name in ["a", "b"] {
            let pair = pipehost::pipes::pipe_pair(None).unwrap();
            leases.push(pair.lease);
            let (reader, writer) = (Some(pair.reader), Some(pair.writer));
            pipes = pipes.grant(Grant::joined(name.parse().unwrap(), reader, writer)).unwrap();
        }
        let fifo = Grant::fifo("fifo".parse().unwrap(), Arc::clone(&self.fifo));
        let pipes = pipes.grant(fifo).unwrap().build();

        let ours = Pipes::builder().build();
        let ((stdin, mut to_stdin), (mut report, stdout), (mut complaints, stderr)) =
            (ours.create().unwrap(), ours.create().unwrap(), ours.create().unwrap());
        write(&mut to_stdin, program);
        drop(to_stdin);
        let setup = Setup::new(pipes, Stdio::new(stdin, stdout, stderr));
        let guest = match version {
            Version::V0_2 => &self.guests[0],
            Version::V0_3 => &self.guests[1],
        };
        let outcome = setup.run(&self.engine, guest).await;
        let complaints = rest(&mut complaints).await;
        match outcome {
            Ok(Outcome::Exited(0)) => {}
            // It left something behind for a reader that it had dropped itself.
            Ok(Outcome::Failed { fault, .. }) if fault.code == ErrorCode::BrokenPipe => {}
            outcome => {
                let complaints = String::from_utf8_lossy(&complaints);
                return Err(format!("{outcome:?}: {complaints}"));
            }
        }
        Ok(rest(&mut report).await)
    }
}

fn write(writer: &mut Writer, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(4 * pipehost_test_calls::program::MOST_CALLS)];
    if !bytes.is_empty() {
        assert_eq!(writer.try_write(bytes), Ok(Some(bytes.len())), "there is room for a program");
    }
}

async fn rest(reader: &mut Reader) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match reader.try_read_onto(&mut bytes, 1 << 16).unwrap() {
            Read::Bytes(_) => {}
            Read::Wait => reader.ready().await,
            Read::End => return bytes,
        }
    }
}

/// Returns the numbers of this process's open descriptors, and the kinds of their files.
pub fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let target = |entry: std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        // Which pipe it is may change.
        target.split(":[").next().unwrap_or_default().to_owned()
    };
    // The engine keeps an image of a guest's memory from its first run on.
    let is_ours = |target: &String| !target.contains("wasm-memory-image");
    let mut all: Vec<_> = entries.map(target).filter(is_ours).collect();
    all.sort();
    all
}
