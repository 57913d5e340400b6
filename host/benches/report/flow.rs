//! Bytes through a program: a pattern goes in at its stdin and must come out of its stdout.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};

/// After so many bytes the pattern begins anew. A prime, so that no whole block of bytes can be lost
/// or come twice unnoticed.
const PERIOD: usize = 65_521;

/// How much is written and read at once: what cat(1) does.
pub(crate) const BLOCK: usize = 128 * 1024;

/// The capacity of the pipes on both sides of the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipes {
    /// What the kernel gives unasked, and shells pass on.
    Default,
    Large,
}

pub(crate) const LARGE: usize = 1024 * 1024;

/// What the other programs in the pipeline do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peers {
    /// read(2) and write(2), and compare each byte.
    Plain,
    /// splice(2) out of a file in memory; read(2), and compare each byte. What is measured has more to
    /// do than they have, so that it is what is measured.
    Light,
    /// splice(2) out of a file in memory and into /dev/null, and count.
    ZeroCopy,
}

#[derive(Clone, Copy)]
pub(crate) struct Flow {
    pub pipes: Pipes,
    pub peers: Peers,
    pub time: Duration,
    pub upper: bool,
}

impl Flow {
    pub(crate) fn new(pipes: Pipes, time: Duration) -> Self {
        Self { pipes, peers: Peers::Light, time, upper: false }
    }

    pub(crate) fn plain(self) -> Self {
        Self { peers: Peers::Plain, ..self }
    }

    pub(crate) fn zero_copy(self) -> Self {
        Self { peers: Peers::ZeroCopy, ..self }
    }

    /// The program makes letters upper-case.
    pub(crate) fn upper(self) -> Self {
        Self { upper: true, ..self }
    }

    /// Bytes per second from the first byte that came out to the last.
    ///
    /// # Panics
    /// Where the program fails, or another byte comes than should.
    pub(crate) fn rate(self, command: &mut Command) -> f64 {
        let (their_in, our_out) = os_pipe::pipe().unwrap();
        let (our_in, their_out) = os_pipe::pipe().unwrap();
        if self.pipes == Pipes::Large {
            fcntl_setpipe_size(&our_out, LARGE).unwrap();
            fcntl_setpipe_size(&our_in, LARGE).unwrap();
        }
        command.stdin(their_in).stdout(their_out).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It holds our copies of its ends.
        command.stdin(Stdio::null()).stdout(Stdio::null());

        let enough = AtomicBool::new(false);
        let (sent, meter) = thread::scope(|scope| {
            let producer = scope.spawn(|| match self.peers {
                Peers::Plain => write_pattern(our_out, &enough),
                Peers::Light | Peers::ZeroCopy => splice_pattern(our_out, &enough),
            });
            let meter = Meter::new(self.time, &enough);
            let meter = match self.peers {
                Peers::Plain | Peers::Light => {
                    compare(our_in, if self.upper { upper() } else { pattern() }, meter)
                }
                Peers::ZeroCopy => count(&our_in, meter),
            };
            (producer.join().unwrap(), meter)
        });
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{command:?}: {status}: {said}");
        assert_eq!(sent, meter.bytes, "{command:?} lost bytes");
        meter.rate()
    }
}

/// The pattern, long enough for a block from anywhere within the first period.
fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut bytes: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        bytes.extend_from_within(..);
        bytes.extend_from_within(..BLOCK - PERIOD);
        bytes
    })
}

fn upper() -> &'static [u8] {
    static UPPER: OnceLock<Vec<u8>> = OnceLock::new();
    UPPER.get_or_init(|| pattern().to_ascii_uppercase())
}

fn write_pattern(mut out: os_pipe::PipeWriter, enough: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !enough.load(Ordering::Relaxed) {
        let start = (sent % PERIOD as u64) as usize;
        match out.write(&pattern()[start..start + BLOCK]) {
            Ok(n) => sent += n as u64,
            // The program's own status says why.
            Err(_) => break,
        }
    }
    sent
}

fn splice_pattern(out: os_pipe::PipeWriter, enough: &AtomicBool) -> u64 {
    /// So many periods that one call seldom meets the end of the file.
    const PERIODS: usize = 64;
    static FILE: OnceLock<File> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let mut file = File::from(memfd_create("pattern", MemfdFlags::CLOEXEC).unwrap());
        for _ in 0..PERIODS {
            file.write_all(&pattern()[..PERIOD]).unwrap();
        }
        file
    });
    let length = (PERIODS * PERIOD) as u64;
    let mut sent = 0;
    while !enough.load(Ordering::Relaxed) {
        let mut at = sent % length;
        let most = LARGE.min((length - at) as usize);
        match splice(file, Some(&mut at), &out, None, most, SpliceFlags::empty()) {
            Ok(n) => sent += n as u64,
            Err(_) => break,
        }
    }
    sent
}

fn compare<'a>(mut input: os_pipe::PipeReader, pattern: &[u8], mut meter: Meter<'a>) -> Meter<'a> {
    let mut buf = vec![0; BLOCK];
    loop {
        let start = (meter.bytes % PERIOD as u64) as usize;
        let n = input.read(&mut buf).unwrap();
        if n == 0 {
            return meter;
        }
        let after = meter.bytes;
        assert!(buf[..n] == pattern[start..start + n], "another byte than was sent, after {after}");
        meter.add(n);
    }
}

fn count<'a>(input: &os_pipe::PipeReader, mut meter: Meter<'a>) -> Meter<'a> {
    let null = File::options().write(true).open("/dev/null").unwrap();
    loop {
        match splice(input, None, &null, None, LARGE, SpliceFlags::empty()).unwrap() {
            0 => return meter,
            n => meter.add(n),
        }
    }
}

/// Counts what arrives, and says when it has been enough.
struct Meter<'a> {
    bytes: u64,
    /// When the first bytes arrived, and how many they were: their time is the program's start.
    first: Option<(Instant, u64)>,
    last: Instant,
    time: Duration,
    enough: &'a AtomicBool,
}

impl<'a> Meter<'a> {
    fn new(time: Duration, enough: &'a AtomicBool) -> Self {
        Self { bytes: 0, first: None, last: Instant::now(), time, enough }
    }

    fn add(&mut self, n: usize) {
        self.bytes += n as u64;
        self.last = Instant::now();
        let (first, _) = *self.first.get_or_insert((self.last, n as u64));
        if self.last - first >= self.time {
            self.enough.store(true, Ordering::Relaxed);
        }
    }

    fn rate(&self) -> f64 {
        let (first, not_counted) = self.first.unwrap();
        (self.bytes - not_counted) as f64 / (self.last - first).as_secs_f64()
    }
}
