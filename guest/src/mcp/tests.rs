use std::io;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::mock::{Sink, Source};

#[derive(Deserialize)]
struct Add {
    a: i64,
    b: i64,
}

fn server<'a>() -> Server<'a> {
    let add = Tool::new("add", "Adds").required("a", "integer", "").required("b", "integer", "");
    Server::new("test", "1.0")
        .instructions("Add.")
        .tool(add, |Add { a, b }: Add, _| {
            a.checked_add(b).map(|sum| sum.to_string()).ok_or("too large")
        })
        .tool(Tool::new("echo", "Returns its arguments"), |value: Value, _| Ok::<_, String>(value))
        .tool(Tool::new("slow", "Runs until it is cancelled"), |_: Value, call| {
            for step in 1..1000u32 {
                if call.is_cancelled() {
                    return Err(format!("cancelled at {step}"));
                }
                call.progress(step.into(), None, "");
            }
            Ok("never")
        })
        .tool(Tool::new("log", "Logs"), |_: Value, call| {
            call.log(Level::Info, "info");
            call.log(Level::Error, json!({ "why": "error" }));
            Ok::<_, String>(())
        })
}

/// The answers, each a line.
fn answers(sink: &Sink) -> Vec<Value> {
    sink.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn served(source: Source) -> Vec<Value> {
    let sink = Sink::new();
    server().serve(source, sink.clone()).unwrap();
    assert_eq!(sink.flushed(), sink.written());
    answers(&sink)
}

fn request(id: u32, method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string() + "\n"
}

fn call(id: u32, name: &str, arguments: Value) -> String {
    request(id, "tools/call", json!({ "name": name, "arguments": arguments }))
}

fn cancelled(id: u32) -> String {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
        .to_string()
        + "\n"
}

fn one(line: &str) -> Value {
    let mut answers = served(Source::new().send(line));
    assert_eq!(answers.len(), 1, "{line}: {answers:?}");
    answers.remove(0)
}

fn code(line: &str) -> (Value, i64) {
    let answer = one(line);
    (answer["id"].clone(), answer["error"]["code"].as_i64().expect(line))
}

#[test]
fn a_conversation() {
    let sink = Sink::new();
    let initialized = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "result": {
        "protocolVersion": "2025-06-18",
        "capabilities": { "tools": {}, "logging": {} },
        "serverInfo": { "name": "test", "version": "1.0" },
        "instructions": "Add.",
    } });
    let sum = json!({ "jsonrpc": "2.0", "id": 1, "result": {
        "content": [{ "type": "text", "text": "5" }], "isError": false,
    } });
    let source = Source::new()
        .send(request(
            0,
            "initialize",
            json!({ "protocolVersion": "2025-06-18", "capabilities": {} }),
        ))
        .expect(&sink, format!("{hello}\n"))
        .send(initialized)
        .expect(&sink, "")
        .send_in_pieces(call(1, "add", json!({ "a": 2, "b": 3 })), &[1, 7])
        .expect(&sink, format!("{sum}\n"))
        .send(request(2, "ping", json!({})))
        .expect(&sink, "{\"id\":2,\"jsonrpc\":\"2.0\",\"result\":{}}\n");
    server().serve(source, sink).unwrap();
}

#[test]
fn versions_are_negotiated() {
    for (asked, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("1", "2025-11-25"),
    ] {
        let answer = one(&request(0, "initialize", json!({ "protocolVersion": asked })));
        assert_eq!(answer["result"]["protocolVersion"], given);
    }
    assert_eq!(code(&request(0, "initialize", json!({}))), (json!(0), -32602));
}

#[test]
fn tools_are_listed() {
    let answer = one(&request(0, "tools/list", json!({})));
    assert_eq!(answer["result"]["tools"].as_array().unwrap().len(), 4);
    assert_eq!(
        answer["result"]["tools"][0],
        json!({ "name": "add", "description": "Adds", "inputSchema": {
            "type": "object",
            "properties": {
                "a": { "type": "integer", "description": "" },
                "b": { "type": "integer", "description": "" },
            },
            "required": ["a", "b"],
        } })
    );
    assert_eq!(code(&request(1, "tools/list", json!({ "cursor": "x" }))), (json!(1), -32602));
}

#[test]
fn errors_of_the_protocol() {
    let null = Value::Null;
    for (line, id, expected) in [
        ("{\n", null.clone(), -32700),
        ("\u{1}\n", null.clone(), -32700),
        ("[]\n", null.clone(), -32600),
        ("1\n", null.clone(), -32600),
        ("{}\n", null.clone(), -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1}\n", json!(1), -32600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}\n", json!(1), -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"ping\"}\n", null.clone(), -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}\n", null, -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":1}\n", json!("a"), -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/list\"}\n", json!(1), -32601),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}\n", json!(1), -32602),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}\n", json!(1), -32602),
    ] {
        assert_eq!(code(line), (id, expected), "{line}");
    }
    assert_eq!(code(&call(1, "none", json!({}))), (json!(1), -32602));
    assert_eq!(code(&call(1, "echo", json!([1]))), (json!(1), -32602));
    assert_eq!(code(&request(1, "logging/setLevel", json!({ "level": "x" }))), (json!(1), -32602));
    // One error does not end the server, and notifications get no answer, right or wrong.
    let lines = "}\n\n  \n{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"y\",\"params\":3}\n\
        {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n";
    let answers = served(Source::new().send(lines).send(request(1, "ping", json!({}))));
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[1]["result"], json!({}));
}

#[test]
fn errors_of_tools_are_results() {
    let result = |line: &str| one(line)["result"].clone();
    let too_large = result(&call(1, "add", json!({ "a": i64::MAX, "b": 1 })));
    assert_eq!(too_large["isError"], true);
    assert_eq!(too_large["content"][0]["text"], "too large");
    let missing = result(&call(1, "add", json!({ "a": 1 })));
    assert_eq!(missing["isError"], true);
    assert_eq!(missing["content"][0]["text"], "invalid arguments: missing field `b`");
    let echoed = result(&call(1, "echo", json!({ "x": [1] })));
    assert_eq!(echoed["structuredContent"], json!({ "x": [1] }));
    assert_eq!(echoed["content"][0]["text"], "{\"x\":[1]}");
}

#[test]
fn a_message_that_is_too_long_is_answered() {
    let long = "x".repeat(100_000);
    for (message, id) in [
        (call(5, "echo", json!({ "text": long })), json!(5)),
        (format!("{{\"id\":\"a\\\"b\",\"x\":\"{long}\"}}\n"), json!("a\"b")),
        (format!("{{\"x\":{{\"id\":3}},\"y\":[\"{long}\",\"id\"],\"id\" : 4 }}\n"), json!(4)),
        (format!("{{\"x\":{{\"id\":3}},\"y\":\"{long}\\\"id\\\":3\"}}\n"), Value::Null),
        (format!("{{\"id\":{{\"id\":3}},\"y\":\"{long}\"}}\n"), Value::Null),
        (format!("{long}\n"), Value::Null),
    ] {
        for sizes in [[1000], [100_000]] {
            let sink = Sink::new();
            let source =
                Source::new().send_in_pieces(&message, &sizes).send(request(6, "ping", json!({})));
            server().bound(1000).serve(source, sink.clone()).unwrap();
            let answers = answers(&sink);
            assert_eq!(answers.len(), 2, "{answers:?}");
            assert_eq!(answers[0]["id"], id);
            assert_eq!(answers[0]["error"]["code"], -32600);
            assert_eq!(
                answers[0]["error"]["message"],
                "Invalid request: the message is longer than 1000 bytes"
            );
            assert_eq!(answers[1]["id"], 6);
        }
    }
    // The last one without its end.
    let sink = Sink::new();
    server().bound(1000).serve(Source::new().send(&long), sink.clone()).unwrap();
    assert_eq!(answers(&sink).len(), 1);
}

#[test]
fn a_batch_has_one_answer() {
    let batch = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},1,{\"jsonrpc\":\"2.0\",\"method\":\"x\"}]\n";
    let answer = one(batch);
    assert_eq!(answer[0], json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    assert_eq!(answer[1]["error"]["code"], -32600);
    assert_eq!(answer.as_array().unwrap().len(), 2);
    assert_eq!(
        served(Source::new().send("[{\"jsonrpc\":\"2.0\",\"method\":\"x\"}]\n")),
        [Value::Null; 0]
    );
}

#[test]
fn a_batch_of_many_messages_is_refused() {
    let batch = |count| format!("[{}]\n", vec!["1"; count].join(","));
    assert_eq!(one(&batch(100)).as_array().unwrap().len(), 100);
    for count in [101, 1_000_000] {
        let answer = one(&format!("  {}", batch(count)));
        assert_eq!(answer["error"]["code"], -32600);
        assert_eq!(
            answer["error"]["message"],
            "Invalid request: the batch has more than 100 messages"
        );
    }
    assert_eq!(code("[1,\n"), (Value::Null, -32700));
}

/// A message that is too long, and does not end, does not stop the call that runs: that goes on, and is
/// cancelled by what follows.
#[test]
fn a_call_does_not_wait_for_the_end_of_a_long_message() {
    let long = format!("{{\"x\":\"{}\"", "x".repeat(2000));
    let progress = json!({ "name": "slow", "_meta": { "progressToken": "t" } });
    let source = Source::new()
        .send(request(1, "tools/call", progress))
        .send(&long)
        .pause()
        .pause()
        .send(",\"id\":8}\n")
        .send(cancelled(1))
        .pause()
        .send(request(2, "ping", json!({})));
    let sink = Sink::new();
    server().bound(1000).serve(source, sink.clone()).unwrap();
    let answers = answers(&sink);
    let steps = answers.iter().filter(|it| it["method"] == "notifications/progress").count();
    assert_eq!(steps, 2, "{answers:?}");
    let ids: Vec<_> = answers.iter().filter_map(|it| it["id"].as_i64()).collect();
    assert_eq!(ids, [8, 2]);
}

#[test]
fn a_call_is_cancelled() {
    let progress = json!({ "name": "slow", "_meta": { "progressToken": "t" } });
    let source = Source::new()
        .send(request(1, "tools/call", progress))
        .pause()
        .pause()
        .send(cancelled(9))
        .send(request(2, "ping", json!({})))
        .send(call(3, "add", json!({ "a": 1, "b": 1 })))
        .send(call(4, "add", json!({ "a": 1, "b": 1 })))
        .pause()
        .send(cancelled(4))
        .send(cancelled(1))
        .pause()
        .send(request(5, "ping", json!({})));
    let answers = served(source);
    let steps: Vec<_> =
        answers.iter().filter(|it| it["method"] == "notifications/progress").collect();
    assert_eq!(steps.len(), 3, "{answers:?}");
    assert_eq!(steps[2]["params"], json!({ "progressToken": "t", "progress": 3.0 }));
    let ids: Vec<_> = answers.iter().filter_map(|it| it["id"].as_i64()).collect();
    // A ping does not wait for a call; what was cancelled has no answer.
    assert_eq!(ids, [2, 5, 3]);
}

#[test]
fn the_end_of_the_input_tells_a_call_and_ends_the_server() {
    let answers = served(Source::new().send(call(1, "slow", json!({}))).pause());
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["result"]["content"][0]["text"], "cancelled at 2");
    assert!(served(Source::new()).is_empty());
}

#[test]
fn a_client_that_no_longer_reads_ends_the_server() {
    let endless = request(1, "ping", json!({})).repeat(1000);
    let source = Source::new().send_in_pieces(&endless, &[100]).fail(io::ErrorKind::Other);
    server().serve(source, Sink::new().leaving_after(50)).unwrap();
    let source = Source::new().send(call(1, "log", json!({}))).fail(io::ErrorKind::Other);
    server().serve(source, Sink::new().leaving_after(10)).unwrap();
    // Other errors are errors.
    let source = Source::new().fail(io::ErrorKind::TimedOut);
    let failed = server().serve(source, Sink::new()).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn logs_go_by_level() {
    let answers = served(
        Source::new()
            .send(call(1, "log", json!({})))
            .send(request(2, "logging/setLevel", json!({ "level": "error" })))
            .send(call(3, "log", json!({}))),
    );
    let logs: Vec<_> = answers
        .iter()
        .filter(|it| it["method"] == "notifications/message")
        .map(|it| it["params"].clone())
        .collect();
    let error = json!({ "level": "error", "data": { "why": "error" } });
    assert_eq!(logs, [json!({ "level": "info", "data": "info" }), error.clone(), error]);
}

#[test]
fn what_waits_is_bounded() {
    // A client that sends without end while a tool runs: most of that stays in the pipe.
    let pings = call(2, "echo", json!({})).repeat(10_000);
    let mut source = Source::new().send(call(1, "slow", json!({}))).send_in_pieces(&pings, &[1000]);
    let sink = Sink::new();
    let mut connection = connection::Connection::new(&mut source, sink, BOUND);
    let mut server = server();
    let first = connection.next().unwrap().unwrap();
    let Incoming::One(first) = first else { panic!("{first:?}") };
    server.answer(first, &mut connection).unwrap();
    assert_eq!(connection.waiting(), 64);
}
