//! Row 24 of docs/reliability.md: two processes swap the file at a FIFO's path all the time, while
//! the FIFO is prepared, opened and removed.
//!
//! `PIPEHOST_RACE_TRIES` says how often that is tried. As root, one of the two processes is another
//! user's.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pipehost::pipes::{Direction, FifoError};
use pipehost::{Fifo, FifoOptions};
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags};
use support::*;

/// How many tries there are by default: some seconds.
const TRIES: u64 = 10_000;

/// Set for a process that swaps: the folder in which it works.
const SWAPPER: &str = "PIPEHOST_TEST_SWAPS_IN";

/// How many files each of the two has: regular files, links and FIFOs in turn.
const THINGS: usize = 12;

/// The mode of the swappers' FIFOs. FIFOs that pipehost makes have 0600.
const THEIRS: u32 = 0o640;

/// Runs one of the two processes. It puts its files at the path, takes away what is there, and
/// exchanges the two, until it is told to stop. It never destroys a file that pipehost has not
/// made. It has all of its own files open, so that if one has no name any more, pipehost has
/// removed it.
///
/// Not a test of its own: [`row_24_swapped_between_check_and_use`] starts it.
#[test]
fn a_swapper() {
    let Some(folder) = std::env::var_os(SWAPPER).map(PathBuf::from) else { return };
    let _dog = watchdog_after(Duration::from_secs(3000));
    let path = folder.join("x");
    let names: Vec<_> =
        (0..THINGS).map(|at| folder.join(format!("{}-{at}", std::process::id()))).collect();
    let things: Vec<OwnedFd> = names.iter().enumerate().map(|(at, name)| thing(name, at)).collect();
    let move_to = |from: &Path, to: &Path, flags| {
        rustix::fs::renameat_with(CWD, from, CWD, to, flags).is_ok()
    };
    let (mut turn, mut chance) = (0, u64::from(std::process::id()));
    while !folder.join("stop").exists() {
        for own in &names {
            turn += 1;
            // By chance, or each would always do the same with the same thing.
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match chance >> 33 & 3 {
                0 | 1 => drop(move_to(own, &path, RenameFlags::NOREPLACE)),
                2 => {
                    move_to(&path, own, RenameFlags::NOREPLACE);
                    // Nothing is there for a while: shorter or longer than it takes to make something.
                    for _ in 0..chance >> 40 & 4095 {
                        std::hint::spin_loop();
                    }
                }
                _ => drop(move_to(own, &path, RenameFlags::EXCHANGE)),
            }
            // One of pipehost's may have come along.
            if fs::symlink_metadata(own).is_ok_and(|it| {
                it.file_type().is_fifo() && it.permissions().mode() & 0o777 == 0o600
            }) {
                fs::remove_file(own).unwrap();
            }
        }
    }
    let gone = things.iter().filter(|it| rustix::fs::fstat(it).unwrap().st_nlink != 1);
    assert_eq!(gone.count(), 0, "things of a swapper's were removed");
    println!("{turn} swaps");
}

/// Makes a file, a link or a FIFO, and opens it.
fn thing(name: &Path, at: usize) -> OwnedFd {
    match at % 3 {
        0 => fs::write(name, "precious").unwrap(),
        1 => symlink("target", name).unwrap(),
        _ => {
            let mode = Mode::from_raw_mode(THEIRS);
            rustix::fs::mknodat(CWD, name, FileType::Fifo, mode, 0).unwrap();
        }
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, name, flags, Mode::empty()).unwrap()
}

/// How often each result occurred.
#[derive(Debug, Default)]
struct Counts {
    /// Another file was there, or the FIFO was there and gone again.
    refused: u64,
    /// The FIFO was a swapper's that runs as the same user.
    found: u64,
    /// The FIFO was made by pipehost, and is gone at the end.
    removed: u64,
    /// The FIFO was pipehost's, and a swapper has taken it away in between.
    taken: u64,
}

#[tokio::test]
async fn row_24_swapped_between_check_and_use() {
    let tries = std::env::var("PIPEHOST_RACE_TRIES").map_or(TRIES, |tries| tries.parse().unwrap());
    let _dog = watchdog_after(Duration::from_secs(3000));
    let dir = Dir::new();
    let folder = dir.path("shared");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    // As /tmp is: what is somebody else's, nobody but root renames or removes there.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
    // Where the links lead: nobody may ever open it.
    let target = folder.join("target");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, &target, FileType::Fifo, mode, 0).unwrap();
    let target = fs::metadata(&target).unwrap().ino();
    // This program is where only root may look.
    let program = dir.path("swapper");
    copy_program(std::env::current_exe().unwrap(), &program);
    let swapper = |other: bool| {
        let mut command = Command::new(if other { "setpriv" } else { "env" });
        if other {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.arg(&program).args(["--exact", "a_swapper", "--nocapture"]);
        command.env(SWAPPER, &folder).start()
    };
    let swappers = [swapper(false), swapper(rustix::process::geteuid().is_root())];
    until("both swap", || fs::read_dir(&folder).unwrap().count() > 2 * THINGS);

    let mut counts = Counts::default();
    let mut tried = 0;
    // On a busy machine, the two may leave it nothing for a while.
    while tried < tries
        || [counts.refused, counts.found, counts.removed].contains(&0) && tried < 200 * tries
    {
        tried += 1;
        let (path, options) = (folder.join("x"), FifoOptions::default());
        // As the command line has it, with locks, and as a library may.
        let prepared = match tried % 2 {
            0 => Fifo::prepare(&path, options),
            _ => Fifo::prepare_alone(&path, options, &[Direction::Read, Direction::Write]),
        };
        match prepared {
            Ok(fifo) => one_try(&fifo, target, &mut counts),
            Err(FifoError::NotAFifo { .. } | FifoError::NotOurs { .. } | FifoError::Io { .. }) => {
                counts.refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    fs::write(folder.join("stop"), "").unwrap();
    for swapper in swappers {
        let ended = swapper.end().expect(0);
        println!("{}", ended.stdout.lines().find(|line| line.contains("swaps")).unwrap());
    }
    let displaced = fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(".pipehost-"));
    println!("{tried} tries: {counts:?}; displaced: {}", displaced.count());
    let Counts { refused, found, removed, taken } = counts;
    assert_eq!(refused + found + removed + taken, tried);
    assert!([refused, found, removed].iter().all(|n| *n > 0), "there was no race");
}

/// Opens the FIFO both ways and removes it. Both ends must be of one file, the one that was
/// checked.
fn one_try(fifo: &Fifo, target: u64, counts: &mut Counts) {
    let reader = fifo.open_reader().unwrap();
    let writer = fifo.open_writer().unwrap().expect("there is a reader");
    let (stat, written) =
        (rustix::fs::fstat(&reader).unwrap(), rustix::fs::fstat(&writer).unwrap());
    assert_eq!((stat.st_dev, stat.st_ino), (written.st_dev, written.st_ino));
    assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo);
    assert_eq!(stat.st_uid, rustix::process::geteuid().as_raw());
    assert_ne!(stat.st_ino, target, "a link was followed");
    assert_eq!(writer.write(b"ours").unwrap(), 4);
    let mut buf = [0; 16];
    assert_eq!(reader.read(&mut buf).unwrap(), 4);
    assert_eq!(&buf[..4], b"ours");

    fifo.remove();
    let links = rustix::fs::fstat(&reader).unwrap().st_nlink;
    match (stat.st_mode & 0o777 == THEIRS, links) {
        (true, 1) => counts.found += 1,
        (true, _) => panic!("a FIFO of a swapper's was removed"),
        (false, 0) => counts.removed += 1,
        (false, _) => counts.taken += 1,
    }
}
