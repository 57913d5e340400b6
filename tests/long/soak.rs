//! Much, for long: every byte compared, and the memory looked at all along.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::pattern::Pattern;
use crate::support::*;
use crate::{Resident, alone, form, graph, long};

const GIB: f64 = (1u64 << 30) as f64;

/// How much may be resident more than at first.
const GROWTH: u64 = 1 << 20;

/// 100 GiB each through a guest that copies, of either version, and one that hands on unread; in the
/// short form 1 GiB each.
#[test]
fn no_byte_is_lost_and_memory_stays_flat() {
    let _alone = alone();
    let _dog = watchdog_after(form(Duration::from_secs(300), Duration::from_secs(4 * 3600)));
    let total = form(1u64, 100) << 30;
    let ways = [("probe2", "copy"), ("probe3", "copy"), ("probe3", "forward")];
    let lines = ways.map(|(probe, way)| {
        let (resident, took) = pass(probe, way, total);
        println!(
            "soak: {} GiB through {probe} {way} in {:.1} s, {:.2} GB/s; {resident}",
            total >> 30,
            took.as_secs_f64(),
            total as f64 / took.as_secs_f64() / 1e9
        );
        assert!(resident.growth() <= GROWTH, "{probe} {way}: {resident}");
        (resident, format!("{probe} {way}"))
    });
    let lines: Vec<_> = lines.iter().map(|(it, name)| (name.as_str(), it.clone())).collect();
    graph::draw(&picture(), &lines);
}

fn picture() -> PathBuf {
    match long() {
        true => Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/memory.svg"),
        false => Path::new(env!("CARGO_TARGET_TMPDIR")).join("memory.svg"),
    }
}

/// Has `total` bytes pass, and looks every so many at what is resident.
fn pass(probe: &str, way: &str, total: u64) -> (Resident, Duration) {
    let dir = Dir::new();
    let (a, b) = (dir.fifo("a"), dir.fifo("b"));
    let grants = [fifo("in", &a, ",r"), fifo("out", &b, ",w")].concat();
    let mut running = run(probe, grants).args(["--", way, "in", "out"]).start();
    let pattern = Arc::new(Pattern::new());
    let started = Instant::now();
    let writer = {
        let pattern = Arc::clone(&pattern);
        thread::spawn(move || {
            pattern.write(&mut File::options().write(true).open(a).unwrap(), total)
        })
    };
    let so_far = Arc::new(AtomicU64::new(0));
    let checker = {
        let so_far = Arc::clone(&so_far);
        thread::spawn(move || pattern.check(&mut File::open(b).unwrap(), &so_far))
    };
    // By the first of 16 parts of a GiB all code has been used for once.
    let step = (total / 400).max(1 << 26);
    let (mut resident, mut next) = (Resident::default(), 1 << 26);
    while !running.is_over() {
        let passed = so_far.load(Ordering::Relaxed);
        if passed >= next && passed < total {
            resident.look(running.pid(), passed as f64 / GIB);
            next = passed + step;
        }
        thread::sleep(Duration::from_millis(2));
    }
    running.end().expect(0);
    assert_eq!(writer.join().unwrap(), total);
    assert_eq!(checker.join().unwrap(), total);
    assert!(resident.0.len() >= 5, "it was looked at: {resident:?}");
    (resident, started.elapsed())
}
