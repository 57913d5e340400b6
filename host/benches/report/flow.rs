//! Bytes through a program: they go in at its stdin and must come out of its stdout.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};

use crate::figures::{Cpu, Figure};
use crate::source::{Material, Source};

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
    pub source: Source,
    pub pipes: Pipes,
    pub peers: Peers,
    pub time: Duration,
    pub upper: bool,
}

impl Flow {
    pub(crate) fn new(pipes: Pipes, time: Duration) -> Self {
        Self { source: Source::Pattern, pipes, peers: Peers::Light, time, upper: false }
    }

    pub(crate) fn of(self, source: Source) -> Self {
        Self { source, ..self }
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

    /// Bytes per second: from the first byte that came out to the last, and of processor time, of which
    /// the program's start is a part.
    ///
    /// # Panics
    /// Where the program fails, or another byte comes than should.
    pub(crate) fn rate(self, command: &mut Command) -> Figure {
        let (their_in, our_out) = os_pipe::pipe().unwrap();
        let (our_in, their_out) = os_pipe::pipe().unwrap();
        if self.pipes == Pipes::Large {
            fcntl_setpipe_size(&our_out, LARGE).unwrap();
            fcntl_setpipe_size(&our_in, LARGE).unwrap();
        }
        let material = self.source.material();
        let expected = self.upper.then(|| material.bytes.to_ascii_uppercase());
        let expected = expected.as_ref().unwrap_or(&material.bytes);
        let before = Cpu::now();
        command.stdin(their_in).stdout(their_out).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It holds our copies of its ends.
        command.stdin(Stdio::null()).stdout(Stdio::null());

        let enough = AtomicBool::new(false);
        let (sent, meter) = thread::scope(|scope| {
            let producer = scope.spawn(|| match self.peers {
                Peers::Plain => write_blocks(our_out, material, &enough),
                Peers::Light | Peers::ZeroCopy => splice_file(our_out, material, &enough),
            });
            let meter = Meter::new(self.time, &enough);
            let meter = match self.peers {
                Peers::Plain | Peers::Light => compare(our_in, expected, material.period, meter),
                Peers::ZeroCopy => count(&our_in, meter),
            };
            (producer.join().unwrap(), meter)
        });
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{command:?}: {status}: {said}");
        assert_eq!(sent, meter.bytes, "{command:?} lost bytes");
        Figure { value: meter.rate(), per_cpu: Some(before.since(meter.bytes)) }
    }
}

/// How many bytes to send next, after so many: `most`, or when it is enough, those that the last unit lacks.
fn next(most: usize, sent: u64, material: &Material, enough: &AtomicBool) -> Option<usize> {
    if !enough.load(Ordering::Relaxed) {
        return Some(most);
    }
    match (sent % material.unit as u64) as usize {
        0 => None,
        begun => Some(material.unit - begun),
    }
}

fn write_blocks(mut out: os_pipe::PipeWriter, material: &Material, enough: &AtomicBool) -> u64 {
    let mut sent = 0;
    while let Some(most) = next(BLOCK, sent, material, enough) {
        let start = (sent % material.period as u64) as usize;
        match out.write(&material.bytes[start..start + most]) {
            Ok(n) => sent += n as u64,
            // The program's own status says why.
            Err(_) => break,
        }
    }
    sent
}

fn splice_file(out: os_pipe::PipeWriter, material: &Material, enough: &AtomicBool) -> u64 {
    let mut sent = 0;
    while let Some(most) = next(LARGE, sent, material, enough) {
        let mut at = sent % material.file_length;
        let most = most.min((material.file_length - at) as usize);
        match splice(&material.file, Some(&mut at), &out, None, most, SpliceFlags::empty()) {
            Ok(n) => sent += n as u64,
            Err(_) => break,
        }
    }
    sent
}

fn compare<'a>(
    mut input: os_pipe::PipeReader,
    expected: &[u8],
    period: usize,
    mut meter: Meter<'a>,
) -> Meter<'a> {
    let mut buf = vec![0; BLOCK];
    loop {
        let start = (meter.bytes % period as u64) as usize;
        let n = input.read(&mut buf).unwrap();
        if n == 0 {
            return meter;
        }
        let after = meter.bytes;
        assert!(
            buf[..n] == expected[start..start + n],
            "another byte than was sent, after {after}"
        );
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
