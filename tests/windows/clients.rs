//! The host is the server of a named pipe, and serves clients.

use std::fs::File;
use std::io::{Read as _, Write as _};

use super::support::*;

fn fifo(name: &str, keys: &str) -> [String; 2] {
    ["--fifo".into(), format!("x={}{keys}", path(name))]
}

#[test]
fn a_reader_gets_all_that_a_client_writes() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running = run(probe, fifo(&name, ",r")).args(["--", "drain", "x"]).start();
        writer_of(&name).write_all(b"hello").unwrap();
        assert_eq!(running.end().expect(0).stdout, "5\nok\n", "{probe}");
    }
}

#[test]
fn a_plain_name_is_a_pipe_of_this_machine() {
    let _dog = watchdog();
    let name = name();
    let running = run("@cat", ["--fifo", &format!("in={name},r")]).start();
    writer_of(&name).write_all(b"hello").unwrap();
    assert_eq!(running.end().expect(0).stdout, "hello");
}

#[test]
fn a_client_reads_all_that_a_guest_writes() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running = run(probe, fifo(&name, ",w")).args(["--", "write", "x", "hello"]).start();
        assert_eq!(read_all(reader_of(&name)), "hello", "{probe}");
        running.end().expect(0);
    }
}

/// The host ends as soon as the kernel has all bytes. They stay there until the client has read them.
#[test]
fn the_last_bytes_outlive_the_host() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running = run(probe, fifo(&name, ",w")).args(["--", "write", "x", "last"]).start();
        let client = reader_of(&name);
        running.end().expect(0);
        assert_eq!(read_all(client), "last", "{probe}");
    }
}

#[test]
fn large_transfers_are_whole() {
    let _dog = watchdog();
    for probe in PROBES {
        passes_whole(probe, &["copy", "in", "out"], LARGE);
    }
}

#[test]
fn forwarding_is_whole() {
    let _dog = watchdog();
    for probe in PROBES {
        passes_whole(probe, &["forward", "in", "out"], 10 << 20);
    }
}

#[test]
fn reads_of_all_sizes_lose_nothing() {
    let _dog = watchdog();
    for probe in PROBES {
        passes_whole(probe, &["sizes", "in", "out", "300"], 200_000);
    }
}

#[test]
fn reads_that_are_called_off_lose_nothing() {
    let _dog = watchdog();
    let ended = passes_whole("probe3", &["cancel", "in", "out"], 4 << 20);
    assert!(ended.stderr.starts_with("called off "), "{ended:?}");
}

#[test]
fn a_conversation_by_two_pipes() {
    let _dog = watchdog();
    for probe in PROBES {
        let (to_guest, from_guest) = (name(), name());
        let running = run(probe, ["--fifo", &format!("in={},r", path(&to_guest))])
            .args(["--fifo", &format!("out={},w", path(&from_guest)), "--", "swap", "in", "out"])
            .start();
        assert_eq!(read_all(reader_of(&from_guest)), "hello from the guest\n");
        writer_of(&to_guest).write_all(b"hello from outside\n").unwrap();
        assert_eq!(running.end().expect(0).stdout, "hello from outside\n", "{probe}");
    }
}

/// One client for both directions: what Windows programs do.
#[test]
fn a_conversation_by_one_pipe() {
    let _dog = watchdog();
    let name = name();
    let running = run("probe2", ["--fifo", &format!("x={}", path(&name))])
        .args(["--", "copy", "x", "x"])
        .start();
    let mut client =
        until_some("a server", || File::options().read(true).write(true).open(path(&name)).ok());
    for line in [b"one\n", b"two\n"] {
        client.write_all(line).unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, line);
    }
    drop(client);
    running.end().expect(0);
}

#[test]
fn a_guest_is_told_that_its_reader_has_left() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running = run(probe, fifo(&name, ",w")).args(["--", "flood", "x"]).start();
        let mut client = reader_of(&name);
        client.read_exact(&mut [0; 1000]).unwrap();
        drop(client);
        assert_eq!(running.end().expect(0).stdout, "BrokenPipe\n", "{probe}");
    }
}

#[test]
fn a_client_is_told_that_the_guest_has_left() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        // It reads a few bytes, and ends.
        let running = run(probe, fifo(&name, ",r")).args(["--", "info", "x"]).start();
        let mut client = writer_of(&name);
        client.write_all(b"ab").unwrap();
        let ended = running.end().expect(0);
        assert!(ended.stdout.contains("available 2\n"), "{probe}: {ended:?}");
        let error = client.write_all(b"more").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}

/// With `eof=close`, the end of the first client is the end of file.
#[test]
fn the_end_of_a_client_is_the_end_of_file() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running = run(probe, fifo(&name, ",r,eof=close")).args(["--", "drain", "x"]).start();
        // Without a byte, it might have come and gone before the guest looked.
        writer_of(&name).write_all(b"x").unwrap();
        assert_eq!(running.end().expect(0).stdout, "1\nok\n", "{probe}");
    }
}

/// With `eof=close`, a guest that opens the pipe again serves the next client, also one that has come, written
/// and left before it looked.
#[test]
fn each_client_in_turn_has_its_own_end_of_file() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running = run(probe, fifo(&name, ",r")).args(["--", "drain-each", "x", "20"]).start();
        let said = |turn| format!("client {turn:02}\n");
        for turn in 0..20 {
            writer_of(&name).write_all(said(turn).as_bytes()).unwrap();
        }
        let all: String = (0..20).map(|turn| said(turn) + "\n").collect();
        assert_eq!(running.end().expect(0).stdout, all, "{probe}");
    }
}

/// A client that has looked for the pipe since before there was a host gets it.
#[test]
fn a_client_may_come_first() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let waiting = name.clone();
        let (looks, looked) = std::sync::mpsc::channel();
        let client = std::thread::spawn(move || {
            File::open(path(&waiting)).unwrap_err();
            looks.send(()).unwrap();
            read_all(reader_of(&waiting))
        });
        looked.recv().unwrap();
        let running = run(probe, fifo(&name, ",w")).args(["--", "write", "x", "hello"]).start();
        assert_eq!(client.join().unwrap(), "hello", "{probe}");
        running.end().expect(0);
    }
}

/// With `eof=reopen`, client after client is served, and no byte is lost.
#[test]
fn many_clients_in_turn() {
    let _dog = watchdog();
    for probe in PROBES {
        let (from, to) = (name(), name());
        let mut running = run(probe, ["--fifo", &format!("in={},r,eof=reopen", path(&from))])
            .args(["--fifo", &format!("out={},w", path(&to)), "--", "copy", "in", "out"])
            .start();
        let mut answers = reader_of(&to);
        for turn in 0..20 {
            let said = format!("client {turn:02}\n");
            writer_of(&from).write_all(said.as_bytes()).unwrap();
            let mut heard = vec![0; said.len()];
            answers.read_exact(&mut heard).unwrap();
            assert_eq!(String::from_utf8(heard).unwrap(), said, "{probe}");
        }
        assert!(!running.is_over());
        running.kill();
    }
}

/// A guest that opens a pipe again serves the next client.
#[test]
fn a_pipe_is_opened_again() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let ended = run(probe, fifo(&name, ",r")).args(["--", "reopen", "x"]).end();
        assert_eq!(ended.expect(0).stdout, "ok\nok\n", "{probe}");
    }
}

/// A client that only looks whether the pipe is there, before the guest has opened it, is none.
#[test]
fn a_client_that_does_nothing_is_waited_for() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let mut running = run(probe, fifo(&name, ",r"))
            .args(["--open-timeout", "3s", "--", "drain", "x"])
            .start();
        let mut client = writer_of(&name);
        let started = std::time::Instant::now();
        until("the time is over", || {
            assert!(!running.is_over());
            started.elapsed().as_millis() > 3500
        });
        client.write_all(b"late").unwrap();
        drop(client);
        assert_eq!(running.end().expect(0).stdout, "4\nok\n", "{probe}");
    }
}

/// A guest that writes more than the pipe holds waits for its reader, and the host's memory does not grow.
#[test]
fn a_full_pipe_holds_its_writer_up() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let mut running = run(probe, fifo(&name, ",w")).args(["--", "message", "x", "8"]).start();
        let mut client = reader_of(&name);
        client.read_exact(&mut [0; 8]).unwrap();
        assert!(!running.is_over());
        let (length, _) = sum(client);
        assert_eq!(length, (8 << 20) - 8, "{probe}");
        running.end().expect(0);
    }
}

#[test]
fn a_trap_loses_nothing_that_was_written() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        let running = run(probe, fifo(&name, ",w")).args(["--", "trap-after", "x", "said"]).start();
        assert_eq!(read_all(reader_of(&name)), "said", "{probe}");
        running.end().expect(134);
    }
}

/// What a guest has handed over when it ends is delivered, however slowly it is read.
#[test]
fn what_is_left_behind_is_delivered() {
    let _dog = watchdog();
    let name = name();
    let running = run("probe2", fifo(&name, ",w")).args(["--", "leave-behind", "x"]).start();
    let (length, _) = sum(reader_of(&name));
    assert_eq!(length, 18 * 60_000);
    running.end().expect(0);
}

/// A client that writes to an end that is only written to is read, and what it says is dropped.
#[test]
fn what_a_client_says_to_a_writer_is_dropped() {
    let _dog = watchdog();
    let name = name();
    let running = run("probe2", fifo(&name, ",w")).args(["--", "flood", "x"]).start();
    let mut client =
        until_some("a server", || File::options().read(true).write(true).open(path(&name)).ok());
    client.write_all(b"to nobody").unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    drop(client);
    assert_eq!(running.end().expect(0).stdout, "BrokenPipe\n");
}

#[test]
fn a_private_pipe_has_a_name_that_is_told() {
    let _dog = watchdog();
    let mut command = run("@cat", ["--fifo", "in=,r", "--open-timeout", "100ms"]);
    let ended = command.end().expect(124);
    assert!(ended.stderr.contains(r"\\.\pipe\pipehost-"), "{ended:?}");
}

/// A pipe as a standard stream.
#[test]
fn standard_streams_are_pipes() {
    let _dog = watchdog();
    let (from, to) = (name(), name());
    let running = run("plain", ["--stdin", &format!("fifo:{}", path(&from))])
        .args(["--stdout", &format!("fifo:{}", path(&to)), "--", "copy"])
        .start();
    writer_of(&from).write_all(b"through").unwrap();
    assert_eq!(read_all(reader_of(&to)), "through");
    running.end().expect(0);
}
