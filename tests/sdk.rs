//! Guests that use what the SDK has beyond ends, on real pipes: filters of records, and a server of
//! the Model Context Protocol.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdout, Command, Stdio};

use pipehost_test_guests::guest;
use serde_json::{Value, json};
use support::*;

/// A guest in a conversation with the test.
struct Peer {
    running: Running,
    stdin: Option<std::process::ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    fn start(args: &[&str]) -> Self {
        Self::of(&mut run("sdk2", [&["--"], args].concat()))
    }

    fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stdin = child.stdin.take();
        Self { running: Running::of(child), stdin, stdout }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stdin.as_mut().unwrap().write_all(bytes.as_ref()).unwrap();
    }

    /// Waits for so many bytes.
    fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stdout.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn ask(&mut self, question: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
        self.send(question);
        let answer = answer.as_ref();
        assert_eq!(
            self.receive(answer.len()).escape_ascii().to_string(),
            answer.escape_ascii().to_string()
        );
    }

    fn send_json(&mut self, message: &Value) {
        self.send(format!("{message}\n"));
    }

    fn receive_json(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn request(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.send_json(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let answer = self.receive_json();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    fn call(&mut self, id: u32, name: &str, arguments: Value) -> Value {
        self.request(id, "tools/call", json!({ "name": name, "arguments": arguments }))
    }

    /// Ends the input.
    fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        Ended { stdout: rest, ..self.running.end() }
    }
}

#[test]
fn each_record_is_answered_before_the_next_is_sent() {
    let _dog = watchdog();
    for (framing, question, answer) in [
        ("lines", "one\n", "ONE\n"),
        ("nul", "a\nb\0", "A\nB\0"),
        ("bytes", "login: ", "LOGIN: "),
        ("length", "\0\0\0\x03abc", "\0\0\0\x03ABC"),
        ("content-length", "Content-Length: 3\r\n\r\nabc", "Content-Length: 3\r\n\r\nABC"),
        ("text", "{\"a\":[]}", "{\"A\":[]}\n"),
        ("json", "{\"a\":[]}", "{\"a\":[],\"seen\":true}\n"),
    ] {
        let mut peer = Peer::start(&["filter", framing]);
        for _ in 0..20 {
            peer.ask(question, answer);
        }
        if framing != "bytes" {
            // In two pieces, and two in one.
            let (first, second) = question.split_at(question.len() / 2);
            peer.send(first);
            peer.ask(second, answer);
            peer.ask(question.repeat(2), answer.repeat(2));
        }
        let ended = peer.end().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""), "{framing}");
    }
}

#[test]
fn the_same_is_true_of_streams() {
    let _dog = watchdog();
    for (way, question, answer) in [("filter", "one\n", "ONE\n"), ("lines", "one\n", "one\none\n")]
    {
        let mut peer = Peer::of(&mut run("sdk3", ["--", way]));
        for _ in 0..20 {
            peer.ask(question, answer);
        }
        peer.send("o");
        peer.ask("ne\n", answer);
        peer.send("last");
        let last = peer.end().expect(0).stdout;
        assert_eq!(last, answer.replace("one\n", "last").replace("ONE\n", "LAST"), "{way}");
    }
    // A reader that has enough.
    let script = "yes | pipehost run GUEST -- filter | head -2; echo ${PIPESTATUS[1]}";
    let ended = sh(&script.replace("GUEST", guest("sdk3").to_str().unwrap())).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("Y\nY\n0\n", ""));
    let script = "yes | head -c 3M | tr -d '\\n' | pipehost run GUEST -- filter";
    let ended = sh(&script.replace("GUEST", guest("sdk3").to_str().unwrap())).end().expect(1);
    assert!(
        ended.stderr.contains("record 1, at byte 0, is longer than 1048576 bytes"),
        "{ended:?}"
    );
}

#[test]
fn the_traits_of_futures_lose_nothing() {
    let _dog = watchdog();
    let dir = Dir::new();
    for way in ["copy", "turns"] {
        let (from, to) = (dir.path("from"), dir.path("to"));
        let args = [fifo("in", &from, ",r"), fifo("out", &to, ",w")].concat();
        let copying = run("sdk3", args).args(["--", way]).start();
        until("the FIFOs are there", || from.exists() && to.exists());
        let (writer, reader) = (cat_into(big_file(), &from), sum_of(&to));
        copying.end().expect(0);
        writer.end().expect(0);
        assert_eq!(reader.end().expect(0).stdout, big_sum(), "{way}");
    }
}

#[test]
fn records_go_through_fifos_unharmed() {
    let _dog = watchdog();
    let dir = Dir::new();
    // Of all lengths, about 8 MB.
    let mut bytes = Vec::new();
    for len in 0..4000usize {
        bytes.extend((len as u32).to_be_bytes());
        bytes.extend((0..len).map(|at| b'0' + (at * 7 % 10) as u8));
    }
    let file = dir.file("records", &bytes);
    let (from, to) = (dir.fifo("a"), dir.fifo("b"));
    let writer = cat_into(&file, &from);
    let reader = sum_of(&to);
    let args = [&fifo("in", &from, ",r")[..], &fifo("out", &to, ",w")].concat();
    run("sdk2", args).args(["--", "filter", "length"]).end().expect(0);
    writer.end().expect(0);
    let sum = sh(&format!("sha256sum < {}", file.display())).end().expect(0);
    assert_eq!(reader.end().expect(0).stdout, sum.stdout);

    // Lines, too, with none at the end.
    let script =
        "seq 500000 | head -c -1 > sum; pipehost run GUEST -- filter lines < sum | cmp - sum";
    let script = script.replace("GUEST", guest("sdk2").to_str().unwrap());
    sh(&script.replace("sum", dir.path("sum").to_str().unwrap())).end().expect(0);
}

#[test]
fn a_record_beyond_the_bound_ends_a_filter_after_its_answers() {
    let _dog = watchdog();
    for (framing, input, answer, error) in [
        ("lines", "a\nlonger\nb\n", "A\n", "record 2, at byte 2, is longer than 3 bytes"),
        ("nul", "a\0longer\0", "A\0", "record 2, at byte 2, is longer than 3 bytes"),
        ("length", "\u{7f}\0\0\0", "", "record 1, at byte 0, is longer than 3 bytes"),
        ("json", "{}\n[1,2]", "", "record 1, at byte 0"),
        (
            "content-length",
            "Length: 4\n\n",
            "",
            "record 1, at byte 0, has a header without Content-Length",
        ),
    ] {
        let mut peer = Peer::start(&["filter", framing, "3"]);
        peer.send(input);
        let ended = peer.end();
        if framing == "json" {
            // Its answer is longer than what it reads.
            assert_eq!(ended.stdout, "{\"seen\":true}\n");
            assert!(
                ended.stderr.contains("record 2, at byte 3, is longer than 3 bytes"),
                "{ended:?}"
            );
            continue;
        }
        let ended = ended.expect(1);
        assert_eq!(ended.stdout, answer, "{framing}");
        assert!(ended.stderr.contains(error), "{framing}: {ended:?}");
    }
    // A line without an end takes no memory without bound, and does not wait for its end.
    let script = "head -c 100M /dev/zero | pipehost run GUEST --max-memory 8M -- filter lines; echo ${PIPESTATUS[1]}";
    let ended = sh(&script.replace("GUEST", guest("sdk2").to_str().unwrap())).end().expect(0);
    assert_eq!(ended.stdout, "1\n", "{ended:?}");
    assert!(
        ended.stderr.contains("record 1, at byte 0, is longer than 1048576 bytes"),
        "{ended:?}"
    );
}

#[test]
fn a_filter_whose_reader_has_enough_ends_quietly() {
    let _dog = watchdog();
    let script = "yes | pipehost run GUEST -- filter lines | head -2; echo ${PIPESTATUS[1]}";
    let ended = sh(&script.replace("GUEST", guest("sdk2").to_str().unwrap())).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("Y\nY\n0\n", ""));
}

#[test]
fn what_redact_understands_is_not_held_back() {
    let _dog = watchdog();
    let mut peer = Peer::of(&mut run("redact", [""; 0]));
    peer.ask("Password: ", "Password: ");
    peer.ask("hunter2\nmail bo", "[token]\nmail ");
    peer.ask("b@example.com\n", "[email]\n");
    assert_eq!(peer.end().expect(0).stdout, "");
    // A line may be as long as it likes.
    let script = "head -c 3M /dev/zero | tr '\\0' a | pipehost run GUEST | wc -c";
    let script = script.replace("GUEST", guest("redact").to_str().unwrap());
    assert_eq!(sh(&script).end().expect(0).stdout.trim(), (3 << 20).to_string());
}

#[test]
fn a_client_of_mcp_is_served() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.file("note", "in the folder");
    let grant = format!("{}::/notes,ro", dir.path(".").display());
    let mut peer = Peer::of(&mut run("sdk2", ["--dir", &grant, "--", "mcp"]));
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let hello = peer.request(0, "initialize", hello);
    assert_eq!(hello["result"]["serverInfo"]["name"], "sdk2");
    peer.send_json(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    let tools = peer.request(1, "tools/list", json!({}));
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 3);

    let text = |answer: &Value| answer["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    let read = peer.call(2, "read", json!({ "path": "/notes/note" }));
    assert_eq!(text(&read), "in the folder");
    let refused = peer.call(3, "read", json!({ "path": "/etc/passwd" }));
    assert_eq!(refused["result"]["isError"], true);
    let large = "x".repeat(3_000_000);
    let echoed = peer.call(4, "echo", json!({ "text": large }));
    assert_eq!(echoed["result"]["structuredContent"]["text"], large);
    // Too long, and answered to the one who asked.
    let refused = peer.call(5, "echo", json!({ "text": "x".repeat(10_000_000) }));
    assert_eq!(refused["error"]["code"], -32600);
    peer.send("{]\n");
    assert_eq!(peer.receive_json()["error"]["code"], -32700);

    // It waits without the processor's time.
    until("the server waits", || peer.running.sleeps());
    let ended = peer.end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
}

#[test]
fn a_call_that_is_cancelled_has_no_answer() {
    let _dog = watchdog();
    let mut peer = Peer::start(&["mcp"]);
    let wait =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "wait" } });
    peer.send_json(&wait);
    assert_eq!(peer.receive_json()["params"], json!({ "level": "info", "data": "waiting" }));
    // A ping does not wait for the call.
    assert_eq!(peer.request(2, "ping", json!({}))["result"], json!({}));
    peer.send_json(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }));
    assert_eq!(peer.request(3, "ping", json!({}))["result"], json!({}));
    let ended = peer.end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", "wait: cancelled\n"));

    // A client that leaves ends a call, and the server.
    let mut peer = Peer::start(&["mcp"]);
    peer.send_json(&wait);
    assert_eq!(peer.receive_json()["method"], "notifications/message");
    let ended = peer.end().expect(0);
    assert_eq!(ended.stderr, "wait: cancelled\n");
    let mut peer = Peer::start(&["mcp"]);
    peer.send_json(&wait);
    let Peer { running, stdin, stdout } = peer;
    drop(stdout);
    drop(stdin);
    let ended = running.end();
    // 141 if the host had taken the last answer before it met EPIPE.
    assert!(matches!(ended.code, Some(0 | 141)), "{ended:?}");
    assert_eq!(ended.stderr, "wait: cancelled\n");
}
