//! The service, over real connections: what it answers, and that nothing of a request stays.

#[path = "../../../tests/support/running.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "these tests use a part of it")]
mod running;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use running::watchdog_after;

/// How long anything here may take.
const LONG: Duration = Duration::from_secs(120);

/// As many guests as the service has room for.
const GUESTS: usize = 64;

/// Writes "hello", and then does what the placeholder says.
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\06\00\00\00")
  (data (i32.const 16) "hello\0a")
  (func $hello (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))))
  (func (export "_start") THEN))"#;

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(seconds: &str, guest: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
        command.args(["127.0.0.1:0", seconds]).arg(guest);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().into() }
    }

    /// Starts the service with a guest that says hello, and then does `then`.
    fn hello(seconds: &str, then: &str) -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest.wat");
        fs::write(&path, HELLO.replace("THEN", then)).unwrap();
        (Self::start(seconds, &path), folder)
    }

    /// Begins a request, and sends a piece of its body.
    fn begin(&self, piece: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let head = "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
        write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk(piece)).unwrap();
        stream
    }

    fn request(&self, body: &str) -> Answer {
        let mut stream = self.begin(body);
        // The service may have answered, and closed the connection, by now.
        let _ = stream.write_all(b"0\r\n\r\n");
        Answer::of(stream)
    }

    /// Returns how many descriptors and how many threads the process has.
    fn holds(&self) -> [usize; 2] {
        ["fd", "task"].map(|folder| {
            fs::read_dir(format!("/proc/{}/{folder}", self.child.id())).unwrap().count()
        })
    }

    /// Returns the process's own memory, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until the process has no more descriptors and threads than `before`.
    #[track_caller]
    fn falls_back_to(&self, before: [usize; 2]) {
        let begun = Instant::now();
        while self.holds().iter().zip(before).any(|(now, before)| *now > before) {
            assert!(begun.elapsed() < LONG, "{:?} after, {before:?} before", self.holds());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chunk(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("{:x}\r\n{text}\r\n", text.len()),
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
    /// Whether it came to its end.
    complete: bool,
}

impl Answer {
    fn of(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that breaks off may be reset.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, mut rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
        if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            return Self { status, body: rest.into(), complete: true };
        }
        let (mut body, mut complete) = (String::new(), false);
        while let Some((size, data)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            complete = size == 0;
            if complete || data.len() < size + 2 {
                break;
            }
            body += &data[..size];
            rest = &data[size + 2..];
        }
        Self { status, body, complete }
    }
}

fn upper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/guests/upper.wasm")
}

/// Reads until `text` has come.
fn read_until(stream: &mut TcpStream, text: &str) {
    let (mut all, mut piece) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&all).contains(text) {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "{text:?} has not come: {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..n]);
    }
}

/// Has as many guests run at once as there may be, each in the middle of its stream.
fn all_at_once(server: &Server) {
    let mut streams: Vec<_> = (0..GUESTS).map(|_| server.begin("first ")).collect();
    for stream in &mut streams {
        read_until(stream, "FIRST");
    }
    assert_eq!(server.request("one more").status, 503);
    for stream in &mut streams {
        write!(stream, "{}0\r\n\r\n", chunk("second")).unwrap();
    }
    for mut stream in streams {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("SECOND") && rest.ends_with("0\r\n\r\n"), "{rest}");
    }
}

#[test]
fn a_thousand_in_a_row_and_64_at_once_leave_nothing() {
    let _dog = watchdog_after(2 * LONG);
    let server = Server::start("60", &upper());
    let one = || {
        let answer = server.request("hello\n");
        assert_eq!((answer.status, &*answer.body, answer.complete), (200, "HELLO\n", true));
    };
    // What is only made once: threads, caches, the allocator's arenas.
    for _ in 0..3 {
        all_at_once(&server);
        (0..100).for_each(|_| one());
    }
    let (before, memory) = (server.holds(), server.memory());
    (0..1000).for_each(|_| one());
    server.falls_back_to(before);
    let in_a_row = server.memory();
    assert!(in_a_row < memory + 8 * 1024, "{memory} KiB before, {in_a_row} KiB after");
    for _ in 0..5 {
        all_at_once(&server);
        server.falls_back_to(before);
    }
    let at_once = server.memory();
    assert!(at_once < memory + 8 * 1024, "{memory} KiB before, {at_once} KiB after");
    println!("{before:?} descriptors and threads; {memory}, {in_a_row}, {at_once} KiB");
}

#[test]
fn a_large_body_streams_through() {
    let _dog = watchdog_after(2 * LONG);
    let server = Server::start("60", &upper());
    let mut stream = server.begin("");
    let mut sending = stream.try_clone().unwrap();
    // Far more than all buffers on the way hold, so both directions have to move at once.
    let sender = thread::spawn(move || {
        let piece = chunk(&"x".repeat(64 * 1024));
        (0..512).for_each(|_| sending.write_all(piece.as_bytes()).unwrap());
        sending.write_all(b"0\r\n\r\n").unwrap();
    });
    let (mut count, mut piece) = (0, vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            n => count += piece[..n].iter().filter(|&&byte| byte == b'X').count(),
        }
    }
    sender.join().unwrap();
    assert_eq!(count, 512 * 64 * 1024);
}

#[test]
fn a_guest_that_fails_is_told() {
    let _dog = watchdog_after(2 * LONG);
    for then in ["unreachable", "(call $exit (i32.const 3))"] {
        let (server, _folder) = Server::hello("60", then);
        let answer = server.request("");
        assert_eq!(answer.status, 502, "{answer:?}");
    }
    // After it has written, only the end of the body can tell; or the end of the connection, if that is sooner than the head.
    let (server, _folder) = Server::hello("60", "(call $hello) unreachable");
    let answer = server.request("");
    let is_cut = (answer.status, answer.complete) == (200, false);
    assert!(is_cut || answer.status == 0, "{answer:?}");
    let (server, _folder) = Server::hello("60", "(call $hello)");
    let answer = server.request("a body that it does not read");
    assert_eq!((answer.status, &*answer.body), (200, "hello\n"), "{answer:?}");
}

#[test]
fn a_guest_that_takes_too_long_is_told() {
    let _dog = watchdog_after(2 * LONG);
    let (server, _folder) = Server::hello("0.2", "(loop (br 0))");
    assert_eq!(server.request("").status, 504);
    let before = server.holds();
    assert_eq!(server.request("").status, 504);
    server.falls_back_to(before);
    // It waits for the rest of the request, which does not come.
    let waiting = Server::start("0.2", &upper());
    let answer = Answer::of(waiting.begin(""));
    assert_eq!(answer.status, 504, "{answer:?}");
}

#[test]
fn a_client_that_leaves_ends_its_guest() {
    let _dog = watchdog_after(2 * LONG);
    for then in [
        // It computes, and would for good.
        "(call $hello) (loop (br 0))",
        // It waits for a request that does not go on.
        "(call $hello) (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))",
        // It writes without end, and takes no heed of an error.
        "(loop (call $hello) (br 0))",
    ] {
        let (server, _folder) = Server::hello("600", then);
        let before = server.holds();
        for _ in 0..4 {
            read_until(&mut server.begin(""), "hello");
        }
        // Each of their guests has two pipes. A thread or two may have come for good.
        server.falls_back_to([before[0] + 2, usize::MAX]);
        // All 64 places are free again.
        let mut streams: Vec<_> = (0..GUESTS).map(|_| server.begin("")).collect();
        streams.iter_mut().for_each(|stream| read_until(stream, "hello"));
    }
}
